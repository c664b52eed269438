package correction

import (
	"context"
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	aurtwin "github.com/imrightguy/slipway/phases/internal/twins/aur"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// steps is a phase of any steps.
type steps struct {
	name string
	list []pipeline.Step
}

func (p steps) Name() string                                                 { return p.name }
func (p steps) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p.list, nil }

const payload = "the older program\n"

// fetched is a file of the older release.
type fetched struct{}

func (fetched) Spec() pipeline.Spec {
	return pipeline.Spec{ID: "build/fetch", Effect: pipeline.Local, Outputs: []string{"x.gz"}}
}

func (fetched) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	path, err := ws.Create(pipeline.Artifact{Name: "x.gz", Kind: "tarball"})
	if err == nil {
		err = os.WriteFile(path, []byte(payload), 0o666)
	}
	return nil, err
}

// TestRun: the version comes from the AUR as it is, and the payload is compared with what users of the older version got,
// or it is said that nothing can be.
func TestRun(t *testing.T) {
	const url = "https://example.org/v3.2.0/x.gz"
	own := fmt.Sprintf("%x", sha256.Sum256([]byte(payload)))
	server, err := aurtwin.Start(context.WithoutCancel(t.Context()), aurtwin.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	for i, c := range []struct {
		name, first, url, sum string // of the version before the bad one
		last                  string // the bad one, as it is published
		want                  string // the version, or the error
		says                  string // what is told
	}{
		{"as it was", "3.2.0", url, own, "3.2.1", "3.2.1+really3.2.0-1", ""},
		{"another address", "3.2.0", "https://example.org/old/x.gz", sum, "3.2.1", "3.2.1+really3.2.0-1", "nothing can be compared with what users of 3.2.0 got then"},
		{"not known", "3.1.0", url, sum, "3.2.1", "3.2.1+really3.2.0-1", "does not know 3.2.0: nothing can be compared"},
		{"another file", "3.2.0", url, sum, "3.2.1", "x.gz is not what it was when 3.2.0 was published", ""},
		{"something newer", "3.2.0", url, own, "3.2.2", "nothing of that release to correct, or somebody else has published since; do without", ""},
		{"corrected to the bad one", "3.2.0", url, own, "3.2.2+really3.2.1", "slipway rollback 3.2.2 --to OLDER brings them back; then this one with --level github,hold", ""},
	} {
		name := fmt.Sprintf("x%d-bin", i)
		publish := func(message, pkgver, url, sum string) {
			t.Helper()
			if _, err := server.Publish(t.Context(), "us", name, message, map[string]string{
				"PKGBUILD": "# " + pkgver + "\n",
				".SRCINFO": "pkgbase = " + name + "\n\tpkgdesc = Says hello\n\tpkgver = " + pkgver + "\n\tpkgrel = 1\n\turl = https://example.org\n\tarch = any\n" +
					"\tlicense = MIT\n\tsource = x.gz::" + url + "\n\tsha256sums = " + sum + "\n\npkgname = " + name + "\n",
			}); err != nil {
				t.Fatal(err)
			}
		}
		publish("Update\n\nSlipway-Run: a", c.first, c.url, c.sum)
		publish("Update\n\nSlipway-Run: b", c.last, "https://example.org/v3.2.1/x.gz", sum)
		s := Step(Options{
			Package: subject.Package{Phase: "rollback", Name: name}, Bad: "3.2.1", Good: "3.2.0", Needs: []string{"build/fetch"},
			Sources: []Source{{Artifact: "x.gz", URL: url}}, Instead: "do without",
		})
		plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "x", Version: "3.2.1", Commit: strings.Repeat("ab", 20), Config: strings.Repeat("cd", 32)},
			steps{"build", []pipeline.Step{fetched{}}}, steps{"rollback", []pipeline.Step{s}})
		if err != nil {
			t.Fatal(err)
		}
		journal, dir, said := new(pipelinetest.Memory), t.TempDir(), ""
		err = plan.Run(t.Context(), pipeline.Options{
			Journal: journal, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Jobs: 1,
			Endpoints: &endpoint.Endpoints{Git: func(ctx context.Context, _ gitremote.Remote) (gitremote.Access, error) {
				return gitremote.Open(ctx, gitremote.Remote{URL: server.HTTPURL(name)}, gitremote.Options{})
			}},
			Observe: func(r pipeline.Record) {
				if r.Event == pipeline.Progress && r.Step == s.Spec().ID {
					said += r.Text + "\n"
				}
			},
		})
		got := fmt.Sprint(err)
		for _, r := range journal.All() {
			if r.Step == s.Spec().ID && r.Event == pipeline.Done {
				got = r.Receipt[KeyPkgVer] + "-" + r.Receipt[KeyPkgRel]
			}
		}
		if got != c.want && (err == nil || !strings.Contains(got, c.want)) {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
		// What is named there helps, and nothing else does.
		if covered := strings.Contains(c.last, word); err != nil && strings.Contains(got, "do without") == covered {
			t.Errorf("%s: %s", c.name, got)
		}
		if !strings.Contains(said, c.says) || strings.Contains(said, "compared") != (c.says != "") {
			t.Errorf("%s: want %q, said\n%s", c.name, c.says, said)
		}
	}
}

