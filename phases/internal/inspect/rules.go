package inspect

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/needs"
	"github.com/imrightguy/slipway/phases/internal/size"
)

// Rules is what is asked of the files of a bundle, and of those in every package that is made of it.
type Rules struct {
	// ForbiddenText lists texts that no file may hold, programs included. Placeholders that nobody replaced are faults
	// without being listed.
	ForbiddenText []string `yaml:"forbidden_text,omitempty"`
	// Size is that of all files together.
	Size size.Band `yaml:"size,omitempty"`
	// MaxFile is the size of the largest file that may be there.
	MaxFile size.Bytes `yaml:"max_file,omitempty" jsonschema:"oneof_type=string;integer"`
	// Executable are patterns of files that must be there with mode 0755, like bin/*. Programs and the scripts in bin
	// must have it without being listed.
	Executable []string `yaml:"executable,omitempty"`
	// Host says what libraries the system brings.
	Host Host `yaml:"host,omitempty"`
	// Glibc is the newest version of the C library that programs may ask for, like 2.31. Left out: any.
	Glibc string `yaml:"glibc,omitempty" jsonschema:"pattern=^[0-9]+([.][0-9]+)+$"`
	// Versions are patterns of files that must carry the release's version, beside VERSION and the version.json files of
	// Flutter, which are always looked at.
	Versions []string `yaml:"versions,omitempty"`
	// Ignore are patterns of files that are data: they are not looked into.
	Ignore []string `yaml:"ignore,omitempty"`
}

// Host is what libraries a system brings: the name of a profile, or a profile and more libraries. What a package takes
// from the system it must depend on.
type Host struct {
	// Profile is system for what every desktop has (C library, graphics, sound, fonts), or gtk3 for GTK 3 besides. Left
	// out: system.
	Profile string `yaml:"profile,omitempty" jsonschema:"enum=system,enum=gtk3"`
	// Libraries are more libraries, as programs call them, like libsecret-1.so.0.
	Libraries []string `yaml:"libraries,omitempty"`
}

// The profiles of [Host].
const (
	System = "system"
	GTK3   = "gtk3"
)

// UnmarshalYAML reads the short form, the name of a profile.
func (h *Host) UnmarshalYAML(text []byte) error {
	name := strings.TrimSpace(string(text))
	if len(name) >= 2 && (name[0] == '"' || name[0] == '\'') && name[len(name)-1] == name[0] {
		name = name[1 : len(name)-1]
	}
	*h = Host{Profile: name}
	if name == "" {
		return h.profile("")
	}
	return h.validate()
}

// String describes the host for people.
func (h Host) String() string {
	name := h.Profile
	if name == "" {
		name = System
	}
	if len(h.Libraries) > 0 {
		name += ", " + strings.Join(h.Libraries, ", ")
	}
	return name
}

func (h Host) profile(name string) error {
	return fmt.Errorf("want system or gtk3, found %.40q", name)
}

func (h Host) validate() error {
	var errs []error
	if h.Profile != "" && h.Profile != System && h.Profile != GTK3 {
		errs = append(errs, h.profile(h.Profile))
	}
	for _, so := range h.Libraries {
		if so == "" || strings.ContainsAny(so, "/ \t\n*?[") {
			errs = append(errs, fmt.Errorf("libraries: want the name of a library like libsecret-1.so.0, found %.80q", so))
		}
	}
	return errors.Join(errs...)
}

// libraries lists what the host brings beside [needs.System].
func (h Host) libraries() []string {
	if h.Profile == GTK3 {
		return slices.Concat(needs.GTK3, h.Libraries)
	}
	return h.Libraries
}

// maxForbidden is the length of the longest forbidden text, in bytes.
const maxForbidden = 500

// Validate joins an error for each fault, with the key in front.
func (r Rules) Validate() error {
	var errs []error
	for i, text := range r.ForbiddenText {
		if len(text) < 3 || len(text) > maxForbidden {
			errs = append(errs, fmt.Errorf("forbidden_text[%d]: want 3 to %d bytes, found %d", i, maxForbidden, len(text)))
		}
	}
	if err := r.Size.Validate(); err != nil {
		errs = append(errs, err) // which names the key
	}
	if err := r.Host.validate(); err != nil {
		errs = append(errs, fmt.Errorf("host: %w", err))
	}
	if r.Glibc != "" && (!needs.IsVersion(r.Glibc) || !strings.Contains(r.Glibc, ".")) {
		errs = append(errs, fmt.Errorf("glibc: want a version like 2.31, found %.40q", r.Glibc))
	}
	for _, list := range []struct {
		key      string
		patterns []string
	}{{"executable", r.Executable}, {"versions", r.Versions}, {"ignore", r.Ignore}} {
		for i, p := range list.patterns {
			if err := glob.Check(p); err != nil {
				errs = append(errs, fmt.Errorf("%s[%d]: %w", list.key, i, err))
			}
		}
	}
	return errors.Join(errs...)
}
