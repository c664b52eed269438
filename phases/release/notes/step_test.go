package notes

import (
	"context"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// released stands for build/version: its receipt is all that the notes read of it.
type released struct{ commit string }

func (released) Spec() pipeline.Spec { return pipeline.Spec{ID: versionStep, Effect: pipeline.Local} }

func (r released) Run(context.Context, *pipeline.Workspace) (pipeline.Receipt, error) {
	return pipeline.Receipt{"commit": r.commit}, nil
}

type phase struct {
	name  string
	steps []pipeline.Step
}

func (p phase) Name() string { return p.name }

func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p.steps, nil }

func subject(dir, id, version string, c Config) pipelinetest.Subject {
	o := options
	o.RepoDir = dir
	return pipelinetest.Subject{
		Env: pipeline.Env{Project: "x", Version: version, Commit: id, Config: strings.Repeat("0", 64), Time: time.Unix(1_750_000_000, 0).UTC()},
		Phases: func() []pipeline.Phase {
			return []pipeline.Phase{phase{"build", []pipeline.Step{released{id}}}, phase{"release", []pipeline.Step{Step(c, o)}}}
		},
		Options: func() pipeline.Options { return pipeline.Options{Jobs: 2} },
		Watch:   []string{dir},
	}
}

func TestStep_Contract(t *testing.T) {
	dir, ids := sample(t)
	pipelinetest.Contract(t, subject(dir, ids[len(ids)-1], "3.2.1+1", Config{}))
}

// run runs the plan and returns the step's last record and its artifact.
func run(t *testing.T, s pipelinetest.Subject) (pipeline.Record, string, error) {
	t.Helper()
	p, err := pipeline.NewPlan(t.Context(), s.Env, s.Phases()...)
	must(t, err)
	o, j := s.Options(), &pipelinetest.Memory{}
	o.Journal, o.Dirs = j, pipeline.Dirs{Dist: filepath.Join(t.TempDir(), "dist"), Work: filepath.Join(t.TempDir(), "work")}
	err = p.Run(t.Context(), o)
	all := j.All()
	text, _ := os.ReadFile(filepath.Join(o.Dirs.Dist, Artifact))
	return all[len(all)-1], string(text), err
}

func TestStep(t *testing.T) {
	dir, ids := sample(t)
	head := ids[len(ids)-1]
	// What lies in the working tree, staged or not, and what was committed later, is not looked at.
	must(t, os.WriteFile(filepath.Join(dir, "CHANGELOG.md"), []byte("## 3.2.1\n\nnot committed\n"), 0o666))
	git(t, dir, "", "add", "CHANGELOG.md")
	rec, text, err := run(t, subject(dir, head, "3.2.1", Config{}))
	must(t, err)
	if rec.Step != ID || len(rec.Evidence) != 1 || rec.Evidence[0].Verdict != gate.Pass || rec.Evidence[0].Found != "11 changes since v3.2.0" || rec.Receipt["since"] != "v3.2.0" || len(rec.Artifacts) != 1 || rec.Artifacts[0].Kind != Kind || rec.Artifacts[0].SHA256 != rec.Evidence[0].Subjects[Artifact] {
		t.Errorf("%+v", rec)
	}
	if want := notes(t, dir, Config{}, options, "3.2.1", head); text != want {
		t.Errorf("the artifact is\n%s", text)
	}
	if _, _, err := run(t, subject(dir, head, "3.2.1", Config{From: Changelog})); err == nil || !strings.Contains(err.Error(), "CHANGELOG.md") {
		t.Errorf("a changelog that is not committed: %v", err)
	}
	// Nothing to tell is evidence, and so is what somebody forgot.
	rec, text, err = run(t, subject(dir, ids[1], "3.2.1", Config{}))
	must(t, err)
	if e := rec.Evidence[0]; e.Verdict != gate.Fail || e.Found != "they say nothing (0 changes since v3.2.0)" {
		t.Errorf("%+v\n%s", e, text)
	}
}

// TestStep_Shallow: without the history nobody knows which version came before; a file needs none.
func TestStep_Shallow(t *testing.T) {
	dir, ids := history(t, commit{message: "feat: one", tags: []string{"v1.0.0"}}, commit{message: "feat: two", files: map[string]string{"NEWS.md": "## 1.1.0\n\n- two\n"}})
	clone := filepath.Join(t.TempDir(), "clone")
	git(t, dir, "", "clone", "-q", "--no-local", "--no-tags", "--depth=1", "--branch=main", "file://"+dir, clone)
	for _, c := range []Config{{}, {From: Changelog, Changelog: "NEWS.md"}} {
		if _, _, err := run(t, subject(clone, ids[1], "1.1.0", c)); err == nil || !strings.Contains(err.Error(), "git fetch --tags --unshallow") {
			t.Errorf("%+v: %v", c, err)
		}
	}
	_, text, err := run(t, subject(clone, ids[1], "1.1.0", Config{From: "NEWS.md"}))
	if err != nil || text != "## 1.1.0\n\n- two\n" {
		t.Errorf("%v\n%s", err, text)
	}
}

