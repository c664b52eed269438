package github

import (
	"errors"
	"fmt"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"
)

// An Effect is what a fault does.
type Effect string

// The effects, with their notation after the colon of a fault's line. N is a
// number, D a duration as in "1.5s", S a status from 500 to 599.
const (
	// Fail answers S, with an HTML page for 502 to 504: "S" (nothing was
	// done), "S after N bytes" of the request's body, or at the end of a
	// shorter one (an upload leaves a starter), "S though done".
	Fail Effect = "fail"
	// Cut closes the connection without an answer: "cut" (nothing was done),
	// "cut after N bytes" of the request's body, "cut though done".
	Cut Effect = "cut"
	// Exists answers 422 already_exists: "422 already_exists".
	Exists Effect = "already_exists"
	// Secondary answers 403 with the secondary limit: "403 secondary",
	// "403 secondary retry-after D".
	Secondary Effect = "secondary"
	// TooMany answers 429: "429", "429 retry-after D" (seconds),
	// "429 retry-after date D" (an HTTP date, D from now).
	TooMany Effect = "429"
	// Primary answers 403 with nothing remaining: "403 primary reset D".
	Primary Effect = "primary"
	// Unauthorized answers 401, as for an expired token: "401".
	Unauthorized Effect = "401"
	// Truncate ends the answer's body early: "truncated after N bytes".
	Truncate Effect = "truncated"
	// Flip changes one byte of the answer's body: "flipped byte N" (from 0).
	Flip Effect = "flipped"
	// SlowRead takes the request's body slowly: "slow upload N bytes/s".
	SlowRead Effect = "slow upload"
	// SlowWrite gives the answer's body slowly: "slow download N bytes/s".
	SlowWrite Effect = "slow download"
	// Delay waits before anything is done: "delay D".
	Delay Effect = "delay"
	// Late hides what the request made: a release from listings, an asset
	// from listings and from its release: "late N calls", "late D".
	Late Effect = "late"
	// Stale hides an uploaded asset from its release's own array alone:
	// "stale N calls", "stale D".
	Stale Effect = "stale"
	// Undigested shows an uploaded asset without a digest at first:
	// "digest late N calls", "digest late D". The answer to the upload counts.
	Undigested Effect = "digest late"
	// Renamed stores an uploaded asset under another name: "renamed NAME".
	Renamed Effect = "renamed"
)

// A Fault is one thing that goes wrong. Its text form ([ParseFault]) is
//
//	METHOD [HOST:]PATH [#CALLS]: EFFECT
//	POST /repos/*/*/releases/*/assets #2: 502 after 1000 bytes
//	GET downloads:/** #1-3: truncated after 10 bytes
//
// METHOD may be "*". HOST is api, uploads, web or downloads. In PATH a segment
// is a pattern of path.Match, "**" stands for any number of segments; it is
// compared with the escaped path without the query. CALLS counts the requests
// that match, from 1: "#2", "#2-4", "#2+"; without it every one is meant.
type Fault struct {
	Method, Host, Path string
	From, To           int // calls; To 0 has no end
	Effect             Effect
	Status             int  // of Fail
	Done               bool // "though done", of Fail and Cut
	// Bytes is where Fail and Cut ("after", -1 for before anything), Truncate
	// and Flip act, and what SlowRead and SlowWrite let through in a second.
	Bytes int64
	Calls int // of Late, Stale, Undigested; else Delay says how long
	Delay time.Duration
	// HasDelay tells a retry-after of zero from none.
	HasDelay bool
	Date     bool   // retry-after as a date
	Name     string // of Renamed
}

// ParseFaults reads a plan: one fault a line, empty lines and lines that begin
// with "#" ignored.
func ParseFaults(plan string) ([]Fault, error) {
	var list []Fault
	n := 0
	for line := range strings.Lines(plan) {
		n++
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' {
			continue
		}
		f, err := ParseFault(line)
		if err != nil {
			return nil, fmt.Errorf("line %d of the faults: %w", n, err)
		}
		list = append(list, f)
	}
	return list, nil
}

