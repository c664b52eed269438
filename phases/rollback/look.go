package rollback

import (
	"context"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hold"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// findings are what a look has seen. Faults are certain, and part of what is approved; notes may differ from time to
// time.
type findings struct{ faults, notes []string }

func (f *findings) fault(format string, args ...any) {
	f.faults = append(f.faults, fmt.Sprintf(format, args...))
}

func (f *findings) note(format string, args ...any) {
	f.notes = append(f.notes, fmt.Sprintf(format, args...))
}

// conflict notes an error that says what stands in the way, and returns any other.
func (f *findings) conflict(err error) error {
	if err == nil || !errors.Is(err, pipeline.ErrConflict) {
		return err
	}
	f.fault("%s", strings.TrimPrefix(err.Error(), pipeline.ErrConflict.Error()+": "))
	return nil
}

// report makes evidence of findings. An error leaves it unknown unless a fault is certain.
func report(ctx context.Context, ws *pipeline.Workspace, e gate.Evidence, f findings, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	switch {
	case len(f.faults) > 0:
		e.Verdict, e.Found, e.Summary = gate.Fail, strings.Join(f.faults, "; "), strings.Join(slices.Concat(f.faults, f.notes), "; ")
	case err != nil:
		e.Summary = err.Error()
	default:
		e.Verdict, e.Found, e.Summary = gate.Pass, e.Expected, strings.Join(append([]string{e.Expected}, f.notes...), "; ")
	}
	ws.Report(e)
	return nil
}

// standing is the step rollback/standing.
type standing struct {
	*phase
	spec pipeline.Spec
}

func (s standing) Spec() pipeline.Spec { return s.spec }

// Run compares the remotes with the journal of the release.
func (s standing) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	o, f := s.o, findings{}
	var expected []string
	var errs []error
	if o.GitHub || o.DeleteTag {
		expected = append(expected, fmt.Sprintf("release %s on GitHub is the one with id %d", o.Facts.Tag, o.Facts.ReleaseID))
		errs = append(errs, s.github(ctx, ws, &f))
	}
	if o.Git || o.Hold || o.DeleteTag {
		if o.DeleteTag {
			expected = append(expected, fmt.Sprintf("tag %s is %s", o.Facts.Tag, o.Facts.TagObject))
		}
		if o.Git {
			expected = append(expected, fmt.Sprintf("the version commit %[2]s can be reverted on branch %[1]s", o.Branch.Name, o.Facts.Commit))
		}
		expected = append(expected, o.Branch.Remote.URL+" lets us push")
		errs = append(errs, s.git(ctx, ws, &f))
	}
	if moved := o.GitHub || len(o.First) > 0; moved && o.Older != "" && o.Branch.Name != "" {
		expected = append(expected, "nobody holds "+o.Older+", which users are brought back to")
		errs = append(errs, s.olderHeld(ctx, ws, &f))
	}
	f.notes = append(f.notes, o.Notes...)
	e := gate.Evidence{Check: Standing, Expected: strings.Join(expected, "; ")}
	if len(expected) == 0 {
		e.Expected = "nothing but the AUR is rolled back"
	}
	return nil, report(ctx, ws, e, f, errors.Join(errs...))
}

// olderHeld looks whether the version that users are brought back to was taken from them as well.
func (s standing) olderHeld(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	found, err := hold.Look(ctx, ws, s.o.Branch, s.o.Older)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		f.note("there is no branch %s, where a hold would be", s.o.Branch.Name)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot find out whether %s is held: %w", s.o.Older, err)
	}
	if found.There {
		f.fault("%s is %s; name another version with --to, or lift that hold", s.o.Older, found.Text())
	}
	return nil
}

