package github

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"maps"
	"net/http"
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A repository is the state of one: everything the server's lock guards.
type repository struct {
	Repository
	id       int64
	created  time.Time
	releases []*release // in order of creation
	// latest is the id of the release somebody declared the latest, or 0.
	latest int64
	// burned are tag names of immutable releases that were deleted.
	burned       map[string]bool
	labels       []label
	runs         []*run
	attestations []attestation
	history      []State
	seen         map[int64]*ReleaseState // the last state of each release, shared by history
}

var plainName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]{0,99}$`)

func (s *Server) addRepository(r Repository) error {
	if !plainName.MatchString(r.Owner) || !plainName.MatchString(r.Name) {
		return fmt.Errorf("cannot hold repository %q: owner and name are letters, digits, dots, dashes", r.Owner+"/"+r.Name)
	}
	if s.find(r.Owner, r.Name) != nil {
		return fmt.Errorf("cannot hold repository %s/%s twice", r.Owner, r.Name)
	}
	if r.DefaultBranch == "" {
		r.DefaultBranch = "main"
	}
	if r.Refs == nil {
		r.Refs = firstCommit(r.DefaultBranch, s.now())
	}
	n := &repository{Repository: r, id: s.nextID(), created: s.now(), burned: map[string]bool{}, seen: map[int64]*ReleaseState{}}
	s.record(n, "start")
	s.repos = append(s.repos, n)
	return nil
}

// settle brings releases in line with what happened to the tags behind the
// server's back: a published release whose tag is gone is a draft again.
// (Unconfirmed in detail; GitHub's help pages say so of deleted tags.)
func (s *Server) settle(r *repository) {
	changed := false
	for _, rel := range r.releases {
		if rel.draft || rel.immutable {
			continue
		}
		_, err := r.Refs.Get(context.Background(), "refs/tags/"+rel.tag)
		if errors.Is(err, ErrNotFound) {
			rel.draft, rel.published, changed = true, time.Time{}, true
		}
	}
	if changed {
		s.record(r, "tag gone")
	}
}

// TagLocked tells whether a tag belongs to a published immutable release: a git
// server over the same repository must refuse to move or delete it.
func (s *Server) TagLocked(owner, name, tag string) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	r := s.find(owner, name)
	return r != nil && r.tagLocked(tag)
}

func (r *repository) tagLocked(tag string) bool {
	for _, rel := range r.releases {
		if rel.tag == tag && rel.immutable {
			return true
		}
	}
	return false
}

// api is the URL of something below the repository.
func (s *Server) api(r *repository, path string) string {
	return s.shown(hostAPI) + "repos/" + r.Owner + "/" + r.Name + path
}

func (s *Server) web(r *repository, path string) string {
	return s.shown(hostWeb) + r.Owner + "/" + r.Name + path
}

// escape writes a name into a URL path; slashes stay, as in GitHub's own URLs.
func escape(name string) string {
	return strings.ReplaceAll(url.PathEscape(name), "%2F", "/")
}

// nodeID looks like GitHub's global ids: opaque.
func nodeID(kind string, id int64) string { return kind + "_twin" + strconv.FormatInt(id, 36) }

// userID is stable for a login.
func userID(login string) int64 {
	h := fnv.New32a()
	_, _ = h.Write([]byte(strings.ToLower(login)))
	return int64(h.Sum32())
}

// user has the keys of schema simple-user.
func (s *Server) user(login string) map[string]any {
	u := s.shown(hostAPI) + "users/" + login
	return map[string]any{
		"login": login, "id": userID(login), "node_id": nodeID("U", userID(login)),
		"avatar_url": s.shown(hostWeb) + login + ".png", "gravatar_id": "", "url": u, "html_url": s.shown(hostWeb) + login,
		"followers_url": u + "/followers", "following_url": u + "/following{/other_user}",
		"gists_url": u + "/gists{/gist_id}", "starred_url": u + "/starred{/owner}{/repo}",
		"subscriptions_url": u + "/subscriptions", "organizations_url": u + "/orgs", "repos_url": u + "/repos",
		"events_url": u + "/events{/privacy}", "received_events_url": u + "/received_events",
		"type": "User", "user_view_type": "public", "site_admin": false,
	}
}

// getUser is GET /user: whose token this is.
func (c *call) getUser() reply {
	if c.token == nil {
		return c.failure(http.StatusUnauthorized, "Requires authentication")
	}
	if c.token.Kind == Installation {
		return c.failure(http.StatusForbidden, "Resource not accessible by integration")
	}
	u := c.user(c.token.Login)
	for _, k := range []string{"name", "company", "blog", "location", "email", "hireable", "bio"} {
		u[k] = nil
	}
	for _, k := range []string{"public_repos", "public_gists", "followers", "following"} {
		u[k] = 0
	}
	u["created_at"], u["updated_at"] = "2020-01-01T00:00:00Z", "2020-01-01T00:00:00Z"
	return reply{status: http.StatusOK, value: u}
}

// suffixes of the *_url keys of schemas full-repository and minimal-repository.
var repositoryURLs = map[string]string{
	"archive_url": "/{archive_format}{/ref}", "assignees_url": "/assignees{/user}", "blobs_url": "/git/blobs{/sha}",
	"branches_url": "/branches{/branch}", "collaborators_url": "/collaborators{/collaborator}",
	"comments_url": "/comments{/number}", "commits_url": "/commits{/sha}", "compare_url": "/compare/{base}...{head}",
	"contents_url": "/contents/{+path}", "contributors_url": "/contributors", "deployments_url": "/deployments",
	"downloads_url": "/downloads", "events_url": "/events", "forks_url": "/forks", "git_commits_url": "/git/commits{/sha}",
	"git_refs_url": "/git/refs{/sha}", "git_tags_url": "/git/tags{/sha}", "hooks_url": "/hooks",
	"issue_comment_url": "/issues/comments{/number}", "issue_events_url": "/issues/events{/number}",
	"issues_url": "/issues{/number}", "keys_url": "/keys{/key_id}", "labels_url": "/labels{/name}",
	"languages_url": "/languages", "merges_url": "/merges", "milestones_url": "/milestones{/number}",
	"notifications_url": "/notifications{?since,all,participating}", "pulls_url": "/pulls{/number}",
	"releases_url": "/releases{/id}", "stargazers_url": "/stargazers", "statuses_url": "/statuses/{sha}",
	"subscribers_url": "/subscribers", "subscription_url": "/subscription", "tags_url": "/tags", "teams_url": "/teams",
	"trees_url": "/git/trees{/sha}",
}

// minimal has the keys of schema minimal-repository.
func (s *Server) minimal(r *repository) map[string]any {
	m := map[string]any{
		"id": r.id, "node_id": nodeID("R", r.id), "name": r.Name, "full_name": r.Owner + "/" + r.Name,
		"owner": s.user(r.Owner), "private": r.Private, "html_url": s.web(r, ""), "description": nil, "fork": false,
		"url": s.api(r, ""),
	}
	for k, suffix := range repositoryURLs {
		m[k] = s.api(r, suffix)
	}
	return m
}

// getRepository is GET /repos/{owner}/{repo}, with the bearer's permissions.
func (c *call) getRepository() reply {
	r := c.repo
	m := c.minimal(r)
	at := stamp(r.created)
	maps.Copy(m, map[string]any{
		"git_url": c.web(r, ".git"), "ssh_url": c.web(r, ".git"), "clone_url": c.web(r, ".git"), "svn_url": c.web(r, ""),
		"mirror_url": nil, "homepage": nil, "language": nil, "forks_count": 0, "stargazers_count": 0,
		"watchers_count": 0, "size": 0, "default_branch": r.DefaultBranch, "open_issues_count": 0,
		"has_issues": true, "has_projects": false, "has_wiki": false, "has_pages": false, "has_discussions": false,
		"archived": false, "disabled": false, "pushed_at": at, "created_at": at, "updated_at": at,
		"subscribers_count": 0, "network_count": 0, "license": nil, "forks": 0, "open_issues": 0, "watchers": 0,
		"is_template": false, "topics": []string{}, "allow_forking": true, "allow_merge_commit": true,
		"allow_squash_merge": true, "allow_rebase_merge": true, "allow_auto_merge": false, "delete_branch_on_merge": false,
		"has_downloads": true, "visibility": map[bool]string{true: "private", false: "public"}[r.Private],
	})
	if c.token != nil {
		push := c.token.may(r, Contents, Write)
		m["permissions"] = map[string]bool{
			"admin": c.token.may(r, Administration, Write), "maintain": push, "push": push, "triage": push,
			"pull": c.token.sees(r),
		}
	}
	return reply{status: http.StatusOK, value: m}
}
