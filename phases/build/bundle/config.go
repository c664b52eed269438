package bundle

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/inspect"
)

// Config is one bundle of release.yaml: a tree of files laid out as below /usr, for each architecture.
type Config struct {
	// Arch lists the architectures. Left out: those of the components that the contents name, which must agree.
	Arch []string `yaml:"arch,omitempty" jsonschema:"enum=amd64,enum=arm64"`
	// Contents says which files lie where, in nfpm's fields.
	Contents []Content `yaml:"contents" jsonschema:"required"`
	// Required are paths that must be there, in the bundle and in every package of it; * ? [...] match within a name, **
	// matches any folders. What lies in /etc is below etc/.
	Required []string `yaml:"required,omitempty"`
	// Forbidden are paths that must not be there; patterns as in required.
	Forbidden []string `yaml:"forbidden,omitempty"`
	// Rules are what else is asked of the bundle and of every package of it.
	Rules inspect.Rules `yaml:"rules,omitempty"`
}

// Content is one file, tree, link or pattern of files.
type Content struct {
	// Src is a path in the repository, or component:NAME/PATH for what a component made; * ? [...] ** match several
	// files. Of a symlink it is the target, relative to the link's folder.
	Src string `yaml:"src" jsonschema:"required"`
	// Dst is the path below /usr, like bin/NAME, or one that begins with /etc/. With a slash at its end src keeps its name
	// below it.
	Dst string `yaml:"dst" jsonschema:"required"`
	// Type is tree for a folder with all that is in it, symlink for a link; left out for files.
	Type string `yaml:"type,omitempty" jsonschema:"enum=file,enum=tree,enum=symlink"`
	// FileInfo sets what is not to be taken from the source.
	FileInfo FileInfo `yaml:"file_info,omitempty"`
}

// FileInfo is the part of nfpm's file_info that a bundle knows: owners and times are always the same.
type FileInfo struct {
	// Mode is 0755 or 0644. Left out: 0755 where the source may be executed by its owner, else 0644.
	Mode Mode `yaml:"mode,omitempty" jsonschema:"oneof_type=string;integer"`
}

// Mode holds permission bits; zero says that the source decides.
type Mode uint32

var modeRE = regexp.MustCompile(`^(?:0o?)([0-7]{3})$`)

// UnmarshalYAML reads 0755, 0o755 and both in quotes as octal numbers.
func (m *Mode) UnmarshalYAML(b []byte) error {
	text := strings.TrimSpace(string(b))
	if len(text) >= 2 && (text[0] == '"' || text[0] == '\'') && text[len(text)-1] == text[0] {
		text = text[1 : len(text)-1]
	}
	switch digits := modeRE.FindStringSubmatch(text); {
	case digits == nil:
	case digits[1] == "755":
		*m = 0o755
		return nil
	case digits[1] == "644":
		*m = 0o644
		return nil
	}
	return fmt.Errorf("want mode 0755 or 0644, found %.40q", text)
}

// MarshalYAML writes the mode as it is read.
func (m Mode) MarshalYAML() ([]byte, error) { return fmt.Appendf(nil, "0%o", m), nil }

// The types of contents.
const (
	typeFile    = "file"
	typeTree    = "tree"
	typeSymlink = "symlink"
)

const componentPrefix = "component:"

// place is dst as a path of the bundle's tree; with a slash at its end where dst has one.
func (c Content) place() string { return strings.TrimPrefix(c.Dst, "/") }

// component splits src into a component's name, empty for the repository, and the path in it.
func (c Content) component() (name, rel string) {
	rest, ok := strings.CutPrefix(c.Src, componentPrefix)
	if !ok || c.Type == typeSymlink {
		return "", c.Src
	}
	name, rel, _ = strings.Cut(rest, "/")
	return name, rel
}

// Components lists the names of the components that the contents take from, sorted.
func (c Config) Components() []string {
	var names []string
	for _, content := range c.Contents {
		if name, _ := content.component(); name != "" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// repository reports whether some content is taken from the repository itself.
func (c Config) repository() bool {
	return slices.ContainsFunc(c.Contents, func(c Content) bool {
		name, _ := c.component()
		return name == "" && c.Type != typeSymlink
	})
}

// Validate joins an error for each fault that can be seen without the files.
func (c Config) Validate() error {
	errs := []error{component.CheckArches(c.Arch)}
	if len(c.Contents) == 0 {
		errs = append(errs, errors.New("contents: want at least one entry"))
	}
	seen := map[string]bool{}
	for i, content := range c.Contents {
		if err := content.validate(); err != nil {
			errs = append(errs, fmt.Errorf("contents[%d]: %w", i, err))
		} else if key := content.place(); !strings.HasSuffix(key, "/") && content.Type != typeTree && seen[key] {
			errs = append(errs, fmt.Errorf("contents[%d]: dst %q is there already", i, content.Dst))
		} else {
			seen[key] = true
		}
	}
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"required", c.Required}, {"forbidden", c.Forbidden}} {
		for _, p := range list.patterns {
			if err := glob.Check(p); err != nil {
				errs = append(errs, fmt.Errorf("%s: %w", list.key, err))
			}
		}
	}
	if err := c.Rules.Validate(); err != nil {
		errs = append(errs, fmt.Errorf("rules: %w", err))
	}
	return errors.Join(errs...)
}

func (c Content) validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !slices.Contains([]string{"", typeFile, typeTree, typeSymlink}, c.Type) {
		bad("type: want file, tree or symlink, found %q", c.Type)
	}
	if c.FileInfo.Mode != 0 && c.FileInfo.Mode != 0o755 && c.FileInfo.Mode != 0o644 {
		bad("file_info.mode: want 0755 or 0644, found %#o", uint32(c.FileInfo.Mode))
	}
	dst := strings.TrimSuffix(c.place(), "/")
	if strings.HasPrefix(c.Dst, "/") && !strings.HasPrefix(c.Dst, "/"+Etc+"/") {
		bad("dst: want a path below /usr without leading slash, or one that begins with /etc/, found %q", c.Dst)
	} else if !strings.HasPrefix(c.Dst, "/") && InEtc(dst) {
		bad("dst: %q would be /usr/%s: want /%s, or a path without etc in front", c.Dst, dst, dst)
	} else if err := archive.CheckName(dst); err != nil {
		bad("dst: %w", err)
	}
	switch name, rel := c.component(); {
	case c.Type == typeSymlink:
		if c.FileInfo.Mode != 0 {
			bad("file_info.mode: a link has none")
		}
		if strings.HasSuffix(c.Dst, "/") {
			bad("dst: want the path of the link, found %q", c.Dst)
		}
		if err := archive.CheckLink(path.Clean(dst), c.Src); err != nil {
			bad("src: %w", err)
		}
	case strings.HasPrefix(c.Src, componentPrefix) && (name == "" || rel == "" && c.Type != typeTree):
		bad("src: want component:NAME/FILE, found %q", c.Src)
	case name != "" && rel == "":
	default:
		if err := component.CheckSource(rel); err != nil {
			bad("src: %w", err)
		} else if err := glob.Check(strings.TrimSuffix(rel, "/")); err != nil && c.Type != typeTree {
			bad("src: %w", err)
		}
	}
	return errors.Join(errs...)
}
