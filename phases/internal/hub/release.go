package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/google/go-github/v60/github"
)

// A Release is one of the repository's, draft or published. Its assets are asked for with [Client.ListAssets]: the
// release's own list of them may be behind.
type Release struct {
	ID int64
	// Tag is the tag's name, also of a draft whose tag does not exist yet. Several drafts may have one.
	Tag string
	// Target is a branch or a commit, where GitHub would make a missing tag.
	Target      string
	Title, Body string
	Draft       bool
	Prerelease  bool
	// Immutable says that nothing but title and notes can be changed any more.
	Immutable bool
	Published time.Time // zero for a draft
	// URL is the page for people. That of a draft changes when it is published.
	URL string
}

// Bears tells whether the release's body has the marker on a line of its own.
func (r Release) Bears(marker string) bool { return hasLine(r.Body, marker) }

// Withdrawn tells whether a release that was public is a draft now: who withdrew it left a marker beside that of the run
// which made it, see [Client.Retract].
func (r Release) Withdrawn(marker string) bool {
	for line := range strings.Lines(r.Body) {
		if line = strings.TrimSpace(line); r.Draft && line != marker && isMarker(line) {
			return true
		}
	}
	return false
}

// wireRelease adds what the library's structure lacks.
type wireRelease struct {
	github.RepositoryRelease
	Immutable bool `json:"immutable"`
}

func (w *wireRelease) release() Release {
	return Release{
		ID: w.GetID(), Tag: w.GetTagName(), Target: w.GetTargetCommitish(), Title: w.GetName(), Body: w.GetBody(),
		Draft: w.GetDraft(), Prerelease: w.GetPrerelease(), Immutable: w.Immutable,
		Published: w.GetPublishedAt().UTC(), URL: w.GetHTMLURL(),
	}
}

// Release finds a release by its id: [ErrNotFound].
func (c *Client) Release(ctx context.Context, id int64) (Release, error) {
	return c.oneRelease(ctx, http.MethodGet, "releases/"+strconv.FormatInt(id, 10), nil)
}

// ByTag finds the published release of a tag: [ErrNotFound]. Drafts are never found so.
func (c *Client) ByTag(ctx context.Context, tag string) (Release, error) {
	path, err := escapeRef(tag)
	if err != nil {
		return Release{}, fmt.Errorf("cannot look for tag %.100q: %w", tag, err)
	}
	return c.oneRelease(ctx, http.MethodGet, "releases/tags/"+path, nil)
}

// Latest finds the release that GitHub shows as the latest: [ErrNotFound] where none is published.
func (c *Client) Latest(ctx context.Context) (Release, error) {
	return c.oneRelease(ctx, http.MethodGet, "releases/latest", nil)
}

func (c *Client) oneRelease(ctx context.Context, method, path string, in any) (Release, error) {
	var w wireRelease
	if _, err := c.do(ctx, method, c.path+path, in, &w); err != nil {
		return Release{}, err
	}
	if r := w.release(); r.ID > 0 && r.Tag != "" {
		return r, nil
	}
	e := &Error{Op: method + " " + c.path + path, cause: errors.New("the answer is no release")}
	if isWrite(method) {
		e.kind = ErrUnknown
	}
	return Release{}, e
}

// ListReleases returns all releases, newest first, drafts included where the token may push.
func (c *Client) ListReleases(ctx context.Context) ([]Release, error) {
	return every(ctx, c, c.path+"releases", func(w *wireRelease) (Release, int64) { r := w.release(); return r, r.ID })
}

