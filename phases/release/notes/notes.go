// Package notes writes the notes of a release, as they will stand on its page.
//
// They come from the commits since the version before, from the section of a changelog, or from a file; all of it read
// at the base commit, never from the working tree, and nothing in them depends on what was built. The step release/notes
// makes them an artifact, so approving the release approves the notes, and looks at them as a reader would: a title of
// another version, or a placeholder that nobody filled in, is seen before anybody else sees it.
package notes

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/templates"
)

// Where notes can come from, beside a file.
const (
	Commits   = "commits"
	Changelog = "changelog"
)

// Config says what the notes are made of: release.yaml's release.notes.
type Config struct {
	// From is commits (the default) for the commits since the version before, changelog for the version's section of a
	// changelog, or the path of a file in the repository that holds the notes.
	From string `yaml:"from,omitempty"`
	// Changelog is the path of the changelog. Default: CHANGELOG.md.
	Changelog string `yaml:"changelog,omitempty"`
	// Exclude leaves commits out: a single word is a conventional type, like chore; anything else is a regular
	// expression (RE2) for subjects. A type does not leave out a breaking change.
	Exclude []string `yaml:"exclude,omitempty"`
	// FirstParent lists what was merged instead of every commit: the merges and commits of the branch itself.
	FirstParent bool `yaml:"first_parent,omitempty"`
	// Template is the path of a template in the repository, in the language of Go's text/template.
	Template string `yaml:"template,omitempty"`
}

// Options are what the notes say besides.
type Options struct {
	RepoDir  string                   // the repository's folder, or one inside it
	Project  string                   // name of the product
	Page     string                   // the repository's page, like https://github.com/OWNER/REPO; empty: no links to it
	TagName  string                   // how tags are named, like "v{{ .Version }}", the default
	Packages []templates.NotesPackage // what people install
	Sums     string                   // name of the file with the checksums; empty: none
}

// Validate joins an error for each fault, which begins with its key.
func (c Config) Validate() error {
	var errs []error
	bad := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %w", key, fmt.Errorf(format, args...)))
	}
	if c.From != "" && c.From != Commits && c.From != Changelog {
		if err := inside(c.From); err != nil {
			bad("from", "want commits, changelog or the path of a file in the repository: %w", err)
		}
	}
	if c.Changelog != "" {
		if err := inside(c.Changelog); err != nil {
			bad("changelog", "%w", err)
		} else if c.From != Changelog {
			bad("changelog", "it is read only with from: changelog")
		}
	}
	if c.commits() {
		if _, err := excludes(c.Exclude); err != nil {
			errs = append(errs, err)
		}
	} else {
		if len(c.Exclude) > 0 {
			bad("exclude", "it is for notes from commits only")
		}
		if c.FirstParent {
			bad("first_parent", "it is for notes from commits only")
		}
	}
	if c.Template != "" {
		if err := inside(c.Template); err != nil {
			bad("template", "%w", err)
		}
	}
	return errors.Join(errs...)
}

func (c Config) commits() bool { return c.From == "" || c.From == Commits }

// verbatim says that the notes are what a person wrote in a file, from the first to the last word.
func (c Config) verbatim() bool { return !c.commits() && c.From != Changelog && c.Template == "" }

// file is the path of the changelog or of the notes.
func (c Config) file() string {
	switch {
	case c.From != Changelog:
		return c.From
	case c.Changelog != "":
		return c.Changelog
	}
	return "CHANGELOG.md"
}

// inside refuses what is not the path of a file in the repository.
func inside(path string) error {
	if !fs.ValidPath(path) || path == "." || strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == 0x7f || r == '\\' }) ||
		slices.ContainsFunc(strings.Split(path, "/"), func(p string) bool { return strings.EqualFold(p, ".git") }) {
		return fmt.Errorf("%q is not the path of a file in the repository", path)
	}
	return nil
}

// Text returns the notes of a version, X.Y.Z[-PRE][+BUILD], as they will be published from a commit, given by its whole
// ID: the command slipway notes.
func Text(ctx context.Context, r *repo.Repo, c Config, o Options, planned, commit string) (string, error) {
	n, err := compose(ctx, r, c, o, planned, commit)
	return n.text, err
}

// composed are notes with what the step says of them.
type composed struct {
	text  string
	own   string // the part of the text that is no commit's subject
	found string // what they were made of, in a few words
	since string // the tag of the version before; empty for none
	empty bool
}

