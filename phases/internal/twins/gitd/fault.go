package gitd

import (
	"errors"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"
)

// Connect stands in the place of a service for faults of an ssh connection before anything is asked for.
const Connect = "connect"

// An Effect is what a fault does.
type Effect string

// The effects, with their notation after the colon of a fault's line. N is a number, D a duration as in "1.5s".
const (
	// Refuse takes no key from an ssh connection, or answers a session "permission denied" (status 403 over HTTP):
	// "refused".
	Refuse Effect = "refused"
	// Cut closes the connection: "cut" (nothing was done); "cut after N bytes" of a push's pack, or before any ref
	// changes when the pack is shorter, and of what a fetch is answered; "cut though done", when a push has changed the
	// refs and the client is not told.
	Cut Effect = "cut"
	// Decline lets the update hook refuse every ref with a text: "declined TEXT".
	Decline Effect = "declined"
	// Slow lets bytes of a push in, or of a fetch out, at a rate: "slow N bytes/s".
	Slow Effect = "slow"
	// Delay waits before anything is done: "delay D".
	Delay Effect = "delay"
	// OtherHostKey meets an ssh connection with other host keys than before: "host key changed".
	OtherHostKey Effect = "host key changed"
)

// A Fault is one thing that goes wrong. Its text form ([ParseFault]) is
//
//	SERVICE REPOSITORY [#CALLS]: EFFECT
//	receive-pack owner/name #1: cut though done
//	upload-pack ** #2-3: cut after 1000 bytes
//	connect ** #2+: host key changed
//
// SERVICE is receive-pack, upload-pack, "*" for both, or connect: an ssh connection, which has no repository yet.
// REPOSITORY is a pattern of path.Match, or "**" for every one. CALLS counts the operations that match, from 1: "#2",
// "#2-4", "#2+"; without it every one is meant. Over HTTP an operation is the listing of refs that begins it and the
// requests after it up to the next listing by the same account; a request answered 401 is none.
type Fault struct {
	Service, Repository string
	From, To            int // calls; To 0 has no end
	Effect              Effect
	Done                bool  // "though done", of Cut
	Bytes               int64 // of Cut ("after", -1 for before anything) and Slow
	Delay               time.Duration
	Text                string // of Decline
}

// ParseFaults reads a plan: one fault a line, empty lines and lines that begin with "#" ignored.
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
	f, err := parseFault(line)
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return Fault{}, fmt.Errorf("cannot read fault %q: %w", line, err)
	}
	return f, nil
}

func parseFault(line string) (Fault, error) {
	where, effect, ok := strings.Cut(line, ": ")
	fields := strings.Fields(where)
	if !ok || len(fields) < 2 || len(fields) > 3 {
		return Fault{}, errors.New(`want "SERVICE REPOSITORY #N: EFFECT"`)
	}
	f := Fault{Service: fields[0], Repository: fields[1], From: 1}
	if len(fields) == 3 {
		var err error
		if f.From, f.To, err = parseCalls(fields[2]); err != nil {
			return Fault{}, err
		}
	}
	return f, f.parseEffect(strings.TrimSpace(effect))
}

func parseCalls(s string) (from, to int, err error) {
	wrong := errors.New("calls are #N, #N-M or #N+")
	s, ok := strings.CutPrefix(s, "#")
	if !ok {
		return 0, 0, wrong
	}
	first, open := strings.CutSuffix(s, "+")
	first, last, isRange := strings.Cut(first, "-")
	if from, err = strconv.Atoi(first); err != nil || (open && isRange) {
		return 0, 0, wrong
	}
	switch {
	case open:
		return from, 0, nil
	case !isRange:
		return from, from, nil
	}
	if to, err = strconv.Atoi(last); err != nil || to == 0 {
		return 0, 0, wrong
	}
	return from, to, nil
}

