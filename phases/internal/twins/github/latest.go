package github

import (
	"net/http"

	"github.com/Masterminds/semver/v3"
)

// makeLatest carries out make_latest for a published release; nil changes
// nothing.
func (c *call) makeLatest(rel *release, how *string) {
	if how == nil {
		return
	}
	switch {
	case *how == "true" && !rel.prerelease:
		c.repo.latest, rel.notLatest = rel.id, false
	case *how == "false":
		rel.notLatest = true
		if c.repo.latest == rel.id {
			c.repo.latest = 0
		}
	case *how == "legacy":
		// The order of dates and versions decides again, for all releases.
		c.repo.latest, rel.notLatest = 0, false
	}
}

// latestRelease is the one declared so; when there is none, the newest by date
// of its commit, and of equal dates the higher version. Drafts and prereleases
// never are, nor (unconfirmed) releases published with make_latest "false".
func (r *repository) latestRelease() *release {
	var best *release
	for _, rel := range r.releases {
		if rel.draft || rel.prerelease {
			continue
		}
		if rel.id == r.latest {
			return rel
		}
		if !rel.notLatest && (best == nil || later(rel, best)) {
			best = rel
		}
	}
	return best
}

func later(a, b *release) bool {
	if !a.created.Equal(b.created) {
		return a.created.After(b.created)
	}
	va, errA := semver.NewVersion(a.tag)
	vb, errB := semver.NewVersion(b.tag)
	if errA == nil && errB == nil && !va.Equal(vb) {
		return va.GreaterThan(vb)
	}
	return a.id > b.id
}

func (c *call) getLatest() reply {
	rel := c.repo.latestRelease()
	if rel == nil {
		return c.notFound()
	}
	return reply{http.StatusOK, c.releaseJSON(rel), nil}
}
