package github

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Check is the step release/check/github with the check "github": whatever can be known before anything is sent.
func (r *Release) Check(needs ...string) pipeline.Step {
	sp := pipeline.Spec{
		ID: CheckID, Needs: unique(append(append([]string{notesStep}, r.makers(false)...), needs...)), Checks: []string{Ready},
		Inputs: []string{"artifact:" + notesFile}, Params: map[string]string{"repository": r.target, "title": r.title},
	}
	if r.o.Latest && !r.o.Older {
		sp.Params["latest"] = "newer than the one before"
	}
	for _, f := range r.files {
		if f.artifact != "" {
			sp.Inputs = append(sp.Inputs, "artifact:"+f.artifact)
		} else {
			sp.Params["document "+f.name] = f.document
		}
	}
	return &check{r, sp}
}

type check struct {
	*Release
	spec pipeline.Spec
}

func (s *check) Spec() pipeline.Spec { return s.spec }

// findings are what the check saw. Faults go into the digest of the evidence, notes do not: what one token may see and
// another may not must not undo an approval.
type findings struct{ faults, notes []string }

func (f *findings) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *findings) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

func (s *check) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e := pipeline.Evidence{Check: Ready, Expected: fmt.Sprintf(
		"the token may push to %s/%s, which is not archived; no other release or draft has tag %s; GitHub takes the names and sizes of %d assets, and the notes",
		s.cfg.Owner, s.cfg.Repo, s.o.Tag, len(s.files))}
	f := findings{}
	if err := s.content(ws, &f); err != nil {
		return nil, err
	}
	err := s.remote(ctx, ws, &f)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	switch {
	case len(f.faults) > 0:
		e.Verdict, e.Found = gate.Fail, list(f.faults)
		f.notes = append(f.faults, f.notes...)
	case err == nil:
		e.Verdict, e.Found = gate.Pass, "all of that"
	}
	if err != nil {
		f.note("%v", err)
	}
	e.Summary = list(f.notes)
	ws.Report(e)
	return nil, nil
}

// maxNotes is the most that a release's body can have, in characters: "body is too long (maximum is 125000 characters)".
const maxNotes = 125000

// content looks at what is to be sent.
func (s *check) content(ws *pipeline.Workspace, f *findings) error {
	for _, file := range s.files {
		if file.artifact == "" {
			continue
		}
		switch a, _, err := ws.Input(file.artifact); {
		case err != nil:
			return err
		case a.Kind == pipeline.KindTree:
			f.fault("%s is a folder", file.artifact)
		case a.Size == 0:
			f.fault("%s is empty, which GitHub refuses", file.name)
		case a.Size > hub.MaxAsset:
			f.fault("%s has %d bytes, GitHub takes %d", file.name, a.Size, int64(hub.MaxAsset))
		}
	}
	notes, err := readNotes(ws)
	if errors.Is(err, errLongNotes) {
		f.fault("%v", err)
		return nil
	} else if err != nil {
		return err
	}
	if n := utf8.RuneCountInString(body(notes, hub.Marker(ws.Run))); n > maxNotes {
		f.fault("the notes have %d characters, GitHub takes %d: shorten them", n, maxNotes)
	}
	return nil
}

var errLongNotes = fmt.Errorf("the notes have more than the %d characters that GitHub takes: shorten them", maxNotes)

// readNotes reads the release's notes. The error is errLongNotes where they cannot be published anyway.
func readNotes(ws *pipeline.Workspace) (string, error) {
	a, path, err := ws.Input(notesFile)
	if err != nil {
		return "", err
	}
	if a.Size > 4*maxNotes { // a character has at most 4 bytes
		return "", errLongNotes
	}
	text, err := os.ReadFile(path)
	if err != nil {
		return "", fmt.Errorf("cannot read the notes: %w", err)
	}
	return string(text), nil
}

// body is the text of the published release. The marker stays in it, where nobody sees it.
func body(notes, marker string) string {
	return strings.TrimRight(strings.ReplaceAll(notes, "\r\n", "\n"), " \n") + "\n\n" + marker + "\n"
}

