package hub

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	twin "github.com/imrightguy/slipway/phases/internal/twins/github"
)

// typed are the errors a caller can act on.
var typed = []error{
	ErrUnknown, ErrUnavailable, ErrLimited, ErrUnauthorized, ErrForbidden, ErrNotFound, ErrExists, ErrRenamed, ErrMismatch,
}

func isTyped(err error) bool {
	for _, kind := range typed {
		if errors.Is(err, kind) {
			return true
		}
	}
	return false
}

// flow makes a whole release with every call of the client, from wherever the last one stopped, and withdraws it.
func flow(ctx context.Context, c *Client, files []File) error {
	if _, err := c.RateLimit(ctx); err != nil {
		return err
	}
	if _, err := c.Immutability(ctx); err != nil {
		return err
	}
	if a, err := c.Access(ctx); err != nil {
		return err
	} else if !a.Push {
		return errors.New("no right to push")
	}
	r, err := c.EnsureDraft(ctx, draft)
	if err != nil {
		return err
	}
	for _, f := range files {
		if _, err := c.PutAsset(ctx, r.ID, f, nil); err != nil {
			return err
		}
	}
	list, err := c.ListAssets(ctx, r.ID)
	if err != nil {
		return err
	}
	if len(list) != len(files) { // seen late: a real inspection waits
		if list, err = c.ListAssets(ctx, r.ID); err != nil {
			return err
		}
	}
	wanted := map[string]Content{}
	for _, f := range files {
		wanted[f.Name] = Content{f.Size, f.SHA256}
	}
	for _, a := range list {
		if _, err := c.Download(ctx, a.ID, wanted[a.Name], nil); err != nil {
			return err
		}
	}
	p := Publication{Title: "One", Body: "Notes\n\n" + marker, Latest: true}
	if r, err = c.Publish(ctx, r.ID, p); err != nil {
		return err
	}
	if by, err := c.ByTag(ctx, tag); err != nil {
		return err
	} else if by.ID != r.ID {
		return fmt.Errorf("by tag: %d", by.ID)
	}
	if l, err := c.Latest(ctx); err != nil {
		return err
	} else if l.ID != r.ID {
		return fmt.Errorf("latest: %d", l.ID)
	}
	if list, err = c.ListAssets(ctx, r.ID); err != nil {
		return err
	}
	for _, a := range list {
		if _, err := c.DownloadPublic(ctx, a.URL, wanted[a.Name], nil); err != nil {
			return err
		}
	}
	if _, err := c.Withdraw(ctx, r.ID); err != nil {
		return err
	}
	// One more draft comes and goes, with an asset.
	other := Draft{Tag: "v0-other", Marker: "<!-- slipway run-2 -->"}
	o, err := c.EnsureDraft(ctx, other)
	if err != nil {
		return err
	}
	a, err := c.PutAsset(ctx, o.ID, files[0], nil)
	if err != nil {
		return err
	}
	if err := c.DeleteAsset(ctx, a.ID); err != nil {
		return err
	}
	return c.DeleteDraft(ctx, o.ID, other.Marker)
}

// judge says what is wrong with the twin's state after flow ended well, and with its past.
func judge(b *bench, files []File) error {
	want := map[string]string{}
	for _, f := range files {
		want[f.Name] = f.SHA256
	}
	if err := b.History(owner, repo).Always(twin.Complete(tag, want)); err != nil {
		return err
	}
	left := b.releases()
	if len(left) != 1 || left[0].Tag != tag || len(left[0].Assets) != len(files) {
		return fmt.Errorf("%d releases are left: %+v", len(left), left)
	}
	for _, a := range left[0].Assets {
		if a.State != Uploaded || want[a.Name] != a.SHA256 {
			return fmt.Errorf("asset %+v", a)
		}
	}
	return nil
}

// calls are the requests of flow, each with how many faults of it are tried.
var calls = []struct {
	at string
	n  int
}{
	{"GET api:/rate_limit", 1},
	{"GET api:/repos/*/*/immutable-releases", 1},
	{"GET api:/repos/*/*", 1},
	{"GET api:/repos/*/*/releases", 2},
	{"POST api:/repos/*/*/releases", 2},
	{"GET api:/repos/*/*/releases/*/assets", 3},
	{"POST uploads:/repos/*/*/releases/*/assets", 3},
	{"GET api:/repos/*/*/releases/assets/*", 2},
	{"GET downloads:/**", 3},
	{"GET api:/repos/*/*/releases/[0-9]*", 3},
	{"PATCH api:/repos/*/*/releases/*", 2},
	{"GET api:/repos/*/*/releases/tags/*", 1},
	{"GET api:/repos/*/*/releases/latest", 1},
	{"GET web:/**", 2},
	{"DELETE api:/repos/*/*/releases/assets/*", 1},
	{"DELETE api:/repos/*/*/releases/*", 1},
}

