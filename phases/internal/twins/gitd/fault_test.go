package gitd

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing/transport"
	"github.com/go-git/go-git/v5/storage/memory"
	"golang.org/x/crypto/ssh/knownhosts"

	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
)

// plan sets faults.
func (b *bench) plan(lines ...string) {
	b.t.Helper()
	faults, err := ParseFaults(strings.Join(lines, "\n"))
	if err == nil {
		err = b.SetFaults(faults)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// jump is a clock whose sleeps take no time.
type jump struct {
	mu  sync.Mutex
	now time.Time
}

func (j *jump) Now() time.Time {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.now
}

func (j *jump) Sleep(ctx context.Context, d time.Duration) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.now = j.now.Add(d)
	return ctx.Err()
}

// everyone is each client with each protocol, so that the first and the last have nothing in common, nor the two between.
var everyone = []string{"git ssh", "git http", "go-git ssh", "go-git http"}

// met says whether fault i is tried on everyone[n]. Two of them meet each fault, which between them are both clients and
// both protocols; where SLIPWAY_LONG is set all four do.
func met(i, n int) bool {
	return os.Getenv("SLIPWAY_LONG") != "" || (n == 0 || n == 3) == (i%2 == 0)
}

// TestFaultsOfPushes has the same outcome with either protocol and either client: what became of the ref, and whether the
// client was told. The same push again, without a fault, always ends well.
func TestFaultsOfPushes(t *testing.T) {
	for n, client := range everyone {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			clock := &jump{now: time.Unix(1700000000, 0)}
			var handled atomic.Int32
			b := start(t, func(o *Options) {
				o.Clock = clock
				o.Handled = func(e Event) { handled.Add(int32(len(e.Updates))) }
			})
			w := b.work()
			r, err := git.PlainOpen(w)
			if err != nil {
				t.Fatal(err)
			}
			program, protocol, _ := strings.Cut(client, " ")
			push := func(branch string) (string, error) {
				if program == "git" {
					return b.git(w, "push", b.url(protocol), "HEAD:"+branch)
				}
				var said bytes.Buffer
				remote := git.NewRemote(r.Storer, &config.RemoteConfig{Name: "origin", URLs: []string{b.plainURL(protocol)}})
				err := remote.PushContext(t.Context(), &git.PushOptions{
					Auth: b.auth(protocol), RefSpecs: []config.RefSpec{config.RefSpec("refs/heads/main:" + branch)}, Progress: &said,
				})
				var text strings.Builder
				for line := range strings.Lines(said.String()) {
					text.WriteString("remote: " + line)
				}
				return text.String(), err
			}
			for i, c := range []struct {
				fault string
				told  bool // the client reads of success
				done  bool // the ref is there
				text  string
			}{
				{fault: "cut"},
				{fault: "cut after 0 bytes"},
				{fault: "cut after 1000 bytes"},
				{fault: "cut after 99999 bytes"}, // the pack is shorter
				{fault: "cut though done", done: true},
				{fault: "refused"},
				{fault: "declined error: $(touch x) 'n' b", text: "remote: error: $(touch x) 'n' b"},
				{fault: "slow 1000 bytes/s", told: true, done: true},
				{fault: "delay 3s", told: true, done: true},
			} {
				if !met(i, n) {
					continue
				}
				tip := b.commit(w, "file"+strconv.Itoa(i)) // so that there is a pack
				branch := "refs/heads/b" + strconv.Itoa(i)
				b.plan("receive-pack o/r #1: " + c.fault)
				handled.Store(0)
				began := clock.Now()
				out, err := push(branch)
				if (err == nil) != c.told {
					t.Errorf("%s: told %v\n%s", c.fault, err, out)
				}
				if !strings.Contains(out, c.text) {
					t.Errorf("%q is missing in\n%s", c.text, out)
				}
				// A client that was cut off is gone before the server is done.
				for deadline := time.Now().Add(3 * time.Second); len(b.Pending()) > 0 && time.Now().Before(deadline); {
					time.Sleep(10 * time.Millisecond)
				}
				if p := b.Pending(); len(p) > 0 {
					t.Errorf("%s: did not strike; the client: %v\n%s", c.fault, err, out)
				}
				if got := b.ref(branch); (got == tip) != c.done {
					t.Errorf("%s: the ref is %q", c.fault, got)
				}
				if passed := clock.Now().Sub(began).Round(time.Second); c.fault == "delay 3s" && passed != 3*time.Second || strings.HasPrefix(c.fault, "slow") && (passed < 3*time.Second || passed > 6*time.Second) {
					t.Errorf("%s: it took %v", c.fault, passed)
				}
				if out, err := push(branch); err != nil && !errors.Is(err, git.NoErrAlreadyUpToDate) {
					t.Errorf("%s, again: %v\n%s", c.fault, err, out)
				}
				if got := b.ref(branch); got != tip {
					t.Errorf("%s: the ref is %q in the end", c.fault, got)
				}
				if n := handled.Load(); n != 1 {
					t.Errorf("%s: handled %d changes", c.fault, n)
				}
			}
		})
	}
}

