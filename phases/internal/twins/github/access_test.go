package github

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	gh "github.com/google/go-github/v60/github"
)

func TestRights(t *testing.T) {
	b := start(t)
	body := `{"tag_name":"v1","draft":true}`
	b.want(b.do("POST", "/releases", body, "Authorization", "-"), 401, "Requires authentication")
	b.want(b.do("POST", "/releases", body, "Authorization", "Bearer nobody"), 401, "Bad credentials")
	b.want(b.do("POST", "/releases", body, "Authorization", "Basic bWFpbnRhaW5lcg=="), 401)
	b.want(b.do("POST", "/releases", body, "Authorization", "Bearer "), 401)
	b.want(b.do("POST", "/releases", body, "Authorization", "Bearer reader"), 403, "Resource not accessible by personal access token")
	b.want(b.do("POST", "/releases", body, "Authorization", "token classic"), 404)
	b.want(b.do("PUT", "/immutable-releases", "", "Authorization", "Bearer actions"), 403, "Resource not accessible by integration")
	// A bad token is refused even where none is needed.
	b.want(b.do("GET", "/releases", "", "Authorization", "Bearer nobody"), 401)
	a := b.want(b.do("GET", "/releases", "", "Authorization", "Bearer classic"), 200)
	if _, ok := a.Header["X-Oauth-Scopes"]; !ok {
		t.Error("no scopes for a classic token")
	}
	if a := b.do("GET", "/releases", ""); a.Header.Get("X-Oauth-Scopes") != "" || a.Header.Get("X-Accepted-GitHub-Permissions") != "contents=read" {
		t.Errorf("headers %v", a.Header)
	}
}

func TestExpiredToken(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Tokens[0].Expires = o.Clock.Now().Add(time.Hour)
	})
	b.draft("v1")
	b.clock.Sleep(t.Context(), time.Hour)
	b.want(b.do("GET", "/releases", ""), 401, "Bad credentials")
	b.SetTokens([]Token{{Value: "maintainer", Login: "octo", Rights: Maintainer()}})
	b.want(b.do("GET", "/releases", ""), 200, `"v1"`)
}

func TestPrivateRepository(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Repositories[0].Private = true
		o.Tokens = append(o.Tokens, Token{Value: "elsewhere", Login: "x", Rights: Maintainer(), Repositories: []string{"octo/other"}})
	})
	b.published("v1")
	for _, token := range []string{"-", "Bearer elsewhere"} {
		b.want(b.do("GET", "/releases", "", "Authorization", token), 404)
		b.want(b.do("GET", b.URL()+"repos/octo/app", "", "Authorization", token), 404)
	}
	b.want(b.do("GET", "/releases", "", "Authorization", "Bearer reader"), 200)
	b.want(b.do("GET", b.WebURL()+"octo/app/releases/download/v1/app.tar.gz", "", "Authorization", "-"), 404)
}

func TestTokenForAnotherRepository(t *testing.T) {
	b := start(t, func(o *Options) {
		o.Tokens = append(o.Tokens, Token{Value: "elsewhere", Login: "x", Rights: Maintainer(), Repositories: []string{"octo/other"}},
			Token{Value: "here", Login: "x", Rights: Maintainer(), Repositories: []string{"octo/other", "Octo/App"}})
	})
	b.want(b.do("GET", "/releases", "", "Authorization", "Bearer elsewhere"), 200)
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":true}`, "Authorization", "Bearer elsewhere"), 403)
	b.want(b.do("POST", "/releases", `{"tag_name":"v1","draft":true}`, "Authorization", "Bearer here"), 201)
}

func TestIdentity(t *testing.T) {
	b := start(t)
	u, _, err := b.gh.Users.Get(t.Context(), "")
	if err != nil || u.GetLogin() != "octo" {
		t.Errorf("user %v, %v", u, err)
	}
	b.want(b.do("GET", b.URL()+"user", "", "Authorization", "Bearer actions"), 403)
	b.want(b.do("GET", b.URL()+"user", "", "Authorization", "-"), 401)
	r, _, err := b.gh.Repositories.Get(t.Context(), "OCTO", "App") // names are folded
	if err != nil || r.GetDefaultBranch() != "main" || !r.GetPermissions()["push"] {
		t.Errorf("repository %v, %v", r, err)
	}
	if r, _, err := b.as("reader").Repositories.Get(t.Context(), owner, repo); err != nil || r.GetPermissions()["push"] {
		t.Errorf("repository %v, %v", r, err)
	}
	b.want(b.do("GET", b.URL()+"repos/octo/none", ""), 404)
	b.want(b.do("GET", b.URL(), ""), 404)
	b.want(b.do("PUT", "/releases", ""), 404)
}

