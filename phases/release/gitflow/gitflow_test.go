package gitflow

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// TestRelease goes the whole way over both protocols, and writes nothing into the user's repository.
func TestRelease(t *testing.T) {
	for _, over := range []string{"ssh", "https"} {
		t.Run(over, func(t *testing.T) {
			r := newRig(t, gitd.Options{})
			r.over = over
			before := fmt.Sprint(pipelinetest.Snapshot(t, r.user))
			must(t, r.run())
			r.right()
			if after := fmt.Sprint(pipelinetest.Snapshot(t, r.user)); after != before {
				t.Error("the user's repository was written to")
			}
			run := r.receipt(TagID, pipeline.Marker)
			if run == "" {
				t.Fatal("no marker")
			}
			const who = "Release Team <release@example.org> 1751233800 +0000"
			commit := r.receipt(version.ID, "commit")
			if got, want := r.remote("cat-file", "tag", "v3.2.1"), fmt.Sprintf("object %s\ntype commit\ntag v3.2.1\ntagger %s\n\nRelease v3.2.1\n\nSlipway-Run: %s", commit, who, run); got != want {
				t.Errorf("the tag is\n%s\nwant\n%s", got, want)
			}
			got := r.remote("cat-file", "commit", "main")
			want := fmt.Sprintf("tree %s\nparent %s\nparent %s\nauthor %s\ncommitter %[4]s\n\nMerge release v3.2.1\n\nSlipway-Run: %s", r.remote("rev-parse", commit+"^{tree}"), r.env.Commit, commit, who, run)
			if got != want {
				t.Errorf("the merge is\n%s\nwant\n%s", got, want)
			}
			for _, check := range []string{CheckGit, CheckTag, CheckMerged} {
				if e := r.evidence(check); e.Verdict != gate.Pass {
					t.Errorf("%s: %+v", check, e)
				}
			}
			// Nothing is done twice, and nothing that an approval covers has changed.
			n := len(r.server.History("o/r"))
			must(t, r.run())
			if len(r.server.History("o/r")) != n {
				t.Error("a second run acts")
			}
		})
	}
}

// TestContract is what every phase keeps.
func TestContract(t *testing.T) {
	r := newRig(t, gitd.Options{})
	r.c.MergeInto = ""
	base := r.env.Commit
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env:     r.env,
		Phases:  func() []pipeline.Phase { return []pipeline.Phase{buildPhase{r}, releasePhase{r}} },
		Options: func() pipeline.Options { return pipeline.Options{Endpoints: r.ends, Jobs: 2} },
		Reset: func() {
			for ref := range strings.FieldsSeq(r.remote("for-each-ref", "--format=%(refname)")) {
				r.remote("update-ref", "-d", ref)
			}
			r.remote("update-ref", "refs/heads/main", base)
		},
		Watch:   []string{r.user, r.bare()},
		Crashes: 6,
	})
}

// TestFaults cuts pushes before and after they are done, and looks: the next run ends right. Every push
// is cut both ways.
func TestFaults(t *testing.T) {
	faults := []string{ // receive-pack #1 is the check whether we may push; then branch, tag, merge
		"receive-pack o/r #2: cut though done", "receive-pack o/r #3: cut", "receive-pack o/r #3: cut though done", "receive-pack o/r #4: cut though done",
		"upload-pack o/r #1: cut", "upload-pack o/r #7: cut", "receive-pack o/r #3: declined not today", "receive-pack o/r #4: refused",
		"receive-pack o/r #2: cut", "receive-pack o/r #4: cut", "upload-pack o/r #4: cut", "upload-pack o/r #10: cut",
	}
	for i, fault := range faults {
		t.Run(fault, func(t *testing.T) {
			r := newRig(t, gitd.Options{})
			r.over = []string{"ssh", "https"}[i%2]
			r.fault(fault)
			err := r.run()
			if left := r.server.Pending(); len(left) > 0 {
				t.Fatalf("%v did not strike: %v", left, err)
			}
			// A listing that is cut before anything came is asked for once more by net/http itself.
			if err == nil && (r.over == "ssh" || !strings.HasSuffix(fault, ": cut")) {
				t.Error("no error")
			}
			must(t, r.run())
			r.right()
			if last := r.last(TagID); last.Adopted || last.Receipt[pipeline.Marker] != last.Run {
				t.Errorf("the tag is not known again as ours: %+v", last)
			}
		})
	}
}

