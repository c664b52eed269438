package deb

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/build/tarball"
)

// documents adds what Policy 12.5 and 12.7 want in /usr/share/doc/NAME, and lintian's overrides.
func (l *layout) documents() error {
	doc := "usr/share/doc/" + l.cfg.Name + "/"
	if !l.has(doc + "copyright") {
		text, err := l.copyright()
		if err != nil {
			return err
		}
		l.made(doc+"copyright", []byte(text))
	}
	var initial []string // changelogs with one entry of revision 1, as an upload to Debian's archive begins
	if p := doc + "changelog.Debian.gz"; !l.has(p) {
		l.made(p, Gzip([]byte(l.changelog())))
		if l.cfg.Revision == 1 {
			initial = []string{p}
		}
	}
	if p := "usr/share/lintian/overrides/" + l.cfg.Name; !l.has(p) {
		if text := l.overrides(initial); text != "" {
			l.made(p, []byte(text))
		}
	}
	return nil
}

// changelog is the one entry of deb-changelog(5).
func (l *layout) changelog() string {
	return fmt.Sprintf("%s (%s) stable; urgency=medium\n\n  * Release %s.\n\n -- %s  %s\n", l.cfg.Name, l.cfg.FullVersion(), l.cfg.Version,
		l.cfg.Maintainer, tarball.Time(l.env).Format("Mon, 02 Jan 2006 15:04:05 -0700"))
}

// overrides explains to lintian what is as it should be. Characters that its patterns would take for something else
// are written as ?, which matches any.
func (l *layout) overrides(initial []string) string {
	var b strings.Builder
	lines := func(tag, why string, paths []string, line string) {
		if len(paths) == 0 {
			return
		}
		b.WriteString("# " + why + "\n")
		for _, p := range paths {
			fmt.Fprintf(&b, "%s: %s [%s%s]\n", l.cfg.Name, tag, overrideRE.ReplaceAllString(p, "?"), line)
		}
	}
	lines("initial-upload-closes-no-bugs", "Released by the project itself, so there is no bug in Debian's tracker to close.", initial, ":1")
	static := slices.DeleteFunc(slices.Clone(l.static), func(p string) bool {
		return staticNameRE.MatchString(p) || strings.HasPrefix(p, "usr/lib/debug/") || strings.HasSuffix(l.cfg.Name, "-static")
	})
	slices.Sort(static)
	lines("statically-linked-binary", "Programs that hold all they need, as those written in Go do.", static, "")
	var legal []string
	for _, p := range l.legal {
		legal = append(legal, "usr/"+p)
	}
	slices.Sort(legal)
	lines("extra-license-file", "The licence lies where the project's other packages have it, too.", legal, "")
	return b.String()
}

var (
	overrideRE   = regexp.MustCompile(`[^A-Za-z0-9._+/-]`)
	staticNameRE = regexp.MustCompile(`[.-]static$`) // lintian leaves these alone
)

// common names the licences that Debian's base-files has in /usr/share/common-licenses: SPDX to file name.
var common = map[string]string{
	"Apache-2.0": "Apache-2.0", "Artistic-1.0-Perl": "Artistic", "CC0-1.0": "CC0-1.0",
	"GFDL-1.2-only": "GFDL-1.2", "GFDL-1.2-or-later": "GFDL-1.2", "GFDL-1.3-only": "GFDL-1.3", "GFDL-1.3-or-later": "GFDL-1.3",
	"GPL-1.0-only": "GPL-1", "GPL-1.0-or-later": "GPL-1", "GPL-2.0-only": "GPL-2", "GPL-2.0-or-later": "GPL-2",
	"GPL-3.0-only": "GPL-3", "GPL-3.0-or-later": "GPL-3", "LGPL-2.0-only": "LGPL-2", "LGPL-2.0-or-later": "LGPL-2",
	"LGPL-2.1-only": "LGPL-2.1", "LGPL-2.1-or-later": "LGPL-2.1", "LGPL-3.0-only": "LGPL-3", "LGPL-3.0-or-later": "LGPL-3",
	"MPL-1.1": "MPL-1.1", "MPL-2.0": "MPL-2.0",
}

// shortName is the licence in the words of the copyright format 1.0, section 7.1.
func shortName(spdx string) string {
	name := strings.NewReplacer("-only", "", "-or-later", "+", " OR ", " or ", " AND ", " and ", " WITH ", " with ").Replace(spdx)
	if name == "MIT" {
		return "Expat"
	}
	return name
}

// copyright is the file of that name in the machine-readable copyright format 1.0.
func (l *layout) copyright() (string, error) {
	text, err := l.licenseText()
	if err != nil {
		return "", err
	}
	holders := holders(text)
	if l.cfg.Copyright != "" {
		holders = strings.Split(strings.TrimSpace(l.cfg.Copyright), "\n")
	}
	if len(holders) == 0 {
		return "", errors.New("cannot write the copyright file: no line of the licence begins with Copyright and a year: say copyright in release.yaml")
	}
	if file := common[l.cfg.License]; file != "" {
		text = fmt.Sprintf("On Debian systems the full text of this license stands in\n/usr/share/common-licenses/%s.", file)
	}
	if text == "" {
		return "", fmt.Errorf("cannot write the copyright file: the bundle holds no text of the licence %s: add {src: LICENSE, dst: share/licenses/%s/LICENSE} to its contents",
			l.cfg.License, l.env.Project)
	}
	var b strings.Builder
	b.WriteString("Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/\n")
	fmt.Fprintf(&b, "Upstream-Name: %s\nSource: %s\n\nFiles: *\nCopyright: %s\nLicense: %s\n", l.env.Project, l.cfg.Homepage,
		strings.Join(holders, "\n           "), shortName(l.cfg.License))
	for line := range strings.Lines(text) {
		line = strings.TrimRight(line, " \t\r\n\f")
		if strings.TrimLeft(line, " \t") == "" {
			line = "."
		}
		b.WriteString(" " + line + "\n")
	}
	return b.String(), nil
}

// licenseText is the first licence of the bundle, those in share/licenses before those in share/doc; "" for none.
func (l *layout) licenseText() (string, error) {
	legal := slices.Clone(l.legal)
	slices.SortStableFunc(legal, func(a, b string) int { return -strings.Compare(a[:len("share/d")], b[:len("share/d")]) })
	if len(legal) == 0 {
		return "", nil
	}
	b, err := readSmall(filepath.Join(l.dir, filepath.FromSlash(legal[0])))
	if err != nil {
		return "", err
	}
	if !utf8.Valid(b) || strings.ContainsFunc(string(b), func(r rune) bool { return r < ' ' && !strings.ContainsRune("\n\r\t\f", r) }) {
		return "", fmt.Errorf("cannot write the copyright file: %s is not a text in UTF-8", legal[0])
	}
	return strings.Trim(string(b), "\r\n\f"), nil
}

var holderRE = regexp.MustCompile(`(?i)^\s*(?:copyright\s+)?(?:\(c\)|©|copyright)\s*((?:19|20)[0-9][0-9].*\S)\s*$`)

// holders picks the lines of a licence that say whose it is: "Copyright (c) 2026 Somebody".
func holders(text string) []string {
	var out []string
	for line := range strings.Lines(text) {
		if m := holderRE.FindStringSubmatch(strings.TrimRight(line, "\r\n")); m != nil {
			out = append(out, m[1])
		}
	}
	return out
}
