package github

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"flag"
	"io"
	"log"
	"net/http"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	gh "github.com/google/go-github/v60/github"

	"github.com/imrightguy/slipway/phases/internal/twins/github/apicheck"
)

// covered are the operations of GitHub's description that tests used.
var covered sync.Map

// TestMain fails a whole run in which an operation of the description was never
// checked: the description would promise more than the tests show.
func TestMain(m *testing.M) {
	code := m.Run()
	whole := true
	for _, part := range []string{"run", "skip", "fuzz", "list"} {
		whole = whole && flag.Lookup("test."+part).Value.String() == ""
	}
	if code == 0 && whole {
		operations, err := apicheck.Operations()
		if err != nil {
			log.Fatal(err)
		}
		for _, op := range operations {
			if _, ok := covered.Load(op); !ok {
				log.Printf("no test uses %s", op)
				code = 1
			}
		}
	}
	os.Exit(code)
}

// jumpClock stands still but for sleeping, which takes no real time.
type jumpClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *jumpClock { return &jumpClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)} }

func (c *jumpClock) Now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.now }

func (c *jumpClock) Sleep(ctx context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return ctx.Err()
}

// A bench is a running twin with two commits on main, a maintainer's client
// whose every exchange is checked, and that client's parts.
type bench struct {
	*Server
	t       *testing.T
	clock   *jumpClock
	memory  *Memory
	commits []string
	gh      *gh.Client
	http    *http.Client
	checker *apicheck.Checker
}

const (
	owner = "octo"
	repo  = "app"
)

func by(day int) Signature {
	return Signature{Name: "octo", Email: "octo@example.invalid", When: time.Date(2026, 2, day, 0, 0, 0, 0, time.UTC)}
}

