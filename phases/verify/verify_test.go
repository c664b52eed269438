package verify

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/go-git/go-billy/v5/memfs"
	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/storage/memory"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/rehearsal"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline/gate"
)

const (
	page    = "https://github.com/Acme/Hello"
	aurURL  = "ssh://aur@aur.archlinux.org/hello-bin.git"
	payload = "the program\n"
)

func sha(s string) string {
	sum := sha256.Sum256([]byte(s))
	return hex.EncodeToString(sum[:])
}

// stage is a published release at twins.
type stage struct {
	t     *testing.T
	w     *rehearsal.World
	e     *endpoint.Endpoints
	hub   *hub.Client
	dir   string
	id    int64
	names map[string]string // contents of the assets
	body  string
}

func (s *stage) git(dir string, args ...string) string {
	s.t.Helper()
	cmd := exec.CommandContext(s.t.Context(), "git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + s.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull,
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=A", "GIT_COMMITTER_EMAIL=a@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		s.t.Fatalf("git %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// origin runs git in the remote.
func (s *stage) origin(args ...string) string {
	return s.git(filepath.Join(s.dir, "origin.git"), args...)
}

func (s *stage) check(err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatal(err)
	}
}

func newStage(t *testing.T) *stage {
	t.Helper()
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs git")
	}
	s := &stage{t: t, dir: t.TempDir(), body: "Get [the program](" + page + "/releases/download/v1.1.0/hello.bin)."}
	user := filepath.Join(s.dir, "user")
	s.check(os.Mkdir(user, 0o755))
	s.git(user, "init", "-q", "-b", "main")
	for _, v := range []string{"1.0.0", "1.1.0"} {
		s.check(os.WriteFile(filepath.Join(user, "VERSION"), []byte(v+"\n"), 0o644))
		s.git(user, "add", "-A")
		s.git(user, "commit", "-q", "-m", v)
	}
	var err error
	s.w, err = rehearsal.Start(t.Context(), rehearsal.Options{
		Dir: s.dir, Repository: user, Branch: "main", Base: s.git(user, "rev-parse", "HEAD"),
		Remote: page + ".git", Owner: "Acme", Name: "Hello", AUR: map[string]string{"hello-bin": aurURL},
	})
	s.check(err)
	t.Cleanup(func() { s.w.Close() })
	s.e = s.w.Map.Endpoints()
	s.origin("tag", "-a", "-m", "v1.0.0", "v1.0.0", "main~1")
	s.origin("tag", "-a", "-m", "v1.1.0", "v1.1.0", "main")
	s.hub, err = s.e.Hub("Acme", "Hello", "")
	s.check(err)
	s.names = map[string]string{"hello.bin": payload, "hello.bin.sha256": sha(payload) + "  hello.bin\n", "SHA256SUMS": sha(payload) + "  hello.bin\n"}
	return s
}

// publish publishes the release, as the latest or not.
func (s *stage) publish(tag string, latest bool) {
	s.t.Helper()
	ctx := s.t.Context()
	d, err := s.hub.EnsureDraft(ctx, hub.Draft{Tag: tag, Commit: s.origin("rev-parse", tag+"^{commit}"), Title: tag, Marker: hub.Marker(tag)})
	s.check(err)
	s.id = d.ID
	for name, text := range s.names {
		path := filepath.Join(s.dir, "asset")
		s.check(os.WriteFile(path, []byte(text), 0o644))
		_, err := s.hub.PutAsset(ctx, d.ID, hub.File{Name: name, Path: path, Size: int64(len(text)), SHA256: sha(text)}, nil)
		s.check(err)
	}
	_, err = s.hub.Publish(ctx, d.ID, hub.Publication{Title: tag, Body: s.body + "\n" + hub.Marker(tag), Latest: latest})
	s.check(err)
}

// push makes a package of the AUR.
func (s *stage) push(pkgver, sum string) {
	s.t.Helper()
	srcinfo := fmt.Sprintf("pkgbase = hello-bin\n\tpkgdesc = Says hello\n\tpkgver = %s\n\tpkgrel = 1\n\turl = %s\n\tarch = x86_64\n\tlicense = MIT\n"+
		"\tsource = %s/releases/download/v%s/hello.bin\n\tsha256sums = %s\n\npkgname = hello-bin\n", pkgver, page, page, pkgver, sum)
	work := memfs.New()
	r, err := git.InitWithOptions(memory.NewStorage(), work, git.InitOptions{DefaultBranch: "refs/heads/master"})
	s.check(err)
	tree, err := r.Worktree()
	s.check(err)
	for name, text := range map[string]string{".SRCINFO": srcinfo, "PKGBUILD": "# " + pkgver + "\n", "LICENSE": "0BSD\n"} {
		f, err := work.Create(name)
		s.check(err)
		_, err = f.Write([]byte(text))
		s.check(errors.Join(err, f.Close()))
		_, err = tree.Add(name)
		s.check(err)
	}
	at, err := tree.Commit(pkgver, &git.CommitOptions{Author: &object.Signature{Name: "A", Email: "a@example.org", When: time.Unix(1, 0)}})
	s.check(err)
	a, err := s.e.Git(s.t.Context(), gitremote.Remote{URL: aurURL})
	s.check(err)
	_, err = a.Push(s.t.Context(), r.Storer, at, "refs/heads/master", plumbing.ZeroHash)
	s.check(err)
}

func (s *stage) release() Release {
	v, err := version.Parse("1.1.0")
	s.check(err)
	return Release{
		Version: v, Owner: "Acme", Repo: "Hello", Page: page, Remote: gitremote.Remote{URL: page + ".git"}, Tag: "v1.1.0", Source: "VERSION",
		MergeInto: "main", AUR: []Package{{Name: "hello-bin", Remote: gitremote.Remote{URL: aurURL}}},
	}
}

// anonymous takes the token away: what users have.
func (s *stage) anonymous() *endpoint.Endpoints {
	m := s.w.Map
	m.Token = ""
	e := m.Endpoints()
	return e
}

func all(findings []Finding) string {
	var b strings.Builder
	for _, f := range findings {
		fmt.Fprintf(&b, "%v %s: %s\n", f.Verdict, f.What, f.Found)
	}
	return b.String()
}

// A release as it should be passes everywhere: without a token, with one, and with one that is not valid.
func TestLook(t *testing.T) {
	s := newStage(t)
	s.publish("v1.1.0", true)
	s.push("1.1.0", sha(payload))
	wrong := s.w.Map
	wrong.Token = "not-a-token-of-anybody"
	for name, e := range map[string]*endpoint.Endpoints{"anonymous": s.anonymous(), "token": s.e} {
		findings := Look(t.Context(), e, s.release(), nil)
		for _, f := range findings {
			if !f.OK() {
				t.Errorf("%s: %+v", name, f)
			}
		}
		if len(findings) != 13 {
			t.Errorf("%s: looked at %d things\n%s", name, len(findings), all(findings))
		}
	}
	for _, f := range Look(t.Context(), wrong.Endpoints(), s.release(), nil) {
		if !f.OK() {
			t.Errorf("a token that is not valid: %+v", f)
		}
	}
	made := s.release()
	made.Assets = map[string]Content{}
	for name, text := range s.names {
		made.Assets[name] = Content{Size: int64(len(text)), SHA256: sha(text)}
	}
	made.Commit = s.origin("rev-parse", "main")
	if text := all(Look(t.Context(), s.anonymous(), made, nil)); !strings.Contains(text, "as it was made") || strings.Contains(text, "fail") || strings.Contains(text, "unknown") {
		t.Errorf("compared with what was made:\n%s", text)
	}
}

// Whatever is wrong is said, and nothing else is.
func TestLook_Wrong(t *testing.T) {
	good := func(s *stage) { s.publish("v1.1.0", true); s.push("1.1.0", sha(payload)) }
	for name, c := range map[string]struct {
		do      func(*stage)
		but     func(*Release)
		verdict gate.Verdict
		says    []string // one line each
	}{
		"nothing published": {func(s *stage) { s.push("1.1.0", sha(payload)) }, nil, gate.Fail, []string{"release v1.1.0: " + page + " has no published", "AUR hello-bin hello.bin: "}},
		"asset missing": {good, func(r *Release) {
			r.Assets = map[string]Content{"hello.deb": {Size: 1, SHA256: sha("x")}, "hello.bin": {Size: int64(len(payload)), SHA256: sha(payload)}}
		}, gate.Fail, []string{"asset hello.deb: it is missing", "asset SHA256SUMS: it is no part", "asset hello.bin.sha256: it is no part"}},
		"other bytes": {good, func(r *Release) {
			r.Assets = map[string]Content{"hello.bin": {Size: 1, SHA256: sha("x")}, "SHA256SUMS": {}, "hello.bin.sha256": {}}
		}, gate.Fail, []string{"asset hello.bin: it has 12 bytes", "asset SHA256SUMS: it has", "asset hello.bin.sha256: it has"}},
		"checksums disagree": {func(s *stage) {
			s.names["SHA256SUMS"] = sha("x") + "  hello.bin\n" + sha("y") + " *gone.bin\nnonsense\n"
			good(s)
		}, nil, gate.Fail, []string{"asset hello.bin: SHA256SUMS says", `checksums: SHA256SUMS names "gone.bin"`, "checksums: SHA256SUMS has a line"}},
		"not the latest":  {func(s *stage) { good(s); s.publish("v1.0.0", true) }, nil, gate.Fail, []string{"latest release: it is v1.0.0, and the newest version is v1.1.0"}},
		"lightweight tag": {func(s *stage) { good(s); s.origin("tag", "-f", "v1.1.0", "main") }, nil, gate.Fail, []string{"tag v1.1.0: it is lightweight"}},
		"moved tag":       {func(s *stage) { good(s); s.origin("tag", "-f", "-a", "-m", "x", "v1.1.0", "main~1") }, func(r *Release) { r.Commit = strings.Repeat("ab", 20) }, gate.Fail, []string{"tag v1.1.0: it leads to commit", "version at the tag: VERSION says 1.0.0"}},
		// GitHub makes a draft of a release whose tag is gone
		"no tag":           {func(s *stage) { good(s); s.origin("tag", "-d", "v1.1.0") }, nil, gate.Fail, []string{"tag v1.1.0: there is no such tag", "release v1.1.0: ", "AUR hello-bin hello.bin: "}},
		"two versions":     {func(s *stage) { good(s); s.origin("tag", "1.2.0", "main") }, nil, gate.Fail, []string{"tag v1.1.0: its commit has the tag of another version, 1.2.0"}},
		"not merged":       {func(s *stage) { good(s); s.origin("update-ref", "refs/heads/main", "main~1") }, nil, gate.Fail, []string{"branch main: it does not contain"}},
		"no branch":        {good, func(r *Release) { r.MergeInto = "stable" }, gate.Fail, []string{"branch stable: there is none"}},
		"AUR behind":       {func(s *stage) { s.publish("v1.1.0", true); s.push("1.0.0", sha(payload)) }, nil, gate.Fail, []string{"AUR hello-bin: its newest commit is of 1.0.0-1", "AUR hello-bin hello.bin: "}},
		"AUR sum":          {func(s *stage) { s.publish("v1.1.0", true); s.push("1.1.0", sha("x")) }, nil, gate.Fail, []string{"AUR hello-bin hello.bin: " + page + "/releases/download/v1.1.0/hello.bin has SHA-256"}},
		"AUR missing":      {func(s *stage) { s.publish("v1.1.0", true) }, nil, gate.Fail, []string{"AUR hello-bin: there is no such package"}},
		"AUR made another": {good, func(r *Release) { r.AUR[0].Version = "1.1.0-2" }, gate.Fail, []string{"AUR hello-bin: its newest commit is of 1.1.0-1"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			c.do(s)
			r := s.release()
			if c.but != nil {
				c.but(&r)
			}
			bad := 0
			findings := Look(t.Context(), s.anonymous(), r, nil)
			for _, f := range findings {
				if f.OK() {
					continue
				}
				if bad++; f.Verdict != c.verdict {
					t.Errorf("%+v", f)
				}
			}
			text := all(findings)
			for _, says := range c.says {
				if !strings.Contains(text, " "+says) {
					t.Errorf("nothing says %q", says)
				}
			}
			if bad != len(c.says) {
				t.Errorf("%d findings are bad, want %d", bad, len(c.says))
			}
			if t.Failed() {
				t.Log("\n" + text)
			}
		})
	}
}

// A later package in the AUR is not this release's fault.
func TestLook_AURGoneOn(t *testing.T) {
	s := newStage(t)
	s.publish("v1.1.0", true)
	s.push("1.2.0", sha("x"))
	findings := Look(t.Context(), s.anonymous(), s.release(), nil)
	if text := all(findings); !strings.Contains(text, "AUR hello-bin: it has gone on to 1.2.0-1") || strings.Contains(text, "fail") {
		t.Errorf("\n%s", text)
	}
}

// What cannot be reached is unknown, and is said of each thing.
func TestLook_Unreachable(t *testing.T) {
	s := newStage(t)
	s.publish("v1.1.0", true)
	s.push("1.1.0", sha(payload))
	s.check(s.w.Close())
	begun := time.Now()
	findings := Look(t.Context(), s.anonymous(), s.release(), nil)
	for _, f := range findings {
		if f.Verdict != gate.Unknown {
			t.Errorf("%+v", f)
		}
	}
	if took := time.Since(begun); len(findings) < 3 || took > 30*time.Second {
		t.Errorf("%d findings after %v", len(findings), took)
	}
}

// Links of notes and PKGBUILD: the repository's spelling, names of files, pages that are gone.
func TestFailure_049_LinksThatLeadNowhere(t *testing.T) {
	s := newStage(t)
	s.body = "See " + page + "/releases/download/v1.1.0/hello.bin, " + page + "/releases/download/v1.1.0/Hello.bin, " +
		"[mine](https://github.com/acme/hello/releases) and <https://github.com/Acne/Hello/releases/download/v1.1.0/hello.bin>; http://example.org/plain. Clone https://aur.archlinux.org/hello-bin.git"
	s.publish("v1.1.0", true)
	s.push("1.1.0", sha(payload))
	text := all(Look(t.Context(), s.anonymous(), s.release(), nil))
	for _, want := range []string{
		"fail link: " + page + "/releases/download/v1.1.0/Hello.bin: the release has no asset Hello.bin\n",
		"fail link: https://github.com/acme/hello/releases: the repository is spelt Acme/Hello\n",
		"fail link: https://github.com/Acne/Hello/releases/download/v1.1.0/hello.bin: nobody can fetch it: the server answers with status 404\n",
		"fail link: http://example.org/plain: nobody can fetch it: it begins with http:// and not with https://\n",
		"pass links of the notes: 2 lead somewhere\n",
	} {
		if !strings.Contains(text, want) {
			t.Errorf("nothing says %q", want)
		}
	}
	if t.Failed() {
		t.Log("\n" + text)
	}
}

func TestLinks(t *testing.T) {
	for text, want := range map[string][]string{
		"": nil,
		"see https://a.b/c. And (https://d.e/f).":     {"https://a.b/c", "https://d.e/f"},
		"[x](https://a.b/c_(d)) **https://a.b**":      {"https://a.b/c_(d)", "https://a.b"},
		"[https://a.b](https://c.d/)":                 {"https://a.b", "https://c.d/"},
		"<https://a.b/?q=1&r=2> https://a.b/?q=1&r=2": {"https://a.b/?q=1&r=2"},
		"`https://a.b/x`, \"https://a.b/y\"":          {"https://a.b/x", "https://a.b/y"},
	} {
		if got := Links(text); !reflect.DeepEqual(got, want) {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
}

func FuzzLinks(f *testing.F) {
	f.Add("[https://a.b](https://c.d/) <https://e.f> https://[::1]/ https://a.b/%zz")
	f.Fuzz(func(t *testing.T, text string) {
		for _, link := range Links(text) {
			if !strings.Contains(text, link) || strings.ContainsAny(link, " \t\n<>\"") || !strings.HasPrefix(link, "http") {
				t.Errorf("%q is no link in %q", link, text)
			}
		}
	})
}

// Servers do what servers do.
func TestFetch(t *testing.T) {
	calls := map[string]int{}
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		calls[r.Method+r.URL.Path]++
		if r.Header.Get("Authorization") != "" {
			t.Error("a credential was sent")
		}
		switch r.URL.Path {
		case "/there":
			_, _ = w.Write([]byte(payload))
		case "/late":
			if calls["GET/late"] < 3 {
				w.WriteHeader(http.StatusBadGateway)
				return
			}
			_, _ = w.Write([]byte(payload))
		case "/nohead":
			if r.Method == http.MethodHead {
				w.WriteHeader(http.StatusMethodNotAllowed)
			}
		case "/circle":
			http.Redirect(w, r, "/circle?key=secret", http.StatusFound)
		case "/plain":
			http.Redirect(w, r, "http://example.org/", http.StatusFound)
		case "/broken":
			w.WriteHeader(http.StatusInternalServerError)
		default:
			http.NotFound(w, r)
		}
	}))
	defer srv.Close()
	f := newFetcher(&endpoint.Endpoints{Clock: &endpoint.Hurried{}})
	for path, want := range map[string]struct {
		err   string
		calls int
	}{
		"/there": {"", 1}, "/late": {"", 3}, "/none": {"status 404", 1}, "/circle": {"10 redirections are too many", 30},
		"/plain": {"http://", 3}, "/broken": {"status 500", 3},
	} {
		c, err := f.hash(t.Context(), srv.URL+path)
		if want.err == "" && (err != nil || c.SHA256 != sha(payload) || c.Size != int64(len(payload))) {
			t.Errorf("%s: %+v %v", path, c, err)
		}
		if want.err != "" && (err == nil || !strings.Contains(err.Error(), want.err) || strings.Contains(err.Error(), "secret")) {
			t.Errorf("%s: %v", path, err)
		}
		if errors.Is(err, errAbsent) != (path == "/none") {
			t.Errorf("%s: absent? %v", path, err)
		}
		if calls["GET"+path] != want.calls {
			t.Errorf("%s was asked for %d times", path, calls["GET"+path])
		}
	}
	if _, err := f.hash(t.Context(), srv.URL+"/there"); err != nil || calls["GET/there"] != 1 {
		t.Errorf("downloaded %d times, %v", calls["GET/there"], err)
	}
	if err := f.there(t.Context(), srv.URL+"/nohead"); err != nil || calls["GET/nohead"] != 1 {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"ftp://h/x", "https://u:p@h/x", "file:///etc/passwd", "http://h/x", "https:///x", "https://h/%zz", "https://h/\x00"} {
		if err := f.there(t.Context(), bad); !errors.Is(err, errAbsent) || strings.Contains(fmt.Sprint(err), "u:p") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := f.get(ctx, http.MethodGet, srv.URL+"/broken", nil); err == nil {
		t.Error("it went on after the end")
	}
	if u, err := url.Parse(srv.URL); err != nil || allowed(u) != nil {
		t.Error("loopback is refused")
	}
}
