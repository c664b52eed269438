package repo

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"io"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// ErrShallow is the error for a clone that lacks the history or the tags that are asked for.
var ErrShallow = errors.New("the clone is shallow: git fetch --tags --unshallow")

// VersionTag is a tag whose name is a version and which leads to a commit.
type VersionTag struct {
	Name      string // without refs/tags/
	Version   version.Version
	Annotated bool   // it is an object of its own, with a message
	Commit    string // 40 hexadecimal digits
}

// TagForm says which tags are versions. The zero value stands for v3.2.1 and for 3.2.1; others come from
// [ParseTagForm].
type TagForm struct {
	prefix, suffix string
	own            bool // not the zero value
}

var versionField = regexp.MustCompile(`\{\{[ \t]*\.Version[ \t]*\}\}`)

// ParseTagForm reads a form like "app-v{{ .Version }}". Empty, and "v{{ .Version }}", are the zero value.
func ParseTagForm(s string) (TagForm, error) {
	at := versionField.FindAllStringIndex(s, -1)
	switch {
	case s == "":
		return TagForm{}, nil
	case len(at) != 1:
		return TagForm{}, fmt.Errorf("%q is no name for tags of versions; want one {{ .Version }} in it", s)
	}
	f := TagForm{s[:at[0][0]], s[at[0][1]:], true}
	if f.prefix == "v" && f.suffix == "" {
		return TagForm{}, nil
	}
	return f, nil
}

// Version reads the version out of a tag's name; ok is false for tags of other kinds.
func (f TagForm) Version(name string) (v version.Version, ok bool) {
	text := strings.TrimPrefix(name, "v")
	if f.own {
		rest, before := strings.CutPrefix(name, f.prefix)
		inner, behind := strings.CutSuffix(rest, f.suffix)
		if !before || !behind {
			return v, false
		}
		text = inner
	}
	v, err := version.Parse(text)
	return v, err == nil
}

// Name is the name of a version's tag.
func (f TagForm) Name(v version.Version) string {
	if !f.own {
		return "v" + v.Release()
	}
	return f.prefix + v.Release() + f.suffix
}

// VersionTags lists the version tags of the repository, the newest version first; several may lead to one commit. The
// tags of own, the version that is being released, are left out, so that the answer is the same before and after it was
// tagged. The error wraps [ErrShallow] for a shallow clone in which nothing remains: whether there are others cannot be
// known there.
func (r *Repo) VersionTags(form TagForm, own version.Version) ([]VersionTag, error) {
	refs, err := r.refs.IterReferences()
	if err != nil {
		return nil, fmt.Errorf("cannot list the tags: %w", err)
	}
	objects, err := openObjects(filepath.Join(r.common, "objects"), true)
	if err != nil {
		return nil, fmt.Errorf("cannot list the tags: %w", err)
	}
	defer objects.close()
	var tags []VersionTag
	err = refs.ForEach(func(ref *plumbing.Reference) error {
		name, isTag := strings.CutPrefix(ref.Name().String(), "refs/tags/")
		if !isTag || ref.Type() != plumbing.HashReference {
			return nil
		}
		v, ok := form.Version(name)
		if !ok || v.Release() == own.Release() {
			return nil
		}
		tag := VersionTag{Name: name, Version: v}
		id, depth, err := objects.peel(ref.Hash())
		if err != nil {
			return fmt.Errorf("tag %s: %w", name, r.explain(err))
		} else if id.IsZero() {
			return nil // of a file or a folder
		}
		tag.Commit, tag.Annotated = id.String(), depth > 0
		tags = append(tags, tag)
		return nil
	})
	if err != nil {
		return nil, fmt.Errorf("cannot list the tags: %w", err)
	}
	if len(tags) == 0 {
		if shallow, err := r.Shallow(); err != nil {
			return nil, fmt.Errorf("cannot list the tags: %w", err)
		} else if shallow {
			return nil, fmt.Errorf("cannot see the tags of earlier versions: %w", ErrShallow)
		}
	}
	slices.SortFunc(tags, func(a, b VersionTag) int {
		return cmp.Or(b.Version.Compare(a.Version), strings.Compare(a.Name, b.Name))
	})
	return tags, nil
}

// peel follows tag objects to the commit that they lead to, and counts them. The commit is zero where they lead to
// something else.
func (o *objects) peel(id plumbing.Hash) (commit plumbing.Hash, depth int, err error) {
	for ; depth < 10; depth++ {
		t, err := o.kind(id)
		switch {
		case err != nil:
			return plumbing.ZeroHash, depth, err
		case t == plumbing.CommitObject:
			return id, depth, nil
		case t != plumbing.TagObject:
			return plumbing.ZeroHash, depth, nil
		}
		content, err := o.start(t, id)
		if err != nil {
			return plumbing.ZeroHash, depth, err
		}
		line, _, _ := bytes.Cut(content, []byte("\n"))
		target, ok := bytes.CutPrefix(line, []byte("object "))
		if !ok || !fullID.Match(target) {
			return plumbing.ZeroHash, depth, fmt.Errorf("object %s is damaged: it does not say what it tags", id)
		}
		id = plumbing.NewHash(string(target))
	}
	return plumbing.ZeroHash, depth, nil
}

// kind finds out what an object is.
func (o *objects) kind(id plumbing.Hash) (plumbing.ObjectType, error) {
	for _, s := range o.stores {
		obj, err := s.EncodedObject(plumbing.AnyObject, id)
		if errors.Is(err, plumbing.ErrObjectNotFound) {
			continue
		} else if err != nil {
			return plumbing.InvalidObject, fmt.Errorf("object %s is damaged: %w", id, err)
		}
		return obj.Type(), nil
	}
	return plumbing.InvalidObject, fmt.Errorf("object %s: %w", id, plumbing.ErrObjectNotFound)
}

// startSize is how much of a commit or a tag is looked at, in bytes.
const startSize = 256 << 10

// start returns the beginning of an object, after comparing all of it with its ID: of commits and tags, all that
// anybody wrote.
func (o *objects) start(t plumbing.ObjectType, id plumbing.Hash) ([]byte, error) {
	obj, err := o.get(t, id)
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = o.copy(&first{&b, startSize}, obj, id, "")
	return b.Bytes(), err
}

// first passes on the first bytes and drops the others.
type first struct {
	w    io.Writer
	left int
}

// Write never fails for what is dropped.
func (f *first) Write(p []byte) (int, error) {
	n := min(len(p), f.left)
	f.left -= n
	if _, err := f.w.Write(p[:n]); err != nil {
		return 0, err
	}
	return len(p), nil
}
