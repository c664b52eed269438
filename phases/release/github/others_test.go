package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/hub"
	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// TestForeignersStopTheRun has something of somebody else's with the tag: the run stops with its id, and neither running
// again nor unwinding touches it.
func TestForeignersStopTheRun(t *testing.T) {
	for name, body := range map[string]string{
		"a draft":              `{"tag_name":"v1.2.3","draft":true,"body":"by hand"}`,
		"a release":            `{"tag_name":"v1.2.3","body":"by hand"}`,
		"another run's draft":  `{"tag_name":"v1.2.3","draft":true,"body":"<!-- slipway 0123456789abcdef -->"}`,
		"a draft with our tag": `{"tag_name":"v1.2.3","draft":true}`,
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			id := s.person("POST", "/releases", body)
			m := s.manager()
			for range 2 {
				err := m.run()
				if !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), fmt.Sprint(id)) {
					t.Fatalf("error %v, want a conflict with id %d", err, id)
				}
			}
			if e := m.evidence(Ready); e.Verdict != gate.Fail || !strings.Contains(e.Found, fmt.Sprint(id)) {
				t.Errorf("evidence %+v", e)
			}
			if err := m.unwind(); err != nil {
				t.Fatal(err)
			}
			all := s.twin.History(owner, repo).Last().Releases
			if len(all) != 1 || all[0].ID != id {
				t.Errorf("releases are %+v", all)
			}
		})
	}
}

