package aur

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/readback"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	aurtwin "github.com/imrightguy/slipway/phases/internal/twins/aur"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// Whatever goes wrong at the AUR: the error says what to do, and in the end there is one commit, never an empty one and
// never a second.
func TestFaults(t *testing.T) {
	for _, c := range []struct {
		name, faults string
		says         []string // of the first run's error; none: it succeeds
		before       int      // commits after the first run
	}{
		{"cut before", "receive-pack " + pkg + " #1: cut", []string{"cannot reach"}, 0},
		{"cut in the pack", "receive-pack " + pkg + " #1: cut after 100 bytes", []string{"whether the remote has done it is not known", "run again"}, 0},
		{"cut though done", "receive-pack " + pkg + " #1: cut though done", []string{"run again: it looks first"}, 1},
		{"declined", "receive-pack " + pkg + " #1: declined words of tomorrow", []string{"words of tomorrow", "nothing has been pushed"}, 0},
		{"refused key", "connect ** #1+: refused", []string{"the remote does not let us in"}, 0},
		{"maintenance at the push", "receive-pack " + pkg + " #1: maintenance", []string{"down due to maintenance", "run again later"}, 0},
		{"maintenance from the start", "upload-pack ** #1+: maintenance", []string{"newer", "maintenance"}, 0},
		{"unverified", "receive-pack " + pkg + " #1: unverified", []string{"verify the account's address"}, 0},
		{"banned", "receive-pack " + pkg + " #1: banned", []string{"lets nobody in from this address"}, 0},
		{"a hook's words", "receive-pack " + pkg + " #1: says warning: something new", nil, 1},
		{"host key changed", "connect ** #1+: host key changed", []string{"shows another key"}, 0},
		{"host key changed before the push", "connect ** #3+: host key changed", []string{"shows another key"}, 0},
		{"slow", "receive-pack " + pkg + " #1: slow 2000 bytes/s", nil, 1},
		{"fetch cut", "upload-pack ** #1: cut after 50 bytes", nil, 1}, // an empty repository's answer is shorter
		{"late index", "receive-pack " + pkg + " #1: late 3 calls", nil, 1},
		{"index that never comes", "receive-pack " + pkg + " #1: late 24h", []string{"aur-rpc", "is pushed", "does not show it after"}, 1},
		{"index with server errors", "rpc ** #1-2: 502", nil, 1},
		{"index down", "rpc ** #1-6: 503", []string{"owner", "status 503"}, 0},
		{"index limited", "rpc ** #1: 429", []string{"owner", "too many requests"}, 0},
		{"index with an error", "rpc ** #1: error Internal trouble", []string{"owner", "Internal trouble"}, 0},
		{"index with a page", "rpc ** #1: page", []string{"owner", "JSON"}, 0},
		{"index cut", "rpc ** #1: cut", nil, 1},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			w.publish(first)
			w.faults(c.faults)
			r := w.release(first)
			err := r.run()
			if (err == nil) != (c.says == nil) {
				t.Fatalf("error %v, want one that says %q", err, c.says)
			}
			for _, words := range c.says {
				if !strings.Contains(err.Error(), words) {
					t.Errorf("error %v, want one that says %q", err, words)
				}
			}
			if n := len(w.commits(pkg)); n != c.before {
				t.Errorf("%d commits after the first run, want %d", n, c.before)
			}
			if p := w.aur.Pending(); len(p) > 0 && c.name != "fetch cut" {
				t.Errorf("these faults did not strike: %v", p)
			}
			w.faults("")
			w.write(w.KnownHosts, w.aur.KnownHosts())
			if strings.HasPrefix(c.name, "index that never comes") {
				return // the delay belongs to the push that has happened
			}
			r.ends()
			w.once(1, first)
			if rec := r.last(push.StepID(pkg)); rec.Adopted {
				t.Errorf("our own commit was taken for somebody else's: %+v", rec)
			}
			n := len(w.aur.Requests())
			r.ends()
			w.once(1, first)
			if now := len(w.aur.Requests()); now != n {
				t.Errorf("a run with nothing to do asked the AUR %d times", now-n)
			}
		})
	}
}

