package github

import (
	"io"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strings"
	"testing"
	"time"

	gh "github.com/google/go-github/v60/github"
)

func TestUploadKeepsTheBytes(t *testing.T) {
	b := start(t)
	id := b.draft("v1.0.0")
	content := strings.Repeat("\x00\xff\r\n<b>", 50000)
	a := b.want(b.put(id, "app.tar.gz", content), 201)
	if got, want := a.json["digest"], "sha256:"+sum(content); got != want {
		t.Errorf("digest %v, want %v", got, want)
	}
	if a.json["size"] != float64(len(content)) || a.json["state"] != "uploaded" || a.json["label"] != "" {
		t.Errorf("asset %s", a.body)
	}
	// By id: a redirect to another host, which refuses the token.
	d := b.want(b.do("GET", "/releases/assets/"+itoa(a.id()), "", "Accept", "application/octet-stream"), 302)
	to := d.Header.Get("Location")
	if !strings.HasPrefix(to, b.DownloadURL()) || strings.HasPrefix(to, b.URL()) {
		t.Errorf("redirect to %s", to)
	}
	b.want(b.do("GET", to, ""), 400, "InvalidAuthenticationInfo")
	got := b.want(b.do("GET", to, "", "Authorization", "-"), 200)
	if string(got.body) != content {
		t.Error("other bytes came back")
	}
	part := b.want(b.do("GET", to, "", "Authorization", "-", "Range", "bytes=4-8"), 206)
	if string(part.body) != content[4:9] {
		t.Errorf("range gave %q", part.body)
	}
	b.want(b.do("GET", strings.Replace(to, "sig=", "sig=0", 1), "", "Authorization", "-"), 403)
	b.clock.Sleep(t.Context(), signedFor+2e9)
	b.want(b.do("GET", to, "", "Authorization", "-"), 403)
	// JSON without the Accept header; one download was counted.
	if a := b.want(b.do("GET", "/releases/assets/"+itoa(a.id()), ""), 200); a.json["download_count"] != 1.0 {
		t.Errorf("download_count %v", a.json["download_count"])
	}
	b.want(b.do("DELETE", "/releases/assets/"+itoa(a.id()), ""), 204)
	b.want(b.do("DELETE", "/releases/assets/"+itoa(a.id()), ""), 404)
	if files, err := os.ReadDir(filepath.Join(b.options.Dir, "assets")); err != nil || len(files) != 0 {
		t.Errorf("left in the folder: %v, %v", files, err)
	}
}

// TestClientFollowsTheRedirect uses the library's own download, which sends the
// token on the first request and must lose it on the second.
func TestClientFollowsTheRedirect(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	a := b.want(b.put(id, "a.txt", "hello"), 201)
	body, _, err := b.gh.Repositories.DownloadReleaseAsset(t.Context(), owner, repo, a.id(), &http.Client{})
	if err != nil {
		t.Fatal(err)
	}
	defer body.Close()
	// A plain client that carries the token along by itself must lose it as
	// well, since hosts differ by name and not by port alone.
	q, _ := http.NewRequestWithContext(t.Context(), "GET", b.URL()+"repos/octo/app/releases/assets/"+itoa(a.id()), nil)
	q.Header.Set("Authorization", "Bearer maintainer")
	q.Header.Set("Accept", "application/octet-stream")
	response, err := (&http.Client{}).Do(q)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 200 {
		t.Errorf("status %d after the redirect", response.StatusCode)
	}
	for _, r := range b.Requests() {
		if r.Host == "downloads" && r.Authorized {
			t.Error("the token reached the download host")
		}
	}
}

func TestDirectDownload(t *testing.T) {
	b := start(t, func(o *Options) { o.DirectDownloads = true })
	a := b.want(b.put(b.draft("v1"), "a.txt", "hello"), 201)
	if got := b.want(b.do("GET", "/releases/assets/"+itoa(a.id()), "", "Accept", "application/octet-stream"), 200); string(got.body) != "hello" {
		t.Errorf("got %q", got.body)
	}
}

