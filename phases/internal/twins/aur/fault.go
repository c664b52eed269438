package aur

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// An Effect is what a fault does.
type Effect string

// The effects beside those of package gitd, with their notation after the colon of a fault's line. N is a number, D a
// duration as in "1.5s", TEXT the rest of the line, in which \n stands for a line end.
const (
	// Maintenance lets git over ssh and commands end with the AUR's own words: "maintenance".
	Maintenance Effect = "maintenance"
	// Banned and Unverified treat the account as one with that flag: "banned", "unverified".
	Banned     Effect = "banned"
	Unverified Effect = "unverified"
	// Rival lets somebody else's push come first: "rival" before the client of a push is told of any ref, "rival in hook"
	// after it has sent everything and before its own ref changes.
	Rival       Effect = "rival"
	RivalInHook Effect = "rival in hook"
	// Says lets the update hook say something and go on: "says TEXT".
	Says Effect = "says"
	// Late lets the RPC go on with the old answer after the push: "late N calls", "late D".
	Late Effect = "late"
	// Answer lets the RPC answer an error with status 200: "error TEXT".
	Answer Effect = "error"
	// Fail lets it answer a status from 500 to 599 with a page: "S"; TooMany its own 429: "429".
	Fail    Effect = "fail"
	TooMany Effect = "429"
	// Page lets it answer a page with status 200: "page".
	Page Effect = "page"
	// Cut closes the connection of a call without an answer: "cut". Of git it is package gitd's.
	Cut Effect = "cut"
	// Delay waits before a call is answered: "delay D". Of git it is package gitd's.
	Delay Effect = "delay"
)

// The services that package gitd does not know.
const (
	RPC     = "rpc"     // a call of the RPC; the name is one that was asked for
	Command = "command" // an ssh command such as list-repos; the name is the command
)

// A Fault is one thing that goes wrong. Its text form ([ParseFault]) is
//
//	SERVICE NAME [#CALLS]: EFFECT
//	rpc ** #1-2: 502
//	receive-pack name-bin #1: rival
//	receive-pack name-bin #1: cut though done
//
// SERVICE is receive-pack, upload-pack, "*" for both, connect, rpc or command. NAME is a pattern of path.Match, or "**" for
// every one. CALLS counts what matches, from 1: "#2", "#2-4", "#2+". The effects of [gitd.Fault] are that package's; of
// receive-pack, "says", "late" and "rival in hook" count the runs of the update hook for master.
type Fault struct {
	// Git is set for a fault of package gitd; the rest is empty then.
	Git           *gitd.Fault
	Service, Name string
	From, To      int // calls; To 0 has no end
	Effect        Effect
	Status        int    // of Fail
	Text          string // of Says and Answer
	Calls         int    // of Late; else Delay says how long
	Delay         time.Duration
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
	fail := func(err error) (Fault, error) { return Fault{}, fmt.Errorf("cannot read fault %q: %w", line, err) }
	where, effect, ok := strings.Cut(line, ": ")
	fields := strings.Fields(where)
	if !ok || len(fields) < 2 || len(fields) > 3 {
		return fail(errors.New(`want "SERVICE NAME #N: EFFECT"`))
	}
	f := Fault{Service: fields[0], Name: fields[1], From: 1}
	known, err := f.parseEffect(strings.TrimSpace(effect))
	if !known && err == nil {
		g, err := gitd.ParseFault(line)
		if err != nil {
			return Fault{}, err
		}
		return Fault{Git: &g}, nil
	}
	if err == nil && len(fields) == 3 {
		err = f.parseCalls(fields[2])
	}
	if err == nil {
		err = f.check()
	}
	if err != nil {
		return fail(err)
	}
	return f, nil
}

func (f *Fault) parseCalls(s string) error {
	wrong := errors.New("calls are #N, #N-M or #N+")
	s, ok := strings.CutPrefix(s, "#")
	first, open := strings.CutSuffix(s, "+")
	first, last, isRange := strings.Cut(first, "-")
	from, err := strconv.Atoi(first)
	if !ok || err != nil || open && isRange {
		return wrong
	}
	f.From, f.To = from, from
	switch {
	case open:
		f.To = 0
	case isRange:
		if f.To, err = strconv.Atoi(last); err != nil || f.To < 1 {
			return wrong
		}
	}
	return nil
}

