// Package published proves that users will receive what the PKGBUILD says: every source is downloaded as anybody does,
// without a credential, and hashed.
//
// A file that the public cannot have, or that has other bytes, fails the check. A server that cannot be reached leaves
// it unknown.
package published

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Check is the name of the evidence: one for each source.
const Check = "published"

// StepID is the ID of a package's step in the phase aur.
func StepID(name string) string { return ID(subject.Package{Name: name}) }

// ID is the ID of a package's step.
func ID(p subject.Package) string { return p.StepID("published") }

// Step returns the step that looks at a package's sources.
func Step(p subject.Package, needs ...string) pipeline.Step { return step{p, needs} }

type step struct {
	subject.Package
	needs []string
}

func (s step) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID: ID(s.Package), Needs: append([]string{s.Step}, s.needs...), Checks: []string{Check},
		Inputs: []string{"artifact:" + s.SRCINFO()},
	}
}

func (s step) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	one := s.Package
	one.Files = []string{s.SRCINFO()}
	content, err := one.Read(ws)
	if err != nil {
		return nil, err
	}
	report := func(ev gate.Evidence) {
		ev.Check, ev.Subjects = Check, content.Digests
		ws.Report(ev)
	}
	if content.Info == nil {
		report(gate.Evidence{Verdict: gate.Fail, Expected: "a .SRCINFO with public sources", Found: content.Bad.Error()})
		return nil, nil
	}
	sources, faults := Sources(content.Info)
	for _, fault := range faults {
		report(gate.Evidence{Verdict: gate.Fail, Expected: "an address and a SHA-256 for each source", Found: fault})
	}
	if len(sources)+len(faults) == 0 {
		report(gate.Evidence{Verdict: gate.Fail, Expected: "public sources", Found: "no source has an address"})
	}
	d := download(e, ws)
	for _, src := range sources {
		ev, err := d.look(ctx, src)
		if err != nil {
			return nil, err
		}
		report(ev)
	}
	return nil, nil
}

func download(e *endpoint.Endpoints, ws *pipeline.Workspace) *downloader {
	transport := e.HTTP
	if transport == nil {
		transport = http.DefaultTransport
	}
	d := newDownloader(transport, subject.Clock(e))
	d.logf, d.tick = ws.Logf, ws.Tick
	return d
}

// look says whether the public can have a source. The error is that of an interrupted run.
func (d *downloader) look(ctx context.Context, src Source) (gate.Evidence, error) {
	ev := gate.Evidence{Expected: fmt.Sprintf("SHA-256 %s at %s", src.SHA256, src.URL)}
	size, err := d.get(ctx, src.URL, src.SHA256, nil)
	if ctx.Err() != nil {
		return ev, ctx.Err()
	}
	missing, isMissing := errors.AsType[absent](err)
	other, isOther := errors.AsType[*wrong](err)
	switch {
	case err == nil:
		ev.Verdict, ev.Found = gate.Pass, ev.Expected
		ev.Summary = fmt.Sprintf("%s has the %d bytes that the PKGBUILD wants", plain(src.URL), size)
	case isMissing:
		ev.Verdict, ev.Found = gate.Fail, missing.Error()
		ev.Summary = fmt.Sprintf("%s: %v: publish the release first, with this file", plain(src.URL), err)
	case isOther:
		ev.Verdict, ev.Found = gate.Fail, "SHA-256 "+other.found
		ev.Summary = fmt.Sprintf("%s has SHA-256 %s (%d bytes), the PKGBUILD wants %s", plain(src.URL), other.found, size, src.SHA256)
	default:
		ev.Summary = fmt.Sprintf("cannot look at %s: %v", plain(src.URL), err)
	}
	return ev, nil
}

// Ask asks once more whether the public can have each source, without downloading it: between the look before a gate and
// what comes behind it there may be days. The error is a conflict where a file is not public any more.
func Ask(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace, info *pkgbuild.SRCINFO) error {
	sources, _ := Sources(info)
	d := download(e, ws)
	d.ask = true
	for _, src := range sources {
		_, err := d.get(ctx, src.URL, "", nil)
		if missing, gone := errors.AsType[absent](err); gone {
			return fmt.Errorf("%w: %s: %w; it was there when the gate was asked, so somebody has withdrawn the release since: whoever did knows why",
				pipeline.ErrConflict, plain(src.URL), missing)
		}
		if err != nil {
			return fmt.Errorf("cannot look at %s: %w", plain(src.URL), err)
		}
	}
	return nil
}

// Source is a file that makepkg downloads.
type Source struct {
	Name   string // under which it is kept
	URL    string
	SHA256 string // lower-case hexadecimal
}

// Sources lists the sources with addresses, in the order of the file, and what is wrong with others: each needs a
// SHA-256. Files that lie beside the PKGBUILD are not listed.
func Sources(info *pkgbuild.SRCINFO) (sources []Source, faults []string) {
	seen := map[Source]bool{}
	suffixes := []string{""}
	for _, arch := range info.Base["arch"] {
		suffixes = append(suffixes, "_"+arch)
	}
	for _, suffix := range suffixes {
		sums := info.Base["sha256sums"+suffix]
		for i, entry := range info.Base["source"+suffix] {
			name, address, named := strings.Cut(entry, "::")
			if !named {
				name, address = entry[strings.LastIndexByte(entry, '/')+1:], entry
			}
			if !strings.Contains(address, "://") {
				continue
			}
			if i >= len(sums) || len(sums[i]) != 64 || strings.Trim(sums[i], "0123456789abcdef") != "" {
				faults = append(faults, fmt.Sprintf("source%s %s has no SHA-256", suffix, plain(address)))
				continue
			}
			if src := (Source{name, address, sums[i]}); !seen[src] {
				seen[src] = true
				sources = append(sources, src)
			}
		}
	}
	return sources, faults
}