// TestTwoManagersAtOnce start at the same moment: one publishes, the other is told of a conflict, and its unwinding
// takes away nothing of the winner's.
func TestTwoManagersAtOnce(t *testing.T) {
	rounds := 6
	if long() {
		rounds = 200
	}
	for i := range rounds {
		var meet sync.WaitGroup // both have looked, and found nothing, before either makes its draft
		meet.Add(2)
		var posts atomic.Int32
		s := newStage(t, func(o *twin.Options) {
			o.Arrived = func(r twin.Request) {
				if r.Method == "POST" && strings.HasSuffix(r.Path, "/releases") && posts.Add(1) <= 2 {
					meet.Done()
					meet.Wait()
				}
			}
		}).quick()
		managers := []*manager{s.manager(), s.manager()}
		errs := make([]error, 2)
		var wg sync.WaitGroup
		for k, m := range managers {
			p, err := m.plan(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			o := m.options()
			wg.Go(func() { errs[k] = p.Run(t.Context(), o) })
		}
		wg.Wait()
		won := 0
		for _, err := range errs {
			if err == nil {
				won++
			} else if !errors.Is(err, pipeline.ErrConflict) {
				t.Errorf("round %d: the loser's error is %v", i, err)
			}
		}
		if won != 1 {
			t.Fatalf("round %d: %d won: %v", i, won, errs)
		}
		s.ended()
		for k, m := range managers {
			if errs[k] == nil {
				continue
			}
			for range 2 {
				// Undoing may stop at the conflict; what it must not do is take away the winner's.
				if err := m.unwind(); err != nil && !errors.Is(err, pipeline.ErrConflict) {
					t.Errorf("round %d: the loser's unwinding: %v", i, err)
				}
			}
			if err := m.run(); !errors.Is(err, pipeline.ErrConflict) {
				t.Errorf("round %d: the loser's second try: %v", i, err)
			}
		}
		s.ended()
	}
}

// stopped runs up to the tag, which cannot be made.
func stopped(t *testing.T, change ...func(*twin.Options)) (*stage, *manager) {
	t.Helper()
	s := newStage(t, change...)
	plan, err := twin.ParseFaults("GET api:/repos/*/*/git/matching-refs/**: 401")
	if err == nil {
		err = s.twin.SetFaults(plan)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := s.manager()
	if err := m.run(); err == nil {
		t.Fatal("the tag was made")
	}
	if err := s.twin.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	if rel := s.last(); !rel.Draft || len(rel.Assets) != len(s.want()) {
		t.Fatalf("the draft is %+v", rel)
	}
	return s, m
}

func TestUnwind(t *testing.T) {
	t.Run("everything goes", func(t *testing.T) {
		s, m := stopped(t)
		for range 2 {
			if err := m.unwind(); err != nil {
				t.Fatal(err)
			}
		}
		if all := s.twin.History(owner, repo).Last(); len(all.Releases) != 0 || len(all.Tags) != 0 {
			t.Errorf("left are %+v", all)
		}
		if err := m.run(); err != nil {
			t.Fatal("again:", err)
		}
		s.ended()
	})
	refused := map[string]struct {
		harm func(s *stage, m *manager, rel string)
		want string
	}{
		"somebody's asset": {func(s *stage, _ *manager, rel string) {
			s.person("POST", "/releases/"+rel+"/assets?name=theirs.txt", "theirs")
		}, "somebody put theirs.txt into it"},
		"other bytes under our name": {func(s *stage, m *manager, rel string) {
			s.person("DELETE", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), "")
			s.person("POST", "/releases/"+rel+"/assets?name=SHA256SUMS", "theirs")
		}, "somebody put SHA256SUMS into it"},
		"a renamed asset": {func(s *stage, m *manager, _ string) {
			s.person("PATCH", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), `{"name":"SUMS"}`)
		}, "other bytes"},
		"published by hand": {func(s *stage, _ *manager, rel string) {
			s.person("PATCH", "/releases/"+rel, `{"draft":false}`)
		}, "from the published release"},
		"without marker": {func(s *stage, _ *manager, rel string) { s.person("PATCH", "/releases/"+rel, `{"body":"mine"}`) }, "has lost its marker"},
		"without right": {func(s *stage, _ *manager, _ string) {
			reader := maintainer()
			reader.Rights = map[twin.Right]twin.Level{twin.Contents: twin.Read}
			s.twin.SetTokens([]twin.Token{reader})
		}, "may not push"},
	}
	for name, c := range refused {
		t.Run(name, func(t *testing.T) {
			s, m := stopped(t)
			c.harm(s, m, m.receipt(DraftID, "id"))
			for range 2 {
				if err := m.unwind(); err == nil || !strings.Contains(err.Error(), c.want) {
					t.Fatalf("error %v, want %q", err, c.want)
				}
			}
			if len(s.twin.History(owner, repo).Last().Releases) != 1 {
				t.Error("the release is gone")
			}
		})
	}
	t.Run("a published release stays", func(t *testing.T) {
		s := newStage(t)
		m := s.manager()
		if err := m.run(); err != nil {
			t.Fatal(err)
		}
		if err := m.unwind(); !errors.Is(err, pipeline.ErrPermanent) {
			t.Errorf("error %v", err)
		}
		s.ended()
	})
	// The power went after publishing, and then somebody edited the notes: that is in the way of the run, and it is public,
	// so nothing that came before it is taken back.
	for name, notes := range map[string]string{"edited": "a word more\n\n", "without our marker": ""} {
		t.Run("a published release stays, in doubt and "+name, func(t *testing.T) {
			s := newStage(t)
			m := s.manager()
			if err := m.run(); err != nil {
				t.Fatal(err)
			}
			cut := new(pipelinetest.Memory)
			for r := range m.journal.Records() {
				if r.Step == PublishID && r.Event == pipeline.Done {
					break
				}
				if err := cut.Append(r); err != nil {
					t.Fatal(err)
				}
			}
			m.journal = cut
			rel := s.twin.History(owner, repo).Last().Releases[0]
			if notes != "" {
				notes += rel.Body
			}
			body, err := json.Marshal(map[string]string{"body": notes})
			if err != nil {
				t.Fatal(err)
			}
			s.person("PATCH", "/releases/"+m.receipt(DraftID, "id"), string(body))
			for range 2 {
				if err := m.run(); !errors.Is(err, pipeline.ErrConflict) {
					t.Errorf("a run: %v", err)
				}
				if err := m.unwind(); !errors.Is(err, pipeline.ErrPermanent) {
					t.Errorf("unwinding: %v", err)
				}
			}
			if now := s.twin.History(owner, repo).Last().Releases; len(now) != 1 || now[0].Draft || len(now[0].Assets) != len(rel.Assets) {
				t.Errorf("what users had is gone: %+v", now)
			}
		})
	}
	t.Run("what is gone is undone", func(t *testing.T) {
		s, m := stopped(t)
		s.person("DELETE", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), "")
		if err := m.unwind(); err != nil {
			t.Error(err)
		}
		s, m = stopped(t)
		s.person("DELETE", "/releases/"+m.receipt(DraftID, "id"), "")
		if err := m.unwind(); err != nil {
			t.Error(err)
		}
	})
}

