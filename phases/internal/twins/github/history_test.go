package github

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func TestHistory(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	b.want(b.put(id, "a", "aaa"), 201)
	b.want(b.put(id, "b", "bbb"), 201)
	b.publish(id, "")
	plan := map[string]string{"a": sum("aaa"), "b": sum("bbb")}
	h := b.History(owner, repo)
	if err := h.Always(Complete("v1", plan)); err != nil {
		t.Error(err)
	}
	var line []string
	for _, s := range h {
		r := "-"
		for _, rel := range s.Releases {
			r = fmt.Sprintf("draft=%v latest=%v", rel.Draft, rel.Latest)
			for _, a := range rel.Assets {
				r += " " + a.Name + "=" + a.State
			}
		}
		line = append(line, fmt.Sprintf("%s tags=%d", r, len(s.Tags)))
	}
	want := []string{
		"- tags=0", "draft=true latest=false tags=0", "draft=true latest=false a=starter tags=0", "draft=true latest=false a=uploaded tags=0",
		"draft=true latest=false a=uploaded b=starter tags=0", "draft=true latest=false a=uploaded b=uploaded tags=0", "draft=false latest=true a=uploaded b=uploaded tags=1",
	}
	if got := strings.Join(line, "\n"); got != strings.Join(want, "\n") {
		t.Errorf("history:\n%s", got)
	}
	if h[len(h)-1].Releases[0] == h[0+1].Releases[0] || h.Last().Seq != len(h) || !strings.HasPrefix(h.Last().Cause, "PATCH /repos/octo/app/releases/") {
		t.Errorf("last %+v", h.Last())
	}
	if b.History("octo", "none") != nil {
		t.Error("a history of nothing")
	}
}

// TestCompleteNotices plants each way in which a published release is not what
// was planned.
func TestCompleteNotices(t *testing.T) {
	for name, c := range map[string]struct {
		do   func(b *bench, id, a int64)
		want string
	}{
		"published too early": {func(b *bench, id, _ int64) { b.publish(id, ""); b.put(id, "b", "bbb") }, `lacks "b"`},
		"asset taken away": {func(b *bench, id, a int64) {
			b.put(id, "b", "bbb")
			b.publish(id, "")
			b.do("DELETE", fmt.Sprintf("/releases/assets/%d", a), "")
			b.put(id, "a", "aaa")
		}, `lacks "a"`},
		"one too many": {func(b *bench, id, _ int64) { b.put(id, "b", "bbb"); b.put(id, "c", "c"); b.publish(id, "") }, `"c", which is not planned`},
		"wrong bytes":  {func(b *bench, id, _ int64) { b.put(id, "b", "BBB"); b.publish(id, "") }, `"b" with SHA-256`},
		"starter": {func(b *bench, id, _ int64) {
			b.plan(uploads + "#1: 502 after 1 bytes")
			b.put(id, "b", "bbb")
			b.publish(id, "")
		}, `"b" in state starter`},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t)
			id := b.draft("v1")
			a := b.want(b.put(id, "a", "aaa"), 201).id()
			c.do(b, id, a)
			err := b.History(owner, repo).Always(Complete("v1", map[string]string{"a": sum("aaa"), "b": sum("bbb")}))
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("error %v, want %q", err, c.want)
			}
		})
	}
}