// TestDeletionIsCutBeforeItIsDone is a push without a pack.
func TestDeletionIsCutBeforeItIsDone(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := start(t, nil)
			w := b.work()
			b.must(w, "push", "-q", b.url(protocol), "main", "main:side")
			b.plan("receive-pack ** #1: cut after 0 bytes", "receive-pack ** #2: cut though done")
			if out, err := b.git(w, "push", b.url(protocol), ":side"); err == nil || b.ref("refs/heads/side") == "" {
				t.Errorf("first: %v\n%s", err, out)
			}
			if out, err := b.git(w, "push", b.url(protocol), ":side"); err == nil || b.ref("refs/heads/side") != "" {
				t.Errorf("second: %v\n%s", err, out)
			}
			if p := b.Pending(); len(p) > 0 {
				t.Errorf("did not strike: %v", p)
			}
		})
	}
}

func TestFaultsOfFetches(t *testing.T) {
	for n, client := range everyone {
		t.Run(client, func(t *testing.T) {
			t.Parallel()
			clock := &jump{now: time.Unix(1700000000, 0)}
			b := start(t, func(o *Options) { o.Clock = clock })
			w := b.work()
			b.must(w, "push", "-q", b.url("http"), "main")
			program, protocol, _ := strings.Cut(client, " ")
			clone := func() (out string, err error) {
				if program == "git" {
					return b.git(w, "clone", b.url(protocol), filepath.Join(t.TempDir(), "c"))
				}
				_, err = git.CloneContext(t.Context(), memory.NewStorage(), nil, &git.CloneOptions{URL: b.plainURL(protocol), Auth: b.auth(protocol)})
				return "", err
			}
			for i, c := range []struct {
				fault string
				ok    bool
			}{
				{"cut", false},
				{"cut after 0 bytes", false},
				{"cut after 1500 bytes", false},
				{"refused", false},
				{"slow 1000 bytes/s", true},
				{"delay 3s", true},
			} {
				if !met(i, n) {
					continue
				}
				b.plan("upload-pack o/* #1: " + c.fault)
				began := clock.Now()
				if out, err := clone(); (err == nil) != c.ok {
					t.Errorf("%s: %v\n%s", c.fault, err, out)
				}
				if p := b.Pending(); len(p) > 0 {
					t.Errorf("did not strike: %v", p)
				}
				if passed := clock.Now().Sub(began).Round(time.Second); c.fault == "delay 3s" && passed != 3*time.Second || strings.HasPrefix(c.fault, "slow") && (passed < 3*time.Second || passed > 6*time.Second) {
					t.Errorf("%s: it took %v", c.fault, passed)
				}
				if out, err := clone(); err != nil {
					t.Errorf("%s, again: %v\n%s", c.fault, err, out)
				}
			}
		})
	}
}

func TestFaultsOfConnections(t *testing.T) {
	t.Parallel()
	b := start(t, func(o *Options) { o.Clock = &jump{now: time.Unix(1700000000, 0)} })
	w := b.work()
	b.must(w, "push", "-q", b.url("http"), "main")
	known, err := knownhosts.New(func() string { b.must(w, "version"); return filepath.Join(b.home, "known_hosts") }())
	if err != nil {
		t.Fatal(err)
	}
	b.plan("connect ** #1: refused", "connect ** #2: cut", "connect ** #3: delay 1s", "connect ** #4+: host key changed")
	list := func() error {
		auth := &gitssh.PublicKeys{User: "git", Signer: b.signer, HostKeyCallbackHelper: gitssh.HostKeyCallbackHelper{HostKeyCallback: known}}
		// The library asks known_hosts for the algorithms by itself when it is given no more than a callback.
		_, err := git.NewRemote(memory.NewStorage(), &config.RemoteConfig{Name: "o", URLs: []string{b.plainURL("ssh")}}).ListContext(t.Context(), &git.ListOptions{Auth: auth})
		return err
	}
	if err := list(); err == nil || !strings.Contains(err.Error(), "unable to authenticate") {
		t.Errorf("refused: %v", err)
	}
	if err := list(); err == nil || errors.Is(err, transport.ErrEmptyRemoteRepository) {
		t.Errorf("cut: %v", err)
	}
	if err := list(); err != nil {
		t.Errorf("delay: %v", err)
	}
	for range 2 {
		err := list()
		if changed := (*knownhosts.KeyError)(nil); !errors.As(err, &changed) || len(changed.Want) == 0 {
			t.Errorf("host key: %v", err)
		}
		if out, err := b.git(w, "ls-remote", b.url("ssh")); err == nil || !strings.Contains(out, "REMOTE HOST IDENTIFICATION HAS CHANGED") {
			t.Errorf("git: %v\n%s", err, out)
		}
	}
	if p := b.Pending(); len(p) > 0 {
		t.Errorf("did not strike: %v", p)
	}
	b.plan()
	if err := list(); err != nil {
		t.Errorf("afterwards: %v", err)
	}
}