// every reads all pages of a listing. Pages are offsets into what is there at the moment of each request, so an entry
// that goes away meanwhile hides another: a listing of more than one page is read until two readings agree.
func every[W, T any](ctx context.Context, c *Client, path string, read func(*W) (T, int64)) ([]T, error) {
	var before []int64
	for round := range c.tries + 1 {
		var list []T
		var ids []int64
		page := 1
		for page > 0 {
			var some []W
			resp, err := c.do(ctx, http.MethodGet, fmt.Sprintf("%s?per_page=%d&page=%d", path, c.perPage, page), nil, &some)
			if err != nil {
				return nil, err
			}
			for i := range some {
				if item, id := read(&some[i]); id > 0 && !slices.Contains(ids, id) {
					list, ids = append(list, item), append(ids, id)
				}
			}
			if next := resp.NextPage; next != 0 && (next != page+1 || next > maxPages) {
				return nil, &Error{Op: "GET " + path, cause: fmt.Errorf("page %d follows page %d", next, page)}
			}
			page = resp.NextPage
		}
		if len(ids) < c.perPage || round > 0 && slices.Equal(ids, before) {
			return list, nil
		}
		before = ids
	}
	return nil, &Error{Op: "GET " + path, kind: ErrUnavailable, cause: errors.New("the listing keeps changing while it is read")}
}

// maxPages is far beyond GitHub's own bound of 10,000 releases in a listing.
const maxPages = 1000

// Marker is the line in a release's body that says which run made it.
func Marker(run string) string { return "<!-- slipway " + run + " -->" }

// isMarker tells that a line may be a marker.
func isMarker(line string) bool {
	return strings.HasPrefix(line, "<!-- slipway ") && strings.HasSuffix(line, " -->") && len(line) < 200
}

// hasLine tells whether a line of a body is the marker and nothing else.
func hasLine(body, marker string) bool {
	for line := range strings.Lines(body) {
		if strings.TrimSpace(line) == marker {
			return true
		}
	}
	return false
}

// Found is what [Client.FindByMarker] saw of one tag's releases, drafts and published ones.
type Found struct {
	// Ours bear the marker. There should be at most one.
	Ours []Release
	// Foreign have the tag and not the marker, or the marker and another tag.
	Foreign []Release
}

// Release returns the one of ours; ok is false when nothing is there. Anything else is a [*ConflictError].
func (f Found) Release() (r Release, ok bool, err error) {
	ids := func(list []Release) (ids []int64) {
		for _, r := range list {
			ids = append(ids, r.ID)
		}
		return ids
	}
	switch {
	case len(f.Ours) > 1:
		return Release{}, false, &ConflictError{What: fmt.Sprintf("there are %d releases of this run for tag %s", len(f.Ours), f.Ours[0].Tag), IDs: ids(f.Ours)}
	case len(f.Foreign) > 0:
		what := "somebody else's draft"
		if !f.Foreign[0].Draft {
			what = "somebody else's release"
		}
		return Release{}, false, &ConflictError{What: "there is " + what + " for tag " + f.Foreign[0].Tag, IDs: ids(f.Foreign)}
	case len(f.Ours) == 1:
		return f.Ours[0], true, nil
	}
	return Release{}, false, nil
}

// FindByMarker looks at all releases, once, for those of a tag and those with a marker. What was made a moment ago may
// be missing.
func (c *Client) FindByMarker(ctx context.Context, tag, marker string) (Found, error) {
	all, err := c.ListReleases(ctx)
	if err != nil {
		return Found{}, err
	}
	var f Found
	for _, r := range all {
		marked := hasLine(r.Body, marker)
		switch {
		case marked && r.Tag == tag:
			f.Ours = append(f.Ours, r)
		case marked || r.Tag == tag:
			f.Foreign = append(f.Foreign, r)
		}
	}
	return f, nil
}

// A Draft is a release to be made.
type Draft struct {
	Tag string
	// Commit is where the tag would be made, should it be missing when the draft is published.
	Commit     string
	Title      string
	Marker     string // becomes the body
	Prerelease bool
}

type releaseRequest struct {
	Tag        string  `json:"tag_name,omitempty"`
	Target     string  `json:"target_commitish,omitempty"`
	Name       *string `json:"name,omitempty"`
	Body       *string `json:"body,omitempty"`
	Draft      bool    `json:"draft"`
	Prerelease *bool   `json:"prerelease,omitempty"`
	MakeLatest string  `json:"make_latest,omitempty"`
}