func (s standing) github(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	w, err := s.world(ws)
	if err != nil {
		return err
	}
	a, err := w.Access(ctx)
	if err != nil {
		return fmt.Errorf("cannot look at %s: %w", s.o.Page, err)
	}
	if !a.Push {
		f.fault("the token may not push to %s: it needs to write the repository's contents; or leave level %s out", a.FullName, GitHub)
		return nil
	}
	if a.Archived {
		f.fault("%s is archived, and takes no writes: end that on its page, or leave level %s out", a.FullName, GitHub)
	}
	rel, gone, err := s.find(ctx, w)
	if err != nil {
		return f.conflict(err)
	}
	by, err := s.neededBy(ctx, ws)
	if err != nil {
		return err
	}
	switch kept := by != "" && len(s.o.Keeps) > 0; {
	case (gone || rel.Draft) && kept:
		f.note("the release is not public any more, and %s: nobody can install that now; level aur mends it", by)
	case gone:
		f.note("the release is gone already")
	case rel.Draft:
		f.note("the release is withdrawn already")
	case kept:
		f.note("%s: it stays public, with a notice", by)
	case len(s.o.Keeps) > 0:
		f.note("%s in the AUR downloads nothing from it any more, so it need not stay public", strings.Join(s.o.Keeps, ", "))
	case rel.Immutable:
		f.note("the release is immutable: it stays public, with a notice")
	}
	if !gone && !rel.Bears(w.marker) {
		f.note("its notes have been edited: the line %s is gone", w.marker)
	}
	if !gone && rel.Immutable && s.o.Delete {
		_ = f.conflict(burns(rel))
	}
	if !gone {
		names, err := s.added(ctx, w, rel.ID)
		if err != nil {
			return err
		}
		if _ = f.conflict(s.spares(rel, names)); !s.o.Delete && len(names) > 0 {
			f.note("people have added %s to it, which the release did not upload", strings.Join(names, ", "))
		}
	}
	if !gone && rel.Immutable && s.o.DeleteTag {
		f.fault("release %s is immutable, and so is its tag: roll back without --delete-tag", rel.Tag)
	}
	return nil
}

// leaveBranch is what can be done where nothing can be committed to the branch.
const leaveBranch = "leave levels " + Git + " and " + Hold + " out"

func (s standing) git(ctx context.Context, ws *pipeline.Workspace, f *findings) error {
	o := s.o
	if o.Git || o.Hold {
		if err := o.Branch.CanSign(ctx, ws); err != nil && ctx.Err() == nil {
			f.fault("%v; %s", err, leaveBranch)
		}
	}
	a, err := o.Branch.Access(ctx, ws)
	if err == nil {
		err = a.CanPush(ctx)
	}
	if errors.Is(err, gitremote.ErrAuth) {
		f.fault("%v; %s", err, leaveBranch)
		return nil
	}
	if err != nil {
		return err
	}
	if a.Identity != "" {
		f.note("as %s", a.Identity)
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return err
	}
	if o.Facts.TagObject != "" {
		switch now := refs[o.tagRef()].Hash; {
		case now == "":
			f.note("tag %s is gone", o.Facts.Tag)
		case now != o.Facts.TagObject && o.DeleteTag:
			_ = f.conflict(o.otherTag(now))
		case now != o.Facts.TagObject: // nothing here touches it, and users are brought back all the same
			f.note("tag %s is %s, not the one that the release made, %s: look at who has moved it", o.Facts.Tag, now, o.Facts.TagObject)
		case o.DeleteTag:
			f.note("deleting tag %s: %s", o.Facts.Tag, caches)
		}
	}
	if _, there := refs[o.Branch.Ref()]; !there {
		f.fault("there is no branch %s: %s", o.Branch.Name, leaveBranch)
		return nil
	}
	if !o.Git {
		return nil
	}
	t, err := o.Branch.Look(ctx, ws)
	if err != nil {
		return err
	}
	files, err := o.revertible(t)
	if err == nil && len(files) == 0 {
		f.note("nothing is to be reverted on branch %s: the version commit changed no file that is still so", o.Branch.Name)
	}
	return f.conflict(err)
}

// older is the step rollback/older.
type older struct {
	*phase
	spec pipeline.Spec
}

func (s older) Spec() pipeline.Spec { return s.spec }

