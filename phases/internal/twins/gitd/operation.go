package gitd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strings"
	"sync"
	"time"
)

// An operation is one session at work.
type operation struct {
	s       *Server
	session *Session
	dir     string
	fault   *strike
	// hangUp ends the connection; what git still says is lost.
	hangUp func()
	seq    int
	began  time.Time

	mu       sync.Mutex
	approved map[string]Update
	changed  []Update
	cut      bool
	reported bool
	prepared bool // the repository's history waits for the end of a transaction
}

func (s *Server) newOperation(session *Session) *operation {
	op := &operation{s: s, session: session, approved: map[string]Update{}, hangUp: func() {}}
	session.Repository = clean(session.Path)
	if session.Repository != "" {
		op.dir = folder(s.o.Dir, session.Repository)
		session.Exists = exists(op.dir)
	}
	session.Create = func() error {
		branch := s.o.Branch
		if branch == "" {
			branch = "master"
		}
		if err := Init(s.o.Dir, session.Path, branch); err != nil {
			return err
		}
		session.Exists = true
		return nil
	}
	return op
}

// admit asks the twin; the error is for the client.
func (op *operation) admit() error {
	if op.s.o.Before != nil {
		if err := op.s.o.Before(op.session); err != nil {
			return err
		}
	}
	if op.session.Repository == "" || !exists(op.dir) {
		return errMissing
	}
	return op.s.repository(op.session.Repository).observe(op.s, op.session.Repository, "found")
}

// errMissing becomes git's own words over ssh and status 404 over HTTP.
var errMissing = errors.New("no such repository")

// git runs the service on the repository, wired to the client. The status is git's own.
func (op *operation) git(ctx context.Context, flags []string, in io.Reader, out, errOut io.Writer) (status int, err error) {
	s := op.s
	push := op.session.Service == ReceivePack
	settings := []string{"uploadpack.allowFilter=true", "receive.autogc=false", "receive.keepAlive=0", "receive.fsckObjects=true", "transfer.advertiseSID=false"}
	if push {
		settings = append(settings, "core.hooksPath="+s.hooks)
	}
	cmd := exec.CommandContext(ctx, s.git.path, append(append([]string{op.session.Service}, flags...), op.dir)...)
	own(cmd)
	cmd.Cancel = func() error { return terminate(cmd) }
	cmd.WaitDelay = 5 * time.Second // then it is killed
	cmd.Dir, cmd.Env = op.dir, s.git.environment(settings...)
	if v := protocolOf(ctx); v != "" {
		cmd.Env = append(cmd.Env, "GIT_PROTOCOL="+v)
	}
	stdin, err := cmd.StdinPipe()
	if err != nil {
		return 0, err
	}
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		return 0, err
	}
	finish := func() {}
	if push {
		pipes, err := newHookPipes(cmd, func(q question) bool { return op.answer(ctx, q) })
		if err != nil {
			return 0, err
		}
		err = cmd.Start()
		pipes.started()
		if finish = pipes.finish; err != nil {
			finish()
			return 0, fmt.Errorf("cannot run git: %w", err)
		}
	} else if err := cmd.Start(); err != nil {
		return 0, fmt.Errorf("cannot run git: %w", err)
	}
	s.wg.Go(func() {
		_, _ = io.Copy(stdin, in) // a broken connection is an end of file to git, as behind sshd
		stdin.Close()
	})
	var copies sync.WaitGroup
	copies.Go(func() { forward(out, stdout) })
	copies.Go(func() { forward(errOut, stderr) })
	copies.Wait()
	err = cmd.Wait()
	finish()
	op.release()
	if exit := (*exec.ExitError)(nil); errors.As(err, &exit) && ctx.Err() == nil {
		return exit.ExitCode(), nil
	}
	return 0, err
}

// forward copies until the end; when the client takes no more, git learns of it as of a closed pipe.
func forward(w io.Writer, r io.ReadCloser) {
	_, _ = io.Copy(w, r)
	r.Close()
}