func (f *Fault) parseEffect(s string) (err error) {
	if text, ok := strings.CutPrefix(s, string(Decline)+" "); ok {
		f.Effect, f.Text = Decline, strings.TrimSpace(text)
		return nil
	}
	w := strings.Fields(s)
	switch words := strings.Join(w, " "); {
	case words == string(Refuse), words == string(OtherHostKey):
		f.Effect = Effect(words)
	case words == "cut":
		f.Effect, f.Bytes = Cut, -1
	case words == "cut though done":
		f.Effect, f.Bytes, f.Done = Cut, -1, true
	case len(w) == 4 && w[0] == "cut" && w[1] == "after" && w[3] == "bytes":
		f.Effect = Cut
		f.Bytes, err = strconv.ParseInt(w[2], 10, 64)
	case len(w) == 3 && w[0] == "slow" && w[2] == "bytes/s":
		f.Effect = Slow
		f.Bytes, err = strconv.ParseInt(w[1], 10, 64)
	case len(w) == 2 && w[0] == "delay":
		f.Effect = Delay
		f.Delay, err = time.ParseDuration(w[1])
	default:
		return errors.New("unknown effect")
	}
	return err
}

// check refuses faults that could never strike or make no sense.
func (f *Fault) check() error {
	_, pattern := path.Match(f.Repository, "")
	push := f.Service == ReceivePack || f.Service == "*"
	connect := f.Service == Connect
	switch {
	case f.Service != ReceivePack && f.Service != UploadPack && f.Service != "*" && !connect:
		return fmt.Errorf("%q is none of receive-pack, upload-pack, *, connect", f.Service)
	case f.Repository == "" || strings.ContainsFunc(f.Repository, func(r rune) bool { return r <= ' ' }) || pattern != nil:
		return fmt.Errorf("%q is no pattern of repositories", f.Repository)
	case connect && f.Repository != "**":
		return errors.New("a connection has no repository yet: write **")
	case f.From < 1 || (f.To != 0 && f.To < f.From):
		return errors.New("calls count from 1")
	case f.Bytes < -1 || f.Delay < 0:
		return errors.New("a number is negative")
	}
	switch f.Effect {
	case Refuse:
	case Cut:
		switch {
		case connect && (f.Done || f.Bytes >= 0):
			return errors.New("a connection is cut before anything")
		case f.Done && !push:
			return errors.New("only a push does something")
		case f.Done && f.Bytes >= 0:
			return errors.New("either after some bytes or though done")
		}
	case Decline:
		if !push || f.Text == "" || strings.ContainsAny(f.Text, "\r\n\x00") {
			return errors.New("a push is declined with a line of text")
		}
	case Slow:
		if connect || f.Bytes < 1 {
			return errors.New("a push or a fetch is slow, with one byte a second at least")
		}
	case Delay:
	case OtherHostKey:
		if !connect {
			return errors.New("a connection meets host keys")
		}
	default:
		return errors.New("no effect")
	}
	return nil
}

// String is the text form, which [ParseFault] reads again.
func (f Fault) String() string {
	calls := ""
	switch {
	case f.To == f.From:
		calls = fmt.Sprintf(" #%d", f.From)
	case f.To != 0:
		calls = fmt.Sprintf(" #%d-%d", f.From, f.To)
	case f.From > 1:
		calls = fmt.Sprintf(" #%d+", f.From)
	}
	effect := string(f.Effect)
	switch {
	case f.Effect == Cut && f.Done:
		effect = "cut though done"
	case f.Effect == Cut && f.Bytes >= 0:
		effect = fmt.Sprintf("cut after %d bytes", f.Bytes)
	case f.Effect == Decline:
		effect += " " + f.Text
	case f.Effect == Slow:
		effect = fmt.Sprintf("slow %d bytes/s", f.Bytes)
	case f.Effect == Delay:
		effect += " " + f.Delay.String()
	}
	return f.Service + " " + f.Repository + calls + ": " + effect
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

// matches tells whether an operation is one that the fault counts. The pattern was checked before.
func (f *Fault) matches(service, repository string) bool {
	if f.Service != service && (f.Service != "*" || service == Connect) {
		return false
	}
	ok, _ := path.Match(f.Repository, repository)
	return ok || f.Repository == "**"
}
