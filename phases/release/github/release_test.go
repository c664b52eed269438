package github

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/hub"
	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// person does something to the repository that is no work of slipway's, and returns the id of what it made.
func (s *stage) person(method, to, content string) int64 {
	s.t.Helper()
	base := "https://api.github.com/"
	if strings.Contains(to, "assets?name=") {
		base = "https://uploads.github.com/"
	}
	q, err := http.NewRequestWithContext(s.t.Context(), method, base+"repos/"+owner+"/"+repo+to, strings.NewReader(content))
	if err != nil {
		s.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer "+secret)
	resp, err := s.twin.Transport().RoundTrip(q)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode >= 300 {
		s.t.Fatal(resp.Status, string(b), err)
	}
	var made struct{ ID int64 }
	_ = json.Unmarshal(b, &made) // some answers are empty
	return made.ID
}

func (s *stage) last() *twin.ReleaseState {
	s.t.Helper()
	all := s.twin.History(owner, repo).Last().Releases
	if len(all) == 0 {
		s.t.Fatal("there is no release")
	}
	return all[len(all)-1]
}

func TestWholeRelease(t *testing.T) {
	s := newStage(t)
	m := s.manager()
	through := map[string][2]int64{}
	m.seen = func(r pipeline.Record) {
		if r.Event == pipeline.Progress && r.Total > 0 {
			through[r.Step] = [2]int64{r.Bytes, r.Total}
		}
	}
	if err := m.run(); err != nil {
		t.Fatal(err)
	}
	s.ended()
	n := len(s.twin.Requests())
	if err := m.run(); err != nil {
		t.Fatal(err)
	}
	if more := len(s.twin.Requests()) - n; more != 0 {
		t.Errorf("a second run sent %d requests", more)
	}
	for _, check := range []string{Ready, Assets, Public, Latest} {
		if e := m.evidence(check); e.Verdict != gate.Pass || e.Summary == "" || e.Expected == "" {
			t.Errorf("%s: %+v", check, e)
		}
	}
	for _, check := range []string{Assets, Public} {
		if e := m.evidence(check); !maps.Equal(e.Subjects, s.want()) {
			t.Errorf("%s names %v, want %v", check, e.Subjects, s.want())
		}
	}
	for name, content := range s.Files {
		if got := through[AssetID+name]; got != [2]int64{int64(len(content)), int64(len(content))} {
			t.Errorf("progress of %s ended at %v", name, got)
		}
	}
	for _, r := range s.twin.Requests() {
		if (r.Host == "web" || r.Host == "downloads") && r.Authorized {
			t.Errorf("%s %s was shown the token", r.Host, r.Path)
		}
	}
	p, err := m.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	all := fmt.Sprint(p.Specs)
	for r := range m.journal.Records() {
		b, err := json.Marshal(r)
		if err != nil {
			t.Fatal(err)
		}
		all += string(b)
	}
	for _, never := range []string{secret, "127.0.0.", "localhost"} {
		if strings.Contains(all, never) {
			t.Errorf("%q stands in plan or journal", never)
		}
	}
}

func TestContract(t *testing.T) {
	var s *stage
	reset := func() { s = newStage(t).quick() }
	reset()
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env:    s.env(),
		Phases: func() []pipeline.Phase { return []pipeline.Phase{phase{"build", s.build}, phase{"release", s.steps}} },
		Options: func() pipeline.Options {
			return pipeline.Options{Endpoints: s.endpoints(), Jobs: 2}
		},
		Reset: reset, Crashes: 6,
	})
}

// The bytes that the world gets are compared with the planned ones, not with what the server says of them.
func TestFailure_002_PublicBytesDifferFromThePlanned(t *testing.T) {
	s := newStage(t)
	faults, err := twin.ParseFaults("GET downloads:/**: flipped byte 10")
	if err == nil {
		err = s.twin.SetFaults(faults)
	}
	if err != nil {
		t.Fatal(err)
	}
	m := s.manager()
	if err := m.run(); !errors.Is(err, pipeline.ErrGate) {
		t.Fatalf("error %v, want the proof's", err)
	}
	e := m.evidence(Public)
	if e.Verdict != gate.Fail || !strings.Contains(e.Found, "SHA256SUMS comes with") || maps.Equal(e.Subjects, s.want()) {
		t.Errorf("evidence %+v", e)
	}
	if err := s.twin.SetFaults(nil); err != nil {
		t.Fatal(err)
	}
	if err := m.run(); err != nil {
		t.Fatal("later:", err)
	}
	s.ended()
}

