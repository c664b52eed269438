package github

import (
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// The states of an asset. GitHub's schema knows "uploaded" and "open", its
// prose also "starter": begun, and not finished yet or never to be.
const (
	uploaded = "uploaded"
	starter  = "starter"
)

// Limits of one release. The first is from public threads ("size must be less
// than or equal to 2147483648"), the second unconfirmed.
const (
	maxAssetSize = 2 << 30
	maxAssets    = 1000
)

// An asset is a file of a release. Its bytes are in the server's folder under
// its id.
type asset struct {
	id               int64
	name             string
	label            *string
	contentType      string
	state            string
	size             int64  // 0 for a starter
	sha256           string // hex
	downloads        int
	uploader         string
	created, updated time.Time
	// Eventual consistency, by a planned fault: missing in listings, missing in
	// the release's own array, without a digest.
	hidden, stale, undigested lag
}

func (s *Server) file(a *asset) string {
	return filepath.Join(s.options.Dir, "assets", strconv.FormatInt(a.id, 10))
}

func (a *asset) remove(s *Server) {
	os.Remove(s.file(a)) // a starter has none
}

var specials = regexp.MustCompile(`[^A-Za-z0-9@+_-]+`)

// rename is what GitHub makes of a file name: runs of anything but letters,
// digits, "@", "+", "_" and "-" become one dot, dots at the ends go, and where
// only an extension is left, "default" stands before it. GitHub's documentation
// says that it renames such names; these details are unconfirmed.
func rename(name string) string {
	clean := strings.Trim(specials.ReplaceAllString(name, "."), ".")
	lost := name != "" && specials.MatchString(name[:1]) // the beginning
	switch {
	case clean == "":
		return "default"
	case strings.HasPrefix(name, ".") || (lost && !strings.Contains(clean, ".")):
		return "default." + clean
	}
	return clean
}

// asset finds the one that the path names, and its release.
func (c *call) asset() (*release, *asset) {
	id := c.number("id")
	for _, rel := range c.repo.releases {
		if !c.visible(rel) {
			continue
		}
		for _, a := range rel.assets {
			if a.id == id {
				return rel, a
			}
		}
	}
	return nil, nil
}

func (r *release) assetNamed(name string) *asset {
	for _, a := range r.assets {
		if a.name == name {
			return a
		}
	}
	return nil
}

// listAssets shows starters too.
func (c *call) listAssets() reply {
	rel := c.release()
	if rel == nil {
		return c.notFound()
	}
	now := c.clock.Now()
	var all []*asset
	for _, a := range rel.assets {
		if !a.hidden.hides(now) {
			all = append(all, a)
		}
	}
	some, header := page(c, all)
	list := make([]assetJSON, 0, len(some))
	for _, a := range some {
		list = append(list, c.assetJSON(rel, a))
	}
	return reply{http.StatusOK, list, header}
}

func (c *call) editAsset() reply {
	rel, a := c.asset()
	if a == nil {
		return c.notFound()
	}
	var q struct {
		Name  *string `json:"name"`
		Label *string `json:"label"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	if rel.immutable {
		return c.failureWith("Cannot edit assets of an immutable release") // text unconfirmed
	}
	if q.Name != nil && *q.Name != "" {
		name := rename(*q.Name)
		if other := rel.assetNamed(name); other != nil && other != a {
			return c.invalid(fieldError{Resource: "ReleaseAsset", Code: "already_exists", Field: "name"})
		}
		a.name = name
	}
	if q.Label != nil {
		a.label = q.Label
	}
	a.updated = c.now()
	c.record(c.repo, c.cause())
	return reply{http.StatusOK, c.assetJSON(rel, a), nil}
}

func (c *call) deleteAsset() reply {
	rel, a := c.asset()
	if a == nil {
		return c.notFound()
	}
	if rel.immutable {
		return c.failureWith("Cannot delete assets of an immutable release") // text unconfirmed
	}
	a.remove(c.Server)
	rel.assets = slices.DeleteFunc(rel.assets, func(o *asset) bool { return o == a })
	c.record(c.repo, c.cause())
	return reply{status: http.StatusNoContent}
}
