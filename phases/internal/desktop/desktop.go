// Package desktop reads desktop entries, the files that put a program into a desktop's menus, as the Desktop Entry
// Specification 1.5 says: UTF-8, groups of keys, [Desktop Entry] first.
package desktop

import (
	"errors"
	"fmt"
	"maps"
	"regexp"
	"strings"
	"unicode/utf8"
)

// Main is the name of the group that every desktop entry begins with.
const Main = "Desktop Entry"

// actionPrefix begins the names of the groups of additional actions.
const actionPrefix = "Desktop Action "

// MaxSize is the largest desktop entry that is worth reading, in bytes.
const MaxSize = 1 << 20

// Entry is a desktop entry. Values are as written, without the white space around them.
type Entry struct {
	groups map[string]map[string]string
}

var keyRE = regexp.MustCompile(`^[A-Za-z0-9-]+(?:\[[A-Za-z0-9_.@-]+\])?$`)

// Parse reads a desktop entry, with the strictness of the specification: the main group first, no group and no key of
// a group twice. The error names the line.
func Parse(b []byte) (*Entry, error) {
	if len(b) > MaxSize {
		return nil, fmt.Errorf("it is larger than %d bytes", MaxSize)
	}
	e := &Entry{map[string]map[string]string{}}
	var group map[string]string
	n := 0
	for line := range strings.Lines(string(b)) {
		n++
		line = strings.TrimSuffix(line, "\n")
		switch {
		case !utf8.ValidString(line):
			return nil, fmt.Errorf("line %d: it is not UTF-8", n)
		case strings.HasPrefix(line, "\ufeff"):
			return nil, fmt.Errorf("line %d: it begins with a byte order mark", n)
		case strings.HasSuffix(line, "\r"):
			return nil, fmt.Errorf("line %d: it ends with a carriage return; want line feeds alone", n)
		case strings.TrimSpace(line) == "" || line[0] == '#':
			continue
		case line[0] == '[':
			name, ok := strings.CutSuffix(line[1:], "]")
			if !ok || name == "" || strings.ContainsAny(name, "[]") {
				return nil, fmt.Errorf("line %d: %.80q is no group header", n, line)
			}
			if len(e.groups) == 0 && name != Main {
				return nil, fmt.Errorf("line %d: the first group is not [%s]", n, Main)
			}
			if e.groups[name] != nil {
				return nil, fmt.Errorf("line %d: a second group %.80q", n, line)
			}
			group = map[string]string{}
			e.groups[name] = group
			continue
		}
		k, v, ok := strings.Cut(line, "=")
		k = strings.TrimRight(k, " \t")
		if !ok || !keyRE.MatchString(k) || group == nil {
			return nil, fmt.Errorf("line %d: %.80q is no key=value of a group", n, line)
		}
		if _, twice := group[k]; twice {
			return nil, fmt.Errorf("line %d: a second %s", n, k)
		}
		group[k] = strings.TrimSpace(v)
	}
	if e.groups[Main] == nil {
		return nil, fmt.Errorf("it has no group [%s]", Main)
	}
	return e, nil
}

// Get returns a key of the main group, empty if it is not there.
func (e *Entry) Get(key string) string { return e.groups[Main][key] }

// Keys returns the keys of the main group with their values.
func (e *Entry) Keys() map[string]string { return maps.Clone(e.groups[Main]) }

// Actions returns the names of the additional actions, as Actions lists them.
func (e *Entry) Actions() []string { return list(e.Get("Actions")) }

// Action returns a key of an additional action.
func (e *Entry) Action(name, key string) string { return e.groups[actionPrefix+name][key] }

func list(value string) (names []string) {
	for name := range strings.SplitSeq(value, ";") {
		if name = strings.TrimSpace(name); name != "" {
			names = append(names, name)
		}
	}
	return names
}

