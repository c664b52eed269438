// Package approval signs and verifies what people say about a release: approvals, attestations and waivers.
//
// A statement is a sequence of bytes (what gate.Request.Bytes returns), a signature of it an armoured SSHSIG (OpenSSH,
// PROTOCOL.sshsig version 1) in the namespace [Namespace], so that
//
//	ssh-keygen -Y sign -n slipway-approval -f KEY STATEMENT
//
// makes one as good as [Sign] does, and "ssh-keygen -Y verify" checks both. Who may speak in which role is given to
// [NewVerifier] as lines of public keys. Nothing is taken from a signature but the answer to one question: did a key
// listed for this role sign exactly these bytes, for this purpose?
//
// The SSHSIG library is lenient where one question needs one answer, so [Verifier.Verify] is stricter than it, and in
// places than ssh-keygen: see parse for the armour and the fields nothing signs, and parseKey for the kinds of keys.
//
// A signature binds the bytes alone. That a statement is an approval and not a waiver, and for which gate and role,
// has to stand in the statement: a person with two roles may have one key for both.
package approval

import (
	"errors"
	"fmt"
	"strconv"
	"strings"
	"unicode"

	"golang.org/x/crypto/ssh"
)

// Namespace is what every statement is signed for. A signature made for anything else (a commit, a file) is refused.
const Namespace = "slipway-approval"

// What can be wrong. Every error about a signature, a key or an agent wraps one of these (errors.Is), and its text
// says what a person can do about it.
var (
	ErrMalformed   = errors.New("not an SSH signature or public key, or a damaged one")
	ErrNamespace   = errors.New("the signature was made for another purpose")
	ErrMismatch    = errors.New("the signature does not match the statement")
	ErrNotApprover = errors.New("the key is not an approver for the role")
	ErrNoApprovers = errors.New("the role has no approver keys")
	ErrUnsupported = errors.New("the kind of key or signature is not accepted")
	ErrKeyFile     = errors.New("the private key cannot be read")
	ErrPassphrase  = errors.New("the passphrase is missing or wrong")
	ErrAgent       = errors.New("no ssh-agent that can sign")
)

// Fingerprint names a key the way ssh-keygen -l does: "SHA256:" and unpadded base64 of the digest of its wire format.
func Fingerprint(key ssh.PublicKey) string { return ssh.FingerprintSHA256(key) }

// A refusal carries a sentinel for programs and a sentence for people.
type refusal struct {
	kind error
	text string
}

func (r *refusal) Error() string { return r.text }
func (r *refusal) Unwrap() error { return r.kind }

func refuse(kind error, format string, args ...any) error {
	return &refusal{kind: kind, text: fmt.Sprintf(format, args...)}
}

// quote shows a word that somebody else chose: short, in ASCII, and nothing in it can move a cursor.
func quote(word string) string {
	const most = 40
	if len(word) > most {
		return strconv.QuoteToASCII(word[:most]) + "..."
	}
	return strconv.QuoteToASCII(word)
}

// printable makes one short line of text that somebody else wrote: no control or invisible characters, at most that many others.
func printable(text string, most int) string {
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) || r == unicode.ReplacementChar {
			return ' '
		}
		return r
	}, text)
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > most {
		return string(runes[:most-1]) + "…"
	}
	return string(runes)
}
