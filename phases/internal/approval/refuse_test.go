package approval

import (
	"bytes"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha512"
	"encoding/pem"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// forge makes a signature by hand, with every field free, so that what an attacker can write can be tried.
type forge struct {
	key       ssh.AlgorithmSigner
	public    []byte // the key that the signature names; the key's own if nil
	algorithm string
	format    string // what the signature says its algorithm is, if not the truth
	namespace string
	signedFor string // the namespace that is signed, if not the one that is written
	reserved  string
	hash      string
	rest      []byte // after the inner signature
	tail      []byte // after the outer one
	version   uint32
	magic     string
}

type wireSignature struct {
	Magic     [6]byte
	Version   uint32
	PublicKey []byte
	Namespace string
	Reserved  string
	Hash      string
	Signature []byte
}

func (f forge) wire(t testing.TB) []byte {
	t.Helper()
	or := func(s, otherwise string) string {
		if s == "" {
			return otherwise
		}
		return s
	}
	f.namespace = or(f.namespace, Namespace)
	f.hash = or(f.hash, "sha512")
	f.algorithm = or(f.algorithm, f.key.PublicKey().Type())
	if f.public == nil {
		f.public = f.key.PublicKey().Marshal()
	}
	if f.version == 0 {
		f.version = 1
	}
	sum := sha512.Sum512([]byte(statement))
	data := append([]byte("SSHSIG"), ssh.Marshal(struct{ Namespace, Reserved, Hash, Sum string }{
		or(f.signedFor, f.namespace), "", f.hash, string(sum[:]),
	})...)
	inner, err := f.key.SignWithAlgorithm(rand.Reader, data, f.algorithm)
	if err != nil {
		t.Fatal(err)
	}
	inner.Format = or(f.format, inner.Format)
	inner.Rest = append(inner.Rest, f.rest...)
	outer := wireSignature{
		Version: f.version, PublicKey: f.public, Namespace: f.namespace, Reserved: f.reserved, Hash: f.hash, Signature: ssh.Marshal(inner),
	}
	copy(outer.Magic[:], or(f.magic, "SSHSIG"))
	return append(ssh.Marshal(outer), f.tail...)
}

func armour(wire []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: "SSH SIGNATURE", Bytes: wire})
}