// Whatever happens to the draft after it was inspected and approved, it is not published unless it is the planned one.
func TestFailure_003_PublishingWithoutAllAssetsIsImpossible(t *testing.T) {
	for name, harm := range map[string]func(s *stage, m *manager, rel string){
		"an asset was deleted": func(s *stage, m *manager, _ string) {
			s.person("DELETE", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), "")
		},
		"all assets were deleted": func(s *stage, _ *manager, _ string) {
			for _, a := range s.last().Assets {
				s.person("DELETE", fmt.Sprintf("/releases/assets/%d", a.ID), "")
			}
		},
		"an asset was added": func(s *stage, _ *manager, rel string) {
			s.person("POST", "/releases/"+rel+"/assets?name=extra.txt", "extra")
		},
		"an asset has other bytes of the same size": func(s *stage, m *manager, rel string) {
			s.person("DELETE", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), "")
			s.person("POST", "/releases/"+rel+"/assets?name=SHA256SUMS", strings.ToUpper(s.Files["SHA256SUMS"]))
		},
		"an asset was renamed": func(s *stage, m *manager, _ string) {
			s.person("PATCH", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), `{"name":"SUMS"}`)
		},
		"the draft was deleted":     func(s *stage, _ *manager, rel string) { s.person("DELETE", "/releases/"+rel, "") },
		"the draft lost its marker": func(s *stage, _ *manager, rel string) { s.person("PATCH", "/releases/"+rel, `{"body":"mine"}`) },
		"there is another draft of the tag": func(s *stage, _ *manager, _ string) {
			s.person("POST", "/releases", `{"tag_name":"`+tagName+`","draft":true}`)
		},
		"the tag is gone": func(s *stage, _ *manager, _ string) { s.person("DELETE", "/git/refs/tags/"+tagName, "") },
		"the tag leads elsewhere": func(s *stage, _ *manager, _ string) {
			by := twin.Signature{Name: "x", Email: "x@example.invalid", When: time.Unix(1, 0)}
			s.person("PATCH", "/git/refs/tags/"+tagName, `{"force":true,"sha":"`+s.memory.Add("main", "second", by, nil)+`"}`)
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			m := s.manager()
			m.seen = func(r pipeline.Record) {
				if r.Step == "release/tag" && r.Event == pipeline.Done {
					harm(s, m, m.receipt(DraftID, "id"))
				}
			}
			err := m.run()
			if err == nil {
				t.Fatal("it went through")
			}
			if gone := name == "the tag is gone"; errors.Is(err, pipeline.ErrConflict) == gone {
				t.Errorf("error %v", err)
			}
			t.Log(err)
			for _, state := range s.twin.History(owner, repo) {
				for _, rel := range state.Releases {
					if !rel.Draft {
						t.Fatalf("%+v was published", rel)
					}
				}
			}
		})
	}
}

// A draft that somebody published by hand, without all of its assets, is loud for ever after.
func TestFailure_003_APublishedReleaseThatLacksAnAssetIsAConflict(t *testing.T) {
	for name, when := range map[string]string{"in the middle of uploading": AssetID + "SHA256SUMS", "before publishing": "release/tag"} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t)
			m := s.manager()
			m.seen = func(r pipeline.Record) {
				if r.Step == when && r.Event == pipeline.Done {
					if when == "release/tag" {
						s.person("DELETE", "/releases/assets/"+m.receipt(AssetID+"SHA256SUMS", "id"), "")
					}
					s.person("PATCH", "/releases/"+m.receipt(DraftID, "id"), `{"draft":false}`)
				}
			}
			for range 2 {
				err := m.run()
				m.seen = nil
				if !errors.Is(err, pipeline.ErrConflict) || !strings.Contains(err.Error(), m.receipt(DraftID, "id")) {
					t.Fatalf("error %v, want a conflict with the id", err)
				}
				if when == "release/tag" && !strings.Contains(err.Error(), "SHA256SUMS is missing") {
					t.Errorf("the error does not say what is missing: %v", err)
				}
			}
		})
	}
}

