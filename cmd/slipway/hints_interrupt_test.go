package main

import (
	"path/filepath"
	"reflect"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"
)

// interrupted runs the program until a request, such as "github PATCH" or "git receive-pack", has arrived at a twin, and
// interrupts it there as Ctrl-C does; the twin goes on when it has ended. It returns the command that the hint names.
func (x *trial) interrupted(s *stage, request string, args ...string) (command string) {
	x.t.Helper()
	var done atomic.Bool
	victim := make(chan *child, 1)
	s.listenTo(func(what string, op any) {
		is := strings.Fields(what)[0]
		for _, name := range []string{"Method", "Service"} { // what each twin has of these
			if f := reflect.ValueOf(op).FieldByName(name); f.IsValid() {
				is += " " + f.String()
			}
		}
		if !strings.Contains(what, " arrived ") || strings.TrimSpace(is) != request || !done.CompareAndSwap(false, true) {
			return
		}
		c := <-victim
		_ = c.Process.Signal(syscall.SIGINT)
		select {
		case <-c.done:
		case <-time.After(10 * time.Second):
		}
	})
	defer s.listenTo(nil)
	c := x.start(args...)
	victim <- c
	if code := c.wait(); code != 130 || !done.Load() {
		x.t.Fatalf("%s: exit code %d\n%s", request, code, c.out.String())
	}
	_, hint, _ := strings.Cut(c.out.String(), "hint: ")
	command, found := strings.CutSuffix(strings.TrimSpace(hint), " carries on from here")
	if !found {
		x.t.Fatalf("%s: no command is named\n%s", request, c.out.String())
	}
	return command
}

// TestHints_Interrupted: whoever interrupts a rollback or a hold is not told to run what they were taking back; the command
// that is named goes on with what was interrupted.
func TestHints_Interrupted(t *testing.T) {
	needTools(t, "git")
	x := newRollbackTemplate(t, false)
	goesOn := func(t *testing.T, r *trial, command, want string) {
		t.Helper()
		if rest, ours := strings.CutPrefix(command, "slipway -C "+r.dir+" "); !ours || rest != want {
			t.Errorf("%q is named, want %q", command, want)
		}
		if code, said := r.follow(t.Context(), command, ""); code != 0 {
			t.Errorf("exit code %d:\n%s", code, said)
		}
	}
	t.Run("users have it", func(t *testing.T) {
		for name, request := range map[string]string{"before the gate": "github GET", "behind it": "github PATCH"} {
			t.Run(name, func(t *testing.T) {
				s, r := x.out(t)
				command := r.interrupted(s, request, "rollback", released, "--to", older, "--yes")
				if goesOn(t, r, command, "rollback "+released+" --to "+older); !s.isDraft() {
					t.Error("it is not withdrawn")
				}
			})
		}
	})
	t.Run("nobody has it", func(t *testing.T) {
		s := stageWith(t, x)
		r := s.trial(x)
		s.faults("github/POST /" + releasesURL + "/*/assets* #1+: 500")
		code, said := r.run()
		r.refused(code, said)
		s.faults()
		command := r.interrupted(s, "github DELETE", "rollback", "--yes")
		goesOn(t, r, command, "rollback "+released)
		s.nothing(false)
	})
	t.Run("hold", func(t *testing.T) {
		s, r := x.out(t)
		const reason = `it's "slow"`
		command := r.interrupted(s, "git receive-pack", "hold", released, "--reason", reason, "--yes")
		goesOn(t, r, command, `hold `+released+` --reason 'it'\''s "slow"'`)
		if text := gitIn(t, filepath.Join(s.dir, "origin.git"), "show", "main:.slipway/holds/"+released+".json"); !strings.Contains(text, `it's \"slow\"`) {
			t.Error(text)
		}
	})
}
