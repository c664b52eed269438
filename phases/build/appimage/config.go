package appimage

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/templates"
)

// Kind and KindZsync are the kinds of the artifacts.
const (
	Kind      = "appimage"
	KindZsync = "zsync"
)

// Config is one AppImage.
//
// An AppImage has to have a desktop entry and an icon. A bundle with one entry under share/applications needs no more
// words: the entry says which program AppRun starts and how its icon is called, and the icon is looked for under
// share/icons/hicolor and share/pixmaps. A bundle without any desktop entry is taken for a program for terminals: the
// AppImage starts bin/NAME, or the only program in bin, and gets an entry that no menu shows (Terminal=true,
// NoDisplay=true) and, unless the bundle has one called NAME, the picture of a prompt as its icon. Neither finds its way
// into other packages.
//
// All programs of the bundle are reachable as bin/PROGRAM in the AppImage, beside usr/bin/PROGRAM; and a link to the
// AppImage with the name of one of them starts that one.
type Config struct {
	Name    string // of the package, and the first part of the file's name
	Bundle  string // what is packed, below usr/
	Version string // X.Y.Z[-pre], for the file name and X-AppImage-Version
	Arch    string // GOARCH name

	Compression       Compression
	Runtime           *RuntimeConfig // nil: the built-in one
	UpdateInformation string         // "" for none; see [Config.Update]
	Sign              *SignConfig    // nil: no signature

	Desktop string // path of the desktop entry in the bundle; "": the only one of share/applications
	Icon    string // path of the icon in the bundle, PNG or SVG; "": found by the name in the desktop entry
	Program string // path in the bundle of what AppRun starts; "": what the desktop entry starts

	// Of the desktop entry that is made for a program for terminals.
	Description string   // its first line is the entry's Comment
	Categories  []string // of the Desktop Menu Specification; nil: Utility
}

// RuntimeConfig is an AppImage runtime of one's own, for one architecture: the official one, for example. It is never
// downloaded.
type RuntimeConfig struct {
	// Path of the file in the repository.
	Path string `yaml:"path" jsonschema:"required"`
	// SHA256 of the file, in hexadecimal.
	SHA256 string `yaml:"sha256" jsonschema:"required"`
}

// SignConfig says with what an AppImage is signed. The key itself is no part of the configuration: the environment says
// where it lies, and the fingerprint here which key it has to be, so that the same plan makes the same bytes.
type SignConfig struct {
	// Fingerprint of the OpenPGP key, 40 hexadecimal digits.
	Fingerprint string `yaml:"fingerprint" jsonschema:"required"`
	// KeyFile is the name of the environment variable that holds the path of the armored private key.
	KeyFile string `yaml:"key_file" jsonschema:"required"`
	// Passphrase is the name of the environment variable that holds the key's passphrase. Left out: it has none.
	Passphrase string `yaml:"passphrase,omitempty"`
}

// File is the AppImage's file name, which is its artifact's name.
func (c Config) File() string {
	return c.Name + "-" + c.Version + "-" + tarball.Machine(c.Arch) + ".AppImage"
}

// ZsyncFile is the file name of its update data, which are made where there is update information.
func (c Config) ZsyncFile() string { return c.File() + ".zsync" }

// Outputs are the names of the files that are made.
func (c Config) Outputs() []string {
	if c.UpdateInformation == "" {
		return []string{c.File()}
	}
	return []string{c.File(), c.ZsyncFile()}
}

// StepID is the ID of the step that makes them.
func (c Config) StepID() string { return "build/appimage/" + c.Name + "/" + c.Arch }

// Update is the update information with {{ .Version }} and {{ .Arch }} (x86_64, aarch64) filled in, such as
// gh-releases-zsync|OWNER|REPOSITORY|latest|NAME-*{{ .Arch }}.AppImage.zsync, zsync|ADDRESS or pling-v1-zsync|ID|FILE.
func (c Config) Update() (string, error) {
	return templates.Expand(c.UpdateInformation, map[string]string{"Version": c.Version, "Arch": tarball.Machine(c.Arch)})
}

var (
	fingerprintRE = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)
	variableRE    = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)
)

// Validate joins an error for each fault that can be seen without the files. Without Version and Arch it looks at the
// rest.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	errs = append(errs, tarball.Config{Name: c.Name, Bundle: c.Bundle}.Validate())
	if c.Arch != "" && tarball.Machine(c.Arch) == "" {
		bad("arch: an AppImage cannot be made for %q", c.Arch)
	}
	if _, err := c.Compression.options(); err != nil {
		bad("compression: want small, fast or gzip, or nothing, found %q", string(c.Compression))
	}
	if r := c.Runtime; r != nil {
		if err := component.CheckSource(r.Path); err != nil {
			bad("runtime.path: %w", err)
		}
		if sum, err := hex.DecodeString(r.SHA256); err != nil || len(sum) != sha256.Size {
			bad("runtime.sha256: want %d hexadecimal digits, found %.80q", 2*sha256.Size, r.SHA256)
		}
	}
	if s := c.Sign; s != nil {
		if !fingerprintRE.MatchString(s.Fingerprint) {
			bad("sign.fingerprint: want the 40 hexadecimal digits of an OpenPGP key, found %.80q", s.Fingerprint)
		}
		if !variableRE.MatchString(s.KeyFile) {
			bad("sign.key_file: want the name of an environment variable, found %.80q", s.KeyFile)
		}
		if s.Passphrase != "" && !variableRE.MatchString(s.Passphrase) {
			bad("sign.passphrase: want the name of an environment variable, not a passphrase")
		}
	}
	for _, p := range []struct{ key, path string }{{"desktop", c.Desktop}, {"icon", c.Icon}, {"program", c.Program}} {
		if p.path != "" {
			if err := archive.CheckName(p.path); err != nil {
				bad("%s: %w", p.key, err)
			}
		}
	}
	if c.Desktop != "" && !strings.HasSuffix(c.Desktop, ".desktop") {
		bad("desktop: want the path of a .desktop file in the bundle, found %q", c.Desktop)
	}
	if c.Icon != "" && !slices.Contains([]string{".png", ".svg"}, path.Ext(c.Icon)) {
		bad("icon: want the path of a .png or .svg file in the bundle, found %q", c.Icon)
	}
	errs = append(errs, c.checkUpdate())
	return errors.Join(errs...)
}

// checkUpdate also looks whether an updater that searches a release for the file will find it.
func (c Config) checkUpdate() error {
	text, err := c.Update()
	if err == nil {
		err = CheckUpdateInformation(text)
	}
	if err != nil {
		return fmt.Errorf("update_information: %w", err)
	}
	fields := strings.Split(text, "|")
	if fields[0] != "gh-releases-zsync" || c.Version == "" || c.Arch == "" {
		return nil
	}
	pattern := fields[len(fields)-1]
	if ok, err := path.Match(pattern, c.ZsyncFile()); err != nil || !ok {
		return fmt.Errorf("update_information: the pattern %q does not find %s, so nobody would get updates", pattern, c.ZsyncFile())
	}
	return nil
}