func TestUploadWithTheLibrary(t *testing.T) {
	b := start(t)
	rel, _, err := b.gh.Repositories.CreateRelease(t.Context(), owner, repo, &gh.RepositoryRelease{TagName: new("v1"), Draft: new(true)})
	if err != nil {
		t.Fatal(err)
	}
	name := filepath.Join(t.TempDir(), "a.tar.gz")
	if err := os.WriteFile(name, []byte("hello"), 0o644); err != nil {
		t.Fatal(err)
	}
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	a, _, err := b.gh.Repositories.UploadReleaseAsset(t.Context(), owner, repo, rel.GetID(), &gh.UploadOptions{Name: "a.tar.gz", Label: "An archive"}, f)
	if err != nil {
		t.Fatal(err)
	}
	if a.GetName() != "a.tar.gz" || a.GetLabel() != "An archive" || a.GetSize() != 5 {
		t.Errorf("asset %v", a)
	}
	if n := b.checker.Exceptions()["upload content type"]; n != 1 {
		t.Errorf("the library's type for a .tar.gz was let through %d times, want once", n)
	}
}

func TestSecondUploadOfAName(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	b.want(b.put(id, "a.txt", "one"), 201)
	a := b.want(b.put(id, "a.txt", "two"), 422)
	want := `{"documentation_url":"https://docs.github.com/rest","errors":[{"resource":"ReleaseAsset","code":"already_exists","field":"name"}],"message":"Validation Failed","request_id":"` + a.Header.Get("X-GitHub-Request-Id") + `"}`
	if string(a.body) != want {
		t.Errorf("body %s\nwant %s", a.body, want)
	}
	// Renamed to the same name is the same name.
	b.want(b.put(id, "a txt", "two"), 422, "already_exists")
}

func TestRename(t *testing.T) {
	for name, want := range map[string]string{
		"app-1.2.3_amd64.deb": "app-1.2.3_amd64.deb", "a b.txt": "a.b.txt", "a (1).txt": "a.1.txt", "a..b": "a.b",
		".hidden": "default.hidden", "trailing.": "trailing", "..": "default", "$(id)`x`": "id.x", "--rf": "--rf",
		"../../etc/passwd": "default.etc.passwd", "a\nb": "a.b", "ü.txt": "default.txt", "x@1+2": "x@1+2", "\x00": "default", "~": "default",
	} {
		if got := rename(name); got != want {
			t.Errorf("rename(%q) = %q, want %q", name, got, want)
		}
		if got := rename(rename(name)); got != rename(name) {
			t.Errorf("rename(%q) is not stable: %q", name, got)
		}
	}
	b := start(t)
	a := b.want(b.put(b.draft("v1"), "a b.txt", "x"), 201)
	if a.json["name"] != "a.b.txt" || !strings.HasSuffix(a.json["browser_download_url"].(string), "/a.b.txt") {
		t.Errorf("asset %s", a.body)
	}
}

func TestRefusedUploads(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	b.want(b.do("POST", b.uploadTo(id, "empty"), "", "Content-Type", "application/octet-stream"), 422, "size must be greater than or equal to 1")
	q, _ := http.NewRequestWithContext(t.Context(), "POST", b.uploadTo(id, "chunked"), struct{ *strings.Reader }{strings.NewReader("x")})
	q.Header.Set("Authorization", "Bearer maintainer")
	q.ContentLength = -1
	response, err := b.http.Do(q)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if response.StatusCode != 400 {
		t.Errorf("chunked: %d", response.StatusCode)
	}
	b.want(b.put(id+100, "a", "x"), 404)
	b.want(b.put(0, "a", "x"), 404)
	b.want(b.wrong("POST", strings.TrimSuffix(b.uploadTo(id, ""), "?name="), "x"), 422, "missing_field")
	b.want(b.do("POST", b.uploadTo(id, "a"), "x", "Authorization", "Bearer reader", "Content-Type", "application/octet-stream"), 403)
	b.want(b.do("POST", b.uploadTo(id, "a"), "x", "Authorization", "Bearer nobody", "Content-Type", "application/octet-stream"), 401)
	if n := len(b.History(owner, repo).Last().Releases[0].Assets); n != 0 {
		t.Errorf("%d assets after refusals", n)
	}
}

