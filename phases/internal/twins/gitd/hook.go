package gitd

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// The hooks ask this process over two pipes that git inherits and hands on: questions leave through descriptor 3, the
// answer comes back on 4. No path, socket or name has to be found by the script, and whoever ends first lets the other
// one read an end of file, which declines.
//
// A ref's name reaches a script as an argument and leaves it as a line. It cannot hold a line end (git checks names
// before it asks), and nothing in the scripts evaluates it.
//
//	question   "update" REF OLD NEW, a line each; or "transaction" STATE, the lines of githooks(5), "."
//	answer     "=TEXT" for the client's sideband, any number of them; then "yes" or "no"
const answerLoop = `while IFS= read -r answer <&4; do
	case $answer in
	yes) exit 0 ;;
	no) exit 1 ;;
	=*) printf '%s\n' "${answer#=}" >&2 ;;
	esac
done
exit 1
`

var hookScripts = map[string]string{
	"update": "#!/bin/sh\nprintf '%s\\n' update \"$1\" \"$2\" \"$3\" >&3 || exit 1\n" + answerLoop,
	"reference-transaction": "#!/bin/sh\nprintf '%s\\n' transaction \"$1\" >&3 || exit 1\n" +
		"while IFS= read -r line; do printf '%s\\n' \"$line\" >&3; done\nprintf '.\\n' >&3\n" + answerLoop,
}

// writeHooks makes the folder with the scripts and tries one: on a file system where nothing may be executed git would
// leave them out without an error.
func writeHooks(ctx context.Context) (dir string, err error) {
	dir, err = os.MkdirTemp("", "gitd-*")
	if err != nil {
		return "", fmt.Errorf("cannot make the git hooks: %w", err)
	}
	defer func() {
		if err != nil {
			os.RemoveAll(dir)
			err = fmt.Errorf("cannot make the git hooks: %w", err)
		}
	}()
	for name, text := range hookScripts {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o700); err != nil {
			return "", err
		}
	}
	for try := 0; ; try++ {
		err = tryHook(ctx, filepath.Join(dir, "update"))
		// A process that another goroutine starts just now may still hold the file open for writing.
		if !errors.Is(err, syscall.ETXTBSY) || try == 50 {
			return dir, err
		}
		time.Sleep(10 * time.Millisecond)
	}
}

func tryHook(ctx context.Context, path string) error {
	cmd := exec.CommandContext(ctx, path, "refs/heads/x", "old", "new")
	own(cmd)
	var asked string
	h, err := newHookPipes(cmd, func(q question) bool { asked = q.ref; return true })
	if err != nil {
		return err
	}
	cmd.Env = []string{"LC_ALL=C"}
	err = cmd.Start()
	h.started()
	if err == nil {
		err = cmd.Wait()
	}
	h.finish()
	if err == nil && asked != "refs/heads/x" {
		err = errors.New("a hook does not ask")
	}
	return err
}

// A question is what a hook asks.
type question struct {
	ref, old, new string   // of update
	state         string   // of reference-transaction
	lines         []string // its lines
	messages      *messages
}

// hookPipes connects a command's hooks with a function that answers them, one at a time.
type hookPipes struct {
	theirs  []*os.File
	answers *os.File
	asked   *os.File
	done    chan struct{}
}

func newHookPipes(cmd *exec.Cmd, answer func(question) bool) (*hookPipes, error) {
	askedR, askedW, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	answerR, answerW, err := os.Pipe()
	if err != nil {
		askedR.Close()
		askedW.Close()
		return nil, err
	}
	h := &hookPipes{theirs: []*os.File{askedW, answerR}, answers: answerW, asked: askedR, done: make(chan struct{})}
	cmd.ExtraFiles = h.theirs
	go func() {
		defer close(h.done)
		r := bufio.NewReader(askedR)
		for {
			q, err := readQuestion(r)
			if err != nil {
				return
			}
			m := &messages{w: answerW}
			q.messages = m
			word := "no\n"
			if answer(q) {
				word = "yes\n"
			}
			if m.end() != nil { // nothing is sent after the answer
				return
			}
			if _, err := io.WriteString(answerW, word); err != nil {
				return
			}
		}
	}()
	return h, nil
}

// started drops this process's copies of what the command has now.
func (h *hookPipes) started() {
	for _, f := range h.theirs {
		f.Close()
	}
}

// finish ends the conversation after the command has ended.
func (h *hookPipes) finish() {
	h.answers.Close()
	// A child that outlives git would keep the pipe open.
	_ = h.asked.SetReadDeadline(time.Now())
	<-h.done
	h.asked.Close()
}

func readQuestion(r *bufio.Reader) (q question, err error) {
	line := func() string {
		var s string
		if err == nil {
			s, err = r.ReadString('\n')
		}
		return strings.TrimSuffix(s, "\n")
	}
	switch line() {
	case "update":
		q.ref, q.old, q.new = line(), line(), line()
	case "transaction":
		q.state = line()
		for err == nil {
			l := line()
			if l == "." {
				break
			}
			q.lines = append(q.lines, l)
		}
	default:
		if err == nil {
			err = errors.New("unknown question")
		}
	}
	return q, err
}

// messages passes whole lines on to a hook's stderr.
type messages struct {
	mu    sync.Mutex
	w     io.Writer
	line  []byte
	ended bool
}

func (m *messages) Write(p []byte) (int, error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.ended {
		return 0, errors.New("cannot write to the client: the ref is decided")
	}
	m.line = append(m.line, p...)
	for {
		i := bytes.IndexByte(m.line, '\n')
		if i < 0 {
			return len(p), nil
		}
		if err := m.send(m.line[:i]); err != nil {
			return 0, err
		}
		m.line = m.line[i+1:]
	}
}

// send writes one line; a NUL would be lost in the shell, so it becomes visible.
func (m *messages) send(line []byte) error {
	_, err := fmt.Fprintf(m.w, "=%s\n", bytes.ReplaceAll(line, []byte{0}, []byte(`\0`)))
	return err
}

// say writes lines of their own.
func (m *messages) say(text string) {
	m.mu.Lock()
	half := len(m.line) > 0
	m.mu.Unlock()
	if half {
		text = "\n" + text
	}
	_, _ = io.WriteString(m, text+"\n")
}

func (m *messages) end() error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.ended = true
	if len(m.line) == 0 {
		return nil
	}
	return m.send(m.line)
}
