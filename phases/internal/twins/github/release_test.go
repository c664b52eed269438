package github

import (
	"net/http"
	"strings"
	"testing"

	gh "github.com/google/go-github/v60/github"
)

func TestDraftThenPublish(t *testing.T) {
	b := start(t)
	id := b.draft("v1.0.0")
	d := b.want(b.do("GET", "/releases/"+itoa(id), ""), 200)
	if !strings.Contains(d.json["html_url"].(string), "/releases/tag/untagged-") {
		t.Errorf("html_url of a draft: %v", d.json["html_url"])
	}
	if u := d.json["upload_url"].(string); !strings.HasPrefix(u, b.UploadURL()) || !strings.HasSuffix(u, "/assets{?name,label}") {
		t.Errorf("upload_url %v", u)
	}
	if d.json["published_at"] != nil || d.json["tarball_url"] != nil || d.json["target_commitish"] != "main" {
		t.Errorf("draft %s", d.body)
	}
	// By tag only published ones are found, and a draft makes no tag.
	b.want(b.do("GET", "/releases/tags/v1.0.0", ""), 404)
	b.want(b.do("GET", "/git/ref/tags/v1.0.0", ""), 404)
	p := b.publish(id, `,"prerelease":false,"make_latest":"true"`)
	if p.json["html_url"] != b.WebURL()+"octo/app/releases/tag/v1.0.0" || p.json["draft"] != false || p.id() != id {
		t.Errorf("published %s", p.body)
	}
	// created_at is the commit's date, published_at the clock's.
	if p.json["created_at"] != "2026-02-02T00:00:00Z" || p.json["published_at"] != "2026-03-01T12:00:00Z" {
		t.Errorf("dates %v and %v", p.json["created_at"], p.json["published_at"])
	}
	// The missing tag became a lightweight ref.
	ref := b.want(b.do("GET", "/git/ref/tags/v1.0.0", ""), 200, b.commits[1], `"type":"commit"`)
	_ = ref
	if got := b.want(b.do("GET", "/releases/tags/v1.0.0", ""), 200).id(); got != id {
		t.Errorf("by tag: %d", got)
	}
}

func TestPublishKeepsAnExistingTag(t *testing.T) {
	b := start(t)
	ref := b.annotate("v1", b.commits[0])
	rel := b.want(b.do("POST", "/releases", `{"tag_name":"v1","target_commitish":"main"}`), 201)
	if rel.json["created_at"] != "2026-02-01T00:00:00Z" {
		t.Errorf("created_at %v is not of the tag's commit", rel.json["created_at"])
	}
	b.want(b.do("GET", "/git/ref/tags/v1", ""), 200, ref, `"type":"tag"`)
}

// annotate makes a tag object and its ref and returns the object's name.
func (b *bench) annotate(tag, commit string) string {
	b.t.Helper()
	o := b.want(b.do("POST", "/git/tags", `{"tag":"`+tag+`","message":"m","object":"`+commit+`","type":"commit"}`), 201)
	sha := o.json["sha"].(string)
	b.want(b.do("POST", "/git/refs", `{"ref":"refs/tags/`+tag+`","sha":"`+sha+`"}`), 201)
	return sha
}

func TestSeveralDraftsOneTag(t *testing.T) {
	b := start(t)
	one, two := b.draft("v1"), b.draft("v1")
	if one == two {
		t.Fatal("one id for two drafts")
	}
	b.publish(one, "")
	b.want(b.do("PATCH", "/releases/"+itoa(two), `{"draft":false}`), 422, `"already_exists"`, `"tag_name"`)
	if a := b.want(b.do("GET", "/releases/"+itoa(two), ""), 200); a.json["draft"] != true {
		t.Error("a refused publication changed the draft")
	}
	b.want(b.do("POST", "/releases", `{"tag_name":"v1"}`), 422, `"already_exists"`)
	b.draft("v1") // still legal
}