// TestUndo takes back what is ours and unchanged, and nothing else.
func TestUndo(t *testing.T) {
	r := newRig(t, gitd.Options{})
	r.c.MergeInto = ""
	must(t, r.run())
	for range 2 {
		must(t, r.unwind())
	}
	if got := r.remote("for-each-ref", "--format=%(refname)"); got != "refs/heads/main" {
		t.Errorf("left: %s", got)
	}

	t.Run("moved", func(t *testing.T) {
		r := newRig(t, gitd.Options{})
		r.c.MergeInto = ""
		must(t, r.run())
		r.remote("update-ref", "refs/tags/v3.2.1", r.env.Commit)
		if err := r.unwind(); !errors.Is(err, pipeline.ErrConflict) {
			t.Errorf("a tag that somebody moved: %v", err)
		}
		if got := r.remote("rev-parse", "v3.2.1"); got != r.env.Commit {
			t.Errorf("the tag is %s", got)
		}
	})
	t.Run("adopted", func(t *testing.T) {
		r := newRig(t, gitd.Options{})
		r.c.MergeInto = ""
		must(t, r.run())
		r.journal = &pipelinetest.Memory{} // another run finds all of it
		must(t, r.run())
		if !r.last(TagID).Adopted || !r.last(BranchID).Adopted {
			t.Error("another run's work was not adopted")
		}
		must(t, r.unwind())
		if got := r.remote("tag", "-l"); got != "v3.2.1" {
			t.Error("another run's tag was taken away")
		}
	})
	t.Run("permanent", func(t *testing.T) {
		r := newRig(t, gitd.Options{})
		must(t, r.run())
		if err := r.unwind(); !errors.Is(err, pipeline.ErrPermanent) {
			t.Errorf("a merge: %v", err)
		}
		r.right()
	})
}

// TestMerge_MovedTip: the merge is made on the tip as it is by then, also when it moves again between fetch and push.
func TestMerge_MovedTip(t *testing.T) {
	var r *rig
	moves := 0
	r = newRig(t, gitd.Options{Update: func(_ context.Context, u *gitd.Update) error {
		if u.Ref == "refs/heads/main" && moves > 0 {
			moves--
			tip := r.remote("rev-parse", "main")
			next := r.remote("commit-tree", "-p", tip, "-m", fmt.Sprint("meanwhile ", moves), tip+"^{tree}")
			r.remote("update-ref", "refs/heads/main", next)
		}
		return nil
	}})
	// Others have changed something else in the same file's neighbourhood, and the user has not fetched it.
	other := filepath.Join(r.dir, "other")
	gitIn(t, r.dir, "clone", "-q", r.bare(), other)
	write(t, filepath.Join(other, "lib/a.txt"), "a\nb\nc\nd\nchanged\n")
	gitIn(t, other, "commit", "-q", "-a", "-m", "others")
	gitIn(t, other, "push", "-q", "origin", "main")
	moves = 2
	must(t, r.run())
	r.right()
	if got := r.remote("show", "main:lib/a.txt"); !strings.Contains(got, "changed") {
		t.Errorf("the others' change is lost: %s", got)
	}
	if got := r.remote("rev-list", "--count", "--first-parent", "main"); got != "6" { // 2 + others + 2 meanwhile + merge
		t.Errorf("main has %s commits", got)
	}

	moves = 0
	r2 := newRig(t, gitd.Options{Update: func(_ context.Context, u *gitd.Update) error {
		if u.Ref == "refs/heads/main" {
			tip := r.remote("rev-parse", "main")
			r.remote("update-ref", "refs/heads/main", r.remote("commit-tree", "-p", tip, "-m", "again", tip+"^{tree}"))
		}
		return nil
	}})
	r = r2
	if err := r.run(); err == nil || !strings.Contains(err.Error(), "5 times") {
		t.Errorf("a branch that never rests: %v", err)
	}
}

