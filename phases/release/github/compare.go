package github

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// comparison is what the assets of a release are against those planned.
type comparison struct {
	wrong   []string          // one line for each difference, in the plan's order, then by name
	missing bool              // some of wrong may be late in showing
	digests map[string]string // SHA-256 by name, of what is there
	assets  map[string]hub.Asset
	ids     []int64 // of all that is there
}

// compare lists a release's assets and compares them: nothing missing, nothing extra, each whole and with the planned
// size and SHA-256. Where the server gives no digest the bytes are downloaded.
func (w world) compare(ctx context.Context, release int64, want []hub.File) (comparison, error) {
	c := comparison{digests: map[string]string{}, assets: map[string]hub.Asset{}}
	list, err := w.ListAssets(ctx, release)
	if err != nil {
		return c, fmt.Errorf("cannot list the assets of release %d: %w", release, err)
	}
	for _, a := range list {
		c.assets[a.Name] = a
		c.ids = append(c.ids, a.ID)
	}
	for _, f := range want {
		a, ok := c.assets[f.Name]
		if !ok {
			c.wrong, c.missing = append(c.wrong, f.Name+" is missing"), true
			continue
		}
		if a.State != hub.Uploaded {
			c.wrong = append(c.wrong, fmt.Sprintf("%s is in state %.40q", f.Name, a.State))
			continue
		}
		same, err := w.Same(ctx, a, f)
		switch {
		case err == nil:
			c.digests[f.Name] = same.Digest
		case errors.Is(err, pipeline.ErrConflict):
			found := "SHA-256 " + a.Digest
			if a.Digest == "" {
				found = "another SHA-256"
			}
			c.wrong = append(c.wrong, fmt.Sprintf("%s has %d bytes with %s, want %d with %s", f.Name, a.Size, found, f.Size, f.SHA256))
			c.digests[f.Name] = a.Digest
		default:
			return c, err
		}
	}
	slices.SortFunc(list, func(a, b hub.Asset) int { return strings.Compare(a.Name, b.Name) })
	for _, a := range list {
		if !slices.ContainsFunc(want, func(f hub.File) bool { return f.Name == a.Name }) {
			c.wrong = append(c.wrong, fmt.Sprintf("%.100q is not planned", a.Name))
			c.digests[a.Name] = a.Digest
		}
	}
	return c, nil
}

// settled compares until nothing is missing any more, or waiting does not help: a new asset may show late.
func (w world) settled(ctx context.Context, release int64, want []hub.File) (c comparison, err error) {
	w.await(ctx, settling, func() bool {
		c, err = w.compare(ctx, release, want)
		return err == nil && c.missing
	})
	return c, err
}

// list makes one text of lines.
func list(lines []string) string { return strings.Join(lines, "; ") }