func TestDraftsAreHidden(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	asset := b.want(b.put(id, "a", "x"), 201).id()
	for _, token := range []string{"Bearer reader", "-", "token classic"} {
		b.want(b.do("GET", "/releases/"+itoa(id), "", "Authorization", token), 404)
		b.want(b.do("GET", "/releases/"+itoa(id)+"/assets", "", "Authorization", token), 404)
		b.want(b.do("GET", "/releases/assets/"+itoa(asset), "", "Authorization", token), 404)
		if a := b.want(b.do("GET", "/releases", "", "Authorization", token), 200); string(a.body) != "[]" {
			t.Errorf("%s sees %s", token, a.body)
		}
	}
	b.publish(id, "")
	b.want(b.do("GET", "/releases/"+itoa(id), "", "Authorization", "-"), 200)
}

func TestReleaseFields(t *testing.T) {
	b := start(t)
	b.want(b.wrong("POST", "/releases", `{"name":"x"}`), 422, "missing_field")
	b.want(b.do("POST", "/releases", `{"tag_name":"a..b","draft":true}`), 422, "tag_name is not well-formed")
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","target_commitish":"nowhere"}`), 422, "target_commitish")
	b.want(b.wrong("POST", "/releases", `{"tag_name":"v1","make_latest":"maybe"}`), 422, "is not a member of")
	b.want(b.wrong("POST", "/releases", `{"tag_name":"v1","draft":"yes"}`), 422)
	b.want(b.wrong("POST", "/releases", `{"tag_name"`), 400, "Problems parsing JSON")
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":true,"make_latest":"true"}`), 422, "Latest release cannot be draft or prerelease")
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","prerelease":true,"make_latest":"true"}`), 422, "Latest release cannot be draft or prerelease")
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":true,"body":"`+strings.Repeat("x", 125001)+`"}`), 422, "body is too long")
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":true,"body":"`+strings.Repeat("x", maxJSON)+`"}`), 413)
	for _, id := range []string{"1", "0", "-1"} {
		b.want(b.do("DELETE", "/releases/"+id, ""), 404)
	}
	for _, id := range []string{"99999999999999999999", "x", "%2e%2e", "1%0a"} {
		b.want(b.wrong("DELETE", "/releases/"+id, ""), 404)
	}
	if n := len(b.History(owner, repo).Last().Releases); n != 0 {
		t.Fatalf("%d releases after refusals", n)
	}
	// Unicode and markup in texts come back as they were.
	text := `<b>"ü" & \u0000</b>` + "\\n`$(id)`"
	rel, _, err := b.gh.Repositories.CreateRelease(t.Context(), owner, repo, &gh.RepositoryRelease{TagName: new("v/1"), Name: new(text), Body: new(text), Draft: new(true)})
	if err != nil || rel.GetName() != text || rel.GetBody() != text {
		t.Errorf("texts: %q, %q, %v", rel.GetName(), rel.GetBody(), err)
	}
	// A patch changes what it names and nothing else.
	e, _, err := b.gh.Repositories.EditRelease(t.Context(), owner, repo, rel.GetID(), &gh.RepositoryRelease{Name: new("new")})
	if err != nil || e.GetName() != "new" || e.GetBody() != text || e.GetTagName() != "v/1" || !e.GetDraft() {
		t.Errorf("after a patch: %v, %v", e, err)
	}
	b.publish(rel.GetID(), "")
	if _, _, err := b.gh.Repositories.GetReleaseByTag(t.Context(), owner, repo, "v/1"); err != nil {
		t.Error(err)
	}
}

func TestDeleteRelease(t *testing.T) {
	b := start(t)
	id := b.published("v1")
	b.want(b.do("DELETE", "/releases/"+itoa(id), ""), 204)
	b.want(b.do("DELETE", "/releases/"+itoa(id), ""), 404)
	b.want(b.do("GET", b.WebURL()+"octo/app/releases/download/v1/app.tar.gz", "", "Authorization", "-"), 404)
	b.want(b.do("GET", "/git/ref/tags/v1", ""), 200) // the tag stays
	b.published("v1")
}

func TestDeletedTagMakesADraft(t *testing.T) {
	b := start(t)
	id := b.published("v1")
	b.want(b.do("DELETE", "/git/refs/tags/v1", ""), 204)
	if a := b.want(b.do("GET", "/releases/"+itoa(id), ""), 200); a.json["draft"] != true {
		t.Error("still published")
	}
	b.publish(id, "")
	// Behind the server's back, as by a push.
	if err := b.memory.Delete(t.Context(), "refs/tags/v1"); err != nil {
		t.Fatal(err)
	}
	b.want(b.do("GET", "/releases/"+itoa(id), "", "Authorization", "-"), 404)
}