// remote asks GitHub. Its error says what could not be looked at.
func (s *check) remote(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	w, err := s.world(ws)
	if err != nil {
		return err
	}
	repository := s.cfg.Owner + "/" + s.cfg.Repo
	access, err := w.Access(ctx)
	switch {
	case errors.Is(err, hub.ErrNotFound):
		f.fault("there is no repository %s, or the token may not see it: are owner and repo spelt right?", repository)
		return nil
	case errors.Is(err, hub.ErrUnauthorized):
		f.fault("%v", hub.ErrUnauthorized)
		if token, err := w.Token(); err == nil {
			f.note("it came from %s", token.Source)
		}
		return nil
	case err != nil:
		return fmt.Errorf("cannot look at %s: %w", repository, err)
	}
	if !strings.EqualFold(access.FullName, repository) {
		f.fault("%s is called %s by now: write that in release.yaml, or downloads lead nowhere", repository, access.FullName)
	}
	if access.Archived {
		f.fault("%s is archived and takes no releases", access.FullName)
	}
	if access.Private {
		f.note("%s is private: nobody can download its releases without a token", access.FullName)
	}
	if !access.Push {
		f.fault("the token may not push to %s: it needs to write the repository's contents", access.FullName)
		return nil // it does not see drafts
	}
	if err := s.identity(ctx, w, f); err != nil {
		return err
	}
	immutable, err := w.Immutability(ctx)
	switch {
	case err != nil:
		return fmt.Errorf("cannot find out whether releases are immutable: %w", err)
	case immutable.Known && immutable.Enabled:
		f.note("releases are immutable: once published, nothing but title and notes of %s can be changed, and its tag can never be used again", s.o.Tag)
	case !immutable.Known:
		f.note("whether releases are immutable is not known (the token may not read the setting, or it is off): treat publishing %s as final", s.o.Tag)
	}
	if err := s.newer(ctx, w, f); err != nil {
		return err
	}
	return s.others(ctx, w, f)
}

// newer tells whether a version that is newer would lose its place as the latest release. The plan goes by the tags of
// the clone and the time of the base commit, which know nothing of a tag that was never fetched, or that was made later
// than a commit on a branch for older versions.
func (s *check) newer(ctx context.Context, w world, f *findings) error {
	if !s.o.Latest || s.o.Older {
		return nil
	}
	now, err := w.Latest(ctx)
	if errors.Is(err, hub.ErrNotFound) {
		return nil
	} else if err != nil {
		return fmt.Errorf("cannot find out which release is the latest: %w", err)
	}
	prefix, suffix, _ := strings.Cut(s.o.Tag, s.o.Version)
	latest, err := version.Parse(strings.TrimSuffix(strings.TrimPrefix(now.Tag, prefix), suffix))
	if err != nil {
		return nil // a tag of another kind cannot be compared
	}
	own, err := version.Parse(s.o.Version)
	if err != nil {
		return err
	}
	if latest.Compare(own) > 0 {
		f.fault("the latest release is %s, which is newer, and this one would take its place: git fetch --tags and plan again; "+
			"where that changes nothing, that tag is of a later commit: release a new commit of this branch", now.Tag)
	}
	return nil
}

// others looks for whatever has the tag and is not this run's.
func (s *check) others(ctx context.Context, w world, f *findings) error {
	there, err := w.FindByMarker(ctx, s.o.Tag, w.marker)
	if err != nil {
		return fmt.Errorf("cannot look for other releases of %s: %w", s.o.Tag, err)
	}
	for _, r := range there.Foreign {
		switch {
		case r.Tag != s.o.Tag:
			f.fault("release %d has this run's marker and tag %.100q", r.ID, r.Tag)
		case r.Draft:
			f.fault("there is another draft of %s (id %d): let its maker finish, or delete it on the releases page, then run again", s.o.Tag, r.ID)
		case r.Immutable:
			f.fault("%s is published and immutable (id %d): its tag can never be used again, release another version", s.o.Tag, r.ID)
		default:
			f.fault("%s is published already (id %d): release another version", s.o.Tag, r.ID)
		}
	}
	if len(there.Ours) > 1 {
		f.fault("this run has %d drafts of %s", len(there.Ours), s.o.Tag)
	}
	return nil
}

// identity says who acts, and how much the rate allows. Both may differ from machine to machine: notes.
func (s *check) identity(ctx context.Context, w world, f *findings) error {
	login, err := w.Login(ctx)
	if err != nil {
		return fmt.Errorf("cannot find out whose token it is: %w", err)
	}
	if login == "" {
		login = "an app"
	}
	if token, err := w.Token(); err == nil {
		f.note("the token from %s is that of %s", token.Source, login)
	}
	rate, err := w.RateLimit(ctx)
	switch need := requests(len(s.files)); {
	case errors.Is(err, hub.ErrNotFound): // an enterprise server without limits
	case err != nil:
		f.note("how many requests are left is not known: %v", err)
	case rate.Remaining < need:
		f.note("%d of %d requests are left, fewer than the %d or so that this takes: it will wait until %s", rate.Remaining, rate.Limit, need, rate.Reset.Format("15:04 UTC"))
	default:
		f.note("%d of %d requests are left", rate.Remaining, rate.Limit)
	}
	return nil
}

// requests estimates how many a release with so many assets takes.
func requests(assets int) int { return 40 + 8*assets }
