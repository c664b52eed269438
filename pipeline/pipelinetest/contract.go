package pipelinetest

import (
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
)

// Subject is what [Contract] is shown of a release.
type Subject struct {
	Env pipeline.Env
	// Phases makes the phases anew; what they act on outside is made anew by Reset.
	Phases func() []pipeline.Phase
	// Options returns options without Journal and Dirs for the world as it is.
	Options func() pipeline.Options
	// Reset brings the outside world back to its beginning. It may be nil where the phases only have local steps.
	Reset func()
	// Watch lists folders that planning must not touch: the repository, above all.
	Watch []string
	// Crashes bounds the number of records at which the power is cut; 0 is all of them. Records are chosen evenly.
	Crashes int
}

// Contract tests what every phase keeps: planning twice gives the same plan and touches nothing, the plan survives
// JSON, a run ends, a second run makes nothing, a power cut at each record heals to the same bytes, and unwinding is
// harmless twice.
func Contract(t *testing.T, s Subject) {
	t.Helper()
	plan := func() *pipeline.Plan {
		t.Helper()
		p, err := pipeline.NewPlan(t.Context(), s.Env, s.Phases()...)
		if err != nil {
			t.Fatal(err)
		}
		return p
	}
	before := map[string]string{}
	for _, dir := range s.Watch {
		maps.Copy(before, Snapshot(t, dir))
	}
	p := plan()
	if q := plan(); q.Digest != p.Digest {
		t.Errorf("planning twice gave two plans: %v, %v", p.Specs, q.Specs)
	}
	after := map[string]string{}
	for _, dir := range s.Watch {
		maps.Copy(after, Snapshot(t, dir))
	}
	if !maps.Equal(before, after) {
		t.Error("planning changed files")
	}
	var back pipeline.Plan
	if b, err := json.Marshal(p); err != nil {
		t.Error(err)
	} else if err := json.Unmarshal(b, &back); err != nil {
		t.Error(err)
	} else if again, _ := json.Marshal(back); string(again) != string(b) {
		t.Error("the plan does not survive JSON")
	}

	begin := func(j pipeline.Journal) pipeline.Options {
		if s.Reset != nil {
			s.Reset()
		}
		o, dir := s.Options(), t.TempDir()
		o.Journal, o.Dirs = j, pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}
		return o
	}
	j := new(Memory)
	o := begin(j)
	if err := p.Run(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	want, records := Snapshot(t, o.Dirs.Dist), len(j.All())
	if err := plan().Run(t.Context(), o); err != nil {
		t.Error("a second run:", err)
	}
	if n := len(j.All()) - records; n != 0 {
		t.Errorf("a second run wrote %d records", n)
	}
	for range 2 {
		if err := p.Unwind(t.Context(), o); err != nil && !errors.Is(err, pipeline.ErrPermanent) {
			t.Error("unwinding:", err)
		}
	}

	every := 1
	if s.Crashes > 0 {
		every = max(1, records/s.Crashes)
	}
	for n := 1; n <= records; n += every {
		j := &Memory{Cut: func(k int, _ pipeline.Record) (bool, bool) { return k == n, n%2 == 0 }}
		o := begin(j)
		if err := plan().Run(t.Context(), o); !errors.Is(err, ErrPowerCut) {
			t.Fatalf("power cut at record %d: %v", n, err)
		}
		o.Journal = j.Revive()
		if err := plan().Run(t.Context(), o); err != nil {
			t.Fatalf("after a power cut at record %d: %v", n, err)
		}
		if got := Snapshot(t, o.Dirs.Dist); !maps.Equal(got, want) {
			t.Errorf("after a power cut at record %d the artifacts are %v, want %v", n, got, want)
		}
	}
}

// Snapshot maps every entry below dir, by its path there, to its mode and the SHA-256 of its contents or its target.
func Snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(dir, path)
		if err != nil {
			return err
		}
		what := ""
		switch {
		case info.Mode().IsRegular():
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			what = fmt.Sprintf("%x", sha256.Sum256(b))
		case info.Mode()&fs.ModeSymlink != 0:
			if what, err = os.Readlink(path); err != nil {
				return err
			}
		}
		out[rel] = info.Mode().String() + " " + what
		return nil
	})
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		t.Fatal(err)
	}
	return out
}
