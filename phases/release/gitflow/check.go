package gitflow

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Checks returns the step release/check/git, which looks at the remote before anything is pushed: whether we are let in
// and may push, and whether branch, tag and merge will find their places.
func Checks(c Config, o Options, needs ...string) pipeline.Step {
	s := &checkStep{newFlow(c, o, CheckID, needs)}
	s.spec.Effect, s.spec.Checks = pipeline.Pure, []string{CheckGit}
	s.params(map[string]string{"remote": c.Remote, "branch": s.branch, "merge_into": c.MergeInto})
	return s
}

type checkStep struct{ flow }

// Run reports the evidence. It says the same before and after the steps have acted: approvals cover it.
func (s *checkStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := s.commit(ws)
	if err != nil {
		return nil, err
	}
	e := pipeline.Evidence{Check: CheckGit, Verdict: gate.Pass, Expected: s.expected()}
	if !s.existing() {
		pack, _, err := ws.Input(versionPack)
		if err != nil {
			return nil, err
		}
		e.Subjects = map[string]string{versionPack: pack.SHA256}
	}
	faults, summary, err := s.inspect(ctx, ws, commit)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	settle(&e, faults, err)
	if e.Verdict == gate.Pass {
		e.Summary = summary
	}
	ws.Report(e)
	return nil, nil
}

// settle fills in what was found.
func settle(e *pipeline.Evidence, faults []string, err error) {
	switch {
	case err != nil && refused(err):
		e.Verdict, e.Found, e.Summary = gate.Fail, kind(err), err.Error()
	case err != nil:
		e.Verdict, e.Summary = gate.Unknown, err.Error()
	case len(faults) > 0:
		e.Verdict, e.Found, e.Summary = gate.Fail, strings.Join(faults, "; "), faults[0]
	default:
		e.Found = e.Expected
	}
}

// answers are errors that are an answer: what the remote says, not that it says nothing.
var answers = []error{gitremote.ErrUnknownHost, gitremote.ErrHostChanged, gitremote.ErrAuth, gitremote.ErrNoRepository}

func refused(err error) bool {
	return slices.ContainsFunc(answers, func(e error) bool { return errors.Is(err, e) })
}

// kind is an error's kind, without what may differ from time to time.
func kind(err error) string {
	for _, e := range answers {
		if errors.Is(err, e) {
			return e.Error()
		}
	}
	return ""
}

func (f *flow) expected() string {
	if f.existing() {
		return fmt.Sprintf("%s lets us in; annotated tag %s is of the base commit", f.c.Remote, f.tag)
	}
	text := fmt.Sprintf("%s lets us push; branch %s and tag %s are free or of this release", f.c.Remote, f.branch, f.tag)
	if f.c.MergeInto != "" {
		text += "; " + f.c.MergeInto + " can take it"
	}
	return text
}

// inspect lists what is in the way.
func (s *checkStep) inspect(ctx context.Context, ws *pipeline.Workspace, commit string) (faults []string, summary string, err error) {
	a, err := s.open(ctx, ws)
	if err != nil {
		return nil, "", err
	}
	refs, err := a.Refs(ctx)
	if err != nil {
		return nil, "", err
	}
	objects, err := s.workshop(ws)
	if err != nil {
		return nil, "", err
	}
	fault := func(format string, args ...any) { faults = append(faults, fmt.Sprintf(format, args...)) }
	if !s.existing() {
		if err := a.CanPush(ctx); err != nil {
			return nil, "", err
		}
		if now := refs[s.branchRef()].Hash; now != "" && now != commit {
			fault("branch %s is %s, not this release: delete it there if nobody needs it", s.branch, now)
		}
	}
	switch tag, there := refs[s.tagRef()]; {
	case !there && s.existing():
		fault("there is no tag %s, and release.yaml says that people make it: git tag -a %[1]s, then push it", s.tag)
	case there && tag.Peeled != commit:
		fault("tag %s is of commit %s; a tag is never moved, so this needs another version", s.tag, tag.Peeled)
	case there && tag.Hash == tag.Peeled:
		fault("tag %s is lightweight; want an annotated one", s.tag)
	}
	if err := shared(s.others(refs, commit)); err != nil {
		fault("%v", err)
	}
	if err := s.truth(objects, plumbing.NewHash(commit)); err != nil {
		fault("%v", err)
	}
	if s.c.MergeInto != "" && !s.existing() {
		why, err := s.mergeable(ctx, ws, a, objects, refs, plumbing.NewHash(commit))
		if err != nil {
			return nil, "", err
		}
		if why != "" {
			fault("%s", why)
		}
	}
	return faults, fmt.Sprintf("%s, as %s", s.expected(), a.Identity), nil
}

// mergeable tries the merge, and says why it cannot be made.
func (s *checkStep) mergeable(ctx context.Context, ws *pipeline.Workspace, a gitremote.Access, objects *store, refs map[string]gitremote.Ref, commit plumbing.Hash) (why string, err error) {
	if _, there := refs[s.mergeRef()]; !there {
		return fmt.Sprintf("there is no branch %s to merge into", s.c.MergeInto), nil
	}
	tip, merged, err := s.look(ctx, ws, a, objects, commit)
	if err != nil || merged != nil {
		return "", err
	}
	_, err = objects.mergeTree(ctx, tip, commit)
	if c, ok := errors.AsType[*conflict](err); ok {
		return fmt.Sprintf("%s cannot take it: %v", s.c.MergeInto, c), nil
	}
	if errors.Is(err, tool.ErrMissing) {
		return "", fmt.Errorf("the merge cannot be tried: %w; %w", err, errOldGit)
	}
	return "", err
}

