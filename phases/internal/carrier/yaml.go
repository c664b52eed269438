package carrier

import (
	"bytes"
	"fmt"
	"regexp"

	"github.com/goccy/go-yaml"
)

var (
	yamlVersion = regexp.MustCompile(`^(?:version|"version"|'version')[ \t]*:(?:[ \t]+(.*?))?[ \t]*$`)
	yamlComment = regexp.MustCompile(`[ \t]+#.*$`)
)

// What a YAML file may ask of the library that reads it, which needs time and memory with the square of the depth
// (goccy/go-yaml v1.19.2: 32,000 dashes in a row take 10 seconds and 1.6 GB).
const (
	maxYAML  = 64 << 10 // bytes
	maxDepth = 64       // brackets in each other, dashes in a row
)

// pubspec reads the key version of the top-level mapping of a YAML file: plain or in quotes, on one line. The place is
// found by line and the value compared with what a YAML library reads, so a text that only looks like the key (inside
// a quoted scalar of several lines, say) is never taken for it.
func pubspec(content []byte) (slots []slot, err error) {
	if err := shallow(content); err != nil {
		return nil, err
	}
	for from, line := range lines(content) {
		if bytes.ContainsRune(line, '\r') {
			return nil, faultf(from, "a carriage return stands inside the line")
		}
		m := yamlVersion.FindSubmatchIndex(line)
		if m == nil {
			continue
		}
		if slots != nil {
			return nil, faultf(from, "the key version stands there a second time")
		}
		if m[2] < 0 || m[2] == m[3] || line[m[2]] == '#' {
			return nil, faultf(from, "the key version has no value on its line")
		}
		s, err := yamlScalar(line[m[2]:m[3]], from+m[2])
		if err != nil {
			return nil, err
		}
		slots = []slot{s}
	}
	if slots == nil {
		return nil, nil
	}
	var doc struct {
		Version *string `yaml:"version"`
	}
	at := slots[0].start
	text := string(content[at:slots[0].end])
	switch err := yaml.Unmarshal(content, &doc); {
	case err != nil:
		return nil, faultf(at, "it cannot be read as YAML: %s", firstLine(yaml.FormatError(err, false, false)))
	case doc.Version == nil:
		return nil, faultf(at, "the line reads version: %s, but is not a key of the file", text)
	case *doc.Version != text:
		return nil, faultf(at, "the line reads %q, but its YAML value is %q", text, *doc.Version)
	}
	return slots, nil
}

// yamlScalar finds the value in the rest of a line: a scalar without escapes, then at most a comment.
func yamlScalar(text []byte, at int) (slot, error) {
	if q := text[0]; q == '"' || q == '\'' {
		end := bytes.IndexByte(text[1:], q)
		if end < 0 {
			return slot{}, faultf(at, "the quote of the version does not end on its line")
		}
		rest := text[end+2:]
		if len(bytes.TrimSpace(yamlComment.ReplaceAll(rest, nil))) > 0 || bytes.IndexByte(text[1:end+1], '\\') >= 0 {
			return slot{}, faultf(at, "the version is not one simple text: %.60q", text)
		}
		return slot{kind: full, start: at + 1, end: at + 1 + end}, nil
	}
	if bytes.IndexByte([]byte("&*!|>%@`[]{},#-?:"), text[0]) >= 0 {
		return slot{}, faultf(at, "the version is not one simple text: %.60q", text)
	}
	text = bytes.TrimRight(yamlComment.ReplaceAll(text, nil), " \t")
	return slot{kind: full, start: at, end: at + len(text)}, nil
}

// shallow refuses what would cost a YAML library too much, without understanding it: it counts brackets and dashes
// wherever they stand.
func shallow(content []byte) error {
	if len(content) > maxYAML {
		return fmt.Errorf("it is larger than %d bytes", maxYAML)
	}
	depth, dashes := 0, 0
	for i, c := range content {
		switch c {
		case '[', '{':
			depth++
		case ']', '}':
			depth = max(depth-1, 0)
		case ' ', '\t': // "- - -" is a list in a list in a list, a ruler of dashes is not
		case '-', '?', ':':
			if dashes++; i+1 < len(content) && content[i+1] != ' ' && content[i+1] != '\t' {
				dashes = 0
			}
		default:
			dashes = 0
		}
		if depth > maxDepth || dashes > maxDepth {
			return faultf(i, "lists stand in each other more than %d deep", maxDepth)
		}
	}
	return nil
}

func firstLine(text string) string {
	line, _, _ := bytes.Cut([]byte(text), []byte("\n"))
	return string(line)
}