func TestRefusals(t *testing.T) {
	ed, ec, rs := newKey(t, "ed25519"), newKey(t, "ecdsa256"), newKey(t, "rsa2048")
	foreign, owner := newKey(t, "ed25519"), newKey(t, "ed25519")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &ssh.Certificate{Key: rs.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, ed); err != nil {
		t.Fatal(err)
	}
	v := newVerifier(t, map[string][]string{
		"manager": {line(ed.PublicKey(), "alice"), line(ec.PublicKey(), ""), line(rs.PublicKey(), "")},
		"owner":   {line(owner.PublicKey(), "")},
		"nobody":  {},
	})
	good := string(armour(forge{key: ed}.wire(t)))
	if _, err := v.Verify("manager", []byte(statement), []byte(good)); err != nil {
		t.Fatalf("a good one made by hand: %v", err)
	}
	body := strings.TrimSuffix(strings.TrimPrefix(good, armourBegin+"\n"), armourEnd+"\n")
	made := func(f forge) string { return string(armour(f.wire(t))) }

	for name, c := range map[string]struct {
		role, statement, signature string
		want                       error
		words                      []string
	}{
		"changed byte":              {"", strings.Replace(statement, "0f1e", "0f1f", 1), good, ErrMismatch, []string{"alice", "changed after"}},
		"truncated statement":       {"", statement[:len(statement)-1], good, ErrMismatch, nil},
		"longer statement":          {"", statement + "\n", good, ErrMismatch, nil},
		"empty statement":           {"", "", good, ErrMismatch, nil},
		"line ends converted":       {"", strings.ReplaceAll(statement, "\n", "\r\n"), good, ErrMismatch, []string{"line ends"}},
		"foreign key":               {"", statement, made(forge{key: foreign}), ErrNotApprover, []string{Fingerprint(foreign.PublicKey()), `role "manager"`}},
		"other role's key":          {"", statement, made(forge{key: owner}), ErrNotApprover, []string{Fingerprint(owner.PublicKey()), `it is one for "owner"`}},
		"other key named":           {"", statement, made(forge{key: foreign, public: ed.PublicKey().Marshal()}), ErrMismatch, nil},
		"role without keys":         {"nobody", statement, good, ErrNoApprovers, []string{`"nobody"`, "release.yaml"}},
		"unknown role":              {"\x1b[31mno", statement, good, ErrNoApprovers, nil},
		"wrong namespace":           {"", statement, made(forge{key: ed, namespace: "file"}), ErrNamespace, []string{`"file"`, "-n slipway-approval"}},
		"namespace with a tail":     {"", statement, made(forge{key: ed, namespace: Namespace + "\x00"}), ErrNamespace, nil},
		"namespace changed after":   {"", statement, made(forge{key: ed, signedFor: "file"}), ErrMismatch, nil},
		"reserved field filled":     {"", statement, made(forge{key: ed, reserved: "x"}), ErrMalformed, []string{"reserved"}},
		"bytes after inner":         {"", statement, made(forge{key: ed, rest: []byte("x")}), ErrMalformed, []string{"left over"}},
		"bytes after inner, rsa":    {"", statement, made(forge{key: rs, algorithm: ssh.KeyAlgoRSASHA512, rest: []byte("x")}), ErrMalformed, []string{"left over"}},
		"bytes after outer":         {"", statement, made(forge{key: ed, tail: []byte("x")}), ErrMalformed, nil},
		"other version":             {"", statement, made(forge{key: ed, version: 2}), ErrUnsupported, []string{"version 2"}},
		"other magic":               {"", statement, made(forge{key: ed, magic: "SSHSIH"}), ErrMalformed, nil},
		"SHA-1 rsa":                 {"", statement, made(forge{key: rs, algorithm: ssh.KeyAlgoRSA}), ErrUnsupported, []string{"SHA-1"}},
		"SHA-1 rsa said to be 512":  {"", statement, made(forge{key: rs, algorithm: ssh.KeyAlgoRSA, format: ssh.KeyAlgoRSASHA512}), ErrMismatch, nil},
		"SHA-1 rsa in certificate":  {"", statement, made(forge{key: rs, algorithm: ssh.KeyAlgoRSA, public: certificate.Marshal()}), ErrUnsupported, []string{"certificates"}},
		"certificate":               {"", statement, made(forge{key: rs, algorithm: ssh.KeyAlgoRSASHA512, public: certificate.Marshal()}), ErrUnsupported, []string{"plain key"}},
		"small rsa":                 {"", statement, made(forge{key: signerOf(t, small), algorithm: ssh.KeyAlgoRSASHA512}), ErrUnsupported, []string{"1024 bits", "2048"}},
		"dsa":                       {"", statement, made(forge{key: ed, public: dsaKey}), ErrUnsupported, []string{"DSA"}},
		"unknown kind of key":       {"", statement, made(forge{key: ed, public: ssh.Marshal(struct{ K, V string }{"\x1b[2Jkey", "x"})}), ErrUnsupported, []string{`\x1b[2Jkey`}},
		"key cut off":               {"", statement, made(forge{key: ed, public: ed.PublicKey().Marshal()[:30]}), ErrMalformed, []string{"key"}},
		"no key":                    {"", statement, made(forge{key: ed, public: []byte{}}), ErrMalformed, []string{"key"}},
		"algorithm of another kind": {"", statement, made(forge{key: ec, format: ssh.KeyAlgoED25519}), ErrUnsupported, []string{"does not belong"}},
		"algorithm of another size": {"", statement, made(forge{key: ec, format: ssh.KeyAlgoECDSA384}), ErrUnsupported, nil},
		"hash md5":                  {"", statement, made(forge{key: ed, hash: "md5"}), ErrUnsupported, []string{"md5"}},
		"hash renamed":              {"", statement, made(forge{key: ed, hash: "sha256"}), ErrMismatch, nil}, // 64 bytes said to be SHA-256
		"empty":                     {"", statement, "", ErrMalformed, []string{"empty"}},
		"only white space":          {"", statement, " \n", ErrMalformed, []string{"empty"}},
		"oversized":                 {"", statement, good + strings.Repeat("\n", maxSignature), ErrMalformed, []string{"65536"}},
		"oversized within":          {"", statement, made(forge{key: ed, namespace: strings.Repeat("n", maxSignature)}), ErrMalformed, []string{"65536"}},
		"the statement itself":      {"", statement, statement, ErrMalformed, []string{"not an SSH signature"}},
		"a PGP signature":           {"", statement, strings.ReplaceAll(good, "SSH", "PGP"), ErrMalformed, []string{"must begin with"}},
		"text before":               {"", statement, "x\n" + good, ErrMalformed, []string{"must begin with"}},
		"trailing garbage":          {"", statement, good + "x", ErrMalformed, []string{"follows"}},
		"second signature":          {"", statement, good + good, ErrMalformed, []string{"follows"}},
		"PEM headers":               {"", statement, strings.Replace(good, "\n", "\nA: b\n\n", 1), ErrMalformed, nil},
		"no body":                   {"", statement, armourBegin + "\n" + armourEnd, ErrMalformed, nil},
		"truncated within":          {"", statement, armourBegin + "\n" + body[:len(body)/2] + "\n" + armourEnd, ErrMalformed, nil},
		"no END line":               {"", statement, armourBegin + "\n" + body, ErrMalformed, []string{"cut off"}},
		"base64 with spare bits":    {"", statement, spareBits(t, made(forge{key: rs, algorithm: ssh.KeyAlgoRSASHA512})), ErrMalformed, []string{"base64"}},
		"base64 padded twice":       {"", statement, strings.Replace(good, body, strings.TrimSpace(body)+"====\n", 1), ErrMalformed, []string{"base64"}},
	} {
		t.Run(name, func(t *testing.T) {
			role := "manager"
			if c.role != "" {
				role = c.role
			}
			who, err := v.Verify(role, []byte(c.statement), []byte(c.signature))
			if err == nil || who != "" {
				t.Fatalf("Verify = %q, %v, want a refusal", who, err)
			}
			refused(t, err, c.want, c.words...)
			fitToPrint(t, err.Error())
		})
	}
}