func TestImmutableReleases(t *testing.T) {
	immutable := func(o *twin.Options) { o.Repositories[0].Immutable = true }
	s, m := stopped(t, immutable)
	e := m.evidence(Ready)
	if e.Verdict != gate.Pass || !strings.Contains(e.Summary, "can never be used again") {
		t.Errorf("before publishing the evidence is %+v", e)
	}
	if err := m.run(); err != nil {
		t.Fatal(err)
	}
	s.ended()
	if !s.last().Immutable {
		t.Fatal("it is not immutable")
	}
	next := s.manager() // somebody tries once more
	if err := next.run(); !errors.Is(err, pipeline.ErrConflict) {
		t.Errorf("another run: %v", err)
	}
	if e := next.evidence(Ready); e.Verdict != gate.Fail || !strings.Contains(e.Found, "immutable (id") {
		t.Errorf("evidence %+v", e)
	}
	s.person("DELETE", fmt.Sprintf("/releases/%d", s.last().ID), "")
	burned := s.manager()
	err := burned.run()
	if !errors.Is(err, hub.ErrBurned) || !strings.Contains(err.Error(), "release another version") {
		t.Errorf("with a burned tag: %v", err)
	}
}

// TestBurnedMeanwhile has somebody burn the tag between our draft and publishing it.
func TestBurnedMeanwhile(t *testing.T) {
	s := newStage(t, func(o *twin.Options) { o.Repositories[0].Immutable = true })
	m := s.manager()
	m.seen = func(r pipeline.Record) {
		if r.Step == "release/tag" && r.Event == pipeline.Done {
			id := s.person("POST", "/releases", `{"tag_name":"v1.2.3"}`)
			s.person("DELETE", fmt.Sprintf("/releases/%d", id), "")
		}
	}
	if err := m.run(); !errors.Is(err, hub.ErrBurned) {
		t.Errorf("error %v", err)
	}
	if !s.last().Draft {
		t.Error("published")
	}
}

// hidden answers 404 on github.com for a while.
type hidden struct {
	http.RoundTripper
	mu   *sync.Mutex
	left *int
}

func (h hidden) RoundTrip(r *http.Request) (*http.Response, error) {
	h.mu.Lock()
	hide := r.URL.Host == "github.com" && *h.left > 0
	if hide {
		*h.left--
	}
	h.mu.Unlock()
	if hide {
		r = r.Clone(r.Context())
		r.URL.Path = "/octo/app/releases/download/v0/none"
	}
	return h.RoundTripper.RoundTrip(r)
}

// TestLateDownloads waits as long as it is told, and then does not know.
func TestLateDownloads(t *testing.T) {
	for left, want := range map[int]gate.Verdict{3: gate.Pass, 1 << 20: gate.Unknown} {
		s := newStage(t)
		s.http = hidden{s.http, new(sync.Mutex), &left}
		m := s.manager()
		before := s.clock.Now()
		err := m.run()
		if e := m.evidence(Public); e.Verdict != want || (err == nil) != (want == gate.Pass) {
			t.Errorf("%v, evidence %+v", err, e)
		}
		if took := s.clock.Now().Sub(before); took > time.Hour {
			t.Errorf("it waited %s", took)
		}
		left = 0
		if err := m.run(); err != nil {
			t.Error("later:", err)
		}
		s.ended()
	}
}

// TestLatest has an older release that is the latest.
func TestLatest(t *testing.T) {
	for name, c := range map[string]struct{ prerelease, latest bool }{"newest": {false, true}, "of an older line": {false, false}, "prerelease": {true, false}} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			by := twin.Signature{Name: "octo", Email: "octo@example.invalid", When: time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC)}
			s.memory.Add("old", "old", by, nil)
			old := s.person("POST", "/releases", `{"tag_name":"v1.0.0","target_commitish":"old"}`)
			s.Prerelease, s.Latest = c.prerelease, c.latest
			m := s.manager()
			if err := m.run(); err != nil {
				t.Fatal(err)
			}
			if e := m.evidence(Latest); e.Verdict != gate.Pass {
				t.Errorf("evidence %+v", e)
			}
			for _, rel := range s.twin.History(owner, repo).Last().Releases {
				if want := (rel.ID == old) != c.latest; rel.Latest != want || rel.Draft {
					t.Errorf("release %s is %+v", rel.Tag, rel)
				}
			}
		})
	}
	t.Run("somebody was quicker", func(t *testing.T) {
		s := newStage(t)
		m := s.manager()
		m.seen = func(r pipeline.Record) {
			if r.Step == PublishID && r.Event == pipeline.Done {
				s.person("POST", "/releases", `{"tag_name":"v9.0.0","make_latest":"true"}`)
			}
		}
		if err := m.run(); !errors.Is(err, pipeline.ErrGate) {
			t.Errorf("error %v", err)
		}
		if e := m.evidence(Latest); e.Verdict != gate.Fail || !strings.Contains(e.Summary, "v9.0.0") {
			t.Errorf("evidence %+v", e)
		}
	})
}