// asks is a step that wants to know what a package needs.
type asks struct{ o Moved }

func (asks) Spec() pipeline.Spec { return pipeline.Spec{ID: "build/ask"} }

func (s asks) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	by, err := Needed(ctx, ws, s.o)
	return pipeline.Receipt{"by": by}, err
}

// TestNeeded: what users of the AUR can install decides. The repository of a deleted package stays there, and no index leads
// to it any more.
func TestNeeded(t *testing.T) {
	const name, from = "x-bin", "https://github.com/o/r/releases/download/v3.2.1/"
	server, err := aurtwin.Start(context.WithoutCancel(t.Context()), aurtwin.Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	ask := func(wide bool) string {
		t.Helper()
		p := subject.Package{Phase: "rollback", Name: name, Remote: gitremote.Remote{URL: "ssh://aur@aur.archlinux.org/" + name + ".git"}}
		plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "x", Version: "3.2.1", Commit: strings.Repeat("ab", 20), Config: strings.Repeat("cd", 32)},
			steps{"build", []pipeline.Step{asks{Moved{Package: p, From: from, Wide: wide}}}})
		if err != nil {
			t.Fatal(err)
		}
		journal, dir := new(pipelinetest.Memory), t.TempDir()
		if err := plan.Run(t.Context(), pipeline.Options{
			Journal: journal, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}, Jobs: 1,
			Endpoints: &endpoint.Endpoints{HTTP: server.Transport(), Git: func(ctx context.Context, _ gitremote.Remote) (gitremote.Access, error) {
				return gitremote.Open(ctx, gitremote.Remote{URL: server.HTTPURL(name)}, gitremote.Options{})
			}},
		}); err != nil {
			t.Fatal(err)
		}
		return journal.All()[len(journal.All())-1].Receipt["by"]
	}
	publish := func(address string) {
		t.Helper()
		if _, err := server.Publish(t.Context(), "us", name, "Update", map[string]string{
			"PKGBUILD": "# " + address + "\n",
			".SRCINFO": "pkgbase = " + name + "\n\tpkgdesc = Says hello\n\tpkgver = 3.2.1\n\tpkgrel = 1\n\turl = https://example.org\n\tarch = any\n" +
				"\tlicense = MIT\n\tsource = x.gz::" + address + "\n\tsha256sums = " + sum + "\n\npkgname = " + name + "\n",
		}); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range []struct {
		address      string
		narrow, wide bool
	}{
		{from + "x.gz", true, true},
		{"https://github.com/before/r/releases/download/v3.2.1/x.gz", false, true},
		{"https://github.com/o/r/releases/download/v3.2.0/x.gz", false, false},
		{from + "x.gz", true, true},
	} {
		publish(c.address)
		for wide, want := range map[bool]bool{false: c.narrow, true: c.wide} {
			if by := ask(wide); (by != "") != want || want && by != name+" 3.2.1-1 in the AUR downloads "+c.address {
				t.Errorf("%s, wide %v: %q", c.address, wide, by)
			}
		}
	}
	if err := server.Delete(name); err != nil {
		t.Fatal(err)
	}
	if by := ask(true); by != "" {
		t.Errorf("deleted: %q", by)
	}
}
