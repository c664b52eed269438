package phases

import (
	"errors"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/approval"
	"github.com/imrightguy/slipway/phases/internal/rehearsed"
	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/release/github"
	"github.com/imrightguy/slipway/pipeline"
)

// plan makes the plan of a configuration, of a commit that need not exist.
func plan(t *testing.T, c *Config, version string) *pipeline.Plan {
	t.Helper()
	dir := t.TempDir()
	if out, err := exec.CommandContext(t.Context(), "git", "init", "-q", dir).CombinedOutput(); err != nil { // where tags are looked for
		t.Fatalf("%v: %s", err, out)
	}
	all, err := All(c, dir)
	if err != nil {
		t.Fatal(err)
	}
	env := pipeline.Env{Project: c.Project, Version: version, Commit: strings.Repeat("0123456789", 4), Config: strings.Repeat("a", 64), Time: time.Date(2026, 8, 1, 0, 0, 0, 0, time.UTC)}
	p, err := pipeline.NewPlan(t.Context(), env, all...)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// TestAll: what Validate accepts can be planned, always alike, and the plan has the checks that Validate knows.
func TestAll(t *testing.T) {
	files := map[string]string{"slipway.yaml": "", "app.yaml": "", "../../release.yaml": "our own", "init/go.yaml": "", "init/flutter.yaml": "", "init/plain.yaml": ""}
	for name := range files {
		t.Run(name, func(t *testing.T) {
			text := example(t, name)
			c, err := loaded([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			p := plan(t, c, "3.2.1-rc.1+7")
			again, err := loaded([]byte(text))
			if err != nil {
				t.Fatal(err)
			}
			if q := plan(t, again, "3.2.1-rc.1+7"); q.Digest != p.Digest {
				t.Error("two plans of one release.yaml differ")
			}
			var reported []string
			for _, sp := range p.Specs {
				reported = append(reported, sp.Checks...)
			}
			slices.Sort(reported)
			want, last := c.build().Reported(), "gate/build"
			if c.Release != nil { // a prerelease is left out of the AUR
				want, last = append(want, append(releaseChecks(), github.Public, github.Latest, gitflow.CheckTag, gitflow.CheckMerged)...), "proof/release"
				want = slices.DeleteFunc(want, func(name string) bool { return slices.Contains(rehearsed.Kinds, name) })
			}
			slices.Sort(want)
			if !slices.Equal(slices.Compact(reported), want) {
				t.Errorf("the plan reports %v, Validate knows %v", slices.Compact(reported), want)
			}
			if got := p.Specs[len(p.Specs)-1].ID; got != last {
				t.Errorf("the last step is %s, want %s", got, last)
			}
		})
	}
}

func TestAll_Refused(t *testing.T) {
	c, err := loaded([]byte(example(t, "slipway.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	c.Packages[0].Bundle = "nowhere"
	if _, err := All(c, "."); err == nil || !strings.Contains(err.Error(), `bundle "nowhere" is not among the bundles`) {
		t.Errorf("a configuration that was changed to a wrong one: %v", err)
	}
}

func TestVerifier(t *testing.T) {
	c, err := loaded([]byte(example(t, "app.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	v, err := Verifier(c)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := v.Verify("technical-lead", []byte("x"), []byte("x")); !errors.Is(err, approval.ErrMalformed) {
		t.Errorf("no signature at all: %v", err)
	}
	if _, err := v.Verify("nobody", []byte("x"), []byte("x")); !errors.Is(err, approval.ErrNoApprovers) {
		t.Errorf("a role that nobody has: %v", err)
	}
	c.Approvers["technical-lead"] = []string{"x"}
	if _, err := Verifier(c); err == nil {
		t.Error("a key that is none was accepted")
	}
}

// TestSchema_OwnFile: the release.yaml of this repository names its schema, which accepts it.
func TestSchema_OwnFile(t *testing.T) {
	text, err := os.ReadFile("../release.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if first, _, _ := strings.Cut(string(text), "\n"); !strings.Contains(first, "$schema=phases/release.schema.json") {
		t.Errorf("its first line is %s", first)
	}
	s := parsedSchema(t)
	if err := accepts(s, s, asJSON(t, text), ""); err != nil {
		t.Error(err)
	}
}

func TestFlatten(t *testing.T) {
	deep := errors.Join(errors.New("a"), wrapped{"b: ", errors.Join(errors.New("c"), wrapped{"d: ", errors.New("e")})}, wrapped{"other text", nil})
	if got, want := strings.Join(flatten("x: ", deep), "|"), "x: a|x: b: c|x: b: d: e|x: other text"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	if got := flatten("x", nil); got != nil {
		t.Errorf("of nothing: %v", got)
	}
}

type wrapped struct {
	text  string
	inner error
}

func (w wrapped) Error() string {
	if w.inner == nil {
		return w.text
	}
	return w.text + w.inner.Error()
}
func (w wrapped) Unwrap() error { return w.inner }