// Run looks at the older release as its users do.
func (s older) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e := gate.Evidence{Check: Older, Expected: "release " + s.o.OlderTag + " is public, and everybody can download every asset, with the bytes that its SHA256SUMS names where it has one", Subjects: map[string]string{}}
	f := findings{}
	err := s.look(ctx, ws, &f, e.Subjects)
	return nil, report(ctx, ws, e, f, err)
}

// maxSums bounds a file of checksums, in bytes.
const maxSums = 1 << 20

func (s older) look(ctx context.Context, ws *pipeline.Workspace, f *findings, digests map[string]string) error {
	w, err := s.world(ws)
	if err != nil {
		return err
	}
	rel, err := w.ByTag(ctx, s.o.OlderTag)
	if errors.Is(err, hub.ErrNotFound) {
		f.fault("there is no public release %s: name another version with --to, or say --to %s where no older release is public", s.o.OlderTag, NoOlder)
		return nil
	}
	if err != nil {
		return fmt.Errorf("cannot look at release %s: %w", s.o.OlderTag, err)
	}
	if rel.Prerelease && s.o.Facts.Latest {
		f.fault("release %s is a prerelease, which cannot be the latest: name another version with --to", s.o.OlderTag)
	}
	list, err := w.ListAssets(ctx, rel.ID)
	if err != nil {
		return fmt.Errorf("cannot look at the assets of release %s: %w", s.o.OlderTag, err)
	}
	sums, err := s.sums(ctx, w, f, list)
	if err != nil {
		return err
	}
	var all, before int64
	for _, a := range list {
		all += a.Size
	}
	for _, a := range list {
		want, named := sums[a.Name]
		switch {
		case a.State != hub.Uploaded:
			f.fault("%s was never uploaded as a whole", a.Name)
			continue
		case named && a.Digest != "" && want != a.Digest:
			f.fault("%s has SHA-256 %s, SHA256SUMS says %s", a.Name, a.Digest, want)
			continue
		case !named:
			want = a.Digest
		}
		delete(sums, a.Name)
		if want == "" { // GitHub knows digests since June 2025
			f.note("nobody says what the bytes of %s should be", a.Name)
		}
		got, err := w.DownloadPublic(ctx, a.URL, hub.Content{Size: a.Size, SHA256: want}, func(n int64) { ws.Tick(before+n, all) })
		before += a.Size
		switch {
		case errors.Is(err, hub.ErrMismatch), errors.Is(err, hub.ErrNotFound):
			f.fault("%s: %v", a.Name, err)
		case err != nil:
			return fmt.Errorf("cannot download %s: %w", a.Name, err)
		default:
			digests[a.Name] = got.SHA256
		}
	}
	for name := range sums {
		f.fault("SHA256SUMS names %s, which is not there", name)
	}
	slices.Sort(f.faults)
	if len(list) == 0 {
		f.note("release %s has no assets", s.o.OlderTag)
	}
	return nil
}

var sumLine = regexp.MustCompile(`^([0-9a-f]{64}) [ *](.+)$`)

// sums reads the release's file of checksums (sha256sum(1)), where it has one: SHA-256 by name.
func (s older) sums(ctx context.Context, w world, f *findings, list []hub.Asset) (map[string]string, error) {
	out := map[string]string{}
	i := slices.IndexFunc(list, func(a hub.Asset) bool { return a.Name == "SHA256SUMS" })
	if i < 0 {
		return out, nil
	}
	b, err := w.ReadPublic(ctx, list[i].URL, maxSums)
	if errors.Is(err, hub.ErrNotFound) {
		f.fault("SHA256SUMS: %v", err)
		return out, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read SHA256SUMS of %s: %w", s.o.OlderTag, err)
	}
	return parseSums(b), nil
}

// parseSums reads the lines of sha256sum(1); others are left out.
func parseSums(b []byte) map[string]string {
	out := map[string]string{}
	for line := range strings.Lines(string(b)) {
		if m := sumLine.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
			out[path.Base(m[2])] = m[1]
		}
	}
	return out
}