// effects are all kinds that the twin knows, and whether flow is to end well by itself (that is: in the first call).
// The rare ones say to a read what another one says: they are tried on reads when there is time.
var effects = []struct {
	effect string
	itself bool
	rare   bool
}{
	{"500", true, true},
	{"502", true, false},
	{"502 after 10 bytes", true, true},
	{"503 though done", true, true},
	{"504 after 0 bytes", true, true},
	{"cut", true, false},
	{"cut after 10 bytes", true, true},
	{"cut though done", true, true},
	{"422 already_exists", false, false},
	{"403 secondary", true, true},
	{"403 secondary retry-after 7s", true, false},
	{"429", true, true},
	{"429 retry-after 7s", true, true},
	{"429 retry-after date 90s", true, false},
	{"403 primary reset 2m", true, false},
	{"403 primary reset 50m", false, false},
	{"403 primary", true, true},
	{"401", false, false},
	{"truncated after 5 bytes", true, false},
	{"flipped byte 0", true, false},
	{"slow upload 1000 bytes/s", true, false},
	{"slow download 1000 bytes/s", true, false},
	{"delay 3s", true, true},
	{"late 3 calls", true, false},
	{"late 5s", true, false},
	{"stale 3 calls", true, false},
	{"digest late 2 calls", true, false},
	{"digest late 20 calls", true, false},
	{"renamed other.bin", false, false},
}

// everything makes the test of faults meet each request of a kind, not the first alone, with every exchange checked: a
// minute, several under the race detector.
var everything = os.Getenv("SLIPWAY_FAULTS") != ""

// sensible leaves out what cannot make a difference to a request.
func sensible(at, effect string) bool {
	method, _, _ := strings.Cut(at, " ")
	switch word, _, _ := strings.Cut(effect, " "); word {
	case "late", "stale", "digest", "renamed", "422":
		return method == "POST" || method == "PATCH" && word == "422"
	case "truncated", "flipped":
		return method != "DELETE" && !strings.HasPrefix(at, "GET web:") // 204 and 302 have no body
	case "slow":
		return method != "DELETE" && (method != "GET") == strings.Contains(effect, "upload")
	}
	return true
}

// TestEveryFaultOfEveryCall lets every request of a release meet every fault, one at a time. The release is made all the
// same; or the call says what is wrong with an error one can act on, and the next call makes it.
func TestEveryFaultOfEveryCall(t *testing.T) {
	for _, call := range calls {
		t.Run(strings.ReplaceAll(call.at, "/", "|"), func(t *testing.T) {
			t.Parallel()
			b := &bench{t: t, dir: t.TempDir()}
			files := []File{b.file("a.tar.gz", strings.Repeat("a", 3000)), b.file("b.deb", strings.Repeat("b", 50))}
			for _, e := range effects {
				if !sensible(call.at, e.effect) || !everything && e.rare && strings.HasPrefix(call.at, "GET") {
					continue
				}
				times := call.n
				if !everything && !strings.HasPrefix(call.at, "PATCH") && !strings.HasPrefix(call.at, "POST uploads") {
					times = 1
				}
				for n := range times {
					fault := fmt.Sprintf("%s #%d: %s", call.at, n+1, e.effect)
					b, _, _ := raw(t)
					if everything || e.effect == "cut though done" {
						b.Close()
						b = start(t)
					}
					b.plan(fault)
					ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
					err := flow(ctx, b.client(), files)
					if err != nil {
						quiet(t, err)
						if e.itself || !isTyped(err) {
							t.Errorf("%s: %v", fault, err)
						}
						if a := new(Error); errors.As(err, &a) && a.Status != 0 && a.RequestID == "" && strings.Contains(a.Op, b.URL()) {
							t.Errorf("%s: no request id: %v", fault, err)
						}
						b.clock.Sleep(ctx, time.Hour)
						if err = flow(ctx, b.client(), files); err != nil {
							t.Errorf("%s: the second time: %v", fault, err)
						}
					}
					if err == nil {
						if err := judge(b, files); err != nil {
							t.Errorf("%s: %v", fault, err)
						}
					}
					cancel()
					if len(b.Pending()) != 0 {
						t.Errorf("%s did not strike", fault)
					}
					b.Close()
				}
			}
		})
	}
}