func TestLatest(t *testing.T) {
	b := start(t)
	latest := func(want string) {
		t.Helper()
		a := b.do("GET", "/releases/latest", "")
		if want == "" {
			b.want(a, 404)
			return
		}
		if got := b.want(a, 200).json["tag_name"]; got != want {
			t.Errorf("latest is %v, want %s", got, want)
		}
	}
	make := func(tag, target, more string) int64 {
		t.Helper()
		return b.want(b.do("POST", "/releases", `{"tag_name":"`+tag+`","target_commitish":"`+target+`"`+more+`}`), 201).id()
	}
	latest("")
	b.draft("v9")
	make("v8-rc1", "main", `,"prerelease":true`)
	v0 := make("v0.1.0", "main", `,"make_latest":"false"`)
	latest("")
	b.want(b.do("DELETE", "/releases/"+itoa(v0), ""), 204)
	v2 := make("v2.0.0", "main", "") // the default is true
	latest("v2.0.0")
	v1 := make("v1.0.9", b.commits[0], `,"make_latest":"false"`)
	latest("v2.0.0")
	v3 := make("v3.0.0", b.commits[0], `,"make_latest":"true"`) // an older commit, by declaration
	latest("v3.0.0")
	b.want(b.do("PATCH", "/releases/"+itoa(v3), `{"make_latest":"legacy"}`), 200)
	latest("v2.0.0") // the newer commit
	b.want(b.do("PATCH", "/releases/"+itoa(v1), `{"make_latest":"true"}`), 200)
	latest("v1.0.9")
	b.want(b.do("PATCH", "/releases/"+itoa(v1), `{"make_latest":"false"}`), 200)
	latest("v2.0.0")
	make("v2.1.0", "main", `,"make_latest":"legacy"`) // same commit, higher version
	latest("v2.1.0")
	b.want(b.do("PATCH", "/releases/"+itoa(v2), `{"make_latest":"true"}`), 200)
	b.want(b.do("PATCH", "/releases/"+itoa(v2), `{"prerelease":true}`), 200)
	latest("v2.1.0") // a prerelease never is
	b.want(b.do("DELETE", "/releases/"+itoa(v2), ""), 204)
	latest("v2.1.0")
}

func TestImmutable(t *testing.T) {
	b := start(t)
	b.want(b.do("GET", "/immutable-releases", ""), 404)
	old := b.published("v0")
	b.want(b.do("PUT", "/immutable-releases", ""), 204)
	if a := b.want(b.do("GET", "/immutable-releases", ""), 200); string(a.body) != `{"enabled":true,"enforced_by_owner":false}` {
		t.Errorf("setting %s", a.body)
	}
	b.want(b.do("GET", "/immutable-releases", "", "Authorization", "Bearer reader"), 404)
	b.want(b.do("PUT", "/immutable-releases", "", "Authorization", "Bearer reader"), 403)

	id := b.draft("v1")
	asset := b.want(b.put(id, "a", "x"), 201).id() // a draft is not immutable yet
	if a := b.publish(id, ""); a.json["immutable"] != true {
		t.Errorf("published %s", a.body)
	}
	b.want(b.put(id, "b", "x"), 422, "Cannot upload assets to an immutable release")
	b.want(b.do("DELETE", "/releases/assets/"+itoa(asset), ""), 422, "immutable")
	b.want(b.do("PATCH", "/releases/assets/"+itoa(asset), `{"name":"c"}`), 422, "immutable")
	b.want(b.do("PATCH", "/releases/"+itoa(id), `{"tag_name":"v2"}`), 422, "immutable")
	b.want(b.do("PATCH", "/releases/"+itoa(id), `{"draft":true}`), 422, "immutable")
	b.want(b.do("PATCH", "/releases/"+itoa(id), `{"name":"t","body":"n","tag_name":"v1","make_latest":"true"}`), 200)
	b.want(b.do("DELETE", "/git/refs/tags/v1", ""), 422, "immutable")
	b.want(b.do("PATCH", "/git/refs/tags/v1", `{"sha":"`+b.commits[0]+`","force":true}`), 422, "immutable")
	if !b.TagLocked(owner, repo, "v1") || b.TagLocked(owner, repo, "v0") {
		t.Error("the wrong tag is locked")
	}
	b.want(b.put(old, "b", "x"), 201) // published before the setting

	b.want(b.do("DELETE", "/releases/"+itoa(id), ""), 204)
	b.want(b.do("DELETE", "/git/refs/tags/v1", ""), 204)
	for _, draft := range []string{"true", "false"} {
		b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":`+draft+`}`), 422, "tag_name was used by an immutable release")
	}
	b.want(b.do("PATCH", "/releases/"+itoa(b.draft("v2")), `{"tag_name":"v1"}`), 422, "tag_name was used by an immutable release")
	b.want(b.do("DELETE", "/immutable-releases", ""), 204)
	b.want(b.do("POST", "/releases", `{"tag_name":"v1"}`), 422, "tag_name was used by an immutable release")
}

