package ui

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

var somePlan = &pipeline.Plan{Specs: []pipeline.Spec{{ID: "build/deb/a/amd64"}, {ID: "build/tarball/a/amd64"}, {ID: "gate/build"}}}

// story is what the engine says of a small run.
func story() []pipeline.Record {
	return []pipeline.Record{
		{Event: pipeline.Begin, Run: "1", Planned: somePlan},
		{Event: pipeline.Started, Step: "build/deb/a/amd64"},
		{Event: pipeline.Started, Step: "build/tarball/a/amd64"},
		{Event: pipeline.Progress, Step: "build/deb/a/amd64", Text: "compressing"},
		{Event: pipeline.Progress, Step: "build/tarball/a/amd64", Bytes: 30, Total: 60},
		{Event: pipeline.Done, Step: "build/tarball/a/amd64", Artifacts: []pipeline.Artifact{{Name: "a-1.tar.gz", Size: 1500}}},
		{Event: pipeline.Failed, Step: "build/deb/a/amd64", Error: "cannot write \x1b[31mit\nsecond line\n::error::x ##[error]y 100%"},
		{Event: pipeline.Waiting, Step: "gate/build", Error: "gate/build did not pass: waiting: no approval counts yet"},
	}
}

func newUI(env map[string]string) (u *UI, out, err *bytes.Buffer) {
	out, err = &bytes.Buffer{}, &bytes.Buffer{}
	return New(Streams{In: strings.NewReader("y\n"), Out: out, Err: err, Getenv: func(k string) string { return env[k] }}), out, err
}

func TestPlain(t *testing.T) {
	u, out, stderr := newUI(map[string]string{"LANG": "C"})
	p := u.Printer(somePlan)
	for _, r := range story() {
		p.Observe(r)
	}
	p.Close()
	want := `ok build/tarball/a/amd64          a-1.tar.gz  1.5 kB
!! build/deb/a/amd64              cannot write \x1b[31mit
.. gate/build                     waits: no approval counts yet
`
	if got := stderr.String(); got != want || out.Len() > 0 {
		t.Errorf("got\n%s\nwant\n%s\non standard output: %q", got, want, out)
	}
}

func TestLive(t *testing.T) {
	u, _, _ := newUI(map[string]string{"LANG": "de_DE.UTF-8"})
	s := &screen{t: t, columns: 60}
	u.err = &sink{w: s, size: s.size, color: true}
	tale := &tale{begun: map[string]time.Time{}, column: 21}
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	tale.now = func() time.Time { return now }
	l := &live{u: u, tale: tale, notes: map[string]string{}, stop: make(chan struct{})} // without its clock: frames are drawn by hand
	u.live = l
	see := func(want string) {
		t.Helper()
		l.draw("")
		if got := s.String(); got != strings.TrimPrefix(want, "\n") {
			t.Fatalf("the screen shows\n%s\nwant%s", got, want)
		}
	}
	records := story()
	for _, r := range records[:5] {
		l.Observe(r)
	}
	see(`
▸ build/deb/a/amd64              compressing
▸ build/tarball/a/amd64          50% of 60 B`)
	now = now.Add(75 * time.Second)
	writes := s.writes
	see(`
▸ build/deb/a/amd64       1m15s  compressing
▸ build/tarball/a/amd64   1m15s  50% of 60 B`)
	if l.draw(""); s.writes != writes+1 {
		t.Error("an unchanged frame was written again: it flickers")
	}
	u.Warn("mind %s", "the \x1b[2Jgap")
	l.Observe(records[5])
	see(`
slipway: warning: mind the \x1b[2Jgap
✓ build/tarball/a/amd64   1m15s  a-1.tar.gz  1.5 kB
▸ build/deb/a/amd64       1m15s  compressing`)
	s.columns = 24 // the frame that is on the screen takes up two lines now
	s.row++        // as a terminal does when it wraps the line below
	l.Observe(records[6])
	if got := s.String(); strings.Contains(got, "▸") || !strings.Contains(got, "✗ build/deb/a/amd64") {
		t.Errorf("the screen shows\n%s", got)
	}
	l.Observe(records[7])
	l.done.Wait()
	l.Close()
	if strings.Contains(s.raw.String(), "\x1b[31mit") || strings.Contains(s.raw.String(), "\x1b[2J") {
		t.Errorf("an escape sequence of a hostile text has reached the terminal: %q", s.raw.String())
	}
}

// With more steps than lines, the frame must not grow beyond the screen, from where it could not be taken back.
func TestLive_ManySteps(t *testing.T) {
	u, _, _ := newUI(nil)
	s := &screen{t: t, columns: 40}
	u.err = &sink{w: s, size: func() (int, int) { return 40, 6 }}
	l := &live{u: u, tale: &tale{begun: map[string]time.Time{}, now: time.Now}, notes: map[string]string{}, stop: make(chan struct{})}
	for i := range 30 {
		l.Observe(pipeline.Record{Event: pipeline.Started, Step: fmt.Sprintf("build/x%d", i)})
	}
	l.draw("")
	if got := len(l.drawn); got != 4 || !strings.Contains(l.drawn[3], "27 more") {
		t.Errorf("the frame has %d lines: %q", got, l.drawn)
	}
}

