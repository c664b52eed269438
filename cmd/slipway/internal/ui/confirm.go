package ui

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"

	"golang.org/x/term"
)

// ErrNobody says that a question needs a person and no terminal is there.
var ErrNobody = errors.New("nobody can be asked here")

// ErrRefused says that a person answered no.
var ErrRefused = errors.New("not confirmed")

// Confirm asks a yes-or-no question. Anything but "y" or "yes" is no.
func (u *UI) Confirm(ctx context.Context, format string, args ...any) error {
	if !u.ask || u.JSON {
		return ErrNobody
	}
	u.question(fmt.Sprintf(format, clean(args)...) + " [y/N] ")
	answer := make(chan string, 1)
	go func() {
		line, _ := bufio.NewReader(io.LimitReader(u.in, 1000)).ReadString('\n')
		answer <- strings.ToLower(strings.TrimSpace(line))
	}()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case a := <-answer:
		if a == "y" || a == "yes" {
			return nil
		}
		return ErrRefused
	}
}

// Passphrase asks for one without showing what is typed.
func (u *UI) Passphrase(of string) ([]byte, error) {
	in, ok := u.in.(*os.File)
	if !ok || !u.ask {
		return nil, ErrNobody
	}
	u.question("passphrase of " + Clean(of) + ": ")
	defer u.question("\n")
	return term.ReadPassword(int(in.Fd()))
}

func (u *UI) question(text string) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live != nil {
		u.live.erase()
	}
	_, _ = io.WriteString(u.err.w, text)
}