func TestEveryAnswerHasItsHeaders(t *testing.T) {
	b := start(t)
	id := regexp.MustCompile(`^[0-9A-F]{4}(:[0-9A-F]+){4}$`)
	seen := map[string]bool{}
	for _, a := range []answer{
		b.do("GET", "/releases", ""), b.do("GET", "/releases/1", ""), b.do("GET", b.URL()+"nothing", ""),
		b.do("GET", "/releases", "", "Authorization", "Bearer nobody"), b.put(1, "a", "x"),
		b.do("GET", b.WebURL()+"x", ""), b.do("GET", b.DownloadURL()+"x", "", "Authorization", "-"),
	} {
		r := a.Header.Get("X-GitHub-Request-Id")
		if !id.MatchString(r) || seen[r] {
			t.Errorf("%s: request id %q", a.Request.URL, r)
		}
		seen[r] = true
		api := strings.HasPrefix(a.Request.URL.String(), b.URL())
		if (a.Header.Get("X-RateLimit-Remaining") != "") != (api && a.StatusCode != 401) {
			t.Errorf("%s: rate headers %v", a.Request.URL, a.Header)
		}
		if a.StatusCode >= 400 && a.json["documentation_url"] == nil && !strings.HasPrefix(a.Request.URL.String(), b.DownloadURL()) {
			t.Errorf("%s: no documentation_url in %s", a.Request.URL, a.body)
		}
	}
}

func TestPaging(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	for i := range 7 {
		b.want(b.put(id, fmt.Sprintf("asset-%d", i), "x"), 201)
	}
	for _, perPage := range []int{1, 2, 3, 7, 100, 1000, 0, -1} {
		var names []string
		o := &gh.ListOptions{PerPage: perPage}
		for range 9 {
			list, response, err := b.gh.Repositories.ListReleaseAssets(t.Context(), owner, repo, id, o)
			if err != nil {
				t.Fatal(err)
			}
			for _, a := range list {
				names = append(names, a.GetName())
			}
			if o.Page = response.NextPage; o.Page == 0 {
				break
			}
		}
		if len(names) != 7 || names[0] != "asset-0" || names[6] != "asset-6" {
			t.Errorf("per_page %d gave %v", perPage, names)
		}
	}
	a := b.want(b.do("GET", "/releases/"+itoa(id)+"/assets?per_page=3&page=2", ""), 200)
	base := "<" + b.URL() + "repos/octo/app/releases/" + itoa(id) + "/assets?page="
	want := base + `1&per_page=3>; rel="prev", ` + base + `3&per_page=3>; rel="next", ` + base + `3&per_page=3>; rel="last", ` + base + `1&per_page=3>; rel="first"`
	if got := a.Header.Get("Link"); got != want {
		t.Errorf("Link %s\nwant %s", got, want)
	}
	if a := b.do("GET", "/releases/"+itoa(id)+"/assets?per_page=3&page=99999999", ""); string(a.body) != "[]" {
		t.Errorf("behind the end: %s", a.body)
	}
	if a := b.wrong("GET", "/releases?per_page=x&page=-3", ""); a.StatusCode != 200 {
		t.Errorf("odd numbers: %d", a.StatusCode)
	}
}

func TestAtMostAHundred(t *testing.T) {
	b := start(t)
	for i := range 101 {
		b.want(b.do("POST", "/git/refs", fmt.Sprintf(`{"ref":"refs/heads/b%03d","sha":%q}`, i, b.commits[0])), 201)
	}
	for query, want := range map[string]int{"?per_page=1000": 100, "": 30, "?per_page=100&page=2": 2} { // main is one
		var list []any
		if err := json.Unmarshal(b.want(b.do("GET", "/git/matching-refs/heads/"+query, ""), 200).body, &list); err != nil || len(list) != want {
			t.Errorf("%q gave %d entries, want %d (%v)", query, len(list), want, err)
		}
	}
}

// TestListingChangesBetweenPages shows why a client must not trust one pass.
func TestListingChangesBetweenPages(t *testing.T) {
	b := start(t)
	for i := range 4 {
		b.draft(fmt.Sprintf("v%d", i))
	}
	names := func(page int) string {
		var list []string
		rels, _, err := b.gh.Repositories.ListReleases(t.Context(), owner, repo, &gh.ListOptions{PerPage: 2, Page: page})
		if err != nil {
			t.Fatal(err)
		}
		for _, r := range rels {
			list = append(list, r.GetTagName())
		}
		return strings.Join(list, " ")
	}
	if got := names(1); got != "v3 v2" {
		t.Errorf("first page %s", got)
	}
	b.draft("v4")
	if got := names(2); got != "v2 v1" {
		t.Errorf("second page after a change: %s", got)
	}
}