func TestAnnotations(t *testing.T) {
	u, _, stderr := newUI(map[string]string{"GITHUB_ACTIONS": "true"})
	p := u.Printer(somePlan)
	for _, r := range story() {
		p.Observe(r)
	}
	p.Observe(pipeline.Record{Event: pipeline.Progress, Step: "gate/build", Text: "::stop-commands::x"})
	p.Observe(pipeline.Record{Event: pipeline.Done, Step: "gate/build"})
	p.Close()
	u.Error(errors.New("build/deb/a/amd64: cannot\n::error::forged"), 1, "do 100%")
	want := "| ✓ build/tarball/a/amd64 a-1.tar.gz 1.5 kB\n" +
		"::group::✗ build/deb/a/amd64 cannot write \\x1b[31mit\n| compressing\n::endgroup::\n" +
		"::error title=build/deb/a/amd64::cannot write \\x1b[31mit%0Asecond line%0A::error::x ## [error]y 100%25\n" +
		"| ◦ gate/build waits: no approval counts yet\n" +
		"::notice title=gate/build::gate/build did not pass: waiting: no approval counts yet\n" +
		"::group::✓ gate/build passed\n| ::stop-commands::x\n::endgroup::\n" +
		"slipway: error: build/deb/a/amd64: cannot\n    | ::error::forged\nslipway: hint: do 100%\n"
	if got := stderr.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got, want := command("error", map[string]string{"title": "a:b,c\r\n"}, "x"), `::error title=a%3Ab%2Cc\r\n::x`; got != want {
		t.Errorf("a property became %s, want %s", got, want)
	}
}

// An error is annotated where no step's annotation has told it already.
func TestAnnotations_Error(t *testing.T) {
	u, _, stderr := newUI(map[string]string{"GITHUB_ACTIONS": "true"})
	u.Error(errors.New("bad\nworse 5%"), 2, "mend it")
	u.Warn("careful")
	if got, want := stderr.String(), "::error::bad%0Aworse 5%25\nslipway: hint: mend it\n::warning::careful\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestJSON(t *testing.T) {
	u, out, stderr := newUI(nil)
	u.JSON = true
	p := u.Printer(somePlan)
	for _, r := range story() {
		p.Observe(r)
	}
	p.Close()
	u.Error(errors.New("c1 \u009b2J and \U000e0001 <x>"), 3, "try")
	u.Hint("not for programs")
	if want := `{"error":"c1 \u009b2J and \udb40\udc01 <x>","code":3,"hint":"try"}` + "\n"; stderr.String() != want {
		t.Errorf("the error is %s, want %s", stderr, want)
	}
	var m message
	if err := json.Unmarshal(stderr.Bytes(), &m); err != nil || m.Error != "c1 \u009b2J and \U000e0001 <x>" {
		t.Errorf("it reads back as %q: %v", m.Error, err)
	}
	dec := json.NewDecoder(out)
	for i, want := range story() {
		var got pipeline.Record
		if err := dec.Decode(&got); err != nil {
			t.Fatalf("record %d: %v", i, err)
		}
		if gate.Sum(got) != gate.Sum(want) {
			t.Errorf("record %d is %+v, want %+v", i, got, want)
		}
	}
}

// However a text is made, no terminal gets a control character but this package's own.
func FuzzPrinters(f *testing.F) {
	f.Add("build/x", "\x1b[2J", "a\nb\r\u009b")
	f.Fuzz(func(t *testing.T, step, text, name string) {
		records := []pipeline.Record{
			{Event: pipeline.Started, Step: step},
			{Event: pipeline.Progress, Step: step, Text: text},
			{Event: pipeline.Progress, Step: text, Text: name},
			{Event: pipeline.Waiting, Step: name, Error: text},
			{Event: pipeline.Done, Step: step, Artifacts: []pipeline.Artifact{{Name: name}}, Evidence: []gate.Evidence{{Check: text, Summary: name}}},
			{Event: pipeline.Failed, Step: step, Error: text},
		}
		u, _, _ := newUI(nil)
		s := &screen{t: t, columns: 33}
		u.err = &sink{w: s, size: s.size, color: true}
		l := &live{u: u, tale: &tale{begun: map[string]time.Time{}, now: time.Now}, notes: map[string]string{}, stop: make(chan struct{})}
		for _, r := range records {
			l.Observe(r)
			l.draw("")
		}
		for _, env := range []map[string]string{nil, {"GITHUB_ACTIONS": "true"}} {
			u, _, stderr := newUI(env)
			p := u.Printer(&pipeline.Plan{Specs: []pipeline.Spec{{ID: step}}})
			for _, r := range records {
				p.Observe(r)
			}
			p.Close()
			u.Error(errors.New(text), 1, name)
			for line := range strings.Lines(stderr.String()) {
				line = strings.TrimSuffix(line, "\n")
				if Clean(line) != line {
					t.Errorf("printed %q", line)
				}
				if rest, command := strings.CutPrefix(strings.TrimSpace(line), "::"); env != nil && command && !strings.HasPrefix(rest, "error") &&
					!strings.HasPrefix(rest, "notice ") && !strings.HasPrefix(rest, "group::") && !strings.HasPrefix(rest, "endgroup::") {
					t.Errorf("a text became a command: %q", line)
				}
			}
		}
	})
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]error{"y\n": nil, "YES\n": nil, "\n": ErrRefused, "": ErrRefused, "yup\n": ErrRefused} {
		u, _, stderr := newUI(nil)
		u.in, u.ask = strings.NewReader(answer), true
		if err := u.Confirm(t.Context(), "go on with %s?", "a\x1b[1m"); !errors.Is(err, want) {
			t.Errorf("the answer %q led to %v, want %v", answer, err, want)
		}
		if got := stderr.String(); got != `go on with a\x1b[1m? [y/N] ` {
			t.Errorf("asked %q", got)
		}
	}
	u, _, _ := newUI(nil)
	if err := u.Confirm(t.Context(), "x"); !errors.Is(err, ErrNobody) {
		t.Errorf("without a terminal: %v", err)
	}
}
