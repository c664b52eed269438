package verify

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// asset is one of the published release, with what was downloaded of it.
type asset struct {
	hub.Asset
	fetched
}

// page looks at the published release: its assets, and whether it is the latest as it should be.
func (l *looker) page(ctx context.Context) {
	what := "release " + l.Tag
	rel, err := l.hub.ByTag(ctx, l.Tag)
	switch {
	case errors.Is(err, hub.ErrNotFound):
		l.fail(what, "%s has no published release of this tag", l.Page)
		return
	case err != nil:
		l.unknown(what, err)
		return
	}
	l.published = rel
	switch {
	case l.names.Private:
		l.fail(what, "the repository is private: the public cannot see it")
	case rel.Prerelease && !l.Version.Prerelease():
		l.pass(what, "published %s, marked as a prerelease", rel.Published.UTC().Format("2006-01-02 15:04"))
	default:
		l.pass(what, "published %s", rel.Published.UTC().Format("2006-01-02 15:04"))
	}
	l.contents(ctx)
	l.latest(ctx)
}

// contents downloads every asset and compares it: with what was made, or with the checksums that the release has.
func (l *looker) contents(ctx context.Context) {
	list, err := l.hub.ListAssets(ctx, l.published.ID)
	if err != nil {
		l.unknown("assets", err)
		return
	}
	l.assets = map[string]asset{}
	for _, a := range list {
		l.say(a.Name)
		got := asset{Asset: a}
		if a.State == hub.Uploaded {
			got.Content, got.err = l.fetch.hash(ctx, l.download(a.Name))
		}
		l.assets[a.Name] = got
	}
	sums, faults := l.checksums(ctx)
	names := slices.Collect(maps.Keys(l.assets))
	for name := range l.Assets {
		if _, there := l.assets[name]; !there {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	for _, name := range names {
		l.asset(name, sums)
	}
	if len(names) == 0 {
		l.fail("assets", "there are none")
	}
	for _, fault := range faults {
		l.fail("checksums", "%s", fault)
	}
}

// download is where anybody downloads an asset, by the address that others write into their packages.
func (l *looker) download(name string) string {
	return l.Page + "/releases/download/" + l.Tag + "/" + name
}

// asset compares one asset.
func (l *looker) asset(name string, sums map[string]map[string]string) {
	a, there := l.assets[name]
	what := "asset " + name
	want, made := l.Assets[name]
	var wrong []string
	bad := func(format string, args ...any) { wrong = append(wrong, fmt.Sprintf(format, args...)) }
	switch {
	case !there:
		l.fail(what, "it is missing on %s", l.published.URL)
		return
	case a.State != hub.Uploaded:
		l.fail(what, "its upload never ended: it is in state %q", a.State)
		return
	case errors.Is(a.err, errAbsent):
		l.fail(what, "%s: %v", l.download(name), a.err)
		return
	case a.err != nil:
		l.unknown(what, fmt.Errorf("%s: %w", l.download(name), a.err))
		return
	case l.Assets != nil && !made:
		bad("it is no part of what was made")
	case made && a.Content != want:
		bad("it has %d bytes with SHA-256 %.12s, made were %d with %.12s", a.Content.Size, a.Content.SHA256, want.Size, want.SHA256)
	}
	by := ""
	if made {
		by = ", as it was made"
	}
	for _, file := range slices.Sorted(maps.Keys(sums)) {
		sum, named := sums[file][name]
		switch {
		case !named:
		case sum != a.Content.SHA256:
			bad("%s says SHA-256 %.12s, downloaded was %.12s", file, sum, a.Content.SHA256)
		case by == "":
			by = ", as " + file + " says"
		}
	}
	if a.Digest != "" && a.Digest != a.Content.SHA256 {
		bad("GitHub says SHA-256 %.12s, downloaded was %.12s", a.Digest, a.Content.SHA256)
	}
	if own := sums[name]; len(own) > 0 && by == "" {
		by = ", which names " + slices.Sorted(maps.Keys(own))[0]
		if len(own) != 1 {
			by = fmt.Sprintf(", which names %d files", len(own))
		}
	}
	l.settle(what, wrong, nil, "%d bytes, SHA-256 %.12s%s", a.Content.Size, a.Content.SHA256, by)
}

// sumLine is a line of sha256sum: the digest, a space, a space or an asterisk, the name.
var sumLine = regexp.MustCompile(`^([0-9a-fA-F]{64}) [ *](.+)$`)

// checksums reads the release's own: SHA256SUMS, and NAME.sha256 of one file each. faults are files that they name and
// that are not there.
func (l *looker) checksums(ctx context.Context) (sums map[string]map[string]string, faults []string) {
	sums = map[string]map[string]string{}
	for _, file := range slices.Sorted(maps.Keys(l.assets)) {
		a := l.assets[file]
		one, single := strings.CutSuffix(file, ".sha256")
		if file != "SHA256SUMS" && !single || a.err != nil || a.State != hub.Uploaded {
			continue
		}
		text, err := l.fetch.text(ctx, l.download(file))
		if err != nil {
			faults = append(faults, fmt.Sprintf("%s cannot be read: %v", file, err))
			continue
		}
		sums[file] = map[string]string{}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\r\n")
			m := sumLine.FindStringSubmatch(line)
			switch {
			case m == nil && single && len(strings.TrimSpace(line)) == 64:
				sums[file][one] = strings.ToLower(strings.TrimSpace(line))
			case m == nil && line != "":
				faults = append(faults, fmt.Sprintf("%s has a line that is none of sha256sum: %.80q", file, line))
			case m != nil:
				sums[file][m[2]] = strings.ToLower(m[1])
			}
		}
		for name := range sums[file] {
			if _, there := l.assets[name]; !there || path.Base(name) != name {
				faults = append(faults, fmt.Sprintf("%s names %.80q, which is no asset", file, name))
			}
		}
	}
	slices.Sort(faults)
	return sums, faults
}

// latest compares the release that people get who ask for the latest with the newest version.
func (l *looker) latest(ctx context.Context) {
	now, err := l.hub.Latest(ctx)
	if errors.Is(err, hub.ErrNotFound) {
		now, err = hub.Release{}, nil
	}
	var all []hub.Release
	if err == nil {
		all, err = l.hub.ListReleases(ctx)
	}
	if err != nil {
		l.unknown("latest release", err)
		return
	}
	var newest hub.Release
	var highest version.Version
	for _, r := range all {
		v, ok := l.TagForm.Version(r.Tag)
		if !ok || r.Draft || r.Prerelease || v.Prerelease() {
			continue
		}
		if newest.ID == 0 || v.Compare(highest) > 0 {
			newest, highest = r, v
		}
	}
	switch {
	case now.ID == newest.ID:
		l.pass("latest release", "it is %s", cmp.Or(now.Tag, "none"))
	case l.Odd && now.ID == l.published.ID:
		l.pass("latest release", "it is %s, as release.yaml lets it be", now.Tag)
	default:
		l.fail("latest release", "it is %s, and the newest version is %s", cmp.Or(now.Tag, "none"), cmp.Or(newest.Tag, "none"))
	}
}