// TestMerge_Conflict: what git cannot merge is named, at the gate and at the step, and a person's merge is adopted.
func TestMerge_Conflict(t *testing.T) {
	r := newRig(t, gitd.Options{})
	other := filepath.Join(r.dir, "other")
	gitIn(t, r.dir, "clone", "-q", r.bare(), other)
	write(t, filepath.Join(other, "version.json"), `{"version":"4.0.0","git_commit":"y"}`)
	gitIn(t, other, "commit", "-q", "-a", "-m", "others")
	must(t, r.runUntil(t, CheckID))
	gitIn(t, other, "push", "-q", "origin", "main")
	err := r.run()
	if err == nil {
		t.Fatal("no error")
	}
	if e := r.evidence(CheckGit); e.Verdict != gate.Fail || !strings.Contains(e.Summary, "version.json") {
		t.Errorf("at the gate: %+v", e)
	}

	// The same, but the conflict comes when the gate is behind.
	r = newRig(t, gitd.Options{})
	other = filepath.Join(r.dir, "other")
	gitIn(t, r.dir, "clone", "-q", r.bare(), other)
	write(t, filepath.Join(other, "version.json"), `{"version":"4.0.0","git_commit":"y"}`)
	gitIn(t, other, "commit", "-q", "-a", "-m", "others")
	p, o := r.plan()
	o.Observe = func(rec pipeline.Record) {
		if rec.Step == TagID && rec.Event == pipeline.Done {
			gitIn(t, other, "push", "-q", "origin", "main")
		}
	}
	err = p.Run(t.Context(), o)
	if err == nil || !strings.Contains(err.Error(), "version.json") || !strings.Contains(err.Error(), "merge tag v3.2.1 by hand") {
		t.Fatalf("at the step: %v", err)
	}
	// A person does as they are told.
	gitIn(t, other, "fetch", "-q", "--tags", "origin")
	gitIn(t, other, "merge", "-q", "-X", "ours", "-m", "by hand", "v3.2.1")
	gitIn(t, other, "push", "-q", "origin", "main")
	must(t, r.run())
	if last := r.last(MergeID); !last.Adopted || last.Receipt[pipeline.Marker] != "" {
		t.Errorf("a person's merge: %+v", last)
	}
	if e := r.evidence(CheckMerged); e.Verdict != gate.Pass {
		t.Errorf("%+v", e)
	}
}

// TestMerge_Held: what is held is not merged, also where the hold comes between the last look and the push; it is said in the
// words of every hold. Lifted, the same run goes on.
func TestMerge_Held(t *testing.T) {
	const file = ".slipway/holds/3.2.1.json"
	text, err := hold.Hold{Project: "app", Version: "3.2.1", Reason: `it "eats" files; $(id)`, Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Run: "other"}.Bytes()
	must(t, err)
	for name, c := range map[string]struct {
		file, text, says string // "" for one that does not hold
		late             bool   // it comes when the merge is on its way
	}{
		"held":                {file, string(text), `held since 2026-01-02 03:04 UTC: it "eats" files; $(id)`, false},
		"held meanwhile":      {file, string(text), `held since 2026-01-02 03:04 UTC: it "eats" files; $(id)`, true},
		"cannot be read":      {file, "{", "held by a file that cannot be read", false},
		"no file":             {file + "/x", "", "held by a file that cannot be read", false},
		"another version":     {".slipway/holds/3.2.0.json", string(text), "", false},
		"another's meanwhile": {".slipway/holds/3.2.10.json", string(text), "", true},
	} {
		t.Run(name, func(t *testing.T) {
			var r *rig
			var other string
			put := func() {
				write(t, filepath.Join(other, c.file), c.text)
				gitIn(t, other, "add", "-A")
				gitIn(t, other, "commit", "-q", "-m", "others")
				gitIn(t, other, "push", "-q", "origin", "main")
			}
			late := c.late
			r = newRig(t, gitd.Options{Update: func(_ context.Context, u *gitd.Update) error {
				if u.Ref == "refs/heads/main" && late {
					late = false
					put()
				}
				return nil
			}})
			other = filepath.Join(r.dir, "other")
			gitIn(t, r.dir, "clone", "-q", r.bare(), other)
			p, o := r.plan()
			o.Observe = func(rec pipeline.Record) {
				if rec.Step == TagID && rec.Event == pipeline.Done && !late {
					put()
				}
			}
			err := p.Run(t.Context(), o)
			if c.says == "" {
				must(t, err)
				r.right()
				return
			}
			if _, is := errors.AsType[*hold.Held](err); !is || !strings.Contains(err.Error(), c.says) || !strings.Contains(err.Error(), "; slipway hold 3.2.1 --lift --reason TEXT lifts it") {
				t.Fatalf("it is held, and the run says: %v", err)
			}
			if n := r.remote("rev-list", "--count", "--merges", "main"); n != "0" || r.last(MergeID).Event != pipeline.Failed {
				t.Errorf("%s merges; %+v", n, r.last(MergeID))
			}
			gitIn(t, other, "rm", "-q", "-r", ".slipway")
			gitIn(t, other, "commit", "-q", "-m", "lift")
			gitIn(t, other, "push", "-q", "origin", "main")
			must(t, r.run())
			r.right()
			if last := r.last(MergeID); last.Adopted || last.Receipt[pipeline.Marker] != last.Run {
				t.Errorf("the merge is not known as ours: %+v", last)
			}
		})
	}
}

