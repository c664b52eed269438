package cli

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// made reads a journal in which all steps are done.
func made(t *testing.T, version string, specs []pipeline.Spec, receipts map[string]pipeline.Receipt, beside ...*phases.Released) *phases.Released {
	t.Helper()
	env := pipeline.Env{Project: "hello", Version: version}
	p := &pipeline.Plan{Env: env, Specs: specs, Digest: gate.Sum(env, specs)}
	j := new(pipelinetest.Memory)
	add := func(rec pipeline.Record) {
		rec.Run, rec.Plan = "r", p.Digest
		if err := j.Append(rec); err != nil {
			t.Fatal(err)
		}
	}
	add(pipeline.Record{Event: pipeline.Begin, Planned: p})
	for _, sp := range specs {
		add(pipeline.Record{Event: pipeline.Done, Step: sp.ID, Spec: gate.Sum(sp), Receipt: receipts[sp.ID]})
	}
	r, err := phases.ReadReleased(j, beside...)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// TestNotices: each kind of user reads of the version that they have, and of a file that is there.
func TestNotices(t *testing.T) {
	specs := []pipeline.Spec{
		{ID: "build/deb/hello/amd64", Outputs: []string{"hello_3.2.1~rc.1_amd64.deb"}, Params: map[string]string{"version": "1:3.2.1~rc.1-1"}},
		{ID: "build/appimage/hello/amd64", Outputs: []string{"hello-3.2.1-x86_64.AppImage"}},
		{ID: "build/tarball/hello/amd64", Outputs: []string{"hello-3.2.1-x86_64.tar.gz", "work/x.tar.gz"}},
		{ID: "aur/push/hello-bin", Effect: pipeline.Permanent},
		{ID: "aur/push/other-bin", Effect: pipeline.Permanent},
	}
	receipts := map[string]pipeline.Receipt{"aur/push/hello-bin": {"version": "3.2.1-1"}, "aur/push/other-bin": {"version": "3.2.1-1"}}
	back := made(t, "3.2.1", []pipeline.Spec{{ID: "rollback/push/hello-bin", Effect: pipeline.Permanent}}, map[string]pipeline.Receipt{"rollback/push/hello-bin": {"version": "3.2.1+really3.2.0-1"}})
	back.Name = "rollback-1"
	back.Done["rollback/older"] = pipeline.Record{Evidence: []pipeline.Evidence{{Subjects: map[string]string{"hello-3.2.0-x86_64.tar.gz": "x", "SHA256SUMS": "y"}}}}
	released := made(t, "3.2.1+7", specs, receipts, back)
	var got []string
	for _, n := range notices(released, back, &phases.Rollback{To: "3.2.0", Page: "https://example.org/3.2.0"}) {
		got = append(got, strings.Join([]string{n.Format, n.Package, n.Bad, n.Version, n.File}, " "))
	}
	want := []string{
		"aur hello-bin 3.2.1-1 3.2.1+really3.2.0-1 ",
		"aur other-bin 3.2.1-1  ",
		"Debian and Ubuntu hello 1:3.2.1~rc.1-1 3.2.0 hello_3.2.0~rc.1_amd64.deb", // the older one has no such file: its page is named
		"AppImages hello  3.2.0 hello-3.2.0-x86_64.AppImage",
		"tarball hello   hello-3.2.0-x86_64.tar.gz",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	for _, n := range notices(released, made(t, "3.2.1", nil, nil), &phases.Rollback{To: "3.2.0"}) { // nobody has looked
		if n.Format == "deb" || n.Format == "appimage" || n.Format == "tarball" {
			t.Errorf("unseen: %+v", n)
		}
	}
	for _, n := range notices(released, made(t, "3.2.1", nil, nil), &phases.Rollback{}) {
		if n.File != "" || n.URL != "" && n.Format != "aur" {
			t.Errorf("without an older version: %+v", n)
		}
	}
}

// TestMeans: what the dry run explains is what the plan does.
func TestMeans(t *testing.T) {
	all := []string{"aur", "github", "git", "hold"}
	for _, c := range []struct {
		name      string
		r         phases.Rollback
		want, not []string
	}{
		{"plain", phases.Rollback{To: "3.2.0", Levels: all, Latest: true}, []string{"becomes a draft again and keeps its assets", "the latest release is 3.2.0", "the tag stays"}, []string{"epoch", "deleted with"}},
		{"no older", phases.Rollback{Levels: all[1:]}, []string{"becomes a draft"}, []string{"the latest release is"}},
		{"deleted", phases.Rollback{To: "3.2.0", Levels: all, Asked: phases.RollbackOptions{Delete: true, DeleteTag: true}}, []string{"that is deleted with its assets", "the tag is deleted at the remote", "Go module proxy keep the tag"}, []string{"keeps its assets", "the tag stays"}},
		{"epoch", phases.Rollback{To: "3.2.0", Levels: all, Asked: phases.RollbackOptions{Epoch: true}}, []string{"the epoch raised", "for ever"}, []string{"a higher version"}},
		{"kept", phases.Rollback{To: "3.2.0", Levels: all[1:], Keeps: []string{"hello-bin"}}, []string{"it stays public, a prerelease with a notice", "hello-bin in the AUR downloads its files"}, []string{"becomes a draft", "revert the AUR"}},
	} {
		var text strings.Builder
		for _, m := range means(&c.r) {
			text.WriteString(m.Level + ": " + m.Does + ": " + m.Why + "\n")
		}
		for _, want := range c.want {
			if !strings.Contains(text.String(), want) {
				t.Errorf("%s: want %q in\n%s", c.name, want, text.String())
			}
		}
		for _, not := range c.not {
			if strings.Contains(text.String(), not) {
				t.Errorf("%s: found %q in\n%s", c.name, not, text.String())
			}
		}
	}
}

// TestRollbackWords: a command that is shown is the one that is meant, whatever the reason holds.
func TestRollbackWords(t *testing.T) {
	a := &app{dir: "."}
	o := phases.RollbackOptions{To: "3.2.0", Levels: []string{"aur", "hold"}, Without: []string{"x-bin"}, Epoch: true, Delete: true, DeleteTag: true, Reason: "it's $(id) -x"}
	want := `slipway rollback 3.2.1 --to 3.2.0 --level aur,hold --without x-bin --epoch --delete --delete-tag --reason 'it'\''s $(id) -x' --amend`
	if got := a.command(rollbackWords("3.2.1", o, "--amend")...); got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := a.command(rollbackWords("3.2.1", phases.RollbackOptions{})...); got != "slipway rollback 3.2.1" {
		t.Error(got)
	}
}

// TestWaysOut_None: no error is made up, and none lost.
func TestWaysOut_None(t *testing.T) {
	if (&app{dir: "."}).waysOut(nil, "3.2.1", nil, nil) != nil || !errors.Is((&app{}).waysOut(errInterrupted, "3.2.1", nil, nil), errInterrupted) {
		t.Error("an error is made up, or lost")
	}
}

// TestWaysOut_Gated: a gate may stay closed for something else than what would be deleted.
func TestWaysOut_Gated(t *testing.T) {
	r := &release{dir: t.TempDir(), plan: &pipeline.Plan{}}
	for _, c := range []struct {
		asked phases.RollbackOptions
		want  []string
	}{
		{phases.RollbackOptions{To: "3.2.0"}, []string{"fewer levels: slipway rollback 3.2.1 --to 3.2.0 --amend"}},
		{phases.RollbackOptions{To: "3.2.0", Delete: true}, []string{"without deleting anything: slipway rollback 3.2.1 --to 3.2.0 --amend\n", "or with another version or fewer levels"}},
	} {
		stopped := &pipeline.GateError{State: gate.State{Blocks: []gate.Block{{Kind: "failed"}}}}
		err := (&app{dir: "."}).waysOut(stopped, "3.2.1", r, &phases.Rollback{Asked: c.asked})
		_, hint := exit(err)
		for _, want := range c.want {
			if !strings.Contains(hint, want) {
				t.Errorf("want %q in\n%s", want, hint)
			}
		}
	}
}

// TestLeftOut: what a refusal names as the way without it is what its command leaves out, with all that belongs to it.
func TestLeftOut(t *testing.T) {
	all := phases.RollbackLevels
	for _, c := range []struct {
		says, want string
		levels     []string
	}{
		{"x; or leave level git out", "--to 3.2.0 --level aur,github,hold --epoch --delete", all},
		{"leave levels git and hold out", "--to 3.2.0 --level aur,github --epoch --delete", all},
		{"or leave level aur out", "--to 3.2.0 --level github,git,hold", all},
		{"or leave level github out", "--to 3.2.0 --level aur,git,hold --epoch", all},
		{"or leave level hold out", "--to 3.2.0 --level github,git --delete --delete-tag", []string{"github", "git", "hold"}},
		{"name another version with --to", "--to OLDER --epoch --delete --delete-tag", all},
		{"b-bin is orphaned; or roll back without it: --without b-bin", "--to 3.2.0 --without b-bin --epoch", all},
		{"--without b-bin; --without b-bin", "--to 3.2.0 --without b-bin --epoch", all},
		{"it is gone", "", all},
		{"leave level hold out", "", []string{"hold"}},
	} {
		o := phases.RollbackOptions{To: "3.2.0", Epoch: slices.Contains(c.levels, "aur"), Delete: true, DeleteTag: true}
		s := gate.State{Blocks: []gate.Block{{Kind: "failed", Why: c.says}}}
		got := ""
		if leftOut(s, &o, c.levels, 2) {
			got = strings.TrimPrefix((&app{dir: "."}).command(rollbackWords("V", o)...), "slipway rollback V ")
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.says, got, c.want)
		}
	}
}

// TestOnly: what was not waited for stays so, as long as its level is taken.
func TestOnly(t *testing.T) {
	for _, c := range []struct{ planned, levels, want string }{
		{"github,git,hold", "github", "x-bin"}, {"github,git,hold", "git,hold", ""}, {"aur,github,git,hold", "github,git,hold", ""}, {"aur,github,git,hold", "aur,git,hold", "x-bin"},
	} {
		o := phases.RollbackOptions{Without: []string{"x-bin"}}
		only(&o, strings.Split(c.planned, ","), strings.Split(c.levels, ","))
		if got := strings.Join(o.Without, ","); got != c.want {
			t.Errorf("%s of %s: %q, want %q", c.levels, c.planned, got, c.want)
		}
	}
}

// TestLeftOut_All: where no package is left, it is the level that is left out.
func TestLeftOut_All(t *testing.T) {
	o := phases.RollbackOptions{To: "3.2.0"}
	s := gate.State{Blocks: []gate.Block{{Why: "roll back without it: --without a-bin"}, {Why: "roll back without it: --without b-bin."}}}
	if !leftOut(s, &o, phases.RollbackLevels, 2) || len(o.Without) > 0 || strings.Join(o.Levels, ",") != "github,git,hold" {
		t.Errorf("%+v", o)
	}
}

// TestBecameOf: the report names the release that was found to be the latest, not the one that was meant.
func TestBecameOf(t *testing.T) {
	s := &pipeline.Survey{Steps: []pipeline.StepState{
		{Spec: pipeline.Spec{ID: "rollback/withdraw"}, Last: pipeline.Record{Receipt: pipeline.Receipt{"state": "gone"}}},
		{Spec: pipeline.Spec{ID: "rollback/latest"}, Last: pipeline.Record{Receipt: pipeline.Receipt{"latest": "v3.3.0"}}},
	}}
	if got := becameOf(s, &phases.Rollback{To: "3.2.0", Latest: true}); got != "it is gone, with its files; the latest release is v3.3.0" {
		t.Error(got)
	}
}