// Outcome returns the step release/check/outcome, which reads tag and merge back from the remote, into a store that has
// nothing of ours in it.
func Outcome(c Config, o Options, needs ...string) pipeline.Step {
	s := &outcomeStep{newFlow(c, o, OutcomeID, needs)}
	s.spec.Effect, s.spec.Checks = pipeline.Pure, []string{CheckTag}
	s.spec.Inputs = s.spec.Inputs[:1]
	if c.MergeInto != "" {
		s.spec.Checks = append(s.spec.Checks, CheckMerged)
	}
	s.params(map[string]string{"remote": c.Remote, "merge_into": c.MergeInto, "version": o.Version})
	return s
}

type outcomeStep struct{ flow }

// Run reports the evidence.
func (s *outcomeStep) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	commit, err := s.commit(ws)
	if err != nil {
		return nil, err
	}
	tag := pipeline.Evidence{
		Check: CheckTag, Verdict: gate.Pass,
		Expected: fmt.Sprintf("annotated tag %s of commit %s, where %s says %s, and no other version's tag", s.tag, commit, s.o.Source, s.o.Version),
	}
	merged := pipeline.Evidence{Check: CheckMerged, Verdict: gate.Pass, Expected: fmt.Sprintf("branch %s contains commit %s", s.c.MergeInto, commit)}
	a, err := s.open(ctx, ws)
	var faults []string
	if err == nil {
		faults, err = s.tagged(ctx, ws, a, commit)
	}
	settle(&tag, faults, err)
	if tag.Verdict == gate.Pass {
		tag.Summary = tag.Expected
	}
	ws.Report(tag)
	if s.c.MergeInto != "" {
		a, err := s.open(ctx, ws)
		faults = nil
		if err == nil {
			faults, err = s.merged(ctx, ws, a, plumbing.NewHash(commit))
		}
		settle(&merged, faults, err)
		if merged.Verdict == gate.Pass {
			merged.Summary = merged.Expected
		}
		ws.Report(merged)
	}
	return nil, ctx.Err()
}

// tagged lists what is wrong with the tag that users see.
func (s *outcomeStep) tagged(ctx context.Context, ws *pipeline.Workspace, a gitremote.Access, commit string) (faults []string, err error) {
	refs, err := a.Refs(ctx)
	if err != nil {
		return nil, err
	}
	ref, there := refs[s.tagRef()]
	if !there {
		return []string{fmt.Sprintf("there is no tag %s", s.tag)}, nil
	}
	fresh, err := newStore(ws, "tag")
	if err != nil {
		return nil, err
	}
	tag, err := s.fetchTag(ctx, a, fresh)
	switch {
	case errors.Is(err, errLightweight):
		faults = append(faults, err.Error())
	case err != nil:
		return nil, err
	case tag.Name != s.tag || tag.TargetType != plumbing.CommitObject || tag.Target.String() != commit:
		faults = append(faults, fmt.Sprintf("tag %s is named %q and leads to %s %s, not to commit %s", s.tag, tag.Name, tag.TargetType, tag.Target, commit))
	}
	if err != nil && ref.Peeled != commit {
		faults = append(faults, fmt.Sprintf("tag %s leads to %s, not to commit %s", s.tag, ref.Peeled, commit))
	}
	if err := s.truth(fresh, plumbing.NewHash(ref.Peeled)); errors.Is(err, plumbing.ErrObjectNotFound) && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	} else if err != nil {
		faults = append(faults, err.Error())
	}
	if err := shared(s.others(refs, commit)); err != nil {
		faults = append(faults, err.Error())
	}
	return faults, nil
}

// merged says whether the branch contains the commit. Of the branch only the commits are fetched that come after it.
func (s *outcomeStep) merged(ctx context.Context, ws *pipeline.Workspace, a gitremote.Access, commit plumbing.Hash) (faults []string, err error) {
	missing := []string{fmt.Sprintf("branch %s does not contain commit %s", s.c.MergeInto, commit)}
	fresh, err := newStore(ws, "merged")
	if err != nil {
		return nil, err
	}
	err = a.Get(ctx, fresh, gitremote.Wanted{Refs: []string{s.mergeRef()}, Haves: []plumbing.Hash{commit}, Filter: packp.FilterTreeDepth(0)})
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return missing, nil
	} else if err != nil {
		return nil, err
	}
	ref, err := fresh.Reference(plumbing.ReferenceName(s.mergeRef()))
	if err != nil {
		return nil, err
	}
	// What is missing lies before the commit, since we said that we have it.
	seen := map[plumbing.Hash]bool{}
	for next := []plumbing.Hash{ref.Hash()}; len(next) > 0; next = next[1:] {
		if next[0] == commit {
			return nil, nil
		}
		if c, err := object.GetCommit(fresh, next[0]); err == nil && !seen[c.Hash] {
			seen[c.Hash] = true
			next = append(next, c.ParentHashes...)
		}
	}
	return missing, nil
}