func TestExport(t *testing.T) {
	b := start(t)
	id := b.draft("release/v1")
	b.want(b.put(id, "a.txt", "aaa"), 201)
	b.want(b.put(id, "../../b", "bbb"), 201)
	b.publish(id, "")
	d := b.draft("release/v1")
	b.want(b.put(d, "a.txt", "of the draft"), 201)
	b.plan(uploads + "#1: 502 after 1 bytes")
	b.want(b.put(d, "starter", "xxx"), 502)
	dir := t.TempDir()
	if err := b.Export(dir); err != nil {
		t.Fatal(err)
	}
	got := map[string]string{}
	err := filepath.WalkDir(dir, func(name string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		raw, err := os.ReadFile(name)
		rel, _ := filepath.Rel(dir, name)
		got[filepath.ToSlash(rel)] = string(raw)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	list := got["octo/app/releases.json"]
	delete(got, "octo/app/releases.json")
	want := map[string]string{
		"octo/app/releases/release%2Fv1/a.txt": "aaa", "octo/app/releases/release%2Fv1/default.b": "bbb",
		fmt.Sprintf("octo/app/drafts/%d/a.txt", d): "of the draft",
	}
	if fmt.Sprint(got) != fmt.Sprint(want) || !strings.Contains(list, `"tag_name": "release/v1"`) {
		t.Errorf("exported %v", got)
	}
	if err := b.Export(dir); err == nil {
		t.Error("files were overwritten")
	}
}

func TestHooks(t *testing.T) {
	var log []string
	var mu sync.Mutex
	note := func(what string) func(Request) {
		return func(r Request) {
			mu.Lock()
			defer mu.Unlock()
			log = append(log, fmt.Sprintf("%s %s %d", what, r.Method, r.Status))
		}
	}
	b := start(t, func(o *Options) { o.Arrived, o.Handled = note("arrived"), note("handled") })
	id := b.draft("v1")
	b.plan("DELETE /** #1: cut though done")
	b.do("DELETE", "/releases/"+itoa(id), "")
	want := "[arrived POST 0 handled POST 201 arrived DELETE 0 handled DELETE 0]"
	mu.Lock()
	defer mu.Unlock()
	if fmt.Sprint(log) != want {
		t.Errorf("hooks %v\nwant  %v", log, want)
	}
}

// TestManyClients lets many do the same at once: one asset for each name, one
// published release for each tag, and no state in between that breaks the rules.
func TestManyClients(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	var created, refused, published atomic.Int32
	var wg sync.WaitGroup
	for i := range 12 {
		wg.Go(func() {
			for n := range 4 {
				switch a := b.put(id, fmt.Sprintf("asset-%d", n), strings.Repeat("x", 70000+n)); a.StatusCode {
				case 201:
					created.Add(1)
				case 422:
					refused.Add(1)
				default:
					t.Errorf("status %d", a.StatusCode)
				}
				b.do("GET", "/releases?per_page=2", "")
				b.do("GET", "/releases/"+itoa(id)+"/assets", "")
			}
			other := b.draft("v2")
			if a := b.do("PATCH", "/releases/"+itoa(other), `{"draft":false}`); a.StatusCode == 200 {
				published.Add(1)
			}
			b.History(owner, repo)
			_ = i
		})
	}
	wg.Wait()
	if created.Load() != 4 || refused.Load() != 44 || published.Load() != 1 {
		t.Errorf("%d created, %d refused, %d published", created.Load(), refused.Load(), published.Load())
	}
	err := b.History(owner, repo).Always(func(s State) error {
		names := map[string]bool{}
		for _, rel := range s.Releases {
			for _, a := range rel.Assets {
				if names[a.Name] {
					return fmt.Errorf("%s twice", a.Name)
				}
				names[a.Name] = true
			}
		}
		return Complete("v2", nil)(s)
	})
	if err != nil {
		t.Error(err)
	}
}

// TestDyingClient closes the connection in the middle of an upload: the starter
// stays, and the file is gone from the folder.
func TestDyingClient(t *testing.T) {
	b := start(t)
	id := b.draft("v1")
	head := "POST /repos/octo/app/releases/" + itoa(id) + "/assets?name=a HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer maintainer\r\nContent-Length: 1000\r\n\r\nonly this"
	rawRequest(t, b.UploadURL(), head)
	for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && b.Requests()[len(b.Requests())-1].Status == 0; {
		time.Sleep(5 * time.Millisecond)
	}
	if got := b.asset(); got != starter {
		t.Errorf("asset %q", got)
	}
	if files, err := os.ReadDir(filepath.Join(b.options.Dir, "assets")); err != nil || len(files) != 0 {
		t.Errorf("left: %v, %v", files, err)
	}
}

// TestReleaseGoneDuringUpload deletes the release while bytes arrive, and
// publishes one that becomes immutable.
func TestReleaseChangesDuringUpload(t *testing.T) {
	for name, c := range map[string]struct {
		change func(b *bench, id int64)
		status int
	}{
		"deleted":   {func(b *bench, id int64) { b.want(b.do("DELETE", "/releases/"+itoa(id), ""), 204) }, 404},
		"immutable": {func(b *bench, id int64) { b.publish(id, "") }, 422},
	} {
		t.Run(name, func(t *testing.T) {
			b := start(t, func(o *Options) { o.Repositories[0].Immutable = true })
			id := b.draft("v1")
			r, w := io.Pipe()
			done := make(chan answer, 1)
			q, _ := http.NewRequestWithContext(t.Context(), "POST", b.uploadTo(id, "a"), r)
			q.ContentLength = 10
			q.Header.Set("Authorization", "Bearer maintainer")
			q.Header.Set("Content-Type", "application/octet-stream")
			go func() {
				response, err := b.http.Do(q)
				if err == nil {
					response.Body.Close()
				}
				done <- answer{Response: response, err: err}
			}()
			io.WriteString(w, "01234")
			for end := time.Now().Add(5 * time.Second); time.Now().Before(end) && b.asset() == ""; {
				time.Sleep(time.Millisecond)
			}
			c.change(b, id)
			io.WriteString(w, "56789")
			w.Close()
			if a := <-done; a.err != nil || a.StatusCode != c.status {
				t.Errorf("%+v, want %d", a, c.status)
			}
			if files, err := os.ReadDir(filepath.Join(b.options.Dir, "assets")); err != nil || len(files) != 0 {
				t.Errorf("left: %v, %v", files, err)
			}
		})
	}
}
