package gitflow

import (
	"cmp"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"strings"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/templates"
)

// Config is the key git of release.yaml's release.
type Config struct {
	// Remote is where branches and tags are pushed to: ssh://USER@HOST/PATH, USER@HOST:PATH or https://HOST/PATH. Left out:
	// https://github.com/OWNER/REPO.git.
	Remote string `yaml:"remote,omitempty"`
	// KnownHosts is a file of the repository with the host keys that are trusted, for ssh. Left out: the user's own.
	KnownHosts string `yaml:"known_hosts,omitempty"`
	// KeyFile names the environment variable that says which file holds the private key, for ssh; its passphrase stands in
	// the variable of that name with _PASSPHRASE behind it. Left out, or not set: ssh-agent.
	KeyFile string `yaml:"key_file,omitempty"`
	// Branch bears the release's commit. Left out: release/v{{ .Version }}.
	Branch string `yaml:"branch,omitempty"`
	// MergeInto is the branch that the release's commit is merged into in the end. Left out: no merge.
	MergeInto string `yaml:"merge_into,omitempty"`
	// Tag is create, or existing where the annotated tag is made by people, before. Then there is neither branch nor merge.
	Tag string `yaml:"tag,omitempty" jsonschema:"enum=create,enum=existing"`
	// TagName is the tag's name. Left out: v{{ .Version }}.
	TagName string `yaml:"tag_name,omitempty"`
}

// What Config.Tag can be, and what is taken where release.yaml does not say.
const (
	Create   = "create"
	Existing = "existing"

	DefaultBranch  = "release/v{{ .Version }}"
	DefaultTagName = "v{{ .Version }}"
)

// Validate refuses a configuration that cannot work. The error joins one for each fault, which begins with its key.
func (c Config) Validate() error {
	var errs []error
	bad := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	if c.Remote != "" {
		r := gitremote.Remote{URL: c.Remote, KeyFile: c.KeyFile}
		if c.KnownHosts != "" {
			r.KnownHosts = string(filepath.Separator) + c.KnownHosts
		}
		bad("remote", r.Validate())
	}
	if c.KnownHosts != "" && (!fs.ValidPath(c.KnownHosts) || strings.ContainsAny(c.KnownHosts, "\\\x00\r\n")) {
		bad("known_hosts", fmt.Errorf("%.100q is not the path of a file in the repository", c.KnownHosts))
	}
	if c.Tag != "" && c.Tag != Create && c.Tag != Existing {
		bad("tag", fmt.Errorf("%.100q is neither create nor existing", c.Tag))
	}
	branch, err := c.branch("1.2.3")
	bad("branch", err)
	_, err = c.TagOf("1.2.3")
	bad("tag_name", err)
	if n := strings.Count(c.TagForm(), "{{"); err == nil && n != 1 {
		bad("tag_name", fmt.Errorf("%.100q is the name of every version's tag, so it needs {{ .Version }} once", c.TagName))
	}
	if c.MergeInto != "" {
		bad("merge_into", refName(c.MergeInto))
		if c.MergeInto == branch {
			bad("merge_into", errors.New("it is the release's own branch"))
		}
	}
	if c.Tag == Existing {
		if c.Branch != "" {
			bad("branch", errors.New("with tag: existing there is none"))
		}
		if c.MergeInto != "" {
			bad("merge_into", errors.New("with tag: existing there is no merge"))
		}
	}
	return errors.Join(errs...)
}

// TagForm is the form that the tags of versions have, with {{ .Version }} in it.
func (c Config) TagForm() string { return cmp.Or(c.TagName, DefaultTagName) }

// TagOf is the name of a version's tag, without refs/tags/. The version is taken without its build number.
func (c Config) TagOf(planned string) (string, error) { return expand(c.TagForm(), planned) }

func (c Config) branch(planned string) (string, error) {
	return expand(cmp.Or(c.Branch, DefaultBranch), planned)
}

func expand(text, planned string) (string, error) {
	v, err := version.Parse(planned)
	if err != nil {
		return "", err
	}
	name, err := templates.Expand(text, map[string]string{"Version": v.Release()})
	if err != nil {
		return "", err
	}
	return name, refName(name)
}

// refName refuses what git would not have as the name of a branch or tag (git-check-ref-format(1)), and what people or
// programs take for something else: an option, a full name, a commit's ID.
func refName(name string) error {
	full := plumbing.ReferenceName("refs/heads/" + name)
	switch {
	case full.Validate() != nil, strings.HasPrefix(name, "-"), strings.HasPrefix(name, "refs/"), name == "HEAD",
		strings.ContainsFunc(name, func(r rune) bool { return r < '!' || r > '~' || strings.ContainsRune(`"'\$;&|<>(){}*?!#`+"`", r) }),
		strings.HasSuffix(name, "."), strings.Contains(name, "//"), strings.HasSuffix(name, "/"), plumbing.IsHash(name), len(name) > 200:
		return fmt.Errorf("%.100q is not a name that a branch or tag can have", name)
	}
	return nil
}
