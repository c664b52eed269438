//go:build unix

package pipeline_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

var kills = flag.Int("kills", 40, "how many processes TestKill kills at random moments")

// childVar names the environment variable that makes this test binary run a release instead of tests.
const childVar = "PIPELINE_TEST_CHILD"

func TestMain(m *testing.M) {
	if spec := os.Getenv(childVar); spec != "" {
		child(spec)
	}
	os.Exit(m.Run())
}

// killing is a journal that kills its process right after, or right before, a record becomes durable.
type killing struct {
	*journal.Journal
	left   *int
	before bool
}

func (k killing) Append(r pipeline.Record) error {
	*k.left--
	if *k.left == 0 && k.before {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	err := k.Journal.Append(r)
	if *k.left == 0 {
		syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return err
}

// child runs the release of this test: "dir url count before verb". Count 0 never kills.
func child(spec string) {
	f := strings.Fields(spec)
	j, err := journal.Open(f[0] + "/journal")
	exit := func(err error) {
		switch {
		case errors.Is(err, journal.ErrLocked):
			os.Exit(6)
		case errors.Is(err, pipeline.ErrConflict):
			os.Exit(5)
		case err != nil:
			fmt.Println(err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	if err != nil {
		exit(err)
	}
	left, _ := strconv.Atoi(f[2])
	p, err := pipeline.NewPlan(context.Background(), env, release("")...)
	if err != nil {
		exit(err)
	}
	o := pipeline.Options{Journal: killing{j, &left, f[3] == "true"}, Jobs: 2, Endpoints: f[1], Dirs: pipeline.Dirs{Dist: f[0] + "/dist", Work: f[0] + "/work"}}
	if f[4] == "unwind" {
		exit(p.Unwind(context.Background(), o))
	}
	exit(p.Run(context.Background(), o))
}

// start runs a child; its exit code is -1 if it was killed.
func start(t testing.TB, dir, url string, count int, before bool, verb string) *exec.Cmd {
	cmd := exec.Command(os.Args[0], "-test.run=^$")
	cmd.Env = append(os.Environ(), "GORACE=atexit_sleep_ms=0", fmt.Sprintf("%s=%s %s %d %v %s", childVar, dir, url, count, before, verb))
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	return cmd
}

func exitCode(err error) int {
	if exit, ok := errors.AsType[*exec.ExitError](err); ok {
		return exit.ExitCode()
	}
	return 0
}

// whole checks that the world holds one release, made once, and that the journal is whole and says so.
func (w *world) whole(t *testing.T, dir string) {
	t.Helper()
	w.mu.Lock()
	defer w.mu.Unlock()
	if got := slices.Sorted(maps.Keys(w.things)); !slices.Equal(got, []string{"asset", "draft", "main", "public"}) {
		t.Errorf("the world holds %v", got)
	}
	for name, n := range w.created {
		if n != 1 || w.deleted[name] != 0 {
			t.Errorf("%s was made %d times and removed %d times", name, n, w.deleted[name])
		}
	}
	if got := read(t, dir+"/dist/b.txt"); got != "bac" {
		t.Errorf("b.txt holds %q", got)
	}
	last, prev := "", 0
	for r, err := range journal.Read(dir + "/journal").Records() {
		if err != nil {
			t.Fatal(err)
		}
		last, prev = string(r.Event)+" "+r.Step, prev+1
	}
	if last != "done proof/release" {
		t.Errorf("the journal ends with %q", last)
	}
}

// quick skips what takes seconds, for -short.
func quick(t *testing.T) {
	if testing.Short() {
		t.Skip("takes seconds: left out by -short")
	}
}

// TestPowerCut cuts the power at every record, before and after it is durable, then runs again, or unwinds.
func TestPowerCut(t *testing.T) {
	quick(t)
	records := 21 // TestRunToTheEnd has them
	for n := 1; n <= records; n++ {
		for _, keep := range []bool{true, false} {
			for _, verb := range []string{"run", "unwind", "unwind twice, run"} {
				w := newWorld(t)
				j := &pipelinetest.Memory{Cut: func(k int, _ pipeline.Record) (bool, bool) { return k == n, keep }}
				o := options(t, j, w)
				p := mustPlan(t, release("")...)
				if err := p.Run(t.Context(), o); !errors.Is(err, pipelinetest.ErrPowerCut) {
					t.Fatal(n, err)
				}
				o.Journal = j.Revive()
				_, public := w.has("public")
				name := fmt.Sprintf("record %d kept %v, then %s", n, keep, verb)
				if verb != "run" {
					for range strings.Count(verb, "twice") + 1 {
						if err := p.Unwind(t.Context(), o); public != errors.Is(err, pipeline.ErrPermanent) || !public && err != nil {
							t.Errorf("%s: %v", name, err)
						}
					}
					if left := slices.Sorted(maps.Keys(w.things)); !public && len(left) > 0 || public && !slices.Contains(left, "asset") {
						t.Errorf("%s: left %v", name, left)
					}
				}
				if verb != "unwind" {
					mustRun(t, p, o)
					again := strings.Count(verb, "twice")
					for thing, made := range w.created {
						if twice := made == 2 && again > 0 && w.deleted[thing] == 1; made != 1 && !twice {
							t.Errorf("%s: %s was made %d times", name, thing, made)
						}
					}
					if len(w.things) != 4 {
						t.Errorf("%s: %v", name, w.things)
					}
				}
			}
		}
	}
}

// TestPowerCut_Unwind cuts the power at every record of an unwinding. What was taken away before the cut and what was not,
// the next unwinding, or the next run, knows it.
func TestPowerCut_Unwind(t *testing.T) {
	quick(t)
	for n, cut := 1, true; cut; n++ {
		for _, keep := range []bool{true, false} {
			for _, verb := range []string{"unwind", "run"} {
				w := newWorld(t)
				j := &pipelinetest.Memory{Cut: func(_ int, rec pipeline.Record) (bool, bool) { return rec.Step == "gate/release", true }}
				o := options(t, j, w)
				p := mustPlan(t, release("")...)
				if err := p.Run(t.Context(), o); !errors.Is(err, pipelinetest.ErrPowerCut) {
					t.Fatal(err)
				}
				j = j.Revive()
				first := len(j.All())
				j.Cut = func(k int, _ pipeline.Record) (bool, bool) { return k == first+n, keep }
				o.Journal = j
				err := p.Unwind(t.Context(), o)
				if cut = errors.Is(err, pipelinetest.ErrPowerCut); err != nil && !cut {
					t.Fatal(err)
				}
				name := fmt.Sprintf("record %d kept %v, then %s", n, keep, verb)
				o.Journal = j.Revive()
				if verb == "unwind" {
					if err := p.Unwind(t.Context(), o); err != nil {
						t.Errorf("%s: %v", name, err)
					}
					if left := slices.Sorted(maps.Keys(w.things)); len(left) > 0 {
						t.Errorf("%s: left %v", name, left)
					}
				}
				mustRun(t, p, o)
				if got := slices.Sorted(maps.Keys(w.things)); !slices.Equal(got, []string{"asset", "draft", "main", "public"}) {
					t.Errorf("%s: %v", name, got)
				}
				for thing, made := range w.created {
					if made != 1+w.deleted[thing] {
						t.Errorf("%s: %s was made %d times and removed %d times", name, thing, made, w.deleted[thing])
					}
				}
			}
		}
		if !cut && n < 4 {
			t.Errorf("unwinding wrote %d records", n-1)
		}
	}
}

// TestKill kills a real process at every record of a release, and then at random moments until the release is done.
func TestKill(t *testing.T) {
	quick(t)
	for n := 1; n <= 21; n++ {
		for _, before := range []bool{true, false} {
			w, dir := newWorld(t), t.TempDir()
			if code := exitCode(start(t, dir, w.URL, n, before, "run").Wait()); code != -1 {
				t.Fatalf("record %d: not killed: exit code %d", n, code)
			}
			if err := start(t, dir, w.URL, 0, false, "run").Wait(); err != nil {
				t.Fatalf("record %d: %v", n, err)
			}
			w.whole(t, dir)
		}
	}
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d, %d kills", seed, *kills)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for killed, releases := 0, 0; killed < *kills; releases++ {
		w, dir := newWorld(t), t.TempDir()
		dice := rand.New(rand.NewPCG(seed, uint64(releases)))
		w.hangs(func(method, _ string) bool { return dice.IntN(12) == 0 }) // the act happens, the answer never comes
		for {
			cmd := start(t, dir, w.URL, 0, false, "run")
			timer := time.AfterFunc(time.Duration(5+rnd.IntN(60))*time.Millisecond, func() { cmd.Process.Kill() })
			err := cmd.Wait()
			timer.Stop()
			if err == nil {
				break
			}
			if code := exitCode(err); code != -1 {
				t.Fatalf("seed %d: exit code %d", seed, code)
			}
			if killed++; killed >= *kills {
				w.hangs(nil)
				if err := start(t, dir, w.URL, 0, false, "run").Wait(); err != nil {
					t.Fatal(err)
				}
				break
			}
		}
		w.whole(t, dir)
	}
}

// TestTwoAtOnce starts one release from two machines, each with a journal of its own, and then unwinds the loser.
func TestTwoAtOnce(t *testing.T) {
	quick(t)
	for range 10 {
		w := newWorld(t)
		a, b := t.TempDir(), t.TempDir()
		one, two := start(t, a, w.URL, 0, false, "run"), start(t, b, w.URL, 0, false, "run")
		err1, err2 := one.Wait(), two.Wait()
		if err1 != nil && err2 != nil {
			t.Fatal("both lost:", err1, err2)
		}
		things, created := w.now()
		for name, n := range created {
			if n != 1 {
				t.Errorf("%s was made %d times", name, n)
			}
		}
		for _, dir := range []string{a, b} { // an unwinding takes nothing away that the other made, nor what is public
			before := things
			start(t, dir, w.URL, 0, false, "unwind").Wait()
			for name, th := range before {
				if _, there := w.has(name); !there && th.Marker != runOf(t, dir) {
					t.Errorf("unwinding took %s away, which it had not made", name)
				}
			}
			things, _ = w.now()
		}
	}
}

func runOf(t *testing.T, dir string) string {
	for r, err := range journal.Read(dir + "/journal").Records() {
		if err != nil {
			t.Fatal(err)
		}
		return r.Run
	}
	return ""
}

// TestSameJournalTwice starts two processes on one journal: the second is told so.
func TestSameJournalTwice(t *testing.T) {
	w, dir := newWorld(t), t.TempDir()
	var once sync.Once
	held, free := make(chan bool), make(chan bool)
	w.hangs(func(method, _ string) bool {
		once.Do(func() { close(held); <-free })
		return false
	})
	one := start(t, dir, w.URL, 0, false, "run")
	<-held
	err := start(t, dir, w.URL, 0, false, "run").Wait()
	if exitCode(err) != 6 {
		t.Error("the second run was not told of the lock:", err)
	}
	close(free)
	if err := one.Wait(); err != nil {
		t.Error(err)
	}
	w.whole(t, dir)
}

func TestAdoptedIsNeverTakenAway(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	w.put("draft", thing{Marker: "somebody else"})
	w.put("main", thing{})
	o := options(t, j, w)
	p := mustPlan(t, release("")...)
	o.Until = "build"
	mustRun(t, p, o)
	o.Until = ""
	o.Confirm = nil
	j.Cut = func(_ int, r pipeline.Record) (bool, bool) { return r.Step == "release/inspect", false }
	if err := p.Run(t.Context(), o); !errors.Is(err, pipelinetest.ErrPowerCut) {
		t.Fatal(err)
	}
	j = j.Revive()
	o.Journal = j
	if err := p.Unwind(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if _, there := w.has("draft"); !there {
		t.Error("what was adopted was taken away")
	}
	if _, there := w.has("asset"); there {
		t.Error("what was made is still there")
	}
	mustRun(t, p, o)
	for _, r := range j.All() {
		if r.Event == pipeline.Done && (r.Step == "release/draft" || r.Step == "release/merge") && !r.Adopted {
			t.Errorf("%s was not recorded as adopted", r.Step)
		}
	}
}

// A step that acts on what somebody else made in the same moment says so by the marker of its receipt.
func TestForeignMarkerAfterRun(t *testing.T) {
	j := new(pipelinetest.Memory)
	o := options(t, j, nil)
	undone := false
	s := foreign{acting{step{pipeline.Spec{ID: "x/act", Needs: []string{"gate/x"}, Effect: pipeline.Remote}, func(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
		return pipeline.Receipt{pipeline.Marker: "other"}, nil
	}}}, &undone}
	p := mustPlan(t, phase{"x", []pipeline.Step{look("x/look", "look", nil, nil, passes), pass("gate/x"), s}})
	mustRun(t, p, o)
	if err := p.Unwind(t.Context(), o); err != nil || undone {
		t.Error("took away what another run had made", err)
	}
}

type foreign struct {
	acting
	undone *bool
}

func (f foreign) Undo(context.Context, *pipeline.Workspace, pipeline.Receipt) error {
	*f.undone = true
	return nil
}

func TestConflict(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	w.put("asset", thing{Value: "something else"})
	o := options(t, j, w)
	p := mustPlan(t, release("")...)
	err := p.Run(t.Context(), o)
	if !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), "release/asset") {
		t.Error(err)
	}
	if err := p.Unwind(t.Context(), o); err != nil { // what stands in the way is not ours
		t.Error(err)
	}
	if _, there := w.has("asset"); !there {
		t.Error("a foreign thing was taken away")
	}
	if _, there := w.has("draft"); there {
		t.Error("the draft is still there")
	}
}

// TestConflict_AfterStart: a step has begun, nobody knows whether it acted, and now something else stands there: that is
// not ours to take away, and does not keep the rest from being unwound.
func TestConflict_AfterStart(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	p := mustPlan(t, release("")...)
	w.hangs(func(method, name string) bool { return method == http.MethodPut && name == "asset" })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Run(ctx, o); err == nil {
		t.Fatal("the answer never came")
	}
	w.hangs(nil)
	w.put("asset", thing{Value: "something else"})
	if err := p.Unwind(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	if th, _ := w.has("asset"); th.Value != "something else" {
		t.Error("a foreign thing was taken away")
	}
	if _, there := w.has("draft"); there {
		t.Error("the draft is still there")
	}
	before := len(j.All())
	if err := p.Unwind(t.Context(), o); err != nil || len(j.All()) != before {
		t.Errorf("unwinding once more wrote %d records: %v", len(j.All())-before, err)
	}
}

// TestConflict_Reopens: a step that has begun finds something else in its place. Nothing of it is there, so the gate in
// front of it is asked again, about the world as it is by then; once the way is free, the run goes on.
func TestConflict_Reopens(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	p := mustPlan(t, release("")...)
	w.hangs(func(method, name string) bool { return method == http.MethodPut && name == "public" })
	ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	if err := p.Run(ctx, o); err == nil {
		t.Fatal("the answer never came")
	}
	w.hangs(nil)
	closed := func() bool {
		t.Helper()
		s, err := p.Survey(o)
		if err != nil {
			t.Fatal(err)
		}
		i := slices.IndexFunc(s.Steps, func(st pipeline.StepState) bool { return st.Spec.ID == "gate/release" })
		return s.Steps[i].Gate.Closed
	}
	if !closed() {
		t.Fatal("in doubt the gate stands")
	}
	mine, _ := w.has("public")
	w.put("public", thing{Value: "something else"})
	for range 2 {
		if err := p.Run(t.Context(), o); !errors.Is(err, pipeline.ErrConflict) {
			t.Fatal(err)
		}
		if closed() {
			t.Error("the gate stands for what is no longer so")
		}
	}
	w.put("public", mine)
	if err := p.Run(t.Context(), o); err != nil {
		t.Error(err)
	}
}

// A server that cannot be asked leaves nothing in doubt before the step has started, and everything after.
func TestUnreachable(t *testing.T) {
	w, j := newWorld(t), new(pipelinetest.Memory)
	o := options(t, j, w)
	o.Endpoints = "http://127.0.0.1:1"
	p := mustPlan(t, release("")...)
	if err := p.Run(t.Context(), o); err == nil {
		t.Error("ran against nothing")
	}
	if err := p.Unwind(t.Context(), o); err != nil {
		t.Error(err)
	}
	o.Endpoints = w.URL
	w.hangs(func(method, name string) bool { return method == http.MethodPut && name == "draft" })
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if err := p.Run(ctx, o); err == nil {
		t.Error("the answer never came")
	}
	o.Endpoints = "http://127.0.0.1:1"
	if err := p.Unwind(t.Context(), o); err == nil || !strings.Contains(err.Error(), "cannot find out whether release/draft has acted") {
		t.Error(err)
	}
	w.hangs(nil)
	o.Endpoints = w.URL
	if err := p.Unwind(t.Context(), o); err != nil || len(w.things) > 0 {
		t.Error(err, w.things)
	}
	mustRun(t, p, o)
}
