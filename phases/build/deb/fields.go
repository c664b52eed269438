package deb

import (
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// The grammar of control fields: deb-control(5), deb-version(7) and Policy 5.6 and 7.1. Names leave + out, which hosts
// of releases rename in file names.
var (
	nameRE       = regexp.MustCompile(`^[a-z0-9][a-z0-9.-]+$`)
	upstreamRE   = regexp.MustCompile(`^[0-9][A-Za-z0-9.+~]*$`)
	maintainerRE = regexp.MustCompile(`^[^<>@,"\\]*[^<>@,"\\ ] <[A-Za-z0-9.!#$%&'*+/=?^_{|}~-]+@[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+>$`)
	relationRE   = regexp.MustCompile(`^([a-z0-9][a-z0-9+.-]+)(?::[a-z0-9-]+)?(?: \((<<|<=|=|>=|>>) ([0-9]+:)?[A-Za-z0-9][A-Za-z0-9.+~-]*\))?$`)
	compressRE   = regexp.MustCompile(`^(gzip(:[1-9])?|xz)$`)
)

// sections are those of the Debian archive, as lintian 2.116 knows them.
var sections = strings.Fields(`admin cli-mono comm database debug devel doc editors education electronics embedded fonts games gnome
	gnu-r gnustep golang graphics hamradio haskell httpd interpreters introspection java javascript kde kernel libdevel libs lisp
	localization mail math metapackages misc net news ocaml oldlibs otherosfs perl php python raku ruby rust science shells sound
	tasks tex text utils vcs video virtual web x11 xfce zope`)

// priorities of Policy 2.5.
var priorities = []string{"required", "important", "standard", "optional"}

// maxLine is the length above which lintian finds lines of a description too long.
const maxLine = 80

// Validate joins an error for each fault that would make the package malformed, or that lintian calls an error.
func (c Config) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	if !nameRE.MatchString(c.Name) {
		bad("name: want two or more of a-z, 0-9 and . - beginning with a letter or digit, found %q", c.Name)
	}
	if c.Bundle == "" {
		bad("bundle: want the name of the bundle to pack")
	}
	if c.Upstream != "" && !upstreamRE.MatchString(c.Upstream) {
		bad("version: want a version of digits, letters and . + ~ beginning with a digit, found %q", c.Upstream)
	}
	if c.Revision < 1 {
		bad("revision: want 1 or more, found %d", c.Revision)
	}
	if c.Epoch < 0 {
		bad("epoch: want 0 or more, found %d", c.Epoch)
	}
	area, section, hasArea := strings.Cut(c.Section, "/")
	if !hasArea {
		section = c.Section
	}
	if !slices.Contains(sections, section) || hasArea && !slices.Contains([]string{"contrib", "non-free", "non-free-firmware"}, area) {
		bad("section: want a section of the Debian archive like utils or net, found %q", c.Section)
	}
	if c.Priority != "" && !slices.Contains(priorities, c.Priority) {
		bad("priority: want %s, found %q", strings.Join(priorities, ", "), c.Priority)
	}
	if !maintainerRE.MatchString(c.Maintainer) || hasControl(c.Maintainer) || strings.TrimSpace(c.Maintainer) != c.Maintainer {
		bad("maintainer: want Name <address@host>, found %q", c.Maintainer)
	}
	if err := checkURL(c.Homepage); err != nil {
		bad("homepage: %w", err)
	}
	if strings.TrimSpace(c.License) == "" || hasControl(c.License) {
		bad("license: want an SPDX expression like MIT, found %q", c.License)
	}
	if hasControl(strings.ReplaceAll(c.Copyright, "\n", "")) {
		bad("copyright: want plain text, found %q", c.Copyright)
	}
	if c.Compression != "" && !compressRE.MatchString(c.Compression) {
		bad("compression: want gzip:1 to gzip:9 or xz, found %q (older dpkg and lintian cannot read zstd)", c.Compression)
	}
	if err := c.checkDescription(); err != nil {
		bad("description: %w", err)
	}
	for _, r := range []struct {
		key       string
		relations []string
	}{
		{"depends", c.Depends},
		{"recommends", c.Recommends},
		{"suggests", c.Suggests},
		{"conflicts", c.Conflicts},
		{"breaks", c.Breaks},
		{"replaces", c.Replaces},
		{"provides", c.Provides},
	} {
		for _, relation := range r.relations {
			if err := checkRelation(r.key, relation); err != nil {
				bad("%s: %w", r.key, err)
			}
		}
	}
	return errors.Join(errs...)
}

