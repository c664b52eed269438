package aurweb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
)

// Account is what the AUR tells an account about itself.
type Account struct {
	Name     string   // "" where the server did not greet with it
	Packages []string // package bases that it maintains, sorted; those that it co-maintains are not listed
}

// Maintains reports whether the account is the maintainer of a package base.
func (a Account) Maintains(base string) bool {
	_, found := slices.BinarySearch(a.Packages, base)
	return found
}

// ErrNoDoor says that the remote is not reached over ssh, so that nobody can be asked for the account.
var ErrNoDoor = errors.New("only over ssh can the AUR be asked which account a key belongs to")

const (
	doorTime = 30 * time.Second
	maxList  = 1 << 20 // bytes of a list of packages
)

var greeting = regexp.MustCompile(`Welcome to AUR, ([A-Za-z0-9][A-Za-z0-9._-]*)!`)

// Whoami asks which account the AUR takes the key for. It changes nothing there.
//
// Its two questions are the command list-repos, which prints a line for each package base that the account maintains
// (an asterisk or a space, then the name), and no command at all, which greets the account by its name and ends
// (aurweb/git/serve.py).
func Whoami(ctx context.Context, a gitremote.Access) (Account, error) {
	ctx, cancel := context.WithTimeout(ctx, doorTime)
	defer cancel()
	client, err := dial(ctx, a)
	if err != nil {
		return Account{}, fmt.Errorf("cannot ask the AUR for the account: %w", err)
	}
	defer client.Close()
	defer context.AfterFunc(ctx, func() { client.Close() })()
	var acc Account
	listed, complaint, err := run(client, "list-repos")
	if err != nil {
		if ctx.Err() != nil {
			err = ctx.Err()
		}
		if complaint != "" {
			return acc, fmt.Errorf("the AUR refuses this account: %s", complaint)
		}
		return acc, fmt.Errorf("cannot ask the AUR for the account's packages: %w", err)
	}
	for line := range strings.Lines(listed) {
		if name := strings.TrimLeft(strings.TrimSpace(line), "* "); name != "" {
			acc.Packages = append(acc.Packages, name)
		}
	}
	slices.Sort(acc.Packages)
	if _, said, _ := run(client, ""); said != "" { // it ends with an error status by design
		if m := greeting.FindStringSubmatch(said); m != nil {
			acc.Name = m[1]
		}
	}
	return acc, nil
}

// run runs one command, none where it is empty, and returns what it printed, the complaint in one line.
func run(client *ssh.Client, command string) (printed, complaint string, err error) {
	s, err := client.NewSession()
	if err != nil {
		return "", "", err
	}
	defer s.Close()
	var stdout, stderr bytes.Buffer
	s.Stdout, s.Stderr = &limited{&stdout, maxList}, &limited{&stderr, 4096}
	if command == "" {
		if err = s.Shell(); err == nil {
			err = s.Wait()
		}
	} else {
		err = s.Run(command)
	}
	return stdout.String(), shorten(strings.Join(strings.Fields(stderr.String()), " ")), err
}

// limited takes so many bytes, then ends what writes them.
type limited struct {
	to   *bytes.Buffer
	left int
}

func (l *limited) Write(p []byte) (int, error) {
	if len(p) > l.left {
		return 0, io.ErrShortWrite
	}
	l.left -= len(p)
	return l.to.Write(p)
}

// dial opens a connection as git would.
func dial(ctx context.Context, a gitremote.Access) (*ssh.Client, error) {
	if _, err := Door(a.URL); err != nil {
		return nil, err
	}
	return a.Dial(ctx)
}

// Door is the host and port that ssh dials for a git URL; [ErrNoDoor] where it is not one of ssh.
func Door(url string) (hostport string, err error) {
	e, err := transport.NewEndpoint(url)
	if err != nil {
		return "", fmt.Errorf("cannot use the remote's address: %w", err)
	}
	if e.Protocol != "ssh" || e.Host == "" {
		return "", ErrNoDoor
	}
	port := e.Port
	if port == 0 {
		port = gitssh.DefaultPort
	}
	return net.JoinHostPort(strings.Trim(e.Host, "[]"), strconv.Itoa(port)), nil
}
