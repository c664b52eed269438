package correction

import (
	"context"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// CheckMoved is what the step of [MovedStep] reports.
const CheckMoved = "aur-moved"

// Moved says of which package, and of which release.
type Moved struct {
	Package subject.Package
	Does    string   // in the step's ID: PHASE/DOES/NAME
	From    string   // what the addresses of the release's files begin with
	Instead string   // what else can be done where the package needs them
	Unknown string   // what can be done where nobody can tell
	Needs   []string // other steps
	// Wide counts addresses of files under the release's tag on any host and in any repository: it may have been renamed.
	Wide bool
}

// MovedStep returns the step that looks whether the AUR gives users a package which needs a release's files no more.
// Whoever installs a package whose sources are gone gets an error in the place of a program, so a release is not taken
// from the public before that.
func MovedStep(o Moved) pipeline.Step { return moved{o.Package, o} }

type moved struct {
	subject.Package
	o Moved
}

func (s moved) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: s.StepID(s.o.Does), Needs: s.o.Needs, Params: s.Where(), Checks: []string{CheckMoved}}
	sp.Params["from"] = s.o.From
	return sp
}

// Run reads the package's branch anew.
func (s moved) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e := gate.Evidence{Check: CheckMoved, Expected: s.Name + " in the AUR downloads nothing from " + s.o.From}
	looking, cancel := context.WithTimeout(ctx, gitTime)
	defer cancel()
	was, needed, err := s.needed(looking, ws)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		e.Summary = fmt.Sprintf("cannot tell what %s in the AUR downloads: %v", s.Name, err)
		if s.o.Unknown != "" {
			e.Summary += "; " + s.o.Unknown
		}
	case len(needed) > 0:
		e.Verdict, e.Found = gate.Fail, fmt.Sprintf("%s %s downloads %s", s.Name, was, strings.Join(needed, ", "))
		e.Summary = e.Found + ": as long as the AUR has that, the release has to stay public; " + s.o.Instead
	default:
		e.Verdict, e.Found, e.Summary = gate.Pass, e.Expected, e.Expected
	}
	ws.Report(e)
	return nil, nil
}

// Needed tells what a package in the AUR downloads from a release right now, in words; "" where that is nothing.
func Needed(ctx context.Context, ws *pipeline.Workspace, o Moved) (string, error) {
	looking, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	s := moved{o.Package, o}
	was, needed, err := s.needed(looking, ws)
	if err != nil || len(needed) == 0 || s.deleted(looking, ws) {
		return "", err
	}
	return fmt.Sprintf("%s %s in the AUR downloads %s", o.Package.Name, was, strings.Join(needed, ", ")), nil
}

// lookTime is how long somebody waits for the AUR who asks for something else.
const lookTime = time.Minute

// deleted tells that the index does not know the package: the repository of a deleted one stays, and nobody installs it.
func (s moved) deleted(ctx context.Context, ws *pipeline.Workspace) bool {
	e, err := endpoint.Of(ws)
	if err != nil {
		return false
	}
	index, err := s.Index(e)
	if err != nil {
		return false
	}
	found, err := index.Info(ctx, s.Name)
	return err == nil && len(found) == 0
}

// needed lists the addresses below from that the published package downloads. Where nothing is published there are none.
func (s moved) needed(ctx context.Context, ws *pipeline.Workspace) (was remote.Version, needed []string, err error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return was, nil, err
	}
	access, err := s.Access(ctx, e)
	if err != nil {
		return was, nil, err
	}
	r, tip, err := access.Clone(ctx, subject.Branch)
	if err != nil || tip.IsZero() {
		return was, nil, err
	}
	now, err := remote.At(r, tip)
	if err != nil {
		return was, nil, err
	}
	was = now.Version
	text, err := now.SRCINFO()
	if err != nil {
		return was, nil, err
	}
	info, err := pkgbuild.ParseSRCINFO(strings.NewReader(text))
	if err != nil {
		return was, nil, err
	}
	for key, entries := range info.Base { // source, source_x86_64
		if key != "source" && !strings.HasPrefix(key, "source_") {
			continue
		}
		for _, entry := range entries {
			address := entry
			if _, behind, named := strings.Cut(entry, "::"); named {
				address = behind
			}
			if below(address, s.o.From) || s.o.Wide && alike(address, s.o.From) {
				needed = append(needed, address)
			}
		}
	}
	slices.Sort(needed)
	return was, slices.Compact(needed), nil
}

// alike tells that an address is that of a file under the same tag, in whatever repository.
func alike(address, from string) bool {
	i := strings.Index(from, "/releases/download/")
	_, behind, found := strings.Cut(address, "/releases/download/")
	return i >= 0 && found && below("/releases/download/"+behind, from[i:])
}

// below tells that an address begins like another one, however either is escaped or capitalized: GitHub makes no
// difference there.
func below(address, from string) bool {
	plain := func(text string) string {
		if is, err := url.PathUnescape(text); err == nil {
			text = is
		}
		return strings.ToLower(text)
	}
	return strings.HasPrefix(plain(address), plain(from))
}