// ParseFault reads the text form of one fault.
func ParseFault(line string) (Fault, error) {
	fail := func(why string) (Fault, error) {
		return Fault{}, fmt.Errorf("cannot read fault %q: %s", line, why)
	}
	where, effect, ok := strings.Cut(line, ": ")
	if !ok {
		return fail(`want "METHOD PATH #N: EFFECT"`)
	}
	f := Fault{From: 1}
	fields := strings.Fields(where)
	if len(fields) == 3 {
		if err := f.parseCalls(fields[2]); err != nil {
			return fail(err.Error())
		}
		fields = fields[:2]
	}
	if len(fields) != 2 {
		return fail(`want "METHOD PATH #N: EFFECT"`)
	}
	f.Method, f.Path = fields[0], fields[1]
	if h, p, ok := strings.Cut(f.Path, ":/"); ok {
		f.Host, f.Path = h, "/"+p
	}
	if err := f.parseEffect(strings.TrimSpace(effect)); err != nil {
		return fail(err.Error())
	}
	if err := f.check(); err != nil {
		return fail(err.Error())
	}
	return f, nil
}

func (f *Fault) parseCalls(s string) error {
	s, ok := strings.CutPrefix(s, "#")
	if !ok {
		return errors.New("calls begin with #")
	}
	from, to, isRange := strings.Cut(s, "-")
	from, open := strings.CutSuffix(from, "+")
	var err error
	if f.From, err = strconv.Atoi(from); err != nil {
		return errors.New("calls are #N, #N-M or #N+")
	}
	switch {
	case open && isRange:
		return errors.New("calls are #N, #N-M or #N+")
	case open:
	case isRange:
		if f.To, err = strconv.Atoi(to); err != nil {
			return errors.New("calls are #N, #N-M or #N+")
		}
	default:
		f.To = f.From
	}
	return nil
}

// parseEffect reads the part after the colon word by word.
func (f *Fault) parseEffect(s string) error {
	if name, ok := strings.CutPrefix(s, "renamed "); ok {
		f.Effect, f.Name = Renamed, strings.TrimSpace(name)
		return nil
	}
	w := strings.Fields(s)
	take := func(words ...string) bool {
		if len(w) < len(words) {
			return false
		}
		for i := range words {
			if w[i] != words[i] {
				return false
			}
		}
		w = w[len(words):]
		return true
	}
	var err error
	number := func() (n int64) {
		if len(w) == 0 || err != nil {
			err = errors.New("a number is missing")
			return 0
		}
		n, err = strconv.ParseInt(w[0], 10, 64)
		w = w[1:]
		return n
	}
	duration := func() (d time.Duration) {
		if len(w) == 0 || err != nil {
			err = errors.New("a duration is missing")
			return 0
		}
		d, err = time.ParseDuration(w[0])
		w = w[1:]
		f.HasDelay = true
		return d
	}
	unit := func(words ...string) {
		if !take(words...) && err == nil {
			err = fmt.Errorf("%q is missing", strings.Join(words, " "))
		}
	}
	when := func() {
		if len(w) == 2 && w[1] == "calls" {
			f.Calls = int(number())
			unit("calls")
			return
		}
		f.Delay = duration()
	}
	retryAfter := func() {
		if take("retry-after") {
			f.Date = take("date")
			f.Delay = duration()
		}
	}
	extent := func() { // of Fail and Cut
		f.Bytes = -1
		switch {
		case take("though", "done"):
			f.Done = true
		case take("after"):
			f.Bytes = number()
			unit("bytes")
		}
	}
	switch {
	case take("cut"):
		f.Effect = Cut
		extent()
	case take("422", "already_exists"):
		f.Effect = Exists
	case take("403", "secondary"):
		f.Effect = Secondary
		retryAfter()
	case take("429"):
		f.Effect = TooMany
		retryAfter()
	case take("403", "primary"):
		f.Effect = Primary
		if take("reset") {
			f.Delay = duration()
		}
	case take("401"):
		f.Effect = Unauthorized
	case take("truncated", "after"):
		f.Effect, f.Bytes = Truncate, number()
		unit("bytes")
	case take("flipped", "byte"):
		f.Effect, f.Bytes = Flip, number()
	case take("slow", "upload"):
		f.Effect, f.Bytes = SlowRead, number()
		unit("bytes/s")
	case take("slow", "download"):
		f.Effect, f.Bytes = SlowWrite, number()
		unit("bytes/s")
	case take("delay"):
		f.Effect, f.Delay = Delay, duration()
	case take("late"):
		f.Effect = Late
		when()
	case take("stale"):
		f.Effect = Stale
		when()
	case take("digest", "late"):
		f.Effect = Undigested
		when()
	case len(w) > 0 && len(w[0]) == 3 && w[0][0] == '5':
		f.Effect, f.Status = Fail, int(number())
		extent()
	default:
		return errors.New("unknown effect")
	}
	if err == nil && len(w) > 0 {
		err = fmt.Errorf("%q is too much", strings.Join(w, " "))
	}
	return err
}

