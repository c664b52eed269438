package inspect

import (
	"errors"
	"fmt"
	"path"
	"strings"
	"unicode/utf8"
)

// maxUnit is the largest unit that is worth reading, in bytes; systemd has 1 MiB for a line.
const maxUnit = 1 << 20

// setting is one line of a unit.
type setting struct {
	line                int
	section, key, value string
}

// parseUnit reads a unit file as systemd.syntax(7) says: sections, key=value, comments with # or ;, and lines that end
// with a backslash and go on.
func parseUnit(b []byte) ([]setting, error) {
	if !utf8.Valid(b) {
		return nil, errors.New("it is not UTF-8")
	}
	var list []setting
	section, held, first, n := "", "", 0, 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimRight(line, "\r\n")
		text := strings.TrimSpace(line)
		if text != "" && (text[0] == '#' || text[0] == ';') || text == "" && held == "" {
			continue // between parts of one value, too
		}
		if held == "" {
			first = n
		}
		if rest, ok := strings.CutSuffix(text, `\`); ok {
			held += rest + " "
			continue
		}
		text, held = strings.TrimSpace(held+text), ""
		if strings.HasPrefix(text, "[") {
			name, ok := strings.CutSuffix(text[1:], "]")
			if !ok || name == "" {
				return nil, fmt.Errorf("line %d: %.80q is no section", first, text)
			}
			section = name
			continue
		}
		key, value, ok := strings.Cut(text, "=")
		if key = strings.TrimSpace(key); !ok || key == "" || section == "" {
			return nil, fmt.Errorf("line %d: %.80q is no key=value of a section", first, text)
		}
		list = append(list, setting{first, section, key, strings.TrimSpace(value)})
	}
	if held != "" {
		return nil, fmt.Errorf("line %d: the last line goes on and nothing follows", first)
	}
	return list, nil
}

// unit judges a service of systemd.
func (l *look) unit(p string, b []byte) {
	list, err := parseUnit(b)
	if err != nil {
		l.fault(Desktop, "%s: %v", p, err)
		return
	}
	user := strings.HasPrefix(p, "lib/systemd/user/")
	name := strings.TrimSuffix(path.Base(p), ".service")
	template := strings.Contains(name, "@")
	starts, oneshot := false, false
	for _, s := range list {
		say := func(format string, args ...any) {
			l.fault(Desktop, "%s:%d: %s=%.200q %s", p, s.line, s.key, s.value, fmt.Sprintf(format, args...))
		}
		if !template {
			if spec := instance(s.value); spec != "" {
				say("uses %s, but only a template (%s@.service) has an instance", spec, name)
			}
		}
		if s.section != "Service" {
			continue
		}
		switch s.key {
		case "User", "Group":
			if user {
				say("cannot be set in a user's unit: leave it out")
			}
		case "Type":
			oneshot = s.value == "oneshot"
		case "ExecStart", "ExecStartPre", "ExecStartPost", "ExecReload", "ExecStop", "ExecStopPost", "ExecCondition":
			if s.value == "" { // takes back what stands before it
				continue
			}
			starts = starts || s.key == "ExecStart"
			words, err := unitWords(s.value)
			if err == nil && (len(words) == 0 || !strings.ContainsRune(words[0], '%')) { // %h and others are known on the system only
				err = l.program(words)
			}
			if err != nil {
				say("cannot start: %v", err)
			}
		}
	}
	if !starts && !oneshot {
		l.fault(Desktop, "%s has no ExecStart", p)
	}
}

// instance finds the specifier of a template's instance, %i or %I; %% is a percent sign.
func instance(value string) string {
	for i := 0; i+1 < len(value); i++ {
		if value[i] != '%' {
			continue
		}
		if value[i+1] == 'i' || value[i+1] == 'I' {
			return value[i : i+2]
		}
		i++
	}
	return ""
}

// unitWords splits a command as systemd.service(5) says: special characters before the program, then words, in single
// or double quotes where they hold spaces. Escapes are taken as they stand: no path of a program has any.
func unitWords(value string) ([]string, error) {
	value = strings.TrimLeft(value, "@-:+!|")
	var words []string
	var word strings.Builder
	in, quote := false, byte(0)
	for i := range len(value) {
		switch c := value[i]; {
		case quote != 0 && c == quote:
			quote = 0
		case quote != 0:
			word.WriteByte(c)
		case c == '"' || c == '\'':
			in, quote = true, c
		case c == ' ' || c == '\t':
			if in {
				words = append(words, word.String())
				word.Reset()
			}
			in = false
		default:
			in = true
			word.WriteByte(c)
		}
	}
	if quote != 0 {
		return nil, errors.New("a quote is not closed")
	}
	if in {
		words = append(words, word.String())
	}
	return words, nil
}