// rewrite changes answers on their way.
type rewrite struct {
	base   http.RoundTripper
	change func(*http.Response, []byte) []byte
}

func (r rewrite) RoundTrip(q *http.Request) (*http.Response, error) {
	resp, err := r.base.RoundTrip(q)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	b = r.change(resp, b)
	resp.Body, resp.ContentLength = io.NopCloser(bytes.NewReader(b)), int64(len(b))
	return resp, nil
}

// Statuses are numbers: HTTP/2 says no "OK", and some proxies say something else.
func TestFailure_005_StatusesAreParsedNotMatched(t *testing.T) {
	for _, words := range []string{"", " ", " all is well", " 404 Not Found"} {
		s := newStage(t)
		s.http = rewrite{s.http, func(resp *http.Response, b []byte) []byte {
			resp.Proto, resp.ProtoMajor, resp.ProtoMinor, resp.Status = "HTTP/2.0", 2, 0, fmt.Sprint(resp.StatusCode)+words
			return b
		}}
		if err := s.manager().run(); err != nil {
			t.Fatalf("%q: %v", words, err)
		}
		s.ended()
	}
}

// What is uploaded is what was built and judged: byte for byte what lies in dist, and never a file that changed since.
func TestFailure_025_TheBuiltBytesAreUploaded(t *testing.T) {
	s := newStage(t)
	m := s.manager()
	name := "app_1.2.3_amd64.deb"
	m.seen = func(r pipeline.Record) {
		if r.Step == AssetID+name && r.Event == pipeline.Started {
			m.seen = nil
			if err := os.WriteFile(filepath.Join(m.dirs.Dist, name), []byte(strings.ToUpper(s.Files[name])), 0o644); err != nil {
				t.Error(err)
			}
		}
	}
	p, err := m.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	o := m.options()
	o.Observe = func(r pipeline.Record) {
		if m.seen != nil {
			m.seen(r)
		}
	}
	if err := p.Run(t.Context(), o); !errors.Is(err, hub.ErrChanged) {
		t.Fatalf("error %v, want that the file has changed", err)
	}
	if err := m.run(); err != nil {
		t.Fatal("later:", err)
	}
	s.ended()
	for _, state := range s.twin.History(owner, repo) {
		for _, rel := range state.Releases {
			for _, a := range rel.Assets {
				if a.State == "uploaded" && a.SHA256 != s.want()[a.Name] {
					t.Errorf("%s was uploaded with SHA-256 %s", a.Name, a.SHA256)
				}
			}
		}
	}
	out := t.TempDir()
	if err := s.twin.Export(out); err != nil {
		t.Fatal(err)
	}
	for name := range s.Files {
		there, err := os.ReadFile(filepath.Join(out, owner, repo, "releases", tagName, name))
		if err != nil {
			t.Fatal(err)
		}
		here, err := os.ReadFile(filepath.Join(m.dirs.Dist, name))
		if err != nil || !bytes.Equal(here, there) {
			t.Errorf("%s differs from dist: %v", name, err)
		}
	}
}

func TestFailure_049_MisspeltOwner(t *testing.T) {
	s := newStage(t)
	s.Config.Owner = "octoo"
	m := s.manager()
	err := m.run()
	if err == nil || !strings.Contains(err.Error(), "octoo/app") {
		t.Fatalf("error %v", err)
	}
	if e := m.evidence(Ready); e.Verdict != gate.Fail || !strings.Contains(e.Found, "there is no repository octoo/app") {
		t.Errorf("evidence %+v", e)
	}
	if n := len(s.twin.History(owner, repo).Last().Releases); n != 0 {
		t.Errorf("%d releases", n)
	}

	s = newStage(t)
	s.http = rewrite{s.twin.Transport(), func(_ *http.Response, b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(`"full_name":"octo/app"`), []byte(`"full_name":"octo/renamed"`))
	}}
	m = s.manager()
	if err := m.run(); !errors.Is(err, pipeline.ErrGate) {
		t.Errorf("a renamed repository: %v", err)
	}
	if e := m.evidence(Ready); e.Verdict != gate.Fail || !strings.Contains(e.Found, "octo/renamed") {
		t.Errorf("evidence %+v", e)
	}
}

