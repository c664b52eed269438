package component

import (
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"
)

// The builders.
const (
	Go       = "go"       // builds main packages of the repository with the go program
	Prebuilt = "prebuilt" // takes a file or folder that the repository holds
)

// Config is one component of release.yaml: something that is built once for each architecture.
type Config struct {
	// Builder makes the component: "go" builds Go programs, "prebuilt" takes a file or folder of the repository.
	Builder string `yaml:"builder" jsonschema:"required,enum=go,enum=prebuilt"`
	// Arch lists the architectures to build for, by their GOARCH names. Left out: amd64.
	Arch []string `yaml:"arch,omitempty" jsonschema:"enum=amd64,enum=arm64"`
	// Package is the Go package to build, relative to the repository: ./cmd/NAME. Builder go.
	Package string `yaml:"package,omitempty"`
	// Ldflags are flags for the Go linker; {{ .Version }}, {{ .Arch }}, {{ .Project }} and {{ .Commit }} are filled in. Builder go.
	Ldflags []string `yaml:"ldflags,omitempty"`
	// Tags are Go build tags. Builder go.
	Tags []string `yaml:"tags,omitempty"`
	// Path is the file or folder in the repository; {{ .Arch }} and the other fields are filled in. Builder prebuilt.
	Path string `yaml:"path,omitempty"`
	// SHA256 is the digest that the file at Path must have, in hexadecimal. Builder prebuilt, one architecture.
	SHA256 string `yaml:"sha256,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$"`
}

// Arches are the architectures that slipway knows, by their GOARCH names.
var Arches = []string{"amd64", "arm64"}

var (
	tagRE    = regexp.MustCompile(`^!?[A-Za-z0-9_.]+$`)
	sha256RE = regexp.MustCompile(`^[0-9a-f]{64}$`)
	driveRE  = regexp.MustCompile(`^[A-Za-z]:`)
	nameRE   = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
)

// Targets are the architectures to build for.
func (c Config) Targets() []string {
	if len(c.Arch) == 0 {
		return []string{"amd64"}
	}
	return c.Arch
}

// Validate joins an error for each fault of the configuration.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if err := CheckArches(c.Arch); err != nil {
		errs = append(errs, err)
	}
	foreign := func(key string, set bool) {
		if set {
			bad("%s is not a key of builder %s", key, c.Builder)
		}
	}
	switch c.Builder {
	case Go:
		foreign("path", c.Path != "")
		foreign("sha256", c.SHA256 != "")
		if err := checkPackage(c.Package); err != nil {
			errs = append(errs, err)
		}
		for _, t := range c.Tags {
			if !tagRE.MatchString(t) {
				bad("tags: want a build tag of letters, digits, _ and ., found %q", t)
			}
		}
		for _, f := range c.Ldflags {
			if strings.ContainsAny(f, "\x00\n\r") {
				bad("ldflags: want no line breaks, found %q", f)
			}
			if strings.HasPrefix(strings.TrimLeft(f, "-"), "buildid") {
				bad("ldflags: the build id is always empty, so that the same sources give the same bytes: leave %q out", f)
			}
		}
	case Prebuilt:
		foreign("package", c.Package != "")
		foreign("ldflags", len(c.Ldflags) > 0)
		foreign("tags", len(c.Tags) > 0)
		if err := CheckSource(c.Path); err != nil {
			bad("path: %w", err)
		}
		if c.SHA256 != "" && !sha256RE.MatchString(c.SHA256) {
			bad("sha256: want 64 lower-case hexadecimal digits, found %q", c.SHA256)
		}
		if c.SHA256 != "" && len(c.Targets()) > 1 {
			bad("sha256: one digest cannot hold for %d architectures; make a component for each", len(c.Targets()))
		}
	case "":
		bad("builder: want %s or %s", Go, Prebuilt)
	default:
		bad("builder: want %s or %s, found %q", Go, Prebuilt, c.Builder)
	}
	return errors.Join(errs...)
}

func checkPackage(p string) error {
	rest, ok := strings.CutPrefix(p, "./")
	switch {
	case p == ".":
		return nil
	case !ok || path.Clean(rest) != rest || strings.HasPrefix(rest, "/") || rest == ".." || strings.HasPrefix(rest, "../"):
		return fmt.Errorf("package: want a path in the repository like ./cmd/NAME, found %q", p)
	case strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '@' || r == '\\' }) || strings.Contains(p, "..."):
		return fmt.Errorf("package: want one package by its path, found %q", p)
	}
	return nil
}

// CheckName refuses names of components and bundles that could not be part of a step's ID or of a path.
func CheckName(name string) error {
	if !nameRE.MatchString(name) {
		return fmt.Errorf("name: want a-z, 0-9 and . _ - beginning with a letter or digit, found %q", name)
	}
	return nil
}

// CheckArches refuses architectures that are unknown or listed twice.
func CheckArches(list []string) error {
	var errs []error
	for i, a := range list {
		if !slices.Contains(Arches, a) {
			errs = append(errs, fmt.Errorf("arch: want %s, found %q", strings.Join(Arches, " or "), a))
		} else if slices.Index(list, a) != i {
			errs = append(errs, fmt.Errorf("arch: %q is listed twice", a))
		}
	}
	return errors.Join(errs...)
}

// CheckSource refuses a path of the repository that is absolute or leads out of it.
func CheckSource(p string) error {
	switch {
	case p == "":
		return errors.New("want a path in the repository")
	case strings.HasPrefix(p, "/") || strings.Contains(p, `\`) || driveRE.MatchString(p):
		return fmt.Errorf("want a path relative to the repository, with slashes, found %q", p)
	case slices.Contains(strings.Split(p, "/"), ".."):
		return fmt.Errorf("want a path that stays in the repository, found %q", p)
	case path.Clean(p) != strings.TrimSuffix(p, "/") || p == "." || strings.ContainsAny(p, "\x00\n\r"):
		return fmt.Errorf("want a clean path, found %q", p)
	}
	return nil
}