func TestETag(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	a := b.want(b.do("GET", "/releases/"+itoa(id), ""), 200)
	tag, left := a.Header.Get("ETag"), a.Header.Get("X-RateLimit-Remaining")
	n := b.want(b.do("GET", "/releases/"+itoa(id), "", "If-None-Match", tag), 304)
	if len(n.body) != 0 || n.Header.Get("X-RateLimit-Remaining") != left {
		t.Errorf("304 with %q, remaining %s of %s", n.body, n.Header.Get("X-RateLimit-Remaining"), left)
	}
	b.want(b.do("GET", "/releases/"+itoa(id), "", "If-None-Match", `"other", `+strings.TrimPrefix(tag, "W/")), 304)
	b.want(b.do("PATCH", "/releases/"+itoa(id), `{"name":"n"}`), 200)
	b.want(b.do("GET", "/releases/"+itoa(id), "", "If-None-Match", tag), 200)
}

func TestPrimaryLimit(t *testing.T) {
	b := start(t, func(o *Options) { o.Limits.PerHour = 3 })
	for range 3 {
		b.want(b.do("GET", "/releases", ""), 200)
	}
	a := b.want(b.do("GET", "/releases", ""), 403, "API rate limit exceeded")
	if a.Header.Get("X-RateLimit-Remaining") != "0" {
		t.Errorf("headers %v", a.Header)
	}
	_, _, err := b.gh.Repositories.ListReleases(t.Context(), owner, repo, nil)
	if limit := (*gh.RateLimitError)(nil); !errors.As(err, &limit) || !limit.Rate.Reset.Equal(gh.Timestamp{Time: b.clock.Now().Add(time.Hour)}) {
		t.Errorf("the library's error: %v", err)
	}
	b.want(b.do("GET", b.URL()+"rate_limit", ""), 200, `"remaining":0`)
	b.want(b.do("GET", "/releases", "", "Authorization", "Bearer reader"), 200) // others have their own
	b.clock.Sleep(t.Context(), time.Hour)
	b.want(b.do("GET", "/releases", ""), 200)
}

func TestSecondaryLimit(t *testing.T) {
	b := start(t, func(o *Options) { o.Limits = Limits{WritesPerMinute: 3, WritesPerHour: 5} })
	body := `{"tag_name":"v1","draft":true}`
	for range 3 {
		b.want(b.do("POST", "/releases", body), 201)
	}
	a := b.want(b.do("POST", "/releases", body), 403, "secondary rate limit")
	if a.Header.Get("Retry-After") != "60" {
		t.Errorf("Retry-After %q", a.Header.Get("Retry-After"))
	}
	b.want(b.put(1, "a", "x"), 403, "secondary rate limit")
	b.want(b.do("GET", "/releases", ""), 200)
	_, _, err := b.gh.Repositories.CreateRelease(t.Context(), owner, repo, &gh.RepositoryRelease{TagName: new("v2")})
	if limit := (*gh.AbuseRateLimitError)(nil); !errors.As(err, &limit) || limit.GetRetryAfter() != time.Minute {
		t.Errorf("the library's error: %v", err)
	}
	b.clock.Sleep(t.Context(), time.Minute)
	b.want(b.do("POST", "/releases", body), 201)
	b.want(b.do("POST", "/releases", body), 201)
	b.clock.Sleep(t.Context(), time.Minute)
	b.want(b.do("POST", "/releases", body), 403) // the hour's
	b.clock.Sleep(t.Context(), time.Hour)
	b.want(b.do("POST", "/releases", body), 201)
}

func TestStartRefuses(t *testing.T) {
	for name, o := range map[string]Options{
		"no folder":  {},
		"bad owner":  {Dir: t.TempDir(), Repositories: []Repository{{Owner: "../x", Name: "r"}}},
		"bad name":   {Dir: t.TempDir(), Repositories: []Repository{{Owner: "o", Name: ".."}}},
		"twice":      {Dir: t.TempDir(), Repositories: []Repository{{Owner: "o", Name: "r"}, {Owner: "O", Name: "R"}}},
		"bad fault":  {Dir: t.TempDir(), Faults: []Fault{{Method: "GET", Path: "x", Effect: Cut}}},
		"unwritable": {Dir: "/dev/null/x"},
		"effectless": {Dir: t.TempDir(), Faults: []Fault{{Method: "GET", Path: "/"}}},
	} {
		if s, err := Start(t.Context(), o); err == nil {
			s.Close()
			t.Errorf("%s: started", name)
		}
	}
}

func TestEndOfContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Options{Dir: t.TempDir(), Repositories: []Repository{{Owner: "o", Name: "r"}}})
	if err != nil {
		t.Fatal(err)
	}
	response, err := http.Get(s.URL() + "repos/o/r/git/ref/heads/main")
	if err != nil || response.StatusCode != 200 {
		t.Fatalf("%v, %v", response, err)
	}
	response.Body.Close()
	cancel()
	if err := s.Close(); err != nil {
		t.Error(err)
	}
	if response, err := http.Get(s.URL()); err == nil {
		response.Body.Close()
		t.Error("still there")
	}
}
