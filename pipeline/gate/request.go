package gate

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

// The kinds of request.
const (
	Approval    = "approval"    // of a gate
	Attestation = "attestation" // of a criterion that a person answers
	Waiver      = "waiver"      // of a criterion that did not pass
)

// Request is what a person signs: it names everything that the signature depends on, by digest.
type Request struct {
	Kind      string            `json:"kind"`
	Project   string            `json:"project"`
	Version   string            `json:"version"`
	Run       string            `json:"run"`   // the run's ID
	Plan      string            `json:"plan"`  // digest
	Steps     string            `json:"steps"` // digest of the Specs of the gate and of all steps upstream of it
	Gate      string            `json:"gate"`
	Role      string            `json:"role"`                // who may sign
	Criterion string            `json:"criterion,omitempty"` // title; of an attestation or waiver
	Reason    string            `json:"reason,omitempty"`    // of a waiver
	Expires   time.Time         `json:"expires,omitzero"`    // of a waiver
	Evidence  string            `json:"evidence,omitempty"`  // digest; of a waiver, that of the criterion's evidence
	Criteria  []string          `json:"criteria,omitempty"`  // of an approval: each with how it was met
	Artifacts map[string]string `json:"artifacts,omitempty"` // name to SHA-256
}

// Statement is a signed request.
type Statement struct {
	Signed    []byte `json:"signed"`    // the exact bytes
	Signature []byte `json:"signature"` // as the Verifier understands it
}

// Bytes is the text that is signed: indented JSON with a final newline.
func (r Request) Bytes() []byte {
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(r); err != nil {
		panic(err) // strings and a time in range always encode
	}
	return b.Bytes()
}

// ParseRequest reads what [Request.Bytes] wrote, and nothing else.
func ParseRequest(b []byte) (Request, error) {
	var r Request
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("cannot read the request: it is damaged or cut short: %w", err)
	}
	if !bytes.Equal(r.Bytes(), b) {
		return r, errors.New("cannot read the request: it is not in the form that was written")
	}
	return r, nil
}

// Waived returns the request that waives a criterion which did not pass, for exactly what was seen.
func (s State) Waived(cs CriterionState, reason string, expires time.Time) Request {
	r := s.Request
	r.Kind, r.Criterion, r.Reason, r.Expires = Waiver, cs.Title, reason, expires.UTC().Truncate(time.Second)
	r.Evidence, r.Artifacts, r.Criteria = digests(cs.Evidence), nil, nil
	return r
}

// Attested returns the request that attests a criterion.
func (s State) Attested(cs CriterionState) Request {
	r := s.Request
	r.Kind, r.Criterion, r.Role, r.Evidence, r.Criteria = Attestation, cs.Title, cs.Attest, "", nil
	return r
}

// find returns the newest statement that equals want and counts. Those about the same thing that do not count are
// noted in s.Refused.
func (s *State) find(c Case, want Request) (Request, string) {
	for _, st := range slices.Backward(c.Statements) {
		got, err := ParseRequest(st.Signed)
		if err == nil && (got.Gate != want.Gate || got.Kind != want.Kind || got.Criterion != want.Criterion) {
			continue
		}
		if err == nil {
			err = got.Matches(want, c.Plans, c.Now)
		}
		if err == nil && c.Verifier == nil {
			err = errors.New("no approvers are known")
		}
		if err == nil {
			var who string
			if who, err = c.Verifier.Verify(want.Role, st.Signed, st.Signature); err == nil {
				return got, who
			}
		}
		note := fmt.Sprintf("%s of %s does not count: %v", want.Kind, want.Gate, err)
		if !slices.Contains(s.Refused, note) {
			s.Refused = append(s.Refused, note)
		}
	}
	return Request{}, ""
}

// Matches says in which way a signed request is not about what there is now. Of its plan it is enough that the run
// once had it, since Steps covers the part of the plan that the gate depends on.
func (r Request) Matches(want Request, plans []string, now time.Time) error {
	for _, f := range []struct{ name, got, want string }{
		{"kind", r.Kind, want.Kind},
		{"project", r.Project, want.Project},
		{"version", r.Version, want.Version},
		{"run", r.Run, want.Run},
		{"gate", r.Gate, want.Gate},
		{"criterion", r.Criterion, want.Criterion},
		{"role", r.Role, want.Role},
	} {
		if f.got != f.want {
			return fmt.Errorf("it was signed for %s %q, this is %q", f.name, f.got, f.want)
		}
	}
	switch {
	case !slices.Contains(plans, r.Plan):
		return errors.New("it was signed for a plan that this run never had")
	case r.Steps != want.Steps:
		return errors.New("the plan up to the gate has changed since it was signed")
	case r.Kind == Waiver && (r.Reason == "" || r.Expires.IsZero()):
		return errors.New("a waiver needs a reason and an expiry")
	case r.Kind == Waiver && !now.Before(r.Expires):
		return fmt.Errorf("it expired on %s", r.Expires.Format(time.DateOnly))
	}
	for _, name := range slices.Sorted(maps.Keys(want.Artifacts)) {
		if r.Artifacts[name] != want.Artifacts[name] {
			return fmt.Errorf("artifact %q has changed since it was signed", name)
		}
	}
	if r.Evidence != want.Evidence || len(r.Artifacts) != len(want.Artifacts) || !slices.Equal(r.Criteria, want.Criteria) {
		return errors.New("the evidence has changed since it was signed")
	}
	return nil
}