// spareBits spells the same bytes in another base64, by the bits of the last letter that stand for nothing.
func spareBits(t *testing.T, text string) string {
	t.Helper()
	n := strings.IndexByte(text, '=') - 1
	if n < 0 {
		t.Fatal("this base64 has no spare bits")
	}
	return text[:n] + string(text[n]+1) + text[n+1:]
}

// fitToPrint fails for text that could do harm on a terminal, or fill one.
func fitToPrint(t testing.TB, text string) {
	t.Helper()
	if printable(text, 2000) != strings.ReplaceAll(text, "\n", " ") {
		t.Errorf("not fit to print: %q", text)
	}
}

// dsaKey is a DSA key as far as it is read: its kind.
var dsaKey = ssh.Marshal(struct{ Kind, P, Q, G, Y string }{"ssh-dss", "p", "q", "g", "y"})

// TestEveryBit flips each bit of a signature, and cuts and lengthens it everywhere: none may pass.
func TestEveryBit(t *testing.T) {
	for kind, algorithm := range map[string]string{"ed25519": "", "ecdsa256": "", "rsa2048": ssh.KeyAlgoRSASHA512} {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			key := newKey(t, kind)
			v := newVerifier(t, map[string][]string{"owner": {line(key.PublicKey(), "")}})
			passes := func(wire []byte) bool {
				_, err := v.Verify("owner", []byte(statement), armour(wire))
				return err == nil
			}
			wire := forge{key: key, algorithm: algorithm}.wire(t)
			if !passes(wire) {
				t.Fatal("the good one does not pass")
			}
			for bit := range len(wire) * 8 {
				wire[bit/8] ^= 1 << (bit % 8)
				if passes(wire) {
					t.Errorf("passes with bit %d flipped", bit)
				}
				wire[bit/8] ^= 1 << (bit % 8)
			}
			for n := range len(wire) {
				if passes(wire[:n]) {
					t.Errorf("passes when cut to %d of %d bytes", n, len(wire))
				}
				longer := append(append(bytes.Clone(wire[:n]), 0), wire[n:]...)
				if passes(longer) {
					t.Errorf("passes with a zero put in at %d", n)
				}
			}
			text := armour(wire)
			for n := range len(text) - 1 { // but the last line's end
				if _, err := v.Verify("owner", []byte(statement), text[:n]); !errors.Is(err, ErrMalformed) {
					t.Errorf("the armour cut to %d of %d bytes: %v", n, len(text), err)
				}
			}
			for n := range len(statement) {
				if _, err := v.Verify("owner", []byte(statement)[:n], text); !errors.Is(err, ErrMismatch) {
					t.Errorf("the statement cut to %d bytes: %v", n, err)
				}
			}
		})
	}
}