// start runs a twin; options may be changed before.
func start(t *testing.T, change ...func(*Options)) *bench {
	t.Helper()
	b := &bench{t: t, clock: newClock(), memory: NewMemory()}
	b.commits = append(b.commits,
		b.memory.Add("main", "first", by(1), map[string]string{"README.md": "one\n", ".github/workflows/ci.yml": "on: push\n"}),
		b.memory.Add("main", "second", by(2), map[string]string{"README.md": "two\n"}))
	o := Options{
		Dir: t.TempDir(), Clock: b.clock, Limits: Limits{WritesPerMinute: -1, WritesPerHour: -1},
		Repositories: []Repository{{Owner: owner, Name: repo, Refs: b.memory, Workflows: []Workflow{
			{Path: ".github/workflows/release.yml", Environments: []string{"production"}},
			{Path: ".github/workflows/ci.yml"},
		}}},
		Tokens: []Token{
			{Value: "maintainer", Login: "octo", Rights: Maintainer()},
			{Value: "reader", Login: "eve", Rights: map[Right]Level{Contents: Read}},
			{Value: "classic", Login: "mallory", Kind: Classic, Rights: map[Right]Level{Contents: Read}},
			{Value: "actions", Login: "bot", Kind: Installation, Rights: map[Right]Level{Contents: Write, Workflows: Write}},
		},
	}
	for _, f := range change {
		f(&o)
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	b.Server = s
	transport := http.DefaultTransport.(*http.Transport).Clone()
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		if b.checker != nil {
			for op := range b.checker.Checked() {
				covered.Store(op, true)
			}
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	b.checker, err = apicheck.New(s.URL(), s.UploadURL(), transport, func(err error) { t.Error(err) })
	if err != nil {
		t.Fatal(err)
	}
	b.http = &http.Client{Transport: b.checker, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	b.gh = b.as("maintainer")
	return b
}

// as is a go-github client with a token.
func (b *bench) as(token string) *gh.Client {
	c := gh.NewClient(&http.Client{Transport: b.checker})
	if token != "" {
		c = c.WithAuthToken(token)
	}
	c.BaseURL, c.UploadURL = parseURL(b.t, b.URL()), parseURL(b.t, b.UploadURL())
	return c
}

func parseURL(t *testing.T, s string) *url.URL {
	t.Helper()
	u, err := url.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return u
}

// An answer is a response read to its end.
type answer struct {
	*http.Response
	body []byte
	err  error // of the transport or of reading the body
	json map[string]any
}

// do sends a request with the maintainer's token to a path of the API or to a
// whole URL. Headers come in pairs; "Authorization", "-" sends none.
func (b *bench) do(method, to, body string, headers ...string) answer {
	b.t.Helper()
	return b.doCtx(b.t.Context(), method, to, body, headers...)
}

// wrong is do for a request that the description forbids.
func (b *bench) wrong(method, to, body string, headers ...string) answer {
	b.t.Helper()
	return b.doCtx(apicheck.Knowingly(b.t.Context()), method, to, body, headers...)
}

func (b *bench) doCtx(ctx context.Context, method, to, body string, headers ...string) answer {
	b.t.Helper()
	if strings.HasPrefix(to, "/") {
		to = b.URL() + "repos/" + owner + "/" + repo + to
	}
	var r io.Reader
	if body != "" {
		r = strings.NewReader(body)
	}
	q, err := http.NewRequestWithContext(ctx, method, to, r)
	if err != nil {
		b.t.Fatal(err)
	}
	q.Header.Set("Authorization", "Bearer maintainer")
	if strings.HasPrefix(body, "{") {
		q.Header.Set("Content-Type", "application/json")
	}
	for i := 0; i < len(headers); i += 2 {
		q.Header.Set(headers[i], headers[i+1])
	}
	if q.Header.Get("Authorization") == "-" {
		q.Header.Del("Authorization")
	}
	response, err := b.http.Do(q)
	if err != nil {
		return answer{err: err, Response: &http.Response{Header: http.Header{}}}
	}
	defer response.Body.Close()
	a := answer{Response: response}
	a.body, a.err = io.ReadAll(response.Body)
	_ = json.Unmarshal(a.body, &a.json)
	return a
}

// want checks a status and, where given, parts of the body.
func (b *bench) want(a answer, status int, part ...string) answer {
	b.t.Helper()
	if a.err != nil {
		b.t.Fatalf("no answer, want %d: %v", status, a.err)
	}
	if a.StatusCode != status {
		b.t.Fatalf("status %d, want %d: %s", a.StatusCode, status, a.body)
	}
	for _, p := range part {
		if !bytes.Contains(a.body, []byte(p)) {
			b.t.Fatalf("%q is not in the body: %s", p, a.body)
		}
	}
	return a
}

func (a answer) id() int64 { return int64(a.json["id"].(float64)) }

func (b *bench) uploadTo(release int64, name string) string {
	return b.UploadURL() + "repos/" + owner + "/" + repo + "/releases/" + itoa(release) + "/assets?name=" + url.QueryEscape(name)
}

// put uploads content and returns the answer.
func (b *bench) put(release int64, name, content string) answer {
	b.t.Helper()
	return b.do("POST", b.uploadTo(release, name), content, "Content-Type", "application/octet-stream")
}

// draft makes a draft and returns its id.
func (b *bench) draft(tag string) int64 {
	b.t.Helper()
	return b.want(b.do("POST", "/releases", `{"tag_name":"`+tag+`","draft":true}`), 201).id()
}

// publish publishes a draft.
func (b *bench) publish(id int64, more string) answer {
	b.t.Helper()
	return b.want(b.do("PATCH", "/releases/"+itoa(id), `{"draft":false`+more+`}`), 200)
}

// published makes a release of a tag with one asset.
func (b *bench) published(tag string) int64 {
	b.t.Helper()
	id := b.draft(tag)
	b.want(b.put(id, "app.tar.gz", "bytes of "+tag), 201)
	b.publish(id, "")
	return id
}

func itoa(n int64) string { return strconv.FormatInt(n, 10) }

func sum(content string) string {
	h := sha256.Sum256([]byte(content))
	return hex.EncodeToString(h[:])
}