// CreateDraft makes a draft, trying once. After [ErrUnknown] there may be one: [Client.EnsureDraft] looks.
func (c *Client) CreateDraft(ctx context.Context, d Draft) (Release, error) {
	if d.Tag == "" || d.Marker == "" || strings.TrimSpace(d.Marker) != d.Marker || strings.ContainsAny(d.Marker, "\r\n") {
		return Release{}, errors.New("cannot make a draft: want a tag and a marker of one line")
	}
	r, err := c.oneRelease(ctx, http.MethodPost, "releases", releaseRequest{
		Tag: d.Tag, Target: d.Commit, Name: &d.Title, Body: &d.Marker, Draft: true, Prerelease: &d.Prerelease,
	})
	if err != nil {
		return Release{}, fmt.Errorf("cannot make the draft of %s: %w", d.Tag, workflows(err))
	}
	if !r.Draft || r.Tag != d.Tag || !hasLine(r.Body, d.Marker) {
		return Release{}, &ConflictError{What: "GitHub made another release than the draft of " + d.Tag, IDs: []int64{r.ID}}
	}
	return r, nil
}

// looks is how often an absent thing is looked for after an answer was lost: about a minute in all.
const looks = 6

// EnsureDraft returns the release with the draft's marker, making it when there is none. It may be published already.
// When the answer to making it is lost, it looks for a minute before making another, and takes that one back should the
// first appear after all. Anything else with the tag is a [*ConflictError].
func (c *Client) EnsureDraft(ctx context.Context, d Draft) (Release, error) {
	find := func() (Release, bool, error) {
		f, err := c.FindByMarker(ctx, d.Tag, d.Marker)
		if err != nil {
			return Release{}, false, fmt.Errorf("cannot look for the draft of %s: %w", d.Tag, err)
		}
		return f.Release()
	}
	if r, ok, err := find(); ok || err != nil {
		return r, err
	}
	for try := 1; ; try++ {
		r, err := c.CreateDraft(ctx, d)
		if err == nil && try > 1 {
			return c.onlyDraft(ctx, d, r)
		}
		if !errors.Is(err, ErrUnknown) || ctx.Err() != nil {
			return r, err
		}
		for look := range looks {
			if e := c.pause(ctx, look); e != nil {
				return Release{}, err
			}
			if r, ok, e := find(); ok || e != nil {
				return r, e
			}
		}
		if try == c.tries {
			return Release{}, err
		}
	}
}

// onlyDraft takes a second draft, made a moment ago, back when the first one turns out to be there.
func (c *Client) onlyDraft(ctx context.Context, d Draft, made Release) (Release, error) {
	f, err := c.FindByMarker(ctx, d.Tag, d.Marker)
	if err != nil {
		return Release{}, fmt.Errorf("cannot look whether draft %d is the only one: %w", made.ID, err)
	}
	others := slices.DeleteFunc(slices.Clone(f.Ours), func(r Release) bool { return r.ID == made.ID })
	if len(others) == 0 {
		return made, nil
	}
	if err := c.DeleteDraft(ctx, made.ID, d.Marker); err != nil {
		return Release{}, err
	}
	r, _, err := Found{Ours: others, Foreign: f.Foreign}.Release()
	return r, err
}

// DeleteDraft deletes a draft that bears the marker, with its assets. One that is gone is fine; one that is published
// or not ours is a [*ConflictError].
func (c *Client) DeleteDraft(ctx context.Context, id int64, marker string) error {
	return c.settle(ctx, func() (bool, error) {
		r, err := c.Release(ctx, id)
		switch {
		case errors.Is(err, ErrNotFound):
			return true, nil
		case err != nil:
			return false, err
		case !r.Draft:
			return false, &ConflictError{What: "refused to delete a published release of " + r.Tag, IDs: []int64{id}}
		case !hasLine(r.Body, marker):
			return false, &ConflictError{What: "refused to delete somebody else's draft of " + r.Tag, IDs: []int64{id}}
		}
		return false, nil
	}, func() error {
		_, err := c.do(ctx, http.MethodDelete, c.path+"releases/"+strconv.FormatInt(id, 10), nil, nil)
		return err
	}, "delete draft "+strconv.FormatInt(id, 10))
}