// answer decides what a hook asks.
func (op *operation) answer(ctx context.Context, q question) bool {
	if q.state != "" {
		return op.transaction(q)
	}
	if op.isCut() {
		return false
	}
	if f := op.fault; f != nil {
		switch {
		case f.Effect == Decline:
			f.hit()
			q.messages.say(f.Text)
			return false
		case f.Effect == Cut && !f.Done && f.Bytes >= 0: // the pack was shorter, or there is none
			f.hit()
			op.breakOff()
			return false
		}
	}
	u := Update{Repository: op.session.Repository, Account: op.session.Account, Ref: q.ref, Old: q.old, New: q.new}
	if op.s.o.Update != nil {
		asked := u
		var err error
		if asked.Store, err = store(op.dir); err == nil {
			asked.Messages = q.messages
			err = op.s.o.Update(ctx, &asked)
		}
		if err != nil {
			q.messages.say(err.Error())
			return false
		}
	}
	op.mu.Lock()
	op.approved[u.Ref] = u
	op.mu.Unlock()
	return true
}

// transaction follows git through a change of refs: while it is prepared nobody else's change is recorded, so the
// history has every state.
func (op *operation) transaction(q question) bool {
	r := op.s.repository(op.session.Repository)
	switch q.state {
	case "prepared":
		if op.isCut() {
			return false
		}
		op.mu.Lock()
		mine := op.prepared
		op.prepared = true
		op.mu.Unlock()
		if !mine {
			r.mu.Lock()
		}
	case "committed", "aborted":
		op.mu.Lock()
		var refs []string
		if q.state == "committed" {
			for _, line := range q.lines { // OLD NEW REF
				f := strings.SplitN(line, " ", 3)
				if len(f) != 3 {
					continue
				}
				if u, ok := op.approved[f[2]]; ok {
					op.changed = append(op.changed, u)
					refs = append(refs, u.Ref)
					delete(op.approved, u.Ref)
				}
			}
		}
		op.mu.Unlock()
		if len(refs) > 0 {
			r.record(op.s, op.session.Repository, fmt.Sprintf("push %d by %s: %s", op.seq, op.session.Account, strings.Join(refs, " ")))
		}
		op.release()
	}
	return true
}

// release lets others record again.
func (op *operation) release() {
	op.mu.Lock()
	mine := op.prepared
	op.prepared = false
	op.mu.Unlock()
	if mine {
		op.s.repository(op.session.Repository).mu.Unlock()
	}
}

// done runs once, when the refs are as the push leaves them and nothing of the report has left.
func (op *operation) done() {
	op.mu.Lock()
	again := op.reported
	op.reported = true
	us := append([]Update(nil), op.changed...)
	op.mu.Unlock()
	if again {
		return
	}
	if len(us) > 0 && op.s.o.Updated != nil {
		op.s.o.Updated(op.session, us)
	}
	op.s.handle(op)
	if f := op.fault; f != nil && f.Effect == Cut && f.Done {
		f.hit()
		op.breakOff()
	}
}

// breakOff ends the connection as a planned fault does.
func (op *operation) breakOff() {
	op.mu.Lock()
	op.cut = true
	op.mu.Unlock()
	op.hangUp()
}

func (op *operation) isCut() bool {
	op.mu.Lock()
	defer op.mu.Unlock()
	return op.cut
}

type protocolKey struct{}

// withProtocol carries what the client says in GIT_PROTOCOL or Git-Protocol, when it is a version of git's protocol.
func withProtocol(ctx context.Context, value string) context.Context {
	switch value {
	case "version=0", "version=1", "version=2":
		return context.WithValue(ctx, protocolKey{}, value)
	}
	return ctx
}

func protocolOf(ctx context.Context) string {
	v, _ := ctx.Value(protocolKey{}).(string)
	return v
}