// Somebody else's commit between the gate and the push is a conflict that is shown, at any moment in between. After
// that the gate is asked anew, and the release goes on top of it.
func TestRival(t *testing.T) {
	for _, fault := range []string{"rival", "rival in hook"} {
		t.Run(fault, func(t *testing.T) {
			w := newWorld(t, func(o *aurtwin.Options) {
				o.Rival = func(_ string, files map[string]string) map[string]string {
					files[".SRCINFO"] = strings.Replace(files[".SRCINFO"], "pkgrel = 1", "pkgrel = 2", 1)
					files["PKGBUILD"] = strings.Replace(files["PKGBUILD"], "pkgrel='1'", "pkgrel='2'", 1) + "# \x1b[31mred\n"
					return files
				}
			})
			w.publish(first)
			w.release(first).ends()
			second := product{Name: pkg, Version: "1.3.0", PkgRel: "1"}
			w.publish(second)
			w.faults("receive-pack " + pkg + " #1: " + fault)
			r := w.release(second)
			err := r.run()
			if !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), "+\tpkgrel = 2") || strings.Contains(err.Error(), "\x1b") || !strings.Contains(err.Error(), `\x1b[31mred`) {
				t.Fatalf("error %v", err)
			}
			if n := len(w.commits(pkg)); n != 2 {
				t.Fatalf("%d commits", n)
			}
			if err := r.run(); !errors.Is(err, pipeline.ErrConflict) {
				t.Errorf("again: %v", err)
			}
			r.ends()
			w.once(3, second)
			if e := r.evidence(remote.StepID(pkg), remote.CheckNewer); !strings.Contains(e.Found, "1.3.0-1 over 1.2.3-2") {
				t.Errorf("%+v", e)
			}
		})
	}
}

// TestRefused: what the AUR refuses has changed nothing, so that the gate is asked again; where nobody could look at what is
// there by then, it is in doubt.
func TestRefused(t *testing.T) {
	for faults, certain := range map[string]bool{"": true, "\nupload-pack ** #4+: cut": false} {
		w := newWorld(t)
		w.publish(first)
		w.faults("receive-pack " + pkg + " #1: declined not you" + faults)
		r := w.release(first)
		err := r.run()
		if err == nil || !strings.Contains(err.Error(), "not you") || errors.Is(err, pipeline.ErrUntouched) != certain {
			t.Errorf("%q: %v", faults, err)
		}
		undone := slices.ContainsFunc(r.journal.(*pipelinetest.Memory).All(), func(rec pipeline.Record) bool {
			return rec.Step == push.StepID(pkg) && rec.Event == pipeline.Undone
		})
		if undone != certain {
			t.Errorf("%q: undone: %v", faults, undone)
		}
		w.faults("")
		r.ends()
		w.once(1, first)
	}
}

// TestWithdrawn: a release that is taken from the public between the gate and the push is not published in the AUR, where
// it would be a package without sources. Once it is public again, the run goes on.
func TestWithdrawn(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.faults("receive-pack " + pkg + " #1: cut after 100 bytes")
	r := w.release(first)
	if err := r.run(); err == nil {
		t.Fatal("the push was not cut")
	}
	w.faults("")
	c := w.client()
	rel, err := c.ByTag(t.Context(), "v"+first.Version)
	if err == nil {
		_, err = c.Retract(t.Context(), rel.ID, hub.Marker("rollback"))
	}
	if err != nil {
		t.Fatal(err)
	}
	err = r.run()
	if !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), "somebody has withdrawn the release") {
		t.Fatalf("error %v", err)
	}
	w.once(0, first)
	if _, err := c.Publish(t.Context(), rel.ID, hub.Publication{Title: first.Version, Body: "notes\n" + hub.Marker(first.Version), Latest: true}); err != nil {
		t.Fatal(err)
	}
	r.ends()
	w.once(1, first)
}

// Two machines that publish at once: one commit, and both end well.
func TestTwoAtOnce(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	rs := []*release{w.release(first), w.release(first), w.release(first)}
	errs := make([]error, len(rs))
	var together sync.WaitGroup
	for i, r := range rs {
		plan := r.plan()
		together.Go(func() { errs[i] = plan.Run(t.Context(), r.options()) })
	}
	together.Wait()
	if err := errors.Join(errs...); err != nil {
		t.Error(err)
	}
	w.once(1, first)
	ours := 0
	for _, r := range rs {
		if rec := r.last(push.StepID(pkg)); !rec.Adopted {
			ours++
		}
	}
	if ours != 1 {
		t.Errorf("%d machines say that they have pushed", ours)
	}
}

