package verify

import (
	"cmp"
	"context"
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// Standing says what stands where a step of a release that has not begun would act.
type Standing struct {
	Sign string // + nothing, ! something that is not this release's, ? it is not known
	Why  string
}

// Before looks where the outward steps of a plan would act, before anything of the release is made: whether the places
// are free. It asks each remote once and changes nothing. Steps that are not in the answer have nothing to be asked for.
func Before(ctx context.Context, e *endpoint.Endpoints, r Release, specs []pipeline.Spec) map[string]Standing {
	b := &before{Release: r, e: e, adopts: r.Commit != ""}
	out := map[string]Standing{}
	for _, sp := range specs {
		if !sp.Effect.Outward() {
			continue
		}
		if name, ok := strings.CutPrefix(sp.ID, "aur/push/"); ok {
			out[sp.ID] = b.aur(ctx, name)
			continue
		}
		switch words := strings.Fields(sp.Target); {
		case len(words) == 2 && strings.HasPrefix(words[1], "refs/"):
			out[sp.ID] = b.ref(ctx, sp, words[1])
		case len(words) >= 3 && words[1] == "release":
			out[sp.ID] = b.release(ctx, sp)
		}
	}
	return out
}

type before struct {
	Release
	e      *endpoint.Endpoints
	adopts bool // the tag is made by people, before

	askedGit bool
	refs     map[string]gitremote.Ref
	gitErr   error

	askedHub bool
	found    hub.Found
	hubErr   error
}

func (b *before) ref(ctx context.Context, sp pipeline.Spec, ref string) Standing {
	if !b.askedGit {
		b.askedGit = true
		a, err := b.e.Git(ctx, b.Remote)
		if err == nil {
			b.refs, err = a.Refs(ctx)
		}
		b.gitErr = err
	}
	now, there := b.refs[ref]
	switch {
	case b.gitErr != nil:
		return Standing{"?", b.gitErr.Error()}
	case ref == "refs/heads/"+b.MergeInto && !there:
		return Standing{"!", fmt.Sprintf("there is no branch %s to merge into", b.MergeInto)}
	case ref == "refs/heads/"+b.MergeInto, !there && !b.adopts:
		return Standing{"+", sp.Target}
	case b.adopts && !there:
		return Standing{"!", "there is no such tag, and people make it: " + b.Tag}
	case b.adopts && now.Peeled == b.Commit:
		return Standing{"=", "there already"}
	case strings.HasPrefix(ref, "refs/tags/"):
		return Standing{"!", fmt.Sprintf("somebody's tag is there already, of commit %.12s; a tag is never moved", now.Peeled)}
	}
	return Standing{"!", fmt.Sprintf("somebody's branch is there already, at commit %.12s", now.Hash)}
}

func (b *before) release(ctx context.Context, sp pipeline.Spec) Standing {
	if !b.askedHub {
		b.askedHub = true
		c, err := b.e.Hub(b.Owner, b.Repo, b.BaseURL)
		if err == nil {
			b.found, err = c.FindByMarker(ctx, b.Tag, hub.Marker("none"))
		}
		b.hubErr = err
	}
	switch {
	case b.hubErr != nil:
		return Standing{"?", b.hubErr.Error()}
	case len(b.found.Foreign) > 0:
		f := b.found.Foreign[0]
		what := "a published release"
		if f.Draft {
			what = "a draft"
		}
		return Standing{"!", fmt.Sprintf("%s of tag %s is there already, id %d, and is not of this run", what, b.Tag, f.ID)}
	}
	return Standing{"+", sp.Target}
}

func (b *before) aur(ctx context.Context, name string) Standing {
	for _, p := range b.AUR {
		if p.Name != name {
			continue
		}
		host, err := hostOf(p.Remote.URL)
		var index *aurweb.Client
		if err == nil {
			index, err = aurweb.New(aurweb.Options{BaseURL: "https://" + host, Transport: b.e.HTTP, Clock: clock(b.e)})
		}
		var known map[string]aurweb.Package
		if err == nil {
			known, err = index.Info(ctx, name)
		}
		switch at, there := known[name]; {
		case err != nil:
			return Standing{"?", err.Error()}
		case there:
			return Standing{"+", "the AUR shows " + at.Version + ", of " + cmp.Or(at.Maintainer, "nobody")}
		}
		return Standing{"+", "a new package: " + p.Remote.URL}
	}
	return Standing{"?", "release.yaml does not say where it is published"}
}
