package carrier

import (
	"bytes"
	"regexp"
	"slices"
	"strings"
)

var (
	tomlTable = regexp.MustCompile(`^\[([^\[\]]+)\][ \t]*(?:#.*)?$`)
	tomlKey   = regexp.MustCompile(`^(version|"version"|'version')[ \t]*([=.])[ \t]*`)
)

// toml reads the key version of the given tables (TOML 1.0.0): a basic or literal string on one line. Values of
// several lines, of other keys, are stepped over.
func toml(tables ...string) func([]byte) ([]slot, error) {
	return func(content []byte) (slots []slot, err error) {
		inside, given := false, map[string]bool{}
		table := ""
		for pos := 0; pos < len(content); {
			start := pos + len(content[pos:]) - len(bytes.TrimLeft(content[pos:], " \t"))
			line := content[start:]
			if i := bytes.IndexByte(line, '\n'); i >= 0 {
				line = line[:i]
			}
			line = bytes.TrimRight(line, " \t\r")
			switch m := tomlKey.FindSubmatchIndex(line); {
			case len(line) > 0 && line[0] == '[':
				table, inside = "", false
				if m := tomlTable.FindSubmatch(line); m != nil {
					table = strings.NewReplacer(" ", "", "\t", "", `"`, "", "'", "").Replace(string(m[1]))
					inside = slices.Contains(tables, table)
				}
				pos = start + len(line)
			case len(line) > 0 && line[0] == '#':
				pos = start + len(line)
			case inside && m != nil && line[m[4]] == '.':
				return nil, faultf(start, "the version of [%s] is inherited; name the file that holds it", table)
			case inside && m != nil:
				if given[table] {
					return nil, faultf(start, "the version of [%s] stands there a second time", table)
				}
				given[table] = true
				s, err := tomlString(line[m[1]:], start+m[1])
				if err != nil {
					return nil, err
				}
				slots, pos = append(slots, s), start+len(line)
			default:
				if pos, err = tomlSkip(content, start); err != nil {
					return nil, err
				}
			}
			for pos < len(content) && (content[pos] == '\r' || content[pos] == '\n' || content[pos] == ' ' || content[pos] == '\t') {
				pos++
			}
		}
		return slots, nil
	}
}

func tomlString(text []byte, at int) (slot, error) {
	if len(text) > 1 && (text[0] == '"' || text[0] == '\'') && !bytes.HasPrefix(text, []byte(`"""`)) && !bytes.HasPrefix(text, []byte(`'''`)) {
		end := bytes.IndexByte(text[1:], text[0])
		if end >= 0 && bytes.IndexByte(text[1:end+1], '\\') < 0 {
			if rest := bytes.TrimSpace(text[end+2:]); len(rest) == 0 || rest[0] == '#' {
				return slot{kind: plain, start: at + 1, end: at + 1 + end}, nil
			}
		}
	}
	return slot{}, faultf(at, "the version is not one simple text: %.60q", text)
}

// tomlSkip steps over a key and its value, to the end of the line on which the value ends.
func tomlSkip(content []byte, pos int) (int, error) {
	begin, depth := pos, 0
	for pos < len(content) {
		switch c := content[pos]; c {
		case '\n':
			if depth <= 0 {
				return pos, nil
			}
		case '#':
			for pos < len(content) && content[pos] != '\n' {
				pos++
			}
			continue
		case '[', '{':
			depth++
		case ']', '}':
			depth--
		case '"', '\'':
			quote := string(c)
			if bytes.HasPrefix(content[pos:], []byte(strings.Repeat(quote, 3))) {
				quote = strings.Repeat(quote, 3)
			}
			open := pos
			for pos += len(quote); ; pos++ {
				if pos >= len(content) || content[pos] == '\n' && len(quote) == 1 {
					return 0, faultf(open, "a text does not end")
				}
				if content[pos] == '\\' && c == '"' {
					pos++
				} else if bytes.HasPrefix(content[pos:], []byte(quote)) {
					pos += len(quote) - 1
					break
				}
			}
		}
		pos++
	}
	if depth > 0 {
		return 0, faultf(begin, "a value does not end")
	}
	return len(content), nil
}
