package github

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"
)

// A release is one, draft or published.
type release struct {
	id         int64
	tag        string
	target     string
	name, body *string // null when never given
	draft      bool
	prerelease bool
	immutable  bool
	// notLatest says that make_latest was "false".
	notLatest bool
	author    string
	// created is the date of the commit, not of the release: so the order of
	// "latest" is decided.
	created   time.Time
	published time.Time
	assets    []*asset // in order of creation
	hidden    lag      // from listings
}

// untagged is the last part of a draft's page, which nobody may rely on: it
// changes when the draft is published.
func (r *release) untagged() string { return fmt.Sprintf("untagged-%020x", r.id*0x9e3779b97f4a) }

// releaseRequest is the body of a POST or PATCH. Absent and null are the same.
type releaseRequest struct {
	TagName    *string `json:"tag_name"`
	Target     *string `json:"target_commitish"`
	Name       *string `json:"name"`
	Body       *string `json:"body"`
	Draft      *bool   `json:"draft"`
	Prerelease *bool   `json:"prerelease"`
	MakeLatest *string `json:"make_latest"`
	Notes      *bool   `json:"generate_release_notes"`
}

func (c *call) createRelease() reply {
	var q releaseRequest
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	rel := &release{target: c.repo.DefaultBranch, author: c.token.Login}
	if q.TagName == nil || *q.TagName == "" {
		return c.invalid(fieldError{Resource: "Release", Code: "missing_field", Field: "tag_name"})
	}
	publish := q.Draft == nil || !*q.Draft
	rel.draft = true // until publishing succeeds
	if bad := c.apply(rel, &q, publish); bad != nil {
		return *bad
	}
	if q.Notes != nil && *q.Notes {
		notes := c.notesText(rel.tag, c.previousTag(rel.tag))
		if rel.body != nil {
			notes = *rel.body + "\n\n" + notes
		}
		rel.body = &notes
		if rel.name == nil {
			rel.name = &rel.tag
		}
	}
	rel.id = c.nextID()
	if c.fault != nil && c.fault.Effect == Late {
		rel.hidden = c.fault.lag(c.clock.Now())
	}
	c.repo.releases = append(c.repo.releases, rel)
	if publish {
		if bad := c.publish(rel, q.MakeLatest); bad != nil {
			c.repo.releases = c.repo.releases[:len(c.repo.releases)-1]
			return *bad
		}
	}
	c.record(c.repo, c.cause())
	return reply{http.StatusCreated, c.releaseJSON(rel), http.Header{"Location": {c.api(c.repo, fmt.Sprintf("/releases/%d", rel.id))}}}
}

func (c *call) editRelease() reply {
	rel := c.release()
	if rel == nil {
		return c.notFound()
	}
	var q releaseRequest
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	publish := rel.draft && q.Draft != nil && !*q.Draft
	next := *rel
	if rel.immutable {
		// Title and notes alone may change.
		q.TagName, q.Target, q.Prerelease = same(q.TagName, rel.tag), same(q.Target, rel.target), same(q.Prerelease, rel.prerelease)
		if q.TagName != nil || q.Target != nil || q.Prerelease != nil || (q.Draft != nil && *q.Draft) {
			return c.failureWith("Cannot edit an immutable release") // text unconfirmed
		}
	}
	if !rel.draft && q.Draft != nil && *q.Draft {
		// Back to a draft (unconfirmed that GitHub allows it through the API).
		next.draft, next.published = true, time.Time{}
	}
	if bad := c.apply(&next, &q, publish); bad != nil {
		return *bad
	}
	before := *rel
	*rel = next
	switch {
	case publish:
		if bad := c.publish(rel, q.MakeLatest); bad != nil {
			*rel = before
			return *bad
		}
	case !rel.draft:
		if rel.tag != before.tag {
			if bad := c.tagFor(rel); bad != nil {
				*rel = before
				return *bad
			}
		}
		c.makeLatest(rel, q.MakeLatest)
	}
	c.record(c.repo, c.cause())
	return reply{http.StatusOK, c.releaseJSON(rel), nil}
}

// same drops a value that changes nothing.
func same[T comparable](v *T, now T) *T {
	if v != nil && *v == now {
		return nil
	}
	return v
}

// apply checks a request and puts its fields into a release. publish tells
// whether the release will be published at once.
func (c *call) apply(rel *release, q *releaseRequest, publish bool) *reply {
	bad := func(code, field, message string) *reply {
		r := c.invalid(fieldError{Resource: "Release", Code: code, Field: field, Message: message})
		return &r
	}
	if q.TagName != nil {
		if !wellFormed("refs/tags/" + *q.TagName) {
			return bad("custom", "tag_name", "tag_name is not well-formed")
		}
		rel.tag = *q.TagName
	}
	if q.Target != nil && *q.Target != "" {
		rel.target = *q.Target
	}
	if q.Name != nil {
		rel.name = q.Name
	}
	if q.Body != nil {
		if len([]rune(*q.Body)) > 125000 {
			return bad("custom", "body", "body is too long (maximum is 125000 characters)")
		}
		rel.body = q.Body
	}
	if q.Prerelease != nil {
		rel.prerelease = *q.Prerelease
	}
	if q.MakeLatest != nil {
		switch *q.MakeLatest {
		case "true":
			// Read in a public thread: drafts are refused too.
			if rel.prerelease || (rel.draft && !publish) {
				return bad("custom", "make_latest", "Latest release cannot be draft or prerelease")
			}
		case "false", "legacy":
		default:
			r := c.failure(http.StatusUnprocessableEntity, fmt.Sprintf("Invalid request.\n\n%q is not a member of [\"true\", \"false\", \"legacy\"].", *q.MakeLatest))
			return &r
		}
	}
	if c.repo.burned[rel.tag] {
		return bad("custom", "tag_name", "tag_name was used by an immutable release")
	}
	at, err := c.commitOf(rel)
	if errors.Is(err, ErrNotFound) {
		return bad("invalid", "target_commitish", "")
	} else if err != nil {
		r := c.broken(err)
		return &r
	}
	if refused := c.workflowRule(at); refused != nil {
		return refused
	}
	commit, err := c.repo.Refs.Commit(c.ctx(), at)
	if err != nil {
		r := c.broken(err)
		return &r
	}
	rel.created = commit.Committer.When.UTC().Truncate(time.Second)
	return nil
}