func TestStep_Template(t *testing.T) {
	dir, ids := history(t, commit{message: "feat: one TODO", files: map[string]string{
		"ok.tmpl": "# {{ .Project }} {{ .Version }}\n{{ template \"changes\" . }}", "bad.tmpl": "a\n{{ .Nope }}\n", "todo.tmpl": "TODO: write\n{{ template \"changes\" . }}",
	}})
	if got := notes(t, dir, Config{Template: "ok.tmpl"}, options, "1.0.0", ids[0]); got != "# cloudtolocalllm 1.0.0\n## Features\n\n- one TODO ("+repo.Short(ids[0])+")\n" {
		t.Errorf("%q", got)
	}
	if _, _, err := run(t, subject(dir, ids[0], "1.0.0", Config{Template: "bad.tmpl"})); err == nil || !strings.Contains(err.Error(), "bad.tmpl:2:") {
		t.Errorf("%v", err)
	}
	rec, _, err := run(t, subject(dir, ids[0], "1.0.0", Config{Template: "todo.tmpl"}))
	must(t, err)
	if e := rec.Evidence[0]; e.Verdict != gate.Fail || e.Found != `line 1 holds the placeholder "TODO"` {
		t.Errorf("%+v", e)
	}
	// The word in a subject is a subject.
	if rec, _, err = run(t, subject(dir, ids[0], "1.0.0", Config{Template: "ok.tmpl"})); err != nil || rec.Evidence[0].Verdict != gate.Pass {
		t.Errorf("%+v, %v", rec.Evidence, err)
	}
}

// hostile are subjects that people could wish to hurt readers with.
var hostile = []string{
	"feat: <script>alert(1)</script>", "fix(<b>x</b>): y", "feat: @octocat and @org/team", "fix: octo/cat#1 (#12)", "feat: $(touch /nonexistent/x) `reboot`", "docs: ```", "feat: ![x](http://x.example/x.png)",
	"- [x] done", "# heading", "feat: \"quotes\" 'and' \\\\", "1. one", "> quote", "| a | b |", "<!-- gone", "-->", "https://github.com/octo/cat/pull/1", "www.x.example", "[a]: http://x.example", "feat(`@octocat`): x",
	"\u202egnol", "\x1b[31mred\x07", "a\u2028b", "~~~", "---", "===", "feat: " + strings.Repeat("<i>@octocat ", 900), "Merge: a\rb", "[^1]", "<details><summary>x", "&lt;script&gt;", "&#64;octocat", "fix: nul\x00byte",
}

// TestText_Hostile asks GitHub's own Markdown program: the page has a list with an item for each subject and nothing
// else, and names nobody.
func TestText_Hostile(t *testing.T) {
	need(t, "cmark-gfm")
	commits := []commit{{message: "first", tags: []string{"v1.0.0"}}}
	for _, s := range hostile {
		commits = append(commits, commit{message: s + "\n\nBREAKING CHANGE: " + s + "\n\n" + s})
	}
	dir, ids := history(t, commits...)
	text := notes(t, dir, Config{}, Options{}, "1.1.0", ids[len(ids)-1])
	cmd := exec.CommandContext(t.Context(), "cmark-gfm", "--unsafe", "-e", "table", "-e", "strikethrough", "-e", "tasklist", "-e", "autolink", "-e", "footnotes")
	cmd.Stdin = strings.NewReader(text)
	html, err := cmd.Output()
	must(t, err)
	d := xml.NewDecoder(strings.NewReader("<x>" + string(html) + "</x>"))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	count := map[string]int{}
	var words strings.Builder
	for {
		tok, err := d.Token()
		if err != nil {
			break
		}
		switch tok := tok.(type) {
		case xml.StartElement:
			count[tok.Name.Local]++
		case xml.Comment:
			count["comment"]++
		case xml.CharData:
			words.Write(tok)
		}
	}
	n := len(hostile)
	for tag, got := range count {
		want, known := map[string]int{"x": 1, "h2": 1, "ul": n + 1, "li": 2 * n, "strong": 2}[tag]
		if !known || got != want {
			t.Errorf("%d of %s, want %d", got, tag, want)
		}
	}
	if count["li"] != 2*n {
		t.Errorf("%d items", count["li"])
	}
	for _, bad := range []string{"@octocat", "@org", "cat#1", "https://", "www.x"} {
		if strings.Contains(words.String(), bad) {
			t.Errorf("the page says %s", bad)
		}
	}
	if i := slices.IndexFunc(strings.Split(text, "\n"), func(l string) bool { return len(l) > 12*maxNote }); i >= 0 {
		t.Errorf("line %d is long", i+1)
	}
	golden(t, "hostile.md", text)
}