// booleans are keys that are true or false.
var booleans = []string{"DBusActivatable", "Hidden", "NoDisplay", "PrefersNonDefaultGPU", "SingleMainWindow", "StartupNotify", "Terminal"}

// Problems lists what the specification forbids, one line each. Most of it desktop-file-validate 0.26 refuses, too; it
// takes an entry without Exec, and only warns of an icon's extension.
func (e *Entry) Problems() (problems []string) {
	say := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	need := func(key string) {
		if e.Get(key) == "" {
			say("it has no %s", key)
		}
	}
	need("Type")
	need("Name")
	switch kind := e.Get("Type"); kind {
	case "Application":
		if e.Get("DBusActivatable") != "true" {
			need("Exec")
		}
	case "Link":
		need("URL")
	case "", "Directory":
	default:
		say("its Type is %.80q; want Application, Link or Directory", kind)
	}
	for _, key := range booleans {
		if v := e.Get(key); v != "" && v != "true" && v != "false" {
			say("its %s is %.80q; want true or false", key, v)
		}
	}
	if icon := e.Get("Icon"); icon != "" && !strings.HasPrefix(icon, "/") {
		if strings.Contains(icon, "/") {
			say("its Icon %.80q is neither a name nor a path from the root", icon)
		}
		for _, ext := range []string{".png", ".svg", ".xpm"} {
			if strings.HasSuffix(icon, ext) {
				say("its Icon %.80q has an extension, which a name has not", icon)
			}
		}
	}
	for _, name := range e.Actions() {
		switch group := e.groups[actionPrefix+name]; {
		case group == nil:
			say("its action %.80q has no group [%s%.80s]", name, actionPrefix, strings.ToValidUTF8(name, ""))
		case group["Name"] == "":
			say("its action %.80q has no Name", name)
		}
	}
	return problems
}

// Errors of [Words].
var (
	errQuote    = errors.New("a quote is not closed")
	errReserved = errors.New("a reserved character stands outside of quotes")
	errEscape   = errors.New("an escape is not one of \\s \\n \\t \\r \\\\")
)

// reserved are the characters of a command that must be quoted, beside white space.
const reserved = "'\\><~|&;$*?#()`"

// Words splits the value of Exec into a program and its arguments: the escapes of all values are undone first, then
// double quotes, in which a backslash stands before a quote, backtick, dollar or backslash. Field codes like %U are left
// as they are.
func Words(exec string) ([]string, error) {
	s, err := unescape(exec)
	if err != nil {
		return nil, err
	}
	var words []string
	var word strings.Builder
	inWord := false
	end := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == ' ' || c == '\t' || c == '\n':
			end()
		case c == '"':
			inWord = true
			for i++; ; i++ {
				if i >= len(s) {
					return nil, errQuote
				}
				if s[i] == '"' {
					break
				}
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte("\"`$\\", s[i+1]) >= 0 {
					i++
				}
				word.WriteByte(s[i])
			}
		case strings.IndexByte(reserved, c) >= 0:
			return nil, fmt.Errorf("%w: %q", errReserved, c)
		default:
			inWord = true
			word.WriteByte(c)
		}
	}
	end()
	return words, nil
}

// unescape undoes what the specification allows in every value of type string.
func unescape(s string) (string, error) {
	if !strings.Contains(s, `\`) {
		return s, nil
	}
	var out strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] != '\\' {
			out.WriteByte(s[i])
			continue
		}
		if i++; i == len(s) {
			return "", errEscape
		}
		switch s[i] {
		case 's':
			out.WriteByte(' ')
		case 'n':
			out.WriteByte('\n')
		case 't':
			out.WriteByte('\t')
		case 'r':
			out.WriteByte('\r')
		case '\\':
			out.WriteByte('\\')
		case '"', '`', '$': // GLib keeps the backslash, which then quotes
			out.WriteByte('\\')
			out.WriteByte(s[i])
		default:
			return "", errEscape
		}
	}
	return out.String(), nil
}