// commitOf finds the commit that a release is of: its tag's when there is one,
// else its target's.
func (c *call) commitOf(rel *release) (string, error) {
	o, err := c.repo.Refs.Get(c.ctx(), "refs/tags/"+rel.tag)
	if errors.Is(err, ErrNotFound) {
		return resolve(c.ctx(), c.repo.Refs, rel.target)
	}
	if err == nil {
		o, err = peel(c.ctx(), c.repo.Refs, o)
	}
	if err == nil && o.Type != "commit" {
		err = ErrNotFound
	}
	return o.SHA, err
}

// workflowRule refuses a release of a commit that changes workflows, unless the
// token may change them. GitHub answers 404, "sometimes 403" for such.
func (c *call) workflowRule(commit string) *reply {
	if !c.repo.WorkflowRule || c.token.may(c.repo, Workflows, Write) && c.token.Kind != Installation {
		return nil
	}
	main, err := c.repo.Refs.Get(c.ctx(), "refs/heads/"+c.repo.DefaultBranch)
	if err != nil {
		return nil // nothing to compare with
	}
	diff, err := c.repo.Refs.Compare(c.ctx(), main.SHA, commit)
	if err != nil {
		return nil
	}
	for _, f := range diff.Files {
		if strings.HasPrefix(f.Name, ".github/workflows/") {
			r := c.notFound()
			return &r
		}
	}
	return nil
}

// publish makes a draft public: the tag, the date, immutability, latest.
func (c *call) publish(rel *release, makeLatest *string) *reply {
	for _, other := range c.repo.releases {
		if other != rel && !other.draft && other.tag == rel.tag {
			r := c.invalid(fieldError{Resource: "Release", Code: "already_exists", Field: "tag_name"})
			return &r
		}
	}
	if bad := c.tagFor(rel); bad != nil {
		return bad
	}
	rel.draft, rel.published = false, c.now()
	rel.immutable = c.repo.Immutable || c.repo.ImmutableByOwner
	if makeLatest == nil {
		yes := "true" // the default for newly published releases
		makeLatest = &yes
	}
	c.makeLatest(rel, makeLatest)
	return nil
}

// tagFor makes a missing tag: a lightweight one, unsigned (unconfirmed), at the
// target.
func (c *call) tagFor(rel *release) *reply {
	_, err := c.repo.Refs.Get(c.ctx(), "refs/tags/"+rel.tag)
	if errors.Is(err, ErrNotFound) {
		var commit string
		if commit, err = resolve(c.ctx(), c.repo.Refs, rel.target); err == nil {
			err = c.repo.Refs.Create(c.ctx(), "refs/tags/"+rel.tag, commit)
		}
	}
	if err != nil {
		r := c.broken(err)
		return &r
	}
	return nil
}

func (c *call) deleteRelease() reply {
	rel := c.release()
	if rel == nil {
		return c.notFound()
	}
	if rel.immutable {
		c.repo.burned[rel.tag] = true
	}
	for _, a := range rel.assets {
		a.remove(c.Server)
	}
	c.repo.releases = slices.DeleteFunc(c.repo.releases, func(r *release) bool { return r == rel })
	if c.repo.latest == rel.id {
		c.repo.latest = 0
	}
	c.record(c.repo, c.cause())
	return reply{status: http.StatusNoContent}
}

// release finds the one that the path names, if the bearer may see it.
func (c *call) release() *release {
	id := c.number("id")
	for _, rel := range c.repo.releases {
		if rel.id == id && c.visible(rel) {
			return rel
		}
	}
	return nil
}

// visible hides drafts from those who may not push.
func (c *call) visible(rel *release) bool {
	return !rel.draft || c.token.may(c.repo, Contents, Write)
}

func (c *call) getRelease() reply {
	rel := c.release()
	if rel == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, c.releaseJSON(rel), nil}
}

// getReleaseByTag finds published releases only, even for those who see drafts.
func (c *call) getReleaseByTag() reply {
	for _, rel := range c.repo.releases {
		if !rel.draft && rel.tag == c.r.PathValue("tag") {
			return reply{http.StatusOK, c.releaseJSON(rel), nil}
		}
	}
	return c.notFound()
}

// listReleases gives the newest first (order unconfirmed).
func (c *call) listReleases() reply {
	now := c.clock.Now()
	var all []*release
	for _, rel := range slices.Backward(c.repo.releases) {
		if c.visible(rel) && !rel.hidden.hides(now) {
			all = append(all, rel)
		}
	}
	some, header := page(c, all)
	list := make([]releaseJSON, 0, len(some))
	for _, rel := range some {
		list = append(list, c.releaseJSON(rel))
	}
	return reply{http.StatusOK, list, header}
}

// failureWith is a 422 with a message alone, as GitHub's rules about immutable
// releases give.
func (c *call) failureWith(message string) reply {
	return c.failure(http.StatusUnprocessableEntity, message)
}
