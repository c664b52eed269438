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
	Go       = "go"       // builds main packages of the repository, or of a module, with the go program
	Flutter  = "flutter"  // builds the Flutter application of the repository
	Command  = "command"  // runs a program that makes a file or folder
	Prebuilt = "prebuilt" // takes a file or folder that the repository holds, or a file from the web
)

// Builders are all of them.
var Builders = []string{Go, Flutter, Command, Prebuilt}

// Config is one component of release.yaml: something that is built once for each architecture. In texts that say so
// the fields {{ .Version }}, {{ .Arch }}, {{ .Project }} and {{ .Commit }} are filled in.
type Config struct {
	// Builder makes the component: "go" builds Go programs, "flutter" a Flutter application, "command" runs a program of
	// your own, "prebuilt" takes a file or folder of the repository or a file from the web.
	Builder string `yaml:"builder" jsonschema:"required,enum=go,enum=flutter,enum=command,enum=prebuilt"`
	// Arch lists the architectures to build for, by their GOARCH names. Left out: amd64. Flutter builds only for the
	// architecture of the machine that it runs on.
	Arch []string `yaml:"arch,omitempty" jsonschema:"enum=amd64,enum=arm64"`
	// Package is the Go package to build, relative to the repository: ./cmd/NAME. Builder go.
	Package string `yaml:"package,omitempty"`
	// Module is a Go package of another module to build instead, with the module's version: example.org/m/cmd/x@v1.2.3.
	// Builder go.
	Module string `yaml:"module,omitempty"`
	// Sum is the digest of the module as in go.sum, h1:... Left out: the line that the repository's own go.sum has for it.
	// Builder go, with module.
	Sum string `yaml:"sum,omitempty" jsonschema:"pattern=^h1:[A-Za-z0-9+/]{43}=$"`
	// Ldflags are flags for the Go linker; fields are filled in. Builder go.
	Ldflags []string `yaml:"ldflags,omitempty"`
	// Tags are Go build tags. Builder go.
	Tags []string `yaml:"tags,omitempty"`
	// Target is the system that Flutter builds for. Left out: linux, the only one so far. Builder flutter.
	Target string `yaml:"target,omitempty" jsonschema:"enum=linux"`
	// Flags are more flags of flutter build, each with its value in one text: --name=value; fields are filled in.
	// Builder flutter.
	Flags []string `yaml:"flags,omitempty"`
	// DartDefine are constants for the Dart compiler, as NAME=VALUE; fields are filled in. Builder flutter.
	DartDefine []string `yaml:"dart_define,omitempty"`
	// Command is the program to run and its arguments, one text each; no shell reads them, and fields are filled in. The
	// program is found in PATH, or by its path in the repository where it has a slash. It runs in a copy of the commit
	// that is thrown away afterwards. Builder command.
	Command []string `yaml:"command,omitempty"`
	// Output is the file or folder, relative to the repository, that the command makes; fields are filled in. Builder
	// command.
	Output string `yaml:"output,omitempty"`
	// Env are variables for the command, beside the few that it always gets; fields are filled in. Builder command.
	Env map[string]string `yaml:"env,omitempty"`
	// Pass names variables of the caller's environment that the command gets, too. Their values are no part of the plan,
	// and messages do not show them. HOME is a temporary folder unless it is named here. Builder command.
	Pass []string `yaml:"pass,omitempty"`
	// Timeout is how long the build or the download may take, like 90s, 10m or 1h30m. Left out: 30m.
	Timeout Duration `yaml:"timeout,omitempty" jsonschema:"type=string,pattern=^([0-9]+(ms|s|m|h))+$"`
	// Path is the file or folder in the repository; fields are filled in. Builder prebuilt.
	Path string `yaml:"path,omitempty"`
	// URL is the address of a file to take instead, which begins with https://; fields are filled in. Builder prebuilt.
	URL string `yaml:"url,omitempty"`
	// SHA256 is the digest that the file must have, in hexadecimal. Builder prebuilt, one architecture; required with url.
	SHA256 string `yaml:"sha256,omitempty" jsonschema:"pattern=^[0-9a-f]{64}$"`
}

// Arches are the architectures that slipway knows, by their GOARCH names.
var Arches = []string{"amd64", "arm64"}

var (
	driveRE = regexp.MustCompile(`^[A-Za-z]:`)
	nameRE  = regexp.MustCompile(`^[a-z0-9][a-z0-9._-]*$`)
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
	errs := []error{CheckArches(c.Arch)}
	if !slices.Contains(Builders, c.Builder) {
		want := strings.Join(Builders[:len(Builders)-1], ", ") + " or " + Builders[len(Builders)-1]
		if c.Builder == "" {
			return errors.Join(append(errs, fmt.Errorf("builder: want %s", want))...)
		}
		return errors.Join(append(errs, fmt.Errorf("builder: want %s, found %q", want, c.Builder))...)
	}
	for _, key := range c.foreign() {
		errs = append(errs, fmt.Errorf("%s is not a key of builder %s", key, c.Builder))
	}
	if c.Timeout < 0 {
		errs = append(errs, fmt.Errorf("timeout: want a time above zero, found %v", c.Timeout))
	}
	switch c.Builder {
	case Go:
		errs = append(errs, c.checkGo()...)
	case Flutter:
		errs = append(errs, c.checkFlutter()...)
	case Command:
		errs = append(errs, c.checkCommand()...)
	case Prebuilt:
		errs = append(errs, c.checkPrebuilt()...)
	}
	return errors.Join(errs...)
}

// Texts are the texts of the configuration in which fields are filled in, by their keys: "path", "flags[0]", "env.NAME".
func (c Config) Texts() map[string]string {
	texts := map[string]string{}
	list := func(key string, values []string) {
		for i, v := range values {
			texts[fmt.Sprintf("%s[%d]", key, i)] = v
		}
	}
	list("ldflags", c.Ldflags)
	list("flags", c.Flags)
	list("dart_define", c.DartDefine)
	list("command", c.Command)
	for name, value := range c.Env {
		texts["env."+name] = value
	}
	for key, value := range map[string]string{"path": c.Path, "url": c.URL, "output": c.Output} {
		if value != "" {
			texts[key] = value
		}
	}
	return texts
}

// foreign lists the keys that are set and do not concern the builder.
func (c Config) foreign() (keys []string) {
	for _, k := range []struct {
		key, builder string
		set          bool
	}{
		{"package", Go, c.Package != ""},
		{"module", Go, c.Module != ""},
		{"sum", Go, c.Sum != ""},
		{"ldflags", Go, len(c.Ldflags) > 0},
		{"tags", Go, len(c.Tags) > 0},
		{"target", Flutter, c.Target != ""},
		{"flags", Flutter, len(c.Flags) > 0},
		{"dart_define", Flutter, len(c.DartDefine) > 0},
		{"command", Command, len(c.Command) > 0},
		{"output", Command, c.Output != ""},
		{"env", Command, len(c.Env) > 0},
		{"pass", Command, len(c.Pass) > 0},
		{"path", Prebuilt, c.Path != ""},
		{"url", Prebuilt, c.URL != ""},
		{"sha256", Prebuilt, c.SHA256 != ""},
	} {
		if k.set && k.builder != c.Builder {
			keys = append(keys, k.key)
		}
	}
	return keys
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