func hasControl(s string) bool {
	return !utf8.ValidString(s) || strings.ContainsFunc(s, unicode.IsControl)
}

func checkURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "https" && u.Scheme != "http" || u.Host == "" || u.User != nil || strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return fmt.Errorf("want an address that begins with https://, found %q", s)
	}
	return nil
}

// checkRelation reads "name", "name (>= 1.2)", and for dependencies alternatives with | between them.
func checkRelation(key, relation string) error {
	alternatives := strings.Split(relation, " | ")
	if len(alternatives) > 1 && !slices.Contains([]string{"depends", "recommends", "suggests"}, key) {
		return fmt.Errorf("want one package in each entry, found %q", relation)
	}
	for _, a := range alternatives {
		m := relationRE.FindStringSubmatch(a)
		if m == nil {
			return fmt.Errorf("want NAME or NAME (>= VERSION), found %q", relation)
		}
		if key == "provides" && m[2] != "" && m[2] != "=" {
			return fmt.Errorf("want no other version than (= VERSION), found %q", relation)
		}
	}
	return nil
}

// checkDescription applies what lintian calls an error or a warning.
func (c Config) checkDescription() error {
	synopsis, extended := c.synopsis()
	switch first, _, _ := strings.Cut(strings.ToLower(synopsis), " "); {
	case !utf8.ValidString(c.Description) || strings.ContainsFunc(c.Description, func(r rune) bool { return r != '\n' && unicode.IsControl(r) }):
		return fmt.Errorf("want plain text, found %q", c.Description)
	case synopsis == "":
		return errors.New("want a synopsis in the first line")
	case utf8.RuneCountInString(synopsis) > maxLine:
		return fmt.Errorf("want a first line of at most %d characters, found %d", maxLine, utf8.RuneCountInString(synopsis))
	case strings.HasPrefix(strings.ToLower(synopsis), c.Name) && !regexp.MustCompile(`^[a-z0-9_]`).MatchString(strings.ToLower(synopsis)[len(c.Name):]):
		return fmt.Errorf("want a first line that does not begin with the package's name, found %q", synopsis)
	case first == "a" || first == "an" || first == "the":
		return fmt.Errorf("want a first line that does not begin with an article, found %q", synopsis)
	case !strings.Contains(synopsis, " "):
		return fmt.Errorf("want more than one word in the first line, found %q", synopsis)
	case len(extended) == 0:
		return errors.New("want some full sentences after the first line, which is the synopsis")
	case strings.Join(extended, " ") == synopsis:
		return errors.New("want something else after the first line than the same again")
	}
	return nil
}

// synopsis splits the description into its first line and the paragraphs after it, white space folded.
func (c Config) synopsis() (first string, paragraphs []string) {
	first, rest, _ := strings.Cut(strings.TrimSpace(c.Description), "\n")
	var words []string
	flush := func() {
		if len(words) > 0 {
			paragraphs, words = append(paragraphs, strings.Join(words, " ")), nil
		}
	}
	for line := range strings.Lines(rest) {
		fields := strings.Fields(line)
		if len(fields) == 0 {
			flush()
		}
		words = append(words, fields...)
	}
	flush()
	return strings.Join(strings.Fields(first), " "), paragraphs
}

// description is the Description field as nfpm takes it: lines of at most maxLine characters, an empty one between
// paragraphs.
func (c Config) description() string {
	first, paragraphs := c.synopsis()
	lines := []string{first}
	for i, p := range paragraphs {
		if i > 0 {
			lines = append(lines, "")
		}
		line := ""
		for word := range strings.FieldsSeq(p) {
			switch {
			case line == "":
				line = word
			case utf8.RuneCountInString(line)+1+utf8.RuneCountInString(word) > maxLine-2:
				lines, line = append(lines, line), word
			default:
				line += " " + word
			}
		}
		lines = append(lines, line)
	}
	return strings.Join(lines, "\n")
}