// An asset has to be where packages look for it.
func TestFailure_050_UploadThenFetch(t *testing.T) {
	s := newStage(t)
	r, err := s.release()
	if err != nil {
		t.Fatal(err)
	}
	const at = "https://github.com/octo/app/releases/download/v1.2.3/SHA256SUMS"
	if got := r.URL("SHA256SUMS"); got != at {
		t.Errorf("assets are at %s, want %s", got, at)
	}
	s.http = rewrite{s.twin.Transport(), func(_ *http.Response, b []byte) []byte {
		return bytes.ReplaceAll(b, []byte(at), []byte("https://github.com/octo/app/releases/download/v1.2.3/SHA256SUMS.txt"))
	}}
	m := s.manager()
	if err := m.run(); !errors.Is(err, pipeline.ErrGate) {
		t.Fatalf("error %v, want the proof's", err)
	}
	if e := m.evidence(Public); e.Verdict != gate.Fail || !strings.Contains(e.Found, "want "+at) {
		t.Errorf("evidence %+v", e)
	}
}

// What could not be looked at is unknown, and nothing goes on because of it.
func TestFailure_058_UnknownNeverPasses(t *testing.T) {
	for fault, check := range map[string]string{
		"GET api:/repos/octo/app/immutable-releases: 503":                           Ready,
		"GET api:/repos/octo/app #1-5: 502":                                         Ready,
		"GET api:/user: 500":                                                        Ready,
		"GET api:/repos/octo/app/releases/latest #1-5: 502":                         Ready,
		"GET api:/repos/octo/app/releases/*/assets #9-13: 502":                      Assets,
		"GET downloads:/**: 503":                                                    Public,
		"GET downloads:/**: truncated after 100 bytes":                              Public,
		"GET web:/**: 502":                                                          Public,
		"GET api:/repos/octo/app/releases/latest #2+: 502":                          Latest,
		"GET api:/repos/octo/app/releases/latest #2+: 403 primary reset 7200s":      Latest,
		"GET api:/repos/octo/app/releases/latest #2+: 429 retry-after 7200s":        Latest,
		"GET api:/repos/octo/app/releases/latest #2+: 403 secondary retry-after 2h": Latest,
	} {
		t.Run(strings.ReplaceAll(fault, "/", "|"), func(t *testing.T) {
			s := newStage(t)
			plan, err := twin.ParseFaults(fault)
			if err == nil {
				err = s.twin.SetFaults(plan)
			}
			if err != nil {
				t.Fatal(err)
			}
			m := s.manager()
			if err := m.run(); !errors.Is(err, pipeline.ErrGate) {
				t.Fatalf("error %v, want a gate's", err)
			}
			e := m.evidence(check)
			if e.Verdict != gate.Unknown || e.Found != "" || e.Summary == "" {
				t.Errorf("evidence %+v", e)
			}
			if (check == Ready || check == Assets) && !s.last().Draft {
				t.Error("published")
			}
			if err := s.twin.SetFaults(nil); err != nil {
				t.Fatal(err)
			}
			s.clock.Sleep(t.Context(), 3*time.Hour)
			if err := m.run(); err != nil {
				t.Fatal("later:", err)
			}
			s.ended()
		})
	}
}

// The evidence that an approval is bound to says the same when it is collected again.
func TestEvidenceIsTheSameWhenCollectedAgain(t *testing.T) {
	s := newStage(t)
	m := s.manager()
	if err := s.twin.SetFaults([]twin.Fault{{Method: "GET", Host: "api", Path: "/**/git/matching-refs/**", From: 1, To: 1, Effect: twin.Unauthorized}}); err != nil {
		t.Fatal(err)
	}
	if err := m.run(); err == nil {
		t.Fatal("the tag was made")
	}
	p, err := m.plan(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	s.clock.Sleep(t.Context(), time.Hour)
	for id, check := range map[string]string{CheckID: Ready, InspectID: Assets} {
		_, again, err := p.Look(t.Context(), m.options(), id)
		if err != nil || len(again) != 1 || again[0].Digest() != m.evidence(check).Digest() {
			t.Errorf("%s: %+v, first %+v, %v", id, again, m.evidence(check), err)
		}
	}
}