// runUntil runs until a step is done, and stops the run there.
func (r *rig) runUntil(t *testing.T, id string) error {
	t.Helper()
	p, o := r.plan()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	seen := false
	o.Observe = func(rec pipeline.Record) {
		if rec.Step == id && rec.Event == pipeline.Done {
			seen = true
			cancel()
		}
	}
	if err := p.Run(ctx, o); err != nil && !errors.Is(err, context.Canceled) || !seen {
		return fmt.Errorf("did not come to %s: %w", id, err)
	}
	return nil
}

// TestCheck plants a fault each, sees it fail, and pass without it.
func TestCheck(t *testing.T) {
	for name, c := range map[string]struct {
		plant, mend func(r *rig)
		verdict     gate.Verdict
		want        string
	}{
		"a foreign branch": {
			func(r *rig) { r.publish("HEAD:refs/heads/release/v3.2.1") },
			func(r *rig) { r.remote("branch", "-D", "release/v3.2.1") }, gate.Fail, "branch release/v3.2.1 is",
		},
		"no branch to merge into": {
			func(r *rig) { r.remote("update-ref", "-d", "refs/heads/main") },
			func(r *rig) { r.publish("HEAD:refs/heads/main") }, gate.Fail, "no branch main",
		},
		"unreachable": {
			func(r *rig) { r.fault("upload-pack o/r: cut") },
			func(r *rig) { r.fault("") }, gate.Unknown, "",
		},
		"may not push": {
			func(r *rig) { r.fault("receive-pack o/r: refused") },
			func(r *rig) { r.fault("") }, gate.Fail, "does not let us in",
		},
		"no repository": {
			func(r *rig) { must(r.t, os.Rename(r.bare(), r.bare()+"-")) },
			func(r *rig) { must(r.t, os.Rename(r.bare()+"-", r.bare())) }, gate.Fail, "no such repository",
		},
		"unrelated history": {
			func(r *rig) {
				tree := r.remote("rev-parse", "main^{tree}")
				r.remote("update-ref", "refs/heads/main", r.remote("commit-tree", "-m", "x", tree))
			},
			func(r *rig) { r.remote("update-ref", "refs/heads/main", r.env.Commit) }, gate.Unknown, "",
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, gitd.Options{})
			c.plant(r)
			if err := r.run(); err == nil { // the gate's, or the branch's own
				t.Error("it ran")
			}
			e := r.evidence(CheckGit)
			if e.Verdict != c.verdict || !strings.Contains(e.Found, c.want) {
				t.Errorf("%+v", e)
			}
			if got := r.remoteRefs(); strings.Contains(got, "tags") {
				t.Errorf("something was tagged: %s", got)
			}
			c.mend(r)
			must(t, r.run())
			r.right()
		})
	}
}

// remoteRefs lists the remote's refs, if it is there.
func (r *rig) remoteRefs() string {
	out, _ := try(r.bare(), "for-each-ref", "--format=%(refname)")
	return out
}