// check refuses faults that could never strike or make no sense.
func (f *Fault) check() error {
	known := f.Host == ""
	for _, h := range hosts {
		known = known || f.Host == string(h)
	}
	switch {
	case f.Method == "":
		return errors.New("no method")
	case !known:
		return fmt.Errorf("host %q is none of api, uploads, web, downloads", f.Host)
	case !strings.HasPrefix(f.Path, "/"):
		return errors.New("a path begins with a slash")
	case f.From < 1 || (f.To != 0 && f.To < f.From):
		return errors.New("calls count from 1")
	case f.Bytes < -1 || f.Delay < 0 || f.Calls < 0:
		return errors.New("a number is negative")
	case (f.Effect == SlowRead || f.Effect == SlowWrite) && f.Bytes < 1, (f.Effect == Truncate || f.Effect == Flip) && f.Bytes < 0:
		return errors.New("the number of bytes is too small")
	case f.Effect == Fail && (f.Status < 500 || f.Status > 599):
		return errors.New("a status is from 500 to 599")
	case f.Effect == Renamed && (f.Name == "" || strings.ContainsAny(f.Name, "\r\n")):
		return errors.New("no name")
	case f.Effect == "":
		return errors.New("no effect")
	}
	for part := range strings.SplitSeq(f.Path, "/") {
		if _, err := path.Match(part, ""); err != nil {
			return fmt.Errorf("%q is no pattern", part)
		}
	}
	return nil
}

// String is the text form, which ParseFault reads again.
func (f Fault) String() string {
	var b strings.Builder
	b.WriteString(f.Method + " ")
	if f.Host != "" {
		b.WriteString(f.Host + ":")
	}
	b.WriteString(f.Path)
	switch {
	case f.To == f.From:
		fmt.Fprintf(&b, " #%d", f.From)
	case f.To != 0:
		fmt.Fprintf(&b, " #%d-%d", f.From, f.To)
	case f.From > 1:
		fmt.Fprintf(&b, " #%d+", f.From)
	}
	b.WriteString(": " + f.effect())
	return b.String()
}

func (f Fault) effect() string {
	extent := ""
	switch {
	case f.Done:
		extent = " though done"
	case f.Bytes >= 0:
		extent = fmt.Sprintf(" after %d bytes", f.Bytes)
	}
	when := f.Delay.String()
	if !f.HasDelay {
		when = fmt.Sprintf("%d calls", f.Calls)
	}
	retry := ""
	if f.HasDelay {
		retry = " retry-after " + map[bool]string{true: "date "}[f.Date] + f.Delay.String()
	}
	switch f.Effect {
	case Fail:
		return strconv.Itoa(f.Status) + extent
	case Cut:
		return "cut" + extent
	case Exists:
		return "422 already_exists"
	case Secondary:
		return "403 secondary" + retry
	case TooMany:
		return "429" + retry
	case Primary:
		if f.HasDelay {
			return "403 primary reset " + f.Delay.String()
		}
		return "403 primary"
	case Truncate:
		return fmt.Sprintf("truncated after %d bytes", f.Bytes)
	case Flip:
		return fmt.Sprintf("flipped byte %d", f.Bytes)
	case SlowRead, SlowWrite:
		return fmt.Sprintf("%s %d bytes/s", f.Effect, f.Bytes)
	case Delay:
		return "delay " + f.Delay.String()
	case Late, Stale, Undigested:
		return string(f.Effect) + " " + when
	case Renamed:
		return "renamed " + f.Name
	}
	return string(f.Effect)
}

// MarshalText makes a list of faults a JSON array of their text forms.
func (f Fault) MarshalText() ([]byte, error) { return []byte(f.String()), nil }

// UnmarshalText reads what MarshalText wrote.
func (f *Fault) UnmarshalText(text []byte) error {
	n, err := ParseFault(string(text))
	if err == nil {
		*f = n
	}
	return err
}

// matches tells whether a request is one that the fault counts.
func (f *Fault) matches(h host, r *http.Request) bool {
	if (f.Host != "" && f.Host != string(h)) || (f.Method != "*" && f.Method != r.Method) {
		return false
	}
	return segments(strings.Split(f.Path, "/"), strings.Split(r.URL.EscapedPath(), "/"))
}

// segments matches pattern by pattern; "**" tries every length. Patterns were
// checked before.
func segments(want, got []string) bool {
	for i, w := range want {
		if w == "**" {
			for n := i; n <= len(got); n++ {
				if segments(want[i+1:], got[n:]) {
					return true
				}
			}
			return false
		}
		if i >= len(got) {
			return false
		}
		if ok, _ := path.Match(w, got[i]); !ok {
			return false
		}
	}
	return len(want) == len(got)
}