// TestTooLarge sends no more than the head of a request.
func TestTooLarge(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	head := "POST /repos/octo/app/releases/" + itoa(id) + "/assets?name=big HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer maintainer\r\nContent-Length: 2147483649\r\n\r\n"
	if got := rawRequest(t, b.UploadURL(), head); !strings.Contains(got, "422") || !strings.Contains(got, "less than or equal to 2147483648") {
		t.Errorf("answer %q", got)
	}
}

func TestAssetEdit(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	one := b.want(b.put(id, "one", "1"), 201).id()
	b.want(b.put(id, "two", "2"), 201)
	b.want(b.do("PATCH", "/releases/assets/"+itoa(one), `{"name":"two"}`), 422, "already_exists")
	a := b.want(b.do("PATCH", "/releases/assets/"+itoa(one), `{"name":"new name","label":"L"}`), 200)
	if a.json["name"] != "new.name" || a.json["label"] != "L" {
		t.Errorf("asset %s", a.body)
	}
	b.want(b.do("PATCH", "/releases/assets/9", `{"name":"x"}`), 404)
}

func TestBrowserDownload(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	a := b.want(b.put(id, "a.txt", "hello"), 201)
	draftURL := a.json["browser_download_url"].(string)
	public := b.WebURL() + "octo/app/releases/download/v1/a.txt"
	for _, u := range []string{draftURL, public} {
		b.want(b.do("GET", u, "", "Authorization", "-"), 404)
		b.want(b.do("GET", u, ""), 404)
	}
	b.publish(id, "")
	if a := b.want(b.do("GET", "/releases/assets/"+itoa(a.id()), ""), 200); a.json["browser_download_url"] != public {
		t.Errorf("browser_download_url %v, want %v", a.json["browser_download_url"], public)
	}
	b.want(b.do("GET", draftURL, "", "Authorization", "-"), 404)
	response, err := http.Get(public)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	if response.StatusCode != 200 || response.Header.Get("Content-Disposition") != "attachment; filename=a.txt" {
		t.Errorf("status %d, %v", response.StatusCode, response.Header)
	}
}

// zeros is a body of any length without bytes in memory.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// TestLargeUploadIsStreamed watches the heap while 96 MiB arrive.
func TestLargeUploadIsStreamed(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	const size = 96 << 20
	q, err := http.NewRequestWithContext(t.Context(), "POST", b.uploadTo(id, "big"), io.LimitReader(zeros{}, size))
	if err != nil {
		t.Fatal(err)
	}
	q.ContentLength = size
	q.Header.Set("Authorization", "Bearer maintainer")
	q.Header.Set("Content-Type", "application/octet-stream")
	var before, now runtime.MemStats
	runtime.ReadMemStats(&before)
	stop, peak := make(chan struct{}), make(chan uint64)
	go func() {
		var most uint64
		for {
			select {
			case <-stop:
				peak <- most
				return
			case <-time.After(5 * time.Millisecond):
				runtime.ReadMemStats(&now)
				most = max(most, now.HeapAlloc)
			}
		}
	}()
	response, err := b.http.Do(q)
	close(stop)
	if err != nil {
		t.Fatal(err)
	}
	response.Body.Close()
	if most := <-peak; most > before.HeapAlloc+32<<20 {
		t.Errorf("the heap grew by %d MiB", (most-before.HeapAlloc)>>20)
	}
	if a := b.History(owner, repo).Last().Releases[0].Assets[0]; response.StatusCode != 201 || a.Size != size {
		t.Errorf("status %d, %+v", response.StatusCode, a)
	}
}
