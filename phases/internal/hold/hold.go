// Package hold keeps a version from being published, until somebody lifts the hold.
//
// A hold is a file on the branch that people work on, .slipway/holds/VERSION.json: everybody sees it, it has a history,
// and whoever releases from whatever machine finds it there. A file that cannot be read holds too. Where an approver has
// signed for it, the statement and its signature are in the file.
package hold

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"time"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/mainline"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Hold is the content of a hold's file.
type Hold struct {
	Project   string    `json:"project"`
	Version   string    `json:"version"` // X.Y.Z[-pre]
	Reason    string    `json:"reason"`
	Since     time.Time `json:"since"`
	Run       string    `json:"run"`                 // the one that made it
	Plan      string    `json:"plan"`                // digest of that run's plan
	Signed    []byte    `json:"signed,omitempty"`    // the approval that it rests on
	Signature []byte    `json:"signature,omitempty"` // of Signed
}

// MaxSize bounds a hold's file, in bytes.
const MaxSize = 1 << 20

// Bytes is the file: indented JSON with a final newline.
func (h Hold) Bytes() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(h)
	return b.Bytes(), err
}

// Parse reads a hold's file strictly.
func Parse(content []byte) (Hold, error) {
	var h Hold
	bad := func(err error) (Hold, error) { return Hold{}, fmt.Errorf("cannot read the hold: %w", err) }
	if len(content) > MaxSize {
		return bad(fmt.Errorf("it is larger than %d bytes", MaxSize))
	}
	d := json.NewDecoder(bytes.NewReader(content))
	d.DisallowUnknownFields()
	if err := d.Decode(&h); err != nil {
		return bad(err)
	}
	if d.More() {
		return bad(errors.New("something stands behind it"))
	}
	if v, err := version.Parse(h.Version); err != nil || v.Release() != h.Version {
		return bad(fmt.Errorf("%.100q is no version", h.Version))
	}
	if CheckReason(h.Reason) != nil || h.Run == "" || h.Since.Year() < 1 || h.Since.Year() > 9999 {
		return bad(errors.New("it lacks a reason, a run or a time"))
	}
	return h, nil
}

// maxReason bounds a reason, in bytes.
const maxReason = 2000

// CheckReason refuses what is no reason for people.
func CheckReason(text string) error {
	switch {
	case strings.TrimSpace(text) == "":
		return errors.New("it needs a reason")
	case len(text) > maxReason:
		return fmt.Errorf("the reason has %d bytes: at most %d are kept", len(text), maxReason)
	case strings.ContainsFunc(text, func(r rune) bool {
		return r == '\ufffd' || unicode.IsControl(r) || unicode.In(r, unicode.Zl, unicode.Zp, unicode.Bidi_Control)
	}):
		return errors.New("the reason has to be one line of text in UTF-8")
	}
	return nil
}

// Path is where the file of a version lies; a build number makes no difference.
func Path(planned string) (string, error) {
	v, err := version.Parse(planned)
	if err != nil {
		return "", err
	}
	return pathOf(v.Release()), nil
}

// Found is what the branch says of a version.
type Found struct {
	There bool  // there is a file, so it is held
	Hold  Hold  // what it says
	Bad   error // why it cannot be read

	id plumbing.Hash // of the file
}

// file names what was found, so that another file is known from it; "" where there is none.
func (f Found) file() string {
	if !f.There {
		return ""
	}
	return f.id.String()
}

// Text says who holds it and why, in one line.
func (f Found) Text() string {
	if f.Bad != nil {
		return "held by a file that cannot be read: " + f.Bad.Error()
	}
	return fmt.Sprintf("held since %s: %s", f.Hold.Since.UTC().Format("2006-01-02 15:04 UTC"), f.Hold.Reason)
}

// Held is the error of what must not be done while a version is held.
type Held struct {
	Found
	Version string // that was asked for
}

// Error says why it is held, and what lifts it.
func (e *Held) Error() string {
	named := e.Version
	if v, err := version.Parse(named); err == nil {
		named = v.Release()
	}
	return e.Text() + "; slipway hold " + named + " --lift --reason TEXT lifts it"
}

