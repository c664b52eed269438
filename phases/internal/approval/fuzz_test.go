package approval

import (
	"bytes"
	"crypto/ed25519"
	"errors"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// sentinels are all that Verify and NewVerifier may wrap.
var sentinels = []error{ErrMalformed, ErrNamespace, ErrMismatch, ErrNotApprover, ErrNoApprovers, ErrUnsupported}

func isSentinel(err error) bool {
	for _, s := range sentinels {
		if errors.Is(err, s) {
			return true
		}
	}
	return false
}

// FuzzVerify throws bytes at Verify. None but the signature that was made may pass, however it is wrapped, and what
// is said of them can be printed.
func FuzzVerify(f *testing.F) {
	key := signerOf(f, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize)))
	v := newVerifier(f, map[string][]string{"owner": {line(key.PublicKey(), "")}})
	good := mustSign(f, key)
	wire, err := unarmour(good)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good)
	f.Add(bytes.ReplaceAll(good, []byte("\n"), []byte("\r\n")))
	f.Add(append(bytes.Clone(good), good...))
	f.Add(good[:len(good)/2])
	f.Add([]byte(armourBegin + armourEnd))
	f.Add(armour(forge{key: key, namespace: "file"}.wire(f)))
	f.Add(armour(forge{key: key, reserved: "x", rest: []byte("y")}.wire(f)))
	f.Add(wire)
	f.Fuzz(func(t *testing.T, signature []byte) {
		// Raw bytes seldom are base64, so they are tried as what the armour holds, too.
		for _, try := range [][]byte{signature, armour(signature)} {
			who, err := v.Verify("owner", []byte(statement), try)
			if err == nil {
				if got, err := unarmour(try); err != nil || !bytes.Equal(got, wire) || who != Fingerprint(key.PublicKey()) {
					t.Errorf("another signature passes, as of %q: %q", who, try)
				}
				continue
			}
			if !isSentinel(err) || who != "" {
				t.Errorf("Verify = %q, %v", who, err)
			}
			fitToPrint(t, err.Error())
		}
	})
}

// FuzzKeyLine throws text at the reader of public keys. What it takes, OpenSSH's reader in x/crypto takes for the
// same key, and what it says can be printed.
func FuzzKeyLine(f *testing.F) {
	key := signerOf(f, ed25519.NewKeyFromSeed(bytes.Repeat([]byte{7}, ed25519.SeedSize))).PublicKey()
	security := touchKey{key: ed25519.NewKeyFromSeed(bytes.Repeat([]byte{8}, ed25519.SeedSize))}.PublicKey()
	f.Add(line(key, "alice"))
	f.Add(line(security, ""))
	f.Add("no-pty " + line(key, ""))
	f.Add(line(newKey(f, "ecdsa521").PublicKey(), ""))
	f.Add(line(newKey(f, "rsa2048").PublicKey(), ""))
	f.Add("ssh-ed25519")
	f.Add("-----BEGIN OPENSSH PRIVATE KEY-----")
	f.Fuzz(func(t *testing.T, text string) {
		v, err := NewVerifier(map[string][]string{"owner": {text}})
		if err != nil {
			if !isSentinel(err) || v != nil {
				t.Errorf("NewVerifier = %v, %v", v, err)
			}
			fitToPrint(t, err.Error())
			return
		}
		who := v.Approvers("owner")[0]
		fitToPrint(t, who)
		read, _, options, rest, err := ssh.ParseAuthorizedKey([]byte(strings.TrimSpace(text)))
		if err != nil || len(options) > 0 || len(rest) > 0 {
			t.Fatalf("x/crypto reads %q otherwise: options %q, rest %q, %v", text, options, rest, err)
		}
		if !strings.HasSuffix(who, Fingerprint(read)) && !strings.HasSuffix(who, "("+Fingerprint(read)+")") {
			t.Errorf("%q is read as %q, and by x/crypto as %s", text, who, Fingerprint(read))
		}
	})
}