func TestImmutableByOwner(t *testing.T) {
	b := start(t, func(o *Options) { o.Repositories[0].ImmutableByOwner = true })
	b.want(b.do("GET", "/immutable-releases", ""), 200, `"enforced_by_owner":true`)
	b.want(b.do("DELETE", "/immutable-releases", ""), 409)
	if a := b.publish(b.draft("v1"), ""); a.json["immutable"] != true {
		t.Errorf("published %s", a.body)
	}
}

func TestWorkflowRule(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Repositories[0].WorkflowRule = true
		o.Tokens = append(o.Tokens, Token{Value: "narrow", Login: "n", Rights: map[Right]Level{Contents: Write}})
	})
	if err := b.memory.Create(t.Context(), "refs/heads/next", b.commits[1]); err != nil {
		t.Fatal(err)
	}
	b.memory.Add("next", "more", by(3), map[string]string{"README.md": "three\n"})
	body := `{"tag_name":"v1","target_commitish":"next","draft":true}`
	for _, token := range []string{"narrow", "actions", "maintainer"} {
		b.want(b.do("POST", "/releases", body, "Authorization", "Bearer "+token), 201)
	}
	b.memory.Add("next", "a workflow", by(4), map[string]string{".github/workflows/new.yml": "on: push\n"})
	b.want(b.do("POST", "/releases", body, "Authorization", "Bearer narrow"), 404)
	b.want(b.do("POST", "/releases", body, "Authorization", "Bearer actions"), 404) // never, whatever its rights
	b.want(b.do("POST", "/releases", body), 201)
}

func TestGeneratedNotes(t *testing.T) {
	b := start(t)
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","target_commitish":"`+b.commits[0]+`"}`), 201)
	n := b.want(b.do("POST", "/releases/generate-notes", `{"tag_name":"v2","target_commitish":"main","previous_tag_name":"v1"}`), 200)
	if n.json["name"] != "v2" || !strings.HasSuffix(n.json["body"].(string), "/octo/app/compare/v1...v2") {
		t.Errorf("notes %s", n.body)
	}
	b.want(b.do("GET", "/git/ref/tags/v2", ""), 404) // nothing changed
	r := b.want(b.do("POST", "/releases", `{"tag_name":"v2","body":"Mine.","generate_release_notes":true,"draft":true}`), 201)
	if body := r.json["body"].(string); !strings.HasPrefix(body, "Mine.\n\n") || !strings.Contains(body, "Full Changelog") {
		t.Errorf("body %q", body)
	}
	b.want(b.do("POST", "/releases/generate-notes", `{"tag_name":"v2","previous_tag_name":"v7"}`), 422)
	b.want(b.wrong("POST", "/releases/generate-notes", `{}`), 422)
}

func TestMovedReleaseTag(t *testing.T) {
	b := start(t)
	id := b.published("v1")
	b.want(b.do("PATCH", "/releases/"+itoa(id), `{"tag_name":"v1.1"}`), 200)
	b.want(b.do("GET", "/git/ref/tags/v1.1", ""), 200)
	if response, err := http.Get(b.WebURL() + "octo/app/releases/download/v1.1/app.tar.gz"); err != nil || response.StatusCode != 200 {
		t.Errorf("download: %v, %v", response, err)
	} else {
		response.Body.Close()
	}
}
