package approval

import (
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/base64"
	"encoding/hex"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

func TestKeyLines(t *testing.T) {
	ed, rs := newKey(t, "ed25519").PublicKey(), newKey(t, "rsa2048").PublicKey()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	certificate := &ssh.Certificate{Key: ed, CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, newKey(t, "ed25519")); err != nil {
		t.Fatal(err)
	}
	good := line(ed, "")
	_, data, _ := strings.Cut(good, " ")
	wire := ed.Marshal()

	for name, c := range map[string]struct {
		line  string
		want  error // nil: accepted
		words []string
	}{
		"plain":                 {good, nil, []string{Fingerprint(ed)}},
		"with a name":           {good + " alice", nil, []string{"alice (SHA256:"}},
		"with words":            {good + "  Alice \t Example", nil, []string{"Alice Example (SHA256:"}},
		"with a tab":            {"ssh-ed25519\t" + data + "\talice", nil, []string{"alice ("}},
		"line end of a file":    {good + " alice\r\n", nil, []string{"alice ("}},
		"escape in the name":    {good + " \x1b[31malice\a\x7f", nil, []string{"[31malice (SHA256:"}},
		"right-to-left in name": {good + " al\u202eice", nil, []string{"al ice ("}},
		"name not UTF-8":        {good + " al\xff\xfeice", nil, []string{"al ice ("}},
		"long name":             {good + " " + strings.Repeat("é", 1000), nil, []string{strings.Repeat("é", 63) + "… (SHA256:"}},
		"name of blanks":        {good + " \u200b\u2028", nil, []string{Fingerprint(ed)}},
		"empty":                 {" ", ErrMalformed, []string{"empty"}},
		"two lines":             {good + "\n" + line(rs, ""), ErrMalformed, []string{"more than one line"}},
		"two lines, CR":         {good + " a\r" + line(rs, ""), ErrMalformed, []string{"more than one line"}},
		"private key":           {"-----BEGIN OPENSSH PRIVATE KEY-----\nc2VjcmV0\n", ErrMalformed, []string{"private key"}},
		"path":                  {"~/.ssh/id_ed25519.pub", ErrMalformed, []string{"paste"}},
		"control characters":    {"\x1b]0;x\a " + data, ErrMalformed, []string{`\x1b]0;x\a`}},
		"comment line":          {"# " + data, ErrMalformed, []string{`"#"`}},
		"options":               {"no-pty " + good, ErrMalformed, []string{"options are not understood"}},
		"quoted options":        {`command="a b",no-pty ` + good, ErrMalformed, []string{"options are not understood"}},
		"allowed_signers":       {"alice@example.org " + good, ErrMalformed, []string{"name last"}},
		"kind alone":            {"ssh-ed25519", ErrMalformed, []string{"whole line"}},
		"base64 broken":         {"ssh-ed25519 " + data[:20] + "*" + data[21:], ErrMalformed, []string{"base64"}},
		"base64 cut":            {"ssh-ed25519 " + data[:len(data)-5], ErrMalformed, nil},
		"base64 cut at a word":  {"ssh-ed25519 " + data[:len(data)-8], ErrMalformed, []string{"damaged"}},
		"base64 with spare":     {spareBits(t, line(newKey(t, "ecdsa256").PublicKey(), "")), ErrMalformed, []string{"base64"}},
		"bytes after the key":   {"ssh-ed25519 " + base64.StdEncoding.EncodeToString(append(wire, 0)), ErrMalformed, []string{"damaged"}},
		"other kind inside":     {"ssh-ed25519 " + base64.StdEncoding.EncodeToString(rs.Marshal()), ErrMalformed, []string{`"ssh-rsa"`}},
		"sha2 as a kind":        {"rsa-sha2-512 " + base64.StdEncoding.EncodeToString(rs.Marshal()), ErrMalformed, []string{"no kind of key"}},
		"small rsa":             {line(signerOf(t, small).PublicKey(), ""), ErrUnsupported, []string{"1024 bits"}},
		"rsa in other spelling": {"ssh-rsa " + base64.StdEncoding.EncodeToString(otherSpelling(t, rs)), ErrMalformed, nil},
		"dsa":                   {"ssh-dss " + base64.StdEncoding.EncodeToString(dsaKey), ErrUnsupported, []string{"DSA"}},
		"certificate":           {line(certificate, ""), ErrUnsupported, []string{"certificates", "plain key"}},
		"unknown kind":          {"ssh-future@example.org " + data, ErrUnsupported, []string{"ssh-future@example.org"}},
		"long":                  {good + strings.Repeat("x", maxLine), ErrMalformed, []string{"8192"}},
	} {
		t.Run(name, func(t *testing.T) {
			v, err := NewVerifier(map[string][]string{"owner": {c.line}})
			if c.want == nil {
				if err != nil {
					t.Fatal(err)
				}
				who := v.Approvers("owner")[0]
				fitToPrint(t, who)
				for _, word := range c.words {
					if !strings.HasPrefix(who, word) {
						t.Errorf("the approver is %q, want %q", who, word)
					}
				}
				return
			}
			if v != nil {
				t.Error("a verifier came with an error")
			}
			refused(t, err, c.want, append(c.words, `approvers of "owner", key 1: `)...)
			fitToPrint(t, err.Error())
			if strings.Contains(err.Error(), "c2VjcmV0") {
				t.Errorf("the error shows the key: %v", err)
			}
		})
	}
}

// otherSpelling writes an RSA key with a zero too many before its modulus.
func otherSpelling(t *testing.T, key ssh.PublicKey) []byte {
	t.Helper()
	var k struct{ Kind, E, N string }
	if err := ssh.Unmarshal(key.Marshal(), &k); err != nil {
		t.Fatal(err)
	}
	k.N = "\x00" + k.N
	return ssh.Marshal(k)
}

// TestKeyListErrors wants all errors of a list at once, and one key once in a role.
func TestKeyListErrors(t *testing.T) {
	key := newKey(t, "ed25519").PublicKey()
	_, err := NewVerifier(map[string][]string{
		"b": {line(key, "alice"), "x", line(key, "again")},
		"a": {line(key, "alice"), ""},
	})
	if err == nil {
		t.Fatal("accepted")
	}
	want := `approvers of "a", key 2: it is empty
approvers of "b", key 2: it begins with "x", which is no kind of key: paste the line of the .pub file
approvers of "b", key 3: alice (` + Fingerprint(key) + `) is listed already`
	if err.Error() != want {
		t.Errorf("error is\n%v\nwant\n%s", err, want)
	}
	if _, err := NewVerifier(nil); err != nil {
		t.Errorf("no roles: %v", err)
	}
}

// TestPlaceholderKeys shows for each key of small order that anybody can sign for it, and that it cannot be listed.
func TestPlaceholderKeys(t *testing.T) {
	forged := 0
	for _, low := range lowOrder {
		for _, sign := range []byte{0, 0x80} {
			point, err := hex.DecodeString(low)
			if err != nil {
				t.Fatal(err)
			}
			point[31] |= sign
			for i := range 256 {
				if ed25519.Verify(point, []byte{byte(i)}, append([]byte{1}, make([]byte, 63)...)) {
					forged++
					break
				}
			}
			plain, err := ssh.NewPublicKey(ed25519.PublicKey(point))
			if err != nil {
				t.Fatal(err)
			}
			security, err := ssh.ParsePublicKey(ssh.Marshal(struct{ Kind, Key, Application string }{ssh.KeyAlgoSKED25519, string(point), application}))
			if err != nil {
				t.Fatal(err)
			}
			for _, key := range []ssh.PublicKey{plain, security} {
				_, err = NewVerifier(map[string][]string{"owner": {line(key, "")}})
				refused(t, err, ErrUnsupported, "placeholder")
			}
		}
	}
	// Of the 14 encodings some are no points to Go; each of the seven must be one with at least one sign.
	t.Logf("%d of %d encodings can be forged", forged, 2*len(lowOrder))
	if forged < len(lowOrder) {
		t.Errorf("only %d encodings can be forged: the list names keys that are sound", forged)
	}
}
