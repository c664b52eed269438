package carrier

import (
	"bytes"
	"iter"
	"regexp"
	"strings"
)

// lines yields the offset and the text of each line, without its end: LF or CR LF.
func lines(content []byte) iter.Seq2[int, []byte] {
	return func(yield func(int, []byte) bool) {
		for from := 0; from < len(content); {
			line := content[from:]
			next := len(content)
			if i := bytes.IndexByte(line, '\n'); i >= 0 {
				line, next = line[:i], from+i+1
			}
			if !yield(from, bytes.TrimSuffix(line, []byte("\r"))) {
				return
			}
			from = next
		}
	}
}

// group returns the place of a group of a match in a line at offset from.
func group(k kind, from int, match []int, n int) slot {
	return slot{kind: k, start: from + match[2*n], end: from + match[2*n+1]}
}

// oneLine reads a file that is one line, the version, and nothing but white space around it.
func oneLine(content []byte) ([]slot, error) {
	text := bytes.TrimSpace(content)
	if len(text) == 0 {
		return nil, errMissing
	}
	start := bytes.Index(content, text)
	if i := bytes.IndexAny(text, "\r\n"); i >= 0 {
		return nil, faultf(start+i+1, "it has more than one line")
	}
	return []slot{{kind: plain, start: start, end: start + len(text)}}, nil
}

var srcinfoVersion = regexp.MustCompile(`^[ \t]*pkgver[ \t]*=[ \t]*(.*?)[ \t]*$`)

// srcinfo reads "pkgver = X.Y.Z", which stands once, in the section pkgbase (makepkg --printsrcinfo).
func srcinfo(content []byte) (slots []slot, err error) {
	for from, line := range lines(content) {
		if m := srcinfoVersion.FindSubmatchIndex(line); m != nil {
			if slots != nil {
				return nil, faultf(from, "pkgver stands there a second time")
			}
			slots = []slot{group(pkgver, from, m, 1)}
		}
	}
	return slots, nil
}

var (
	controlField   = regexp.MustCompile(`^([!-9;-~]+):[ \t]*(.*?)[ \t]*$`)
	controlVersion = regexp.MustCompile(`^(?:[0-9]+:)?([^:]*?)(?:-[^-]*)?$`)
)

// control reads the field Version of the first paragraph: names in any case, at the margin (deb-control(5)); of
// [epoch:]upstream[-revision] the middle part (deb-version(7)).
func control(content []byte) (slots []slot, err error) {
	begun := false
	for from, line := range lines(content) {
		switch {
		case len(bytes.TrimSpace(line)) == 0:
			if begun {
				return slots, nil
			}
			continue
		case line[0] == '#' || line[0] == ' ' || line[0] == '\t':
			continue
		}
		begun = true
		m := controlField.FindSubmatchIndex(line)
		if m == nil || !strings.EqualFold(string(line[m[2]:m[3]]), "Version") {
			continue
		}
		if slots != nil {
			return nil, faultf(from, "the field Version stands there a second time")
		}
		part := controlVersion.FindSubmatchIndex(line[m[4]:m[5]])
		if part == nil {
			return nil, faultf(from, "%q is not a Debian version", line[m[4]:m[5]])
		}
		slots = []slot{group(deb, from+m[4], part, 1)}
	}
	return slots, nil
}

var innoVersion = regexp.MustCompile(`(?i)^[ \t]*#define[ \t]+(?:(?:public|private|protected)[ \t]+)?MyAppVersion[ \t]+(.*?)[ \t]*$`)

// innoSetup reads the preprocessor line #define MyAppVersion "X.Y.Z" of an Inno Setup script. Such scripts are in
// UTF-8 with a byte order mark, or in a code page: only the line itself is looked at.
func innoSetup(content []byte) (slots []slot, err error) {
	for from, line := range lines(content) {
		m := innoVersion.FindSubmatchIndex(line)
		if m == nil {
			continue
		}
		text := line[m[2]:m[3]]
		if slots != nil {
			return nil, faultf(from, "MyAppVersion is defined there a second time")
		}
		end := -1
		if len(text) > 1 && text[0] == '"' {
			end = bytes.IndexByte(text[1:], '"')
		}
		if rest := bytes.TrimSpace(text[min(len(text), end+2):]); end < 0 || len(rest) > 0 && rest[0] != ';' {
			return nil, faultf(from, "MyAppVersion is %q, not one text in double quotes", text)
		}
		start := from + m[2] + 1
		slots = []slot{{kind: plain, start: start, end: start + end}}
	}
	return slots, nil
}
