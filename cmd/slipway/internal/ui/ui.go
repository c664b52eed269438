// Package ui is the only code that prints.
//
// # Rules of the interface
//
// Data goes to standard output; progress, questions, warnings and errors go to standard error. An error is a line
// "slipway: error: ...", a warning "slipway: warning: ...", and what to do about it "slipway: hint: ...". With --json
// every one of these is a JSON object on a line of its own, and so is the data: one object, or one for each record.
//
// Text that came from anywhere but this program's source is made harmless by [Clean] before it is shown. Colours and
// redrawn lines are for terminals only, never for TERM=dumb; colours not with NO_COLOR either (no-color.org).
package ui

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"sync"
	"unicode/utf16"
	"unicode/utf8"

	"golang.org/x/term"
)

// Streams are a process's standard streams and environment.
type Streams struct {
	In       io.Reader
	Out, Err io.Writer
	Getenv   func(string) string
}

// UI prints. Its methods may be called from several goroutines.
type UI struct {
	JSON    bool // one JSON object instead of text
	Verbose bool // everything instead of what fits a screen

	in       io.Reader
	out, err *sink
	github   bool
	ask      bool // somebody can be asked
	signs    signs

	mu        sync.Mutex
	live      *live // while a run is drawn
	annotated bool  // the error that comes has its annotation already
}

// sink is a stream and what it can show.
type sink struct {
	w     io.Writer
	size  func() (columns, lines int) // nil where it is no terminal that can redraw
	color bool
}

// New returns the interface for a process.
func New(s Streams) *UI {
	u := &UI{in: s.In, out: newSink(s.Out, s.Getenv), err: newSink(s.Err, s.Getenv), signs: asciiSigns}
	u.github = s.Getenv("GITHUB_ACTIONS") == "true"
	if in, ok := s.In.(*os.File); ok {
		u.ask = term.IsTerminal(int(in.Fd())) && u.err.size != nil
	}
	locale := s.Getenv("LC_ALL")
	for _, name := range []string{"LC_CTYPE", "LANG"} {
		if locale == "" {
			locale = s.Getenv(name)
		}
	}
	locale = strings.ToLower(strings.ReplaceAll(locale, "-", ""))
	if strings.Contains(locale, "utf8") || locale == "" && (runtime.GOOS != "linux" || u.github) {
		u.signs = unicodeSigns
	}
	return u
}

func newSink(w io.Writer, getenv func(string) string) *sink {
	s := &sink{w: w}
	f, ok := w.(*os.File)
	if ok && term.IsTerminal(int(f.Fd())) && getenv("TERM") != "dumb" && getenv("TERM") != "" {
		s.size = func() (int, int) {
			columns, lines, err := term.GetSize(int(f.Fd()))
			if err != nil || columns <= 0 || lines <= 0 {
				return 80, 24
			}
			return columns, lines
		}
		s.color = getenv("NO_COLOR") == ""
	}
	return s
}

// A View is what a command has found out: data that marshals to JSON, and can be shown to people.
type View interface{ Show(*Page) }

// Show prints a view on standard output.
func (u *UI) Show(v View) error {
	if u.JSON {
		return u.Object(v)
	}
	return u.print(u.out, v.Show)
}

// Note prints a view on standard error: what people want to see, and no program reads. With --json it is left out.
func (u *UI) Note(v View) {
	if !u.JSON {
		_ = u.print(u.err, v.Show) // nobody is left to tell
	}
}

func (u *UI) print(s *sink, show func(*Page)) error {
	p := &Page{color: s.color, signs: u.signs, all: u.Verbose}
	if s.size != nil {
		p.width, p.height = s.size()
	}
	show(p)
	u.mu.Lock()
	defer u.mu.Unlock()
	_, err := io.WriteString(s.w, p.b.String())
	return err
}

// Object prints one JSON object on standard output, on a line of its own.
func (u *UI) Object(v any) error {
	line, err := object(v)
	if err != nil {
		return err
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	_, err = u.out.w.Write(line)
	return err
}

// Raw copies finished bytes to standard output: a file that the user asked for.
func (u *UI) Raw(b []byte) error {
	u.mu.Lock()
	defer u.mu.Unlock()
	_, err := u.out.w.Write(b)
	return err
}

// object encodes a value in which no character that is not printable is left, whatever terminal it is sent to.
func object(v any) ([]byte, error) {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	raw := b.Bytes()
	if bytes.IndexFunc(raw, func(r rune) bool { return r >= 0x7f && hostile(r) }) < 0 {
		return raw, nil
	}
	out := make([]byte, 0, len(raw)+16)
	for len(raw) > 0 {
		r, n := utf8.DecodeRune(raw) // outside ASCII there are strings only
		if r >= 0x7f && hostile(r) {
			for _, half := range utf16.Encode([]rune{r}) {
				out = fmt.Appendf(out, `\u%04x`, half)
			}
		} else {
			out = append(out, raw[:n]...)
		}
		raw = raw[n:]
	}
	return out, nil
}

// message is what is said beside the data.
type message struct {
	Error   string `json:"error,omitempty"`
	Code    int    `json:"code,omitempty"`
	Warning string `json:"warning,omitempty"`
	Hint    string `json:"hint,omitempty"`
}

// Error prints an error, the exit code that it leads to, and what to do about it.
func (u *UI) Error(err error, code int, hint string) {
	u.say(message{Error: err.Error(), Code: code, Hint: hint})
}

// Warn prints a warning; its arguments are made harmless.
func (u *UI) Warn(format string, args ...any) {
	u.say(message{Warning: fmt.Sprintf(format, clean(args)...)})
}

// Hint prints what to do next. With --json it is left out: programs do not take hints without an error.
func (u *UI) Hint(format string, args ...any) {
	if !u.JSON {
		u.say(message{Hint: fmt.Sprintf(format, clean(args)...)})
	}
}

func (u *UI) say(m message) {
	var text []byte
	if u.JSON {
		text, _ = object(m) // strings and a number
	} else {
		text = append(text, u.label("error", m.Error, Red)...)
		text = append(text, u.label("warning", m.Warning, Yellow)...)
		text = append(text, u.label("hint", m.Hint, Cyan)...)
	}
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.live != nil {
		u.live.above(string(text))
		return
	}
	_, _ = u.err.w.Write(text) // nobody is left to tell
}

// label writes a message with its prefix. Further lines are indented, so that none can pass for another message.
func (u *UI) label(kind, text string, style Style) string {
	if text == "" {
		return ""
	}
	if u.github && kind != "hint" && !u.annotated {
		return command(kind, nil, text) + "\n"
	}
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(Clean(line), " ")
	}
	indent := "\n    "
	if u.github {
		indent = "\n    | " // blanks alone would not keep a line from being read as a command
	}
	line := "slipway: " + paint(kind+":", style, u.err.color) + " " + strings.Join(lines, indent) + "\n"
	if u.github {
		line = old.Replace(line)
	}
	return line
}
