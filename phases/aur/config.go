package aur

import (
	"errors"
	"fmt"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
)

// Config says how one package is published: release.yaml's aur.NAME.
type Config struct {
	// Remote is the package's git repository. Left out: ssh://aur@aur.archlinux.org/NAME.git
	Remote string `yaml:"remote,omitempty"`
	// KnownHosts is a file of this repository with the host keys that are trusted, as known_hosts has them; slipway doctor
	// shows what the server offers. Left out: the user's own.
	KnownHosts string `yaml:"known_hosts,omitempty"`
	// KeyFile is the name of the environment variable that says which file holds the private key. Left out: ssh-agent.
	KeyFile string `yaml:"key_file,omitempty"`
	// Maintainer is the account that publishes the package. Left out: whoever the key belongs to.
	Maintainer string `yaml:"maintainer,omitempty"`
	// Start are programs of the package that are started before it is published, each with its arguments. One with the
	// only argument --version must print the release's version.
	Start [][]string `yaml:"start,omitempty"`
	// Versions are patterns for files of the package, as below /usr, that must carry the release's version.
	Versions []string `yaml:"versions,omitempty"`
}

var (
	// The AUR's rule for names of package bases, aurweb's conf/config.defaults.
	nameRE    = regexp.MustCompile(`^[a-z0-9][a-z0-9.+_-]{0,254}$`)
	accountRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,31}$`)
)

// Validate joins an error for each fault that can be seen without the repository, each beginning with its key.
func (c Config) Validate(name string) error {
	var errs []error
	fault := func(key, format string, args ...any) {
		errs = append(errs, fmt.Errorf("aur.%s%s: %s", name, key, fmt.Sprintf(format, args...)))
	}
	if !nameRE.MatchString(name) {
		fault("", "want a name of a-z, 0-9 and . + _ - that begins with a letter or digit")
	}
	if c.KnownHosts != "" && !filepath.IsLocal(c.KnownHosts) {
		fault(".known_hosts", "want a file of this repository, found %q", c.KnownHosts)
		c.KnownHosts = ""
	}
	r := c.remote(name, string(filepath.Separator))
	if err := r.Validate(); err != nil {
		fault(".remote", "%v", err)
	} else if base := strings.TrimSuffix(path.Base(strings.TrimRight(r.URL, "/")), ".git"); base != name && !strings.HasSuffix(base, ":"+name) {
		fault(".remote", "it is the repository of %q, and the AUR takes package base %q in its own alone", base, name)
	}
	if c.Maintainer != "" && !accountRE.MatchString(c.Maintainer) {
		fault(".maintainer", "want the name of an account, found %q", c.Maintainer)
	}
	if slices.ContainsFunc(c.Start, func(argv []string) bool { return len(argv) == 0 || !path.IsAbs(argv[0]) }) {
		fault(".start", "want for each the path of a program and its arguments, like [/usr/bin/%s, --version]", name)
	}
	if slices.Contains(c.Versions, "") {
		fault(".versions", "a pattern is empty")
	}
	return errors.Join(errs...)
}

// Subject is the package as steps see it, without its files.
func (c Config) Subject(name string, o Options) subject.Package {
	return subject.Package{Phase: o.Phase, Name: name, Remote: c.remote(name, o.RepoDir), Account: c.Maintainer, Author: o.Author}
}

// remote is the git repository, with the path of known_hosts as the machine has it.
func (c Config) remote(name, repoDir string) gitremote.Remote {
	r := gitremote.Remote{URL: c.Remote, KeyFile: c.KeyFile}
	if r.URL == "" {
		r.URL = "ssh://aur@aur.archlinux.org/" + name + ".git"
	}
	if c.KnownHosts != "" {
		r.KnownHosts = filepath.Join(repoDir, filepath.FromSlash(c.KnownHosts))
	}
	return r
}