func compose(ctx context.Context, r *repo.Repo, c Config, o Options, planned, commit string) (n composed, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("cannot write the notes: %w", err)
		}
	}()
	if err := c.Validate(); err != nil {
		return n, err
	}
	v, err := version.Parse(planned)
	if err != nil {
		return n, err
	}
	form, err := repo.ParseTagForm(o.TagName)
	if err != nil {
		return n, err
	}
	var before repo.VersionTag
	if !c.verbatim() { // what a person wrote does without the history, also where a clone has none
		if before, err = previous(ctx, r, form, v, commit); err != nil {
			return n, err
		}
	}
	data := templates.Notes{Project: o.Project, Version: v.Release(), Packages: o.Packages, Sums: o.Sums}
	if before.Name != "" {
		n.since = before.Name
		data.Previous = before.Version.Release()
		if o.Page != "" {
			data.Compare = o.Page + "/compare/" + url.PathEscape(before.Name) + "..." + url.PathEscape(form.Name(v))
		}
	}
	more := ""
	if o.Page != "" && !c.commits() {
		more = o.Page + "/blob/" + url.PathEscape(form.Name(v)) + "/" + (&url.URL{Path: c.file()}).EscapedPath()
	}
	switch {
	case c.commits():
		var count int
		if data.Groups, count, err = fromCommits(ctx, r, c, repo.Range{Since: before.Commit, Until: commit, FirstParent: c.FirstParent}); err != nil {
			return n, err
		}
		n.empty = count == 0
		n.found = fmt.Sprintf("%d changes since %s", count, n.since)
		if n.since == "" {
			n.found = fmt.Sprintf("%d changes since the beginning", count)
		}
	default:
		if data.Body, err = written(r, c, v, commit); err != nil {
			return n, err
		}
		n.empty = strings.TrimSpace(withoutComments(data.Body)) == ""
		n.found = "what " + c.file() + " says"
	}
	return n, n.render(r, c, data, commit, more)
}

// render fills in the template and keeps to the limit.
func (n *composed) render(r *repo.Repo, c Config, data templates.Notes, commit, more string) error {
	fill := func(data templates.Notes) (string, error) {
		b, err := templates.RenderNotes(data)
		return string(b), err
	}
	if c.Template != "" {
		content, err := text(r, c.Template, commit)
		if err != nil {
			return err
		}
		fill = func(data templates.Notes) (string, error) {
			b, err := templates.RenderNotesWith(c.Template, content, data)
			return string(b), err
		}
	} else if c.verbatim() {
		data.Packages, data.Sums = nil, ""
	}
	var err error
	if n.text, err = fit(fill, data, more); err != nil {
		return err
	}
	// What people wrote for other readers, subjects of commits, may say "TODO".
	own := data
	own.Groups = slices.Clone(data.Groups)
	for i, g := range own.Groups {
		own.Groups[i].Changes = slices.Repeat([]templates.NotesChange{{Text: "x"}}, min(1, len(g.Changes)))
	}
	n.own, err = fill(own)
	return err
}

// previous finds the version before: the newest one that the commit reaches and that is older. For an ordinary release
// that is an ordinary release, since that is what its users have.
func previous(ctx context.Context, r *repo.Repo, form repo.TagForm, v version.Version, commit string) (repo.VersionTag, error) {
	tags, err := r.VersionTags(form, v)
	if err != nil {
		return repo.VersionTag{}, err
	}
	tags = slices.DeleteFunc(tags, func(t repo.VersionTag) bool {
		return t.Version.Compare(v) >= 0 || t.Version.Prerelease() && !v.Prerelease()
	})
	tag, _, err := r.Reached(ctx, commit, tags)
	return tag, err
}

// written reads the changelog's section, or the file.
func written(r *repo.Repo, c Config, v version.Version, commit string) (string, error) {
	content, err := text(r, c.file(), commit)
	if err != nil || c.From != Changelog {
		return content, err
	}
	body, err := section(content, v)
	if err != nil {
		return "", fmt.Errorf("%s at commit %s: %w", c.file(), repo.Short(commit), err)
	}
	return body, nil
}

// maxFile bounds the files that are read, in bytes.
const maxFile = 8 << 20

// text reads a text file of a commit.
func text(r *repo.Repo, path, commit string) (string, error) {
	b, err := r.File(commit, path)
	switch {
	case err != nil:
		return "", err
	case len(b) > maxFile:
		return "", fmt.Errorf("%s is larger than %d bytes", path, maxFile)
	case !utf8.Valid(b) || strings.ContainsRune(string(b), 0):
		return "", fmt.Errorf("%s is not a text in UTF-8", path)
	}
	return strings.ReplaceAll(strings.TrimPrefix(string(b), "\ufeff"), "\r\n", "\n"), nil
}

var word = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9-]*$`)

// excludes reads what is left out.
func excludes(list []string) (func(change) bool, error) {
	types := map[string]bool{}
	var forms []*regexp.Regexp
	var errs []error
	for i, s := range list {
		if word.MatchString(s) {
			types[strings.ToLower(s)] = true
			continue
		}
		re, err := regexp.Compile(s)
		if err == nil && s == "" {
			err = errors.New("it is empty")
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("exclude[%d]: want a conventional type or a regular expression: %w", i, err))
			continue
		}
		forms = append(forms, re)
	}
	return func(c change) bool {
		return types[c.kind] && !c.breaking || slices.ContainsFunc(forms, func(re *regexp.Regexp) bool { return re.MatchString(c.subject) })
	}, errors.Join(errs...)
}

// params is all of the configuration that decides what the notes say.
func params(c Config, o Options) (map[string]string, error) {
	o.RepoDir = ""
	b, err := json.Marshal(struct {
		Config  Config
		Options Options
	}{c, o})
	return map[string]string{"notes": string(b)}, err
}
