// Package templates holds the texts that slipway writes for people, and fills them in.
//
// What is filled in is data that somebody else chose: names, titles, reasons. It is quoted for the language of the
// text it goes into ([Escape] for Markdown, the yaml function of release.yaml.tmpl), so that it reads as it was
// written and never as markup. Nothing here looks at a clock, a host or a repository: the caller says it all.
package templates

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"text/template"
)

//go:embed *.tmpl
var files embed.FS

var texts = template.Must(template.New("").Funcs(template.FuncMap{
	"md": Escape, "yaml": quoteYAML, "line": line, "inc": func(i int) int { return i + 1 },
}).ParseFS(files, "*.tmpl"))

func render(name string, data any) ([]byte, error) {
	var b bytes.Buffer
	if err := texts.ExecuteTemplate(&b, name, data); err != nil {
		return nil, fmt.Errorf("cannot fill in %s: %w", name, err)
	}
	return b.Bytes(), nil
}

// Expand replaces each {{ .Name }} in text by the field of that name. There is nothing else to it: no pipes, no
// functions, no expansion of what was put in. An unknown field, anything but a field between the braces, and braces
// that are not closed are errors, which name the fields that are known.
func Expand(text string, fields map[string]string) (string, error) {
	var out strings.Builder
	for {
		before, rest, found := strings.Cut(text, "{{")
		out.WriteString(before)
		if !found {
			return out.String(), nil
		}
		inside, after, closed := strings.Cut(rest, "}}")
		if !closed {
			return "", fmt.Errorf("cannot expand %s: the braces are not closed; %s", short("{{"+rest), known(fields))
		}
		name, dotted := strings.CutPrefix(strings.Trim(inside, " \t"), ".")
		value, ok := fields[name]
		if !dotted || !ok {
			return "", fmt.Errorf("cannot expand %s: %s", short("{{"+inside+"}}"), known(fields))
		}
		out.WriteString(value)
		text = after
	}
}

func known(fields map[string]string) string {
	if len(fields) == 0 {
		return "no field is known here"
	}
	var names []string
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		names = append(names, "{{ ."+name+" }}")
	}
	return "want one of " + strings.Join(names, ", ")
}

// short quotes a text that somebody else chose, in ASCII and cut to a length that fits a line.
func short(s string) string {
	const most = 60
	if len(s) > most {
		return strconv.QuoteToASCII(s[:most]) + "..."
	}
	return strconv.QuoteToASCII(s)
}

// plain are the words that every reader of YAML takes for the text that they are, reserved ones aside.
var (
	plain    = regexp.MustCompile(`^[A-Za-z][A-Za-z0-9_./-]*$`)
	reserved = regexp.MustCompile(`(?i)^(y|yes|n|no|on|off|true|false|null|nan|inf)$`)
)

// quoteYAML makes one scalar of s, whatever s holds: a JSON string is a double-quoted YAML scalar (YAML 1.2, 1.3).
func quoteYAML(s string) (string, error) {
	if plain.MatchString(s) && !reserved.MatchString(s) {
		return s, nil
	}
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	err := enc.Encode(s)
	return strings.TrimSuffix(b.String(), "\n"), err
}
