// Package gate holds what a gate asks, the evidence it reads, the requests that people sign, and how these are judged.
// It knows nothing of steps and plans: the engine collects the evidence, the artifacts and the statements.
package gate

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Verdict is the outcome of a check. A check that did not run did not pass: the zero value is Unknown.
type Verdict int

// The verdicts.
const (
	Unknown Verdict = iota
	Pass
	Fail
)

// String returns the verdict's name.
func (v Verdict) String() string { return [...]string{"unknown", "pass", "fail"}[v] }

// Evidence is what a check saw. Summary and Tool lie outside its digest.
type Evidence struct {
	Check    string            `json:"check"`
	Verdict  Verdict           `json:"verdict"`
	Expected string            `json:"expected,omitempty"`
	Found    string            `json:"found,omitempty"`
	Subjects map[string]string `json:"subjects,omitempty"` // artifact name to SHA-256
	Summary  string            `json:"summary,omitempty"`  // one line for people
	Tool     string            `json:"tool,omitempty"`     // name and version
}

// Digest covers what the evidence claims, not how it was come by.
func (e Evidence) Digest() string {
	return Sum(e.Check, e.Verdict, e.Expected, e.Found, e.Subjects)
}

// Sum is the SHA-256 of the JSON of its arguments, in hexadecimal. They must be data that JSON can hold.
func Sum(vs ...any) string {
	h := sha256.New()
	enc := json.NewEncoder(h)
	for _, v := range vs {
		if err := enc.Encode(v); err != nil {
			panic(err)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}

// Settle puts the evidence that a step reported in order. Each must be of a planned check; a planned check that reported
// nothing is Unknown.
func Settle(planned []string, reported []Evidence) ([]Evidence, error) {
	out := slices.Clone(reported)
	for _, e := range out {
		if !slices.Contains(planned, e.Check) {
			return nil, fmt.Errorf("check %q is not in the plan", e.Check)
		}
		if e.Verdict < Unknown || e.Verdict > Fail {
			return nil, fmt.Errorf("check %q has no valid verdict", e.Check)
		}
	}
	for _, name := range planned {
		if !slices.ContainsFunc(out, func(e Evidence) bool { return e.Check == name }) {
			out = append(out, Evidence{Check: name, Summary: "nothing was reported"})
		}
	}
	slices.SortStableFunc(out, func(a, b Evidence) int {
		return strings.Compare(a.Check+"\x00"+a.Digest(), b.Check+"\x00"+b.Digest())
	})
	return out, nil
}

// Criterion is one thing that a gate asks. Exactly one of Check and Attest is set.
type Criterion struct {
	Title  string `json:"title"`            // what people read; unique within the gate
	Check  string `json:"check,omitempty"`  // all evidence of that name must pass, and there must be some
	Attest string `json:"attest,omitempty"` // a person of this role says so
}

// Gate is passed when all criteria hold and, where Approve names a role, somebody of it has approved exactly this
// evidence and these artifacts.
type Gate struct {
	ID       string      `json:"id"` // gate/PHASE or proof/PHASE
	Title    string      `json:"title"`
	Criteria []Criterion `json:"criteria"`
	Approve  string      `json:"approve,omitempty"` // role; empty for none. Proofs have none.
}

// Proof reports whether the gate stands behind the acts of its phase: machine criteria only.
func (g Gate) Proof() bool { return strings.HasPrefix(g.ID, "proof/") }

// Validate refuses a gate that could not be evaluated, or that would pass by leaving something open. Reported names
// the checks that will leave evidence for it.
func (g Gate) Validate(reported []string) error {
	titles := map[string]bool{}
	for _, c := range g.Criteria {
		switch {
		case c.Title == "":
			return errors.New("a criterion has no title")
		case titles[c.Title]:
			return fmt.Errorf("two criteria are titled %q", c.Title)
		case (c.Check == "") == (c.Attest == ""):
			return fmt.Errorf("criterion %q needs a check or a role that attests it, not both", c.Title)
		case c.Check != "" && !slices.Contains(reported, c.Check):
			return fmt.Errorf("criterion %q reads check %q, which no step that the gate needs reports", c.Title, c.Check)
		case g.Proof() && c.Attest != "":
			return fmt.Errorf("criterion %q is attested by a person, which a proof cannot be", c.Title)
		}
		titles[c.Title] = true
	}
	if len(g.Criteria) == 0 {
		return errors.New("a gate needs criteria")
	}
	if g.Proof() && g.Approve != "" {
		return errors.New("a proof has no approver")
	}
	return nil
}

// A Verifier knows who may sign for a role.
type Verifier interface {
	// Verify says who signed the statement, or why the signature does not count for the role.
	Verify(role string, statement, signature []byte) (who string, err error)
}

// CriterionState says how a criterion stands.
type CriterionState struct {
	Criterion
	Verdict  Verdict    `json:"verdict"`
	By       string     `json:"by,omitempty"`       // who attested or waived it
	Waived   string     `json:"waived,omitempty"`   // the reason, where it was waived
	Why      string     `json:"why,omitempty"`      // where it did not pass
	Evidence []Evidence `json:"evidence,omitempty"` // what was read
}

// State says how a gate or proof stands.
type State struct {
	Gate
	Verdict  Verdict          `json:"verdict"` // Pass only when nothing blocks
	Closed   bool             `json:"closed"`  // something went through it: it stands as recorded
	Criteria []CriterionState `json:"criteria"`
	By       string           `json:"by,omitempty"`      // who approved
	Refused  []string         `json:"refused,omitempty"` // statements that do not count, each with the reason
	Blocks   []Block          `json:"blocks,omitempty"`
	Request  Request          `json:"request"` // what an approver signs
}

// Block is one thing that keeps a release from going on.
type Block struct {
	Kind string `json:"kind"` // missing, failed, unknown, waiting, conflict or held
	Step string `json:"step"`
	What string `json:"what,omitempty"` // the criterion
	Why  string `json:"why"`
	Who  string `json:"who,omitempty"` // the role that can unblock it by signing
}

// Why says in one line that the gate did not pass: the first thing that blocks it, and how many more there are.
func (s State) Why() string {
	b := s.Blocks[0]
	what := b.Kind
	if b.What != "" {
		what += ": " + b.What
	}
	more := ""
	if n := len(s.Blocks) - 1; n > 0 {
		more = fmt.Sprintf(" (and %d more)", n)
	}
	return fmt.Sprintf("%s did not pass: %s: %s%s", s.ID, what, b.Why, more)
}

// Case is all that a gate is judged by.
type Case struct {
	Request    Request                       // project, version, run, plan, steps and artifacts as they are now
	Plans      []string                      // digests of all plans the run has had
	Evidence   func(check string) []Evidence // what the steps that the gate needs reported
	Statements []Statement                   // all that were made, oldest first
	Verifier   Verifier                      // nil: no signature counts
	Now        time.Time
}

// Evaluate judges the gate. It changes nothing.
func Evaluate(g Gate, c Case) State {
	s := State{Gate: g, Verdict: Pass}
	want := c.Request
	want.Gate = g.ID
	var seen []string
	for _, cr := range g.Criteria {
		cs := s.criterion(cr, c, want)
		seen = append(seen, cs.Title, cs.By, cs.Waived, digests(cs.Evidence))
		s.Criteria = append(s.Criteria, cs)
		s.Request.Criteria = append(s.Request.Criteria, cs.line())
	}
	want.Kind, want.Role, want.Evidence, want.Criteria = Approval, g.Approve, Sum(seen), s.Request.Criteria
	s.Request = want
	if g.Approve != "" {
		if _, s.By = s.find(c, want); s.By == "" && len(s.Blocks) == 0 {
			s.Blocks = append(s.Blocks, Block{Kind: "waiting", Step: g.ID, Why: "no approval counts yet", Who: g.Approve})
		}
	}
	for _, b := range s.Blocks {
		if b.Kind == "failed" {
			s.Verdict = Fail
		} else if s.Verdict == Pass {
			s.Verdict = Unknown
		}
	}
	return s
}

// Waits reports whether only people keep the gate from passing.
func (s State) Waits() bool {
	return len(s.Blocks) > 0 && !slices.ContainsFunc(s.Blocks, func(b Block) bool { return b.Kind != "waiting" })
}

// Line is the criterion's outcome as evidence of its own, for the record of the gate.
func (cs CriterionState) Line() Evidence {
	e := Evidence{Check: cs.Title, Verdict: cs.Verdict, Summary: cs.Why}
	switch {
	case cs.Waived != "":
		e.Summary = fmt.Sprintf("waived by %s: %s", cs.By, cs.Waived)
	case cs.By != "":
		e.Summary = "attested by " + cs.By
	}
	return e
}

func (cs CriterionState) line() string {
	if cs.Waived != "" {
		return fmt.Sprintf("%s: waived by %s (%s)", cs.Title, cs.By, cs.Waived)
	}
	return fmt.Sprintf("%s: %s", cs.Title, cs.Verdict)
}

// criterion judges one criterion and adds what blocks it to s.
func (s *State) criterion(cr Criterion, c Case, want Request) CriterionState {
	cs := CriterionState{Criterion: cr}
	want.Criterion = cr.Title
	block := Block{Kind: "unknown", Step: s.ID, What: cr.Title}
	if cr.Attest != "" {
		want.Kind, want.Role = Attestation, cr.Attest
		if _, cs.By = s.find(c, want); cs.By != "" {
			cs.Verdict = Pass
			return cs
		}
		cs.Why, block.Kind, block.Who = "nobody has attested it", "waiting", cr.Attest
	} else {
		cs.Evidence = c.Evidence(cr.Check)
		cs.Verdict, cs.Why = judge(cs.Evidence)
		if len(cs.Evidence) == 0 {
			block.Kind = "missing"
		} else if cs.Verdict == Fail {
			block.Kind = "failed"
		}
		if cs.Verdict == Pass {
			return cs
		}
	}
	if s.Approve != "" { // the gate's approver may waive it, for exactly what was seen
		want.Kind, want.Role, want.Artifacts, want.Evidence = Waiver, s.Approve, nil, digests(cs.Evidence)
		if r, by := s.find(c, want); by != "" {
			cs.Verdict, cs.By, cs.Waived = Pass, by, r.Reason
			return cs
		}
	}
	block.Why = cs.Why
	s.Blocks = append(s.Blocks, block)
	return cs
}

func digests(es []Evidence) string {
	var ds []string
	for _, e := range es {
		ds = append(ds, e.Digest())
	}
	slices.Sort(ds)
	return Sum(ds)
}

// judge takes the worst verdict: Fail before Unknown before Pass; nothing at all is Unknown.
func judge(es []Evidence) (verdict Verdict, why string) {
	if len(es) == 0 {
		return Unknown, "the check has not reported"
	}
	verdict = Pass
	for _, e := range es {
		if e.Verdict == Fail && verdict != Fail || e.Verdict == Unknown && verdict == Pass {
			verdict = e.Verdict
			if why = e.Summary; why == "" {
				why = fmt.Sprintf("expected %s, found %s", e.Expected, e.Found)
			}
		}
	}
	return verdict, why
}