// TestBorrow reads from repositories of all shapes.
func TestBorrow(t *testing.T) {
	for name, shape := range map[string]func(r *rig){
		"added worktree": func(r *rig) {
			gitIn(r.t, r.user, "worktree", "add", "-q", "--detach", filepath.Join(r.dir, "added"))
			r.user = filepath.Join(r.dir, "added")
		},
		"sparse, packed, odd name": func(r *rig) {
			gitIn(r.t, r.user, "sparse-checkout", "set", "lib")
			gitIn(r.t, r.user, "gc", "-q")
			must(r.t, os.Rename(r.user, filepath.Join(r.dir, `odd: "näme"`)))
			r.user = filepath.Join(r.dir, `odd: "näme"`)
		},
		"borrowing itself": func(r *rig) {
			gitIn(r.t, r.dir, "clone", "-q", "--shared", r.user, filepath.Join(r.dir, "clone"))
			r.user = filepath.Join(r.dir, "clone")
		},
		"shallow": func(r *rig) {
			gitIn(r.t, r.dir, "clone", "-q", "--depth", "1", "file://"+r.bare(), filepath.Join(r.dir, "clone"))
			r.user = filepath.Join(r.dir, "clone")
		},
		"foul settings": func(r *rig) {
			gitIn(r.t, r.user, "config", "merge.default", "union")
			gitIn(r.t, r.user, "config", "core.hooksPath", "/nonexistent")
			gitIn(r.t, r.user, "config", "url.file:///nonexistent/.insteadOf", "git@")
			gitIn(r.t, r.user, "config", "user.name", "Somebody Else")
			gitIn(r.t, r.user, "config", "commit.gpgSign", "true")
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, gitd.Options{})
			shape(r)
			r.o.RepoDir = r.user
			// Others have gone on, so that there is something to merge.
			tip := r.remote("rev-parse", "main")
			r.remote("update-ref", "refs/heads/main", r.remote("commit-tree", "-p", tip, "-m", "others", tip+"^{tree}"))
			must(t, r.run())
			r.right()
		})
	}
}

// TestExisting adopts the tag that people have made.
func TestExisting(t *testing.T) {
	r := newRig(t, gitd.Options{})
	r.c = Config{Remote: production, Tag: Existing}
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) || !strings.Contains(r.evidence(CheckGit).Found, "there is no tag v3.2.1") {
		t.Errorf("without a tag: %v", err)
	}
	gitIn(t, r.user, "tag", "v3.2.1")
	r.publish("v3.2.1")
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) || !strings.Contains(r.evidence(CheckGit).Found, "lightweight") {
		t.Errorf("with a lightweight tag: %v", err)
	}
	gitIn(t, r.user, "tag", "-f", "-a", "-m", "by hand", "v3.2.1")
	r.publish("+v3.2.1")
	must(t, r.run())
	if !r.last(TagID).Adopted {
		t.Error("the tag was not adopted")
	}
	must(t, r.unwind())
	if got := r.remote("for-each-ref", "--format=%(refname)"); got != "refs/heads/main\nrefs/tags/v3.2.1" {
		t.Errorf("the remote has %s", got)
	}
}

func TestValidate(t *testing.T) {
	for _, c := range []Config{
		{},
		{Remote: "https://github.com/o/r.git"},
		{Remote: production, KnownHosts: ".ci/known_hosts", KeyFile: "KEY"},
		{Branch: "rel-{{ .Version }}", TagName: "app-{{ .Version }}", MergeInto: "develop"},
		{Tag: Existing},
		{Tag: Create},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	for key, list := range map[string][]Config{
		"remote:":      {{Remote: "/srv/git"}, {Remote: "https://a:b@host/x"}, {Remote: "git@-x:y"}},
		"known_hosts:": {{KnownHosts: "../x"}, {KnownHosts: "/etc/x"}, {KnownHosts: "a\nb"}},
		"branch:":      {{Branch: "-x"}, {Branch: "a..b"}, {Branch: "{{ .Home }}"}, {Branch: "$(id)"}, {Branch: "a b"}, {Branch: "refs/heads/x"}, {Tag: Existing, Branch: "x"}},
		"tag_name:":    {{TagName: "v1"}, {TagName: "v{{ .Version }}{{ .Version }}"}, {TagName: "v{{ .Version }}.lock"}, {TagName: "`v{{ .Version }}`"}},
		"merge_into:":  {{MergeInto: "HEAD"}, {MergeInto: "a\nb"}, {MergeInto: "release/v1.2.3"}, {MergeInto: strings.Repeat("a", 40)}, {Tag: Existing, MergeInto: "main"}},
		"tag:":         {{Tag: "move"}},
	} {
		for _, c := range list {
			if err := c.Validate(); err == nil || !strings.HasPrefix(err.Error(), key) {
				t.Errorf("%+v: %v", c, err)
			}
		}
	}
}