// settle is "look, act, look again": act runs while look says that it is not done, and its lost answers are looked
// after.
func (c *Client) settle(ctx context.Context, look func() (done bool, err error), act func() error, what string) error {
	var last error
	for try := range c.tries {
		if last != nil {
			if err := c.pause(ctx, try-1); err != nil {
				return fmt.Errorf("cannot %s: %w", what, last)
			}
		}
		done, err := look()
		if err != nil {
			return fmt.Errorf("cannot %s: %w", what, err)
		}
		if done {
			return nil
		}
		if last = act(); last == nil {
			continue // and see
		}
		// 404 is looked after once: it may be gone meanwhile, or the token lacks a right.
		if !errors.Is(last, ErrUnknown) && (!errors.Is(last, ErrNotFound) || try > 0) || ctx.Err() != nil {
			return fmt.Errorf("cannot %s: %w", what, last)
		}
	}
	if done, err := look(); err == nil && done {
		return nil
	}
	if last == nil {
		last = errors.New("the server said it was done, and it is not")
	}
	return fmt.Errorf("cannot %s: %w", what, last)
}

// A Publication is what a draft becomes.
type Publication struct {
	Title string
	// Body are the notes. The marker belongs in it, so that the release can still be told to be ours.
	Body       string
	Prerelease bool
	// Latest makes it the repository's latest release. Otherwise the one before stays.
	Latest bool
}

// Matches tells whether a published release has become what was wanted. Whether it is the latest is another question,
// see [Client.Latest].
func (p Publication) Matches(r Release) bool {
	return !r.Draft && r.Prerelease == p.Prerelease && r.Title == p.Title && text(r.Body) == text(p.Body)
}

// Publish makes a draft public, with title and notes, and decides in the same request whether it is the latest. A
// release that is public already is fine when it is as wanted, and a [*ConflictError] when not.
func (c *Client) Publish(ctx context.Context, id int64, p Publication) (Release, error) {
	if p.Latest && p.Prerelease {
		return Release{}, errors.New("cannot publish: a prerelease cannot be the latest release")
	}
	var now Release
	path := "releases/" + strconv.FormatInt(id, 10)
	err := c.settle(ctx, func() (bool, error) {
		r, err := c.Release(ctx, id)
		now = r
		if err != nil || r.Draft {
			return false, err
		}
		if !p.Matches(r) {
			return false, &ConflictError{What: "release " + r.Tag + " is public with another title, other notes or another kind", IDs: []int64{id}}
		}
		return true, nil
	}, func() error {
		_, err := c.oneRelease(ctx, http.MethodPatch, path, releaseRequest{
			Name: &p.Title, Body: &p.Body, Prerelease: &p.Prerelease, MakeLatest: strconv.FormatBool(p.Latest),
		})
		return workflows(err)
	}, "publish release "+strconv.FormatInt(id, 10))
	return now, err
}

// workflows adds to a 404 what most often is behind one where a release is made: a right that no GITHUB_TOKEN of GitHub
// Actions has.
func workflows(err error) error {
	if errors.Is(err, ErrNotFound) {
		return fmt.Errorf("%w; where the commit changes .github/workflows, the token needs the workflows right, or the tag must be pushed with git first", err)
	}
	return err
}

// text is a body without what servers change in it: line ends and space at its end.
func text(body string) string {
	return strings.TrimRight(strings.ReplaceAll(body, "\r\n", "\n"), " \n")
}

// Withdraw makes a release a draft again. The tag stays. An immutable release cannot be withdrawn: [ErrImmutable].
func (c *Client) Withdraw(ctx context.Context, id int64) (Release, error) {
	var now Release
	err := c.settle(ctx, func() (bool, error) {
		r, err := c.Release(ctx, id)
		now = r
		if err == nil && !r.Draft && r.Immutable {
			err = ErrImmutable
		}
		return r.Draft, err
	}, func() error {
		_, err := c.oneRelease(ctx, http.MethodPatch, "releases/"+strconv.FormatInt(id, 10), releaseRequest{Draft: true})
		return err
	}, "withdraw release "+strconv.FormatInt(id, 10))
	return now, err
}
