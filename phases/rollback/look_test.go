package rollback

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// asks is a phase of one step, which looks at the world as steps do.
type asks func(context.Context, *pipeline.Workspace) error

func (asks) Name() string { return "x" }

func (s asks) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) {
	return []pipeline.Step{s}, nil
}

func (asks) Spec() pipeline.Spec { return pipeline.Spec{ID: "x/y", Checks: []string{Standing, Older}} }

func (s asks) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	return nil, s(ctx, ws)
}

// look does something as a step does, and returns the evidence that it has reported.
func look(t *testing.T, e *endpoint.Endpoints, do asks) (all []pipeline.Evidence, err error) {
	t.Helper()
	p, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "3.2.1", Commit: strings.Repeat("b", 40)}, do)
	if err != nil {
		t.Fatal(err)
	}
	var j pipelinetest.Memory
	dir := t.TempDir()
	err = p.Run(t.Context(), pipeline.Options{Journal: &j, Endpoints: e, Jobs: 1, Dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}})
	for _, rec := range j.All() {
		all = append(all, rec.Evidence...)
	}
	return all, err
}

// TestLatest_OlderGone: behind the gate the older release is not public any more. That is a conflict, so that another
// rollback can take this one's place, and nothing was done.
func TestLatest_OlderGone(t *testing.T) {
	memory := twin.NewMemory()
	memory.Add("main", "first", twin.Signature{Name: "o", Email: "o@example.org", When: time.Unix(1e9, 0)}, map[string]string{"README.md": "hello\n"})
	server, err := twin.Start(context.WithoutCancel(t.Context()), twin.Options{
		Dir: t.TempDir(), Public: true, Repositories: []twin.Repository{{Owner: "o", Name: "r", Refs: memory}},
		Tokens: []twin.Token{{Value: "ghp_planted", Login: "o", Rights: twin.Maintainer()}},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { server.Close() })
	e := &endpoint.Endpoints{
		HTTP: twin.Transport(server.Listeners()), Clock: &endpoint.Hurried{}, Pace: -1,
		Token: func() (hub.Token, error) { return hub.NewToken("ghp_planted", "test") },
	}
	c, err := e.Hub("o", "r", "")
	if err != nil {
		t.Fatal(err)
	}
	ids := map[string]int64{}
	for _, tag := range []string{"v3.2.0", "v3.2.1"} {
		draft, err := c.EnsureDraft(t.Context(), hub.Draft{Tag: tag, Commit: "main", Title: tag, Marker: hub.Marker(tag)})
		if err == nil {
			_, err = c.Publish(t.Context(), draft.ID, hub.Publication{Title: tag, Body: hub.Marker(tag), Latest: true})
		}
		if err != nil {
			t.Fatal(err)
		}
		ids[tag] = draft.ID
	}
	o := whole()
	o.Facts.ReleaseID = ids["v3.2.1"]
	l := latest{&phase{o}, pipeline.Spec{}}
	probe := func(ctx context.Context, ws *pipeline.Workspace) error {
		r, err := l.Probe(ctx, ws)
		if r != nil {
			t.Errorf("done already: %v", r)
		}
		return err
	}
	act := func(ctx context.Context, ws *pipeline.Workspace) error { _, err := l.Run(ctx, ws); return err }
	if _, err := look(t, e, probe); err != nil {
		t.Fatalf("while it is public: %v", err)
	}
	if _, err := c.Retract(t.Context(), ids["v3.2.0"], hub.Marker("other")); err != nil {
		t.Fatal(err)
	}
	for _, do := range []asks{probe, act} {
		_, err := look(t, e, do)
		if !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), "release v3.2.0 is not public any more: name another version with --to") {
			t.Errorf("got %v", err)
		}
	}
	if _, err := look(t, e, act); !errors.Is(err, pipeline.ErrUntouched) {
		t.Errorf("got %v", err)
	}
	seen, _ := look(t, e, func(ctx context.Context, ws *pipeline.Workspace) error {
		_, err := older{&phase{o}, pipeline.Spec{}}.Run(ctx, ws)
		return err
	})
	if !says(seen, Older, gate.Fail, "there is no public release v3.2.0: name another version with --to, or say --to none where no older release is public") {
		t.Errorf("%+v", seen)
	}
}

// says tells that a check has that verdict, with words that contain these.
func says(all []pipeline.Evidence, check string, v gate.Verdict, words ...string) bool {
	for _, e := range all {
		if e.Check != check {
			continue
		}
		for _, w := range words {
			if !strings.Contains(e.Summary, w) {
				return false
			}
		}
		return e.Verdict == v
	}
	return false
}

// TestStanding_CannotCommit: that this machine cannot sign, or may not push, is known before the gate, with the way without
// the branch; that the branch cannot be looked at right now is no such reason.
func TestStanding_CannotCommit(t *testing.T) {
	auth, down := fmt.Errorf("cannot reach it: %w", gitremote.ErrAuth), errors.New("it is down")
	for _, c := range []struct {
		name      string
		git, sign error
		verdict   gate.Verdict
		words     []string
	}{
		{"no key for the remote", auth, nil, gate.Fail, []string{"does not let us in; leave levels git and hold out"}},
		{"no key to sign with", down, errors.New("cannot sign: there is no ssh-agent"), gate.Fail, []string{"cannot sign: there is no ssh-agent; leave levels git and hold out"}},
		{"neither", auth, errors.New("cannot sign: there is no ssh-agent"), gate.Fail, []string{"there is no ssh-agent; leave", "does not let us in; leave"}},
		{"down", down, nil, gate.Unknown, []string{"it is down"}},
	} {
		o := whole()
		o.GitHub, o.Older = false, ""
		o.Branch.Sign = &endpoint.Signing{Format: "ssh"}
		e := &endpoint.Endpoints{
			Git:    func(context.Context, gitremote.Remote) (gitremote.Access, error) { return gitremote.Access{}, c.git },
			Signer: func(context.Context, endpoint.Signing) (gitremote.Signer, error) { return nil, c.sign },
		}
		seen, _ := look(t, e, func(ctx context.Context, ws *pipeline.Workspace) error {
			_, err := standing{&phase{o}, pipeline.Spec{}}.Run(ctx, ws)
			return err
		})
		if !says(seen, Standing, c.verdict, c.words...) || c.verdict != gate.Fail && says(seen, Standing, c.verdict, "leave levels") {
			t.Errorf("%s: %+v", c.name, seen)
		}
	}
}
