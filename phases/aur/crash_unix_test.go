//go:build unix

package aur

import (
	"context"
	"encoding/json"
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	aurtwin "github.com/imrightguy/slipway/phases/internal/twins/aur"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// childEnv holds, in a process that a test has started, what it is to release.
const childEnv = "SLIPWAY_AUR_TEST_CHILD"

type child struct {
	Wiring  wiring
	Product product
	Dir     string // of the release
	After   int    // records after which the process kills itself; 0: never
}

func (c child) options() (pipeline.Options, *journal.Journal, error) {
	j, err := journal.Open(filepath.Join(c.Dir, "state"))
	return pipeline.Options{
		Journal: j, Endpoints: c.Wiring.endpoints(), Jobs: 2,
		Dirs: pipeline.Dirs{Dist: filepath.Join(c.Dir, "dist"), Work: filepath.Join(c.Dir, "work")},
	}, j, err
}

// mortal kills the process after so many records. Nothing of it runs afterwards.
type mortal struct {
	pipeline.Journal
	left int
}

func (m *mortal) Append(r pipeline.Record) error {
	err := m.Journal.Append(r)
	if m.left--; m.left == 0 {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
		select {}
	}
	return err
}

func TestMain(m *testing.M) {
	text := os.Getenv(childEnv)
	if text == "" {
		os.Exit(m.Run())
	}
	var c child
	if err := json.Unmarshal([]byte(text), &c); err != nil {
		panic(err)
	}
	o, j, err := c.options()
	if err != nil {
		panic(err)
	}
	o.Journal = &mortal{j, c.After}
	names, err := c.Product.files()
	if err != nil {
		panic(err)
	}
	p := Package{Name: c.Product.Name, Step: "build/aur/" + c.Product.Name}
	for f := range names {
		p.Files = append(p.Files, "aur/"+p.Name+"/"+f)
	}
	slices.Sort(p.Files)
	phase, err := New(Options{RepoDir: "/", Author: author, Gate: anyCheck, Packages: []Package{p}})
	if err != nil {
		panic(err)
	}
	plan, err := pipeline.NewPlan(context.Background(), c.Product.env(), build{c.Product}, phase)
	if err == nil {
		err = plan.Run(context.Background(), o)
	}
	if err != nil {
		os.Stderr.WriteString(err.Error() + "\n")
		os.Exit(1)
	}
	os.Exit(0)
}

// start begins a release in a process of its own.
func (c child) start(t *testing.T) *exec.Cmd {
	t.Helper()
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childEnv+"="+string(b))
	cmd.Stderr = new(strings.Builder)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

// killed waits for the process and reports whether it was killed. Any other failure is the test's.
func killed(t *testing.T, cmd *exec.Cmd) bool {
	t.Helper()
	err := cmd.Wait()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == -1 {
		return true
	}
	if err != nil {
		t.Fatalf("%v: %s", err, cmd.Stderr)
	}
	return false
}

// heals carries the release on in this process: it ends with one commit, the next run writes nothing, and what was
// pushed before the kill counts as ours.
func (c child) heals(t *testing.T, w *world) {
	t.Helper()
	c.After, c.Wiring = 0, w.wiring
	if cmd := c.start(t); killed(t, cmd) {
		t.Fatal("killed by somebody else")
	}
	w.once(1, c.Product)
	o, j, err := c.options()
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	records := 0
	for rec, err := range j.Records() {
		if err != nil {
			t.Fatal(err)
		}
		if records++; rec.Step == "aur/push/"+pkg && rec.Event == pipeline.Done && rec.Adopted {
			t.Error("our own commit was taken for somebody else's")
		}
	}
	plan, err := pipeline.NewPlan(t.Context(), c.Product.env(), phasesOf(t, c.Product)...)
	if err == nil {
		err = plan.Run(t.Context(), o)
	}
	if err != nil {
		t.Fatal("another run:", err)
	}
	for range j.Records() {
		records--
	}
	if records != 0 {
		t.Errorf("another run wrote %d records", -records)
	}
	w.once(1, c.Product)
}

// A process that dies by SIGKILL after any record, before the AUR has done anything, or after it has and before it says
// so, is carried on by the next: there is one commit, and never an empty one or a second.
func TestKill(t *testing.T) {
	var victim atomic.Pointer[os.Process]
	var moment atomic.Value
	moment.Store("")
	kill := func(when string) func(aurtwin.Request) {
		return func(r aurtwin.Request) {
			if p := victim.Load(); p != nil && moment.Load() == when+" "+r.Service {
				victim.Store(nil)
				_ = p.Kill()
				time.Sleep(20 * time.Millisecond) // the client is gone for good
			}
		}
	}
	fresh := func() (child, *world) {
		victim.Store(nil)
		w := newWorld(t, func(o *aurtwin.Options) { o.Arrived, o.Handled = kill("arrived"), kill("handled") })
		w.publish(first)
		return child{Wiring: w.wiring, Product: first, Dir: t.TempDir()}, w
	}
	for n := 1; ; n++ {
		c, w := fresh()
		c.After = n
		if !killed(t, c.start(t)) {
			if n < 10 {
				t.Fatalf("a release has %d records only", n)
			}
			break
		}
		c.heals(t, w)
	}
	for _, when := range []string{"arrived receive-pack", "handled receive-pack", "arrived upload-pack", "handled upload-pack", "arrived list-repos"} {
		c, w := fresh()
		moment.Store(when)
		cmd := c.start(t)
		victim.Store(cmd.Process)
		if !killed(t, cmd) {
			t.Fatalf("%s: not killed", when)
		}
		victim.Store(nil)
		if commits := len(w.commits(pkg)); when == "handled receive-pack" && commits != 1 || when == "arrived receive-pack" && commits != 0 {
			t.Errorf("%s: %d commits when it died", when, commits)
		}
		c.heals(t, w)
	}
	samples := 2
	if s := os.Getenv("SLIPWAY_KILLS"); s != "" {
		var err error
		if samples, err = strconv.Atoi(s); err != nil {
			t.Fatal(err)
		}
	}
	seed := uint64(time.Now().UnixNano())
	rnd := rand.New(rand.NewPCG(seed, 1))
	t.Logf("random moments: seed %d", seed)
	for range samples {
		c, w := fresh()
		cmd := c.start(t)
		timer := time.AfterFunc(time.Duration(rnd.Int64N(int64(600*time.Millisecond))), func() { _ = cmd.Process.Kill() })
		killed(t, cmd)
		timer.Stop()
		c.heals(t, w)
	}
}
