package rehearsal

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// Want is what a release should have left in the world. Empty fields ask for nothing.
type Want struct {
	Version   string            // as the source of truth has it, X.Y.Z[-pre][+build]
	Source    string            // file with the source of truth; "": the tag itself
	Commit    string            // the version commit
	Branch    string            // of the release
	Tag       string            //
	MergeInto string            //
	Assets    map[string]string // of the published release: SHA-256 by name
	Latest    bool              // it is the latest release
	AUR       map[string]Repo   // by package
}

// Repo is what an AUR repository should hold.
type Repo struct {
	Version string            // [epoch:]pkgver-pkgrel
	Files   map[string]string // SHA-256 by path
}

// Arrival is one thing that was looked for.
type Arrival struct {
	What  string `json:"what"`
	OK    bool   `json:"ok"`
	Found string `json:"found"`
}

// Look looks at what the twins hold, past the client that brought it there: with the git program in the bare
// repositories, and in the state of the servers.
func (w *World) Look(ctx context.Context, want Want) []Arrival {
	l := &look{w: w, ctx: ctx, dir: filepath.Join(w.o.Dir, "origin.git")}
	if w.GitHub != nil {
		l.git(want)
		l.release(want)
	}
	for _, name := range slices.Sorted(maps.Keys(want.AUR)) {
		l.aur(name, want.AUR[name])
	}
	return l.out
}

type look struct {
	w   *World
	ctx context.Context
	dir string // the bare repository that is looked at
	out []Arrival
}

// add notes what was found; err where it is not what was wanted.
func (l *look) add(what, found string, err error) {
	a := Arrival{What: what, OK: err == nil, Found: found}
	if err != nil {
		a.Found = err.Error()
	}
	l.out = append(l.out, a)
}

// show runs the git program in the repository.
func (l *look) show(args ...string) (string, error) {
	var out bytes.Buffer
	err := gitd.Git(l.ctx, l.dir, nil, &out, args...)
	return out.String(), err
}

func (l *look) line(args ...string) (string, error) {
	s, err := l.show(args...)
	return strings.TrimSpace(s), err
}

func (l *look) git(want Want) {
	if want.Branch != "" {
		id, err := l.line("rev-parse", "--verify", "refs/heads/"+want.Branch)
		if err == nil && id != want.Commit {
			err = fmt.Errorf("it is at %s, the release's commit is %s", id, want.Commit)
		}
		l.add("branch "+want.Branch, "at the release's commit "+want.Commit[:12], err)
	}
	if want.Tag != "" {
		kind, err := l.line("cat-file", "-t", "refs/tags/"+want.Tag)
		if err == nil && kind != "tag" {
			err = fmt.Errorf("it is lightweight: a %s", kind)
		}
		if err == nil {
			var id string
			if id, err = l.line("rev-parse", "--verify", "refs/tags/"+want.Tag+"^{commit}"); err == nil && id != want.Commit {
				err = fmt.Errorf("it leads to %s, the release's commit is %s", id, want.Commit)
			}
		}
		l.add("tag "+want.Tag, "annotated, at the release's commit", err)
		if want.Source != "" {
			var found carrier.Found
			text, err := l.show("show", "refs/tags/"+want.Tag+":"+want.Source)
			if err == nil {
				found, err = carrier.Read(want.Source, []byte(text))
			}
			if err == nil && found.Version != want.Version {
				err = fmt.Errorf("%s says %s there, not %s", want.Source, found.Version, want.Version)
			}
			l.add("version at the tag", want.Source+" says "+want.Version, err)
		}
	}
	if want.MergeInto != "" {
		_, err := l.line("merge-base", "--is-ancestor", want.Commit, "refs/heads/"+want.MergeInto)
		if err != nil {
			err = fmt.Errorf("it does not contain the release's commit %s", want.Commit[:12])
		}
		parents := ""
		if err == nil {
			if parents, err = l.line("rev-list", "--parents", "-n", "1", "refs/heads/"+want.MergeInto); err == nil && len(strings.Fields(parents)) != 3 {
				err = fmt.Errorf("its newest commit is no merge")
			}
		}
		l.add("branch "+want.MergeInto, "merged", err)
	}
	_, err := l.show("fsck", "--strict", "--connectivity-only")
	l.add("git remote", "whole", err)
}

func (l *look) release(want Want) {
	state := l.w.GitHub.History(l.w.o.Owner, l.w.o.Name).Last()
	var ours []*github.ReleaseState
	for _, r := range state.Releases {
		if r.Tag == want.Tag {
			ours = append(ours, r)
		}
	}
	what := "release " + want.Tag
	if len(ours) != 1 {
		l.add(what, "", fmt.Errorf("there are %d releases with the tag", len(ours)))
		return
	}
	r := ours[0]
	var err error
	switch {
	case r.Draft:
		err = fmt.Errorf("it is a draft")
	case r.Latest != want.Latest:
		err = fmt.Errorf("latest: %v, planned: %v", r.Latest, want.Latest)
	}
	l.add(what, "published", err)
	got := map[string]string{}
	for _, a := range r.Assets {
		if got[a.Name] = a.SHA256; a.State != "uploaded" {
			got[a.Name] = a.State
		}
	}
	var wrong []string
	for _, name := range slices.Sorted(maps.Keys(want.Assets)) {
		if got[name] != want.Assets[name] {
			wrong = append(wrong, name)
		}
		delete(got, name)
	}
	wrong = append(wrong, slices.Sorted(maps.Keys(got))...)
	err = nil
	if len(wrong) > 0 {
		err = fmt.Errorf("missing, too many or not the planned bytes: %s", strings.Join(wrong, ", "))
	}
	l.add("assets", fmt.Sprintf("%d, byte for byte those that were made", len(want.Assets)), err)
}

func (l *look) aur(name string, want Repo) {
	l.dir = filepath.Join(l.w.o.Dir, "aur", name+".git")
	what := "AUR " + name
	tree, err := l.show("ls-tree", "-r", "-z", "--name-only", "refs/heads/master")
	got := map[string]string{}
	if err == nil {
		for path := range strings.SplitSeq(strings.TrimSuffix(tree, "\x00"), "\x00") {
			var text string
			if text, err = l.show("show", "refs/heads/master:"+path); err != nil {
				break
			}
			sum := sha256.Sum256([]byte(text))
			got[path] = hex.EncodeToString(sum[:])
		}
	}
	if err == nil && !maps.Equal(got, want.Files) {
		err = fmt.Errorf("it holds other files than were made: %s", strings.Join(slices.Sorted(maps.Keys(got)), ", "))
	}
	l.add(what, fmt.Sprintf("%d files, byte for byte those that were made", len(want.Files)), err)
	index, err := aurweb.New(aurweb.Options{BaseURL: "https://aur.archlinux.org", Transport: l.w.Map.Endpoints().HTTP, Clock: &endpoint.Hurried{}})
	var version string
	if err == nil {
		var infos map[string]aurweb.Package
		if infos, err = index.Info(l.ctx, name); err == nil {
			version = infos[name].Version
		}
	}
	if err == nil && version != want.Version {
		err = fmt.Errorf("it shows %q, not %s", version, want.Version)
	}
	l.add(what+" index", want.Version, err)
}