func TestEnterprise(t *testing.T) {
	s := newStage(t, func(o *twin.Options) { o.Enterprise = "git.example.com" })
	s.Config.BaseURL = "https://git.example.com/api/v3/"
	s.Config.Title = "{{ .Project }} at work"
	r, err := s.release()
	if err != nil {
		t.Fatal(err)
	}
	if got := r.URL("a"); got != "https://git.example.com/octo/app/releases/download/v1.2.3/a" {
		t.Error(got)
	}
	if r.target != "git.example.com/octo/app release v1.2.3" {
		t.Error(r.target)
	}
	m := s.manager()
	// The test's own tag step knows github.com alone.
	plan, err := pipeline.NewPlan(t.Context(), s.env(), phase{"build", s.build}, phase{"release", func() ([]pipeline.Step, error) {
		list, err := s.steps()
		for i, st := range list {
			if old, ok := st.(tagStep); ok {
				list[i] = memoryTag{old, s}
			}
		}
		return list, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := plan.Run(t.Context(), m.options()); err != nil {
		t.Fatal(err)
	}
	s.ended()
	if ghe := (Config{BaseURL: "https://api.sub.ghe.com/"}).web(); ghe != "https://sub.ghe.com/" {
		t.Error(ghe)
	}
}

// memoryTag makes the tag where the twin keeps it.
type memoryTag struct {
	tagStep
	s *stage
}

func (memoryTag) Probe(ctx context.Context, _ *pipeline.Workspace) (pipeline.Receipt, error) {
	return nil, ctx.Err()
}

func (m memoryTag) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	tag, err := m.s.memory.CreateTagObject(ctx, twin.Tag{Name: tagName, Message: ws.Run, Target: twin.Object{SHA: m.s.Commit, Type: "commit"}})
	if err != nil {
		return nil, err
	}
	return pipeline.Receipt{pipeline.Marker: ws.Run}, m.s.memory.Create(ctx, "refs/tags/"+tagName, tag.SHA)
}

// TestWithoutToken looks at nothing, and says how to give one.
func TestWithoutToken(t *testing.T) {
	s := newStage(t)
	s.tokenOf = func() string { return "" }
	m := s.manager()
	if err := m.run(); err == nil || !strings.Contains(err.Error(), "GITHUB_TOKEN") {
		t.Errorf("error %v", err)
	}
	if e := m.evidence(Ready); e.Verdict != gate.Unknown || !strings.Contains(e.Summary, "GITHUB_TOKEN") {
		t.Errorf("evidence %+v", e)
	}
	if n := len(s.twin.Requests()); n != 0 {
		t.Errorf("%d requests", n)
	}
}

// TestRights says what the token lacks before anything is built upon it.
func TestRights(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*twin.Token)
		want   string
	}{
		"reader":  {func(k *twin.Token) { k.Rights = map[twin.Right]twin.Level{twin.Contents: twin.Read} }, "may not push to octo/app"},
		"expired": {func(k *twin.Token) { k.Expires = time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }, "the token is not valid"},
		"robot": {func(k *twin.Token) {
			k.Kind, k.Rights = twin.Installation, map[twin.Right]twin.Level{twin.Contents: twin.Write}
		}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, func(o *twin.Options) { c.change(&o.Tokens[0]) })
			m := s.manager()
			err := m.run()
			e := m.evidence(Ready)
			if c.want == "" {
				if err != nil || e.Verdict != gate.Pass || !strings.Contains(e.Summary, "an app") {
					t.Errorf("%v, evidence %+v", err, e)
				}
				return
			}
			if err == nil || e.Verdict != gate.Fail || !strings.Contains(e.Found, c.want) {
				t.Errorf("%v, evidence %+v", err, e)
			}
		})
	}
}

// TestHardToSend tells what GitHub would not take before anything is sent.
func TestHardToSend(t *testing.T) {
	for name, c := range map[string]struct {
		change func(*script)
		want   string
	}{
		"empty":      {func(s *script) { s.Files["empty.txt"] = "" }, "empty.txt is empty"},
		"long notes": {func(s *script) { s.Notes = strings.Repeat("é", maxNotes) }, "shorten them"},
		"huge notes": {func(s *script) { s.Notes = strings.Repeat("é", 2*maxNotes+1) }, "shorten them"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			c.change(&s.script)
			m := s.manager()
			if err := m.run(); err == nil {
				t.Error("it went through")
			}
			if e := m.evidence(Ready); e.Verdict != gate.Fail || !strings.Contains(e.Found, c.want) {
				t.Errorf("evidence %+v", e)
			}
			for _, state := range s.twin.History(owner, repo) {
				for _, rel := range state.Releases {
					if !rel.Draft {
						t.Fatal("published")
					}
				}
			}
		})
	}
}