// parseEffect tells whether the effect is one of this package's.
func (f *Fault) parseEffect(s string) (known bool, err error) {
	rpc := f.Service == RPC
	word, rest, _ := strings.Cut(s, " ")
	rest = strings.TrimSpace(rest)
	switch e := Effect(strings.Join(strings.Fields(s), " ")); e {
	case Maintenance, Banned, Unverified, Rival, RivalInHook, Page, TooMany:
		f.Effect = e
		return true, nil
	case Cut:
		f.Effect = e
		return rpc, nil
	}
	switch Effect(word) {
	case Says, Answer:
		f.Effect, f.Text = Effect(word), rest
		return true, nil
	case Late:
		f.Effect = Late
		if n, ok := strings.CutSuffix(rest, " calls"); ok {
			f.Calls, err = strconv.Atoi(strings.TrimSpace(n))
		} else {
			f.Delay, err = time.ParseDuration(rest)
		}
		return true, err
	case Delay:
		if rpc {
			f.Effect = Delay
			f.Delay, err = time.ParseDuration(rest)
		}
		return rpc, err
	}
	if len(s) == 3 && s[0] == '5' {
		f.Effect = Fail
		f.Status, err = strconv.Atoi(s)
		return true, err
	}
	if rpc || f.Service == Command {
		return false, errors.New("unknown effect")
	}
	return false, nil
}

// check refuses faults that could never strike or make no sense.
func (f *Fault) check() error {
	if f.Git != nil {
		return nil // gitd's to judge
	}
	door := []string{gitd.ReceivePack, gitd.UploadPack, "*", Command}
	services := map[Effect][]string{
		Maintenance: door, Banned: door, Unverified: {gitd.ReceivePack},
		Rival: {gitd.ReceivePack}, RivalInHook: {gitd.ReceivePack}, Says: {gitd.ReceivePack}, Late: {gitd.ReceivePack},
		Answer: {RPC}, Fail: {RPC}, TooMany: {RPC}, Page: {RPC}, Cut: {RPC}, Delay: {RPC},
	}[f.Effect]
	_, pattern := path.Match(f.Name, "")
	switch {
	case len(services) == 0:
		return errors.New("no effect")
	case !slices.Contains(services, f.Service):
		return fmt.Errorf("%q happens to %s, not to %q", f.Effect, strings.Join(services, ", "), f.Service)
	case f.Name == "" || strings.ContainsFunc(f.Name, func(r rune) bool { return r <= ' ' }) || strings.Contains(f.Name, ": ") || pattern != nil:
		return fmt.Errorf("%q is no pattern of names", f.Name)
	case f.From < 1 || f.To != 0 && f.To < f.From:
		return errors.New("calls count from 1")
	case f.Calls < 0 || f.Delay < 0:
		return errors.New("a number is negative")
	case (f.Effect == Says || f.Effect == Answer) && (f.Text == "" || strings.ContainsAny(f.Text, "\r\n\x00") || f.Text != strings.TrimSpace(f.Text)):
		return errors.New("a text is one line")
	case f.Effect == Fail && (f.Status < 500 || f.Status > 599):
		return errors.New("a status is from 500 to 599")
	}
	return nil
}

// String is the text form, which [ParseFault] reads again.
func (f Fault) String() string {
	if f.Git != nil {
		return f.Git.String()
	}
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
	switch f.Effect {
	case Says, Answer:
		effect += " " + f.Text
	case Late:
		effect += " " + f.Delay.String()
		if f.Calls > 0 {
			effect = fmt.Sprintf("late %d calls", f.Calls)
		}
	case Delay:
		effect += " " + f.Delay.String()
	case Fail:
		effect = strconv.Itoa(f.Status)
	}
	return f.Service + " " + f.Name + calls + ": " + effect
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

// text is the fault's text with its line ends.
func (f *Fault) text() string { return strings.ReplaceAll(f.Text, `\n`, "\n") }

// matches tells whether an operation on one of the names is one that the fault counts.
func (f *Fault) matches(service string, names []string) bool {
	git := service == gitd.ReceivePack || service == gitd.UploadPack
	if f.Service != service && (f.Service != "*" || !git) {
		return false
	}
	return f.Name == "**" || slices.ContainsFunc(names, func(n string) bool {
		ok, _ := path.Match(f.Name, n)
		return ok
	})
}
