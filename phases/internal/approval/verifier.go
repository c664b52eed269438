package approval

import (
	"encoding/base64"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"golang.org/x/crypto/ssh"
)

// maxLine bounds a line with a public key, in bytes. With RSA of 16,384 bits it has less than 3 KiB, the comment aside.
const maxLine = 8 << 10

// A Verifier knows who may speak in which role. It never changes, so it can be shared.
type Verifier struct {
	roles map[string][]approver
}

type approver struct {
	wire string // the key in wire format, which identifies it
	who  string
}

// NewVerifier reads each role's keys, in lines as ssh-keygen writes them to a .pub file: "ssh-ed25519 AAAA... name".
// Options, certificates, weak keys and one key listed twice in a role are errors. All errors are reported at once, by
// role and by entry counted from 1, and none shows what was pasted by mistake. A role may be empty: then nobody has it.
func NewVerifier(approvers map[string][]string) (*Verifier, error) {
	v := &Verifier{roles: make(map[string][]approver, len(approvers))}
	var wrong []error
	for _, role := range slices.Sorted(maps.Keys(approvers)) {
		for i, line := range approvers[role] {
			entry, err := parseLine(line)
			if err == nil {
				if first := slices.IndexFunc(v.roles[role], func(a approver) bool { return a.wire == entry.wire }); first >= 0 {
					err = fmt.Errorf("%s is listed already", v.roles[role][first].who)
				}
			}
			if err != nil {
				wrong = append(wrong, fmt.Errorf("approvers of %s, key %d: %w", quote(role), i+1, err))
				continue
			}
			v.roles[role] = append(v.roles[role], entry)
		}
	}
	if len(wrong) > 0 {
		return nil, errors.Join(wrong...)
	}
	return v, nil
}

// parseLine reads "KIND BASE64 [COMMENT]".
func parseLine(line string) (approver, error) {
	line = strings.TrimSpace(line)
	switch {
	case line == "":
		return approver{}, refuse(ErrMalformed, "it is empty")
	case strings.HasPrefix(line, "-----BEGIN "):
		return approver{}, refuse(ErrMalformed, "this is not a line of a .pub file; if it is a private key, take it out of here and replace that key everywhere")
	case len(line) > maxLine:
		return approver{}, refuse(ErrMalformed, "it has %d bytes, and no key has more than %d", len(line), maxLine)
	case strings.ContainsAny(line, "\r\n"):
		return approver{}, refuse(ErrMalformed, "it holds more than one line: give each key its own entry")
	}
	fields := strings.FieldsFunc(line, func(r rune) bool { return r == ' ' || r == '\t' })
	kind := fields[0]
	if _, ok := formats[kind]; !ok {
		for _, later := range fields[1:] {
			if _, ok := formats[later]; ok {
				return approver{}, refuse(ErrMalformed, "something stands before %q: write the kind of key first and a name last; options are not understood", later)
			}
		}
		if strings.HasPrefix(kind, "ssh-") || strings.HasPrefix(kind, "ecdsa-") || strings.HasPrefix(kind, "sk-") {
			return approver{}, unsupportedKind(kind)
		}
		return approver{}, refuse(ErrMalformed, "it begins with %s, which is no kind of key: paste the line of the .pub file", quote(kind))
	}
	if len(fields) < 2 {
		return approver{}, refuse(ErrMalformed, "nothing follows %q: paste the whole line of the .pub file", kind)
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(fields[1])
	if err != nil {
		return approver{}, refuse(ErrMalformed, "the base64 after %q is broken: paste the whole line of the .pub file", kind)
	}
	key, err := parseKey(wire)
	if err != nil {
		return approver{}, err
	}
	if key.Type() != kind {
		return approver{}, refuse(ErrMalformed, "it says %q and holds a key of kind %q", kind, key.Type())
	}
	who := Fingerprint(key)
	const longest = 64
	if name := printable(strings.Join(fields[2:], " "), longest); name != "" {
		who = name + " (" + who + ")"
	}
	return approver{wire: string(wire), who: who}, nil
}

// Approvers names the people of a role, in the order in which they are listed, the way Verify does.
func (v *Verifier) Approvers(role string) []string {
	var names []string
	for _, a := range v.roles[role] {
		names = append(names, a.who)
	}
	return names
}

// Verify says who made the signature: "name (SHA256:...)", or the fingerprint where the key is listed without a name.
// It is an error unless the signature is sound (ErrMalformed, ErrUnsupported), made for [Namespace] (ErrNamespace) by a
// key of the role (ErrNoApprovers, ErrNotApprover) over exactly these bytes (ErrMismatch).
func (v *Verifier) Verify(role string, statement, signature []byte) (string, error) {
	if len(v.roles[role]) == 0 {
		return "", noApprovers(role)
	}
	sig, err := parse(signature)
	if err != nil {
		return "", err
	}
	who, ok := v.find(role, sig.PublicKey)
	if !ok {
		return "", refuse(ErrNotApprover, "key %s is not an approver for role %s%s",
			Fingerprint(sig.PublicKey), quote(role), v.elsewhere(sig.PublicKey))
	}
	if !matches(statement, sig) {
		return "", refuse(ErrMismatch, "the signature of %s does not match the statement: "+
			"it changed after it was signed (if only in its line ends), or the signature belongs to another one", who)
	}
	return who, nil
}

// Pick returns the first signer whose key is an approver for the role. With none, the error (ErrNotApprover or
// ErrNoApprovers) names what was offered and what would do.
func (v *Verifier) Pick(role string, signers []ssh.Signer) (ssh.Signer, error) {
	if len(v.roles[role]) == 0 {
		return nil, noApprovers(role)
	}
	var offered []string
	for _, s := range signers {
		key := s.PublicKey()
		if _, ok := v.find(role, key); ok {
			return s, nil
		}
		offered = append(offered, Fingerprint(key)+v.elsewhere(key))
	}
	if len(offered) == 0 {
		offered = []string{"none"}
	}
	return nil, refuse(ErrNotApprover, "no key here is an approver for role %s: offered %s; needed %s",
		quote(role), strings.Join(offered, ", "), strings.Join(v.Approvers(role), " or "))
}

func (v *Verifier) find(role string, key ssh.PublicKey) (who string, ok bool) {
	wire := string(key.Marshal())
	for _, a := range v.roles[role] {
		if a.wire == wire {
			return a.who, true
		}
	}
	return "", false
}

// elsewhere tells for which roles the key would be an approver, as the end of a sentence.
func (v *Verifier) elsewhere(key ssh.PublicKey) string {
	var roles []string
	for _, role := range slices.Sorted(maps.Keys(v.roles)) {
		if _, ok := v.find(role, key); ok {
			roles = append(roles, quote(role))
		}
	}
	if len(roles) == 0 {
		return ""
	}
	return " (it is one for " + strings.Join(roles, ", ") + ")"
}

func noApprovers(role string) error {
	return refuse(ErrNoApprovers, "no key is listed for role %s: add one under approvers in release.yaml", quote(role))
}