// TestFaultsChoose counts by service and repository.
func TestFaultsChoose(t *testing.T) {
	b := start(t, nil)
	b.plan("receive-pack o/* #2-3: refused", "* ** #3+: cut", "upload-pack x: refused")
	var got []string
	for _, c := range []struct{ service, repository string }{
		{ReceivePack, "o/r"}, {UploadPack, "o/r"}, {ReceivePack, "p/r"}, {ReceivePack, "o/s"}, {ReceivePack, "o/s"}, {ReceivePack, "o/s"}, {Connect, ""}, {UploadPack, "x"},
	} {
		f := b.choose(c.service, c.repository)
		if f == nil {
			got = append(got, "-")
			continue
		}
		f.hit()
		f.hit()
		got = append(got, string(f.Effect))
	}
	if s := strings.Join(got, " "); s != "- - cut refused refused cut - cut" {
		t.Errorf("chosen: %s", s)
	}
	if p := b.Pending(); len(p) != 1 || p[0].Repository != "x" {
		t.Errorf("pending: %v", p)
	}
	if err := b.SetFaults([]Fault{{Service: "x"}}); err == nil {
		t.Error("a fault without sense was planned")
	}
}

// TestNamedFaults pushes and clones under each plan: every fault must strike.
func TestNamedFaults(t *testing.T) {
	t.Parallel()
	need(t, "ssh")
	b := start(t, func(o *Options) { o.Clock = &jump{now: time.Unix(1700000000, 0)} })
	w := b.work()
	b.must(w, "version")
	for _, name := range FaultNames() {
		faults, err := NamedFaults(name)
		if err != nil {
			t.Fatal(err)
		}
		if err := b.SetFaults(faults); err != nil {
			t.Fatal(err)
		}
		b.git(w, "push", b.url("ssh"), "main:"+name)
		b.git(w, "clone", b.url("ssh"), filepath.Join(t.TempDir(), "c"))
		if p := b.Pending(); len(p) > 0 {
			t.Errorf("%s did not strike: %v", name, p)
		}
	}
	if _, err := NamedFaults("nothing"); err == nil || !strings.Contains(err.Error(), "git-push-cut") {
		t.Errorf("error %v", err)
	}
}

func TestFaultNotation(t *testing.T) {
	for _, line := range []string{
		"receive-pack name #1: cut though done", "receive-pack o/* #2-4: cut after 0 bytes", "upload-pack ** #3+: cut after 1000 bytes", "* **: cut",
		"connect ** #2+: host key changed", "connect **: refused", "receive-pack **: declined error: a: b #1", "* a/b: slow 7 bytes/s", "connect **: delay 1.5s",
	} {
		f, err := ParseFault(line)
		if err != nil {
			t.Error(err)
			continue
		}
		if f.String() != line {
			t.Errorf("%q became %q", line, f)
		}
		var again []Fault
		if raw, err := json.Marshal([]Fault{f}); err != nil || json.Unmarshal(raw, &again) != nil || again[0] != f {
			t.Errorf("%q through JSON: %v, %v", line, again, err)
		}
	}
	for _, line := range []string{
		"", "receive-pack", "receive-pack x", "receive-pack: cut", "push x: cut", "receive-pack x #0: cut", "receive-pack x #3-1: cut", "receive-pack x #1-2+: cut", "receive-pack x 1: cut",
		"receive-pack x #2-0: cut", "receive-pack [: cut", "receive-pack x y z: cut", "receive-pack x: ", "receive-pack x: gone", "receive-pack x: cut after", "receive-pack x: cut after -3 bytes",
		"receive-pack x: cut after 3", "receive-pack x: cut though", "upload-pack x: cut though done", "upload-pack x: declined no", "receive-pack x: declined ", "receive-pack x: slow 0 bytes/s",
		"receive-pack x: delay", "receive-pack x: delay -1s", "connect x: cut", "connect **: cut after 3 bytes", "connect **: cut though done", "connect **: slow 3 bytes/s", "connect **: declined x",
		"receive-pack x: host key changed", "receive-pack x #99999999999999999999: cut", "receive-pack x: refused now",
	} {
		if f, err := ParseFault(line); err == nil {
			t.Errorf("%q was read as %+v", line, f)
		}
	}
	if _, err := ParseFaults("# a comment\n\nconnect **: cut\nnonsense\n"); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("error %v", err)
	}
}