// Keys and hosts: nothing is trusted that is not known, and the error says what to do.
func TestKeys(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	x := Examine(t.Context(), w.endpoints(), pkg, Config{}, "/")
	if len(x.Offered) != 3 || x.Unseen != nil || x.Refused != nil || !strings.HasPrefix(x.Key, "SHA256:") || x.Maintain {
		t.Errorf("%+v", x)
	}
	for i, key := range w.aur.HostKeys() {
		found := false
		for _, o := range x.Offered {
			found = found || o.Fingerprint == ssh.FingerprintSHA256(key)
		}
		if !found {
			t.Errorf("host key %d is not offered", i)
		}
	}
	w.write(w.KnownHosts, nil)
	r := w.release(first)
	err := r.run()
	if !errors.Is(err, pipeline.ErrGate) || !strings.Contains(err.Error(), "no key of it stands in") {
		t.Errorf("no host key is known: %v", err)
	}
	if e := r.evidence(remote.StepID(pkg), remote.CheckNewer); e.Verdict != gate.Unknown {
		t.Errorf("%+v", e)
	}
	if x := Examine(t.Context(), w.endpoints(), pkg, Config{}, "/"); len(x.Offered) != 3 || x.Refused == nil || x.Account.Packages != nil {
		t.Errorf("%+v", x)
	}
	// The offered lines, once a person has confirmed them, are what known_hosts needs.
	var lines strings.Builder
	for _, o := range x.Offered {
		fmt.Fprintln(&lines, o.Line)
	}
	w.write(w.KnownHosts, []byte(lines.String()))
	r.ends()
	w.once(1, first)
	if x := Examine(t.Context(), w.endpoints(), pkg, Config{}, "/"); !x.Maintain || len(x.Account.Packages) != 1 {
		t.Errorf("%+v", x)
	}
	if err := w.aur.ChangeHostKey("ssh-ed25519"); err != nil {
		t.Fatal(err)
	}
	if x := Examine(t.Context(), w.endpoints(), pkg, Config{}, "/"); x.Refused == nil || !strings.Contains(x.Refused.Error(), "another key") {
		t.Errorf("%+v", x)
	}
}

// The index that shows the version only after a while leaves the proof open until it does; the push is not repeated.
func TestLateIndex(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.Patience = 0
	w.faults("receive-pack " + pkg + " #1: late 2 calls")
	r := w.release(first)
	err := r.run()
	if !errors.Is(err, pipeline.ErrGate) || !strings.Contains(err.Error(), "does not show it after 0s") {
		t.Fatalf("%v", err)
	}
	if e := r.evidence(readback.StepID(pkg), readback.CheckRPC); e.Verdict != gate.Unknown {
		t.Errorf("%+v", e)
	}
	w.Patience = 3 * 60e9
	r.ends()
	w.once(1, first)
}

// Somebody who commits after the push, and before it is read back, is seen. What was approved has been published all the
// same.
func TestCommittedAfterwards(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	r := w.release(first)
	o := r.options()
	o.Journal = &cutAfter{Journal: r.journal, step: push.StepID(pkg)}
	if err := r.plan().Run(t.Context(), o); err == nil {
		t.Fatal("not stopped")
	}
	other := product{Name: pkg, Version: released, PkgRel: "1", Extra: map[string]string{"notes": "x"}}
	other.Extra["LICENSE"] = "another\n"
	w.commit(t, other)
	r.ends()
	if e := r.evidence(readback.StepID(pkg), readback.CheckRef); !strings.Contains(e.Summary, "and 1 commit of others on top of it") {
		t.Errorf("%+v", e)
	}
	if e := r.evidence(readback.StepID(pkg), readback.CheckClone); !strings.Contains(e.Summary, `differs: "LICENSE" is another one, "notes" is too many`) {
		t.Errorf("%+v", e)
	}
	if rec := r.last(push.StepID(pkg)); rec.Adopted || rec.Event != pipeline.Done {
		t.Errorf("%+v", rec)
	}
}

// cutAfter fails once a step is done.
type cutAfter struct {
	pipeline.Journal
	step string
	dead bool
}

func (c *cutAfter) Append(r pipeline.Record) error {
	if c.dead {
		return errors.New("stopped here")
	}
	c.dead = r.Step == c.step && r.Event == pipeline.Done
	return c.Journal.Append(r)
}

// commit puts a product's files on top of the AUR's master as somebody else's work, without asking the server.
func (w *world) commit(t testing.TB, p product) {
	t.Helper()
	files, err := p.files()
	if err != nil {
		t.Fatal(err)
	}
	foreign(t, filepath.Join(w.dir, "aur", p.Name+".git"), files)
}

// A push whose answer was lost, with somebody else's commit on top of it before the next run looked: it is known as ours,
// not pushed again, and what was added is seen.
func TestLostAndBuiltUpon(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.faults("receive-pack " + pkg + " #1: cut though done")
	r := w.release(first)
	if err := r.run(); !errors.Is(err, gitremote.ErrLost) {
		t.Fatal(err)
	}
	ours := w.commits(pkg)[0].Hash.String()
	w.commit(t, product{Name: pkg, Version: released, PkgRel: "1", Extra: map[string]string{"notes": "x"}})
	r.ends()
	if e := r.evidence(readback.StepID(pkg), readback.CheckRef); !strings.Contains(e.Summary, ours+", and 1 commit of others on top of it") {
		t.Errorf("%+v", e)
	}
	if rec := r.last(push.StepID(pkg)); rec.Adopted || rec.Event != pipeline.Done || rec.Receipt[push.KeyCommit] != ours {
		t.Errorf("%+v", rec)
	}
	if n := len(w.commits(pkg)); n != 2 {
		t.Errorf("%d commits", n)
	}
}