// Look reads the hold of a version at the remote.
func Look(ctx context.Context, ws *pipeline.Workspace, b mainline.Branch, planned string) (Found, error) {
	t, err := b.Look(ctx, ws)
	if err != nil {
		return Found{}, err
	}
	return at(t, planned)
}

// Refuse returns a *[Held] while a version is held: for the last look before it is published.
func Refuse(ctx context.Context, ws *pipeline.Workspace, b mainline.Branch, planned string) error {
	f, err := Look(ctx, ws, b, planned)
	return f.refuse(planned, err)
}

// RefuseOn returns a *[Held] while a commit of the branch holds a version: for what is put right on top of that commit.
// Read returns a file of it of at most [MaxSize] bytes. Its error wraps [fs.ErrNotExist] where there is none, and
// [plumbing.ErrObjectNotFound] where nobody knows; any other is that of a file that cannot be read, and holds.
func RefuseOn(planned string, read func(path string) ([]byte, error)) error {
	path, err := Path(planned)
	if err != nil {
		return err
	}
	content, err := read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	f, err := found(path, content, err)
	return f.refuse(planned, err)
}

func (f Found) refuse(planned string, err error) error {
	if err == nil && f.There {
		err = &Held{f, planned}
	}
	return err
}

func at(t *mainline.Tip, planned string) (Found, error) {
	path, err := Path(planned)
	if err != nil {
		return Found{}, err
	}
	there, err := t.Store.At(t.Commit.TreeHash, path)
	if err != nil || there.ID.IsZero() {
		return Found{}, err
	}
	content, err := t.Store.Read(t.Commit.TreeHash, path, MaxSize)
	f, err := found(path, content, err)
	f.id = there.ID
	return f, err
}

// found is what the file at a path says, which is there; err is that of reading it.
func found(path string, content []byte, err error) (Found, error) {
	f := Found{There: true}
	if errors.Is(err, plumbing.ErrObjectNotFound) && !errors.Is(err, fs.ErrNotExist) {
		return f, err
	}
	if f.Bad = err; err == nil {
		f.Hold, f.Bad = Parse(content)
	}
	if f.Bad == nil && pathOf(f.Hold.Version) != path {
		f.Bad = fmt.Errorf("it is that of version %s", f.Hold.Version)
	}
	return f, nil
}

// pathOf is Path of a version that was parsed already.
func pathOf(release string) string { return ".slipway/holds/" + release + ".json" }

// CheckID is the ID of the step that looks before a release, and Check what it reports.
const (
	CheckID = "release/check/hold"
	Check   = "hold"
)

// Step returns the step that looks whether a version is held. Its ID is [CheckID], or another of that kind.
func Step(id string, b mainline.Branch, planned string, needs ...string) pipeline.Step {
	p := map[string]string{"version": planned, "branch": b.Name, "remote": b.Remote.URL}
	return look{b, pipeline.Spec{ID: id, Needs: needs, Checks: []string{Check}, Params: p}, planned}
}

type look struct {
	branch  mainline.Branch
	spec    pipeline.Spec
	planned string
}

func (s look) Spec() pipeline.Spec { return s.spec }

// Run reports the evidence.
func (s look) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e := gate.Evidence{Check: Check, Expected: "nobody holds " + s.planned + " on branch " + s.branch.Name}
	f, err := Look(ctx, ws, s.branch, s.planned)
	switch {
	case ctx.Err() != nil:
		return nil, ctx.Err()
	case err != nil:
		e.Summary = err.Error()
	case f.There:
		e.Verdict, e.Found, e.Summary = gate.Fail, f.Text(), (&Held{f, s.planned}).Error()
	default:
		e.Verdict, e.Found, e.Summary = gate.Pass, e.Expected, e.Expected
	}
	ws.Report(e)
	return nil, nil
}

// now is the time of an outward act.
func now(ws *pipeline.Workspace) (time.Time, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return time.Time{}, err
	}
	if e.Clock != nil {
		return e.Clock.Now().UTC().Truncate(time.Second), nil
	}
	return time.Now().UTC().Truncate(time.Second), nil
}
