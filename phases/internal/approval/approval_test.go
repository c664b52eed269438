package approval

import (
	"bytes"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"errors"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"golang.org/x/crypto/ssh"
)

const statement = `{"gate":"gate/release","plan":"sha256:0f1e","evidence":"sha256:2d3c"}` + "\n"

// kinds makes a key of each kind that counts.
var kinds = map[string]func() (crypto.Signer, error){
	"ed25519":  func() (crypto.Signer, error) { _, key, err := ed25519.GenerateKey(rand.Reader); return key, err },
	"ecdsa256": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P256(), rand.Reader) },
	"ecdsa384": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P384(), rand.Reader) },
	"ecdsa521": func() (crypto.Signer, error) { return ecdsa.GenerateKey(elliptic.P521(), rand.Reader) },
	"rsa2048":  sync.OnceValues(func() (crypto.Signer, error) { return rsa.GenerateKey(rand.Reader, 2048) }),
}

func newKey(t testing.TB, kind string) ssh.AlgorithmSigner {
	t.Helper()
	key, err := kinds[kind]()
	if err != nil {
		t.Fatal(err)
	}
	return signerOf(t, key)
}

func signerOf(t testing.TB, key any) ssh.AlgorithmSigner {
	t.Helper()
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer.(ssh.AlgorithmSigner)
}

// line is the key's line in release.yaml.
func line(key ssh.PublicKey, comment string) string {
	text := strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
	return strings.TrimSpace(text + " " + comment)
}

func newVerifier(t testing.TB, approvers map[string][]string) *Verifier {
	t.Helper()
	v, err := NewVerifier(approvers)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func mustSign(t testing.TB, key ssh.Signer) []byte {
	t.Helper()
	signature, err := Sign([]byte(statement), key)
	if err != nil {
		t.Fatal(err)
	}
	return signature
}

// need finds a tool. Without it a test is skipped on a developer's machine and fails in CI.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing: install openssh-client", tool)
		}
		t.Skipf("%s is missing: install openssh-client", tool)
	}
}

// keygen runs ssh-keygen and returns what it printed.
func keygen(t *testing.T, stdin io.Reader, args ...string) (string, error) {
	t.Helper()
	need(t, "ssh-keygen")
	cmd := exec.CommandContext(t.Context(), "ssh-keygen", args...)
	cmd.Stdin = stdin
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// opensshVerifies lets ssh-keygen judge a signature.
func opensshVerifies(t *testing.T, key ssh.PublicKey, statement, signature []byte) error {
	t.Helper()
	dir := t.TempDir()
	allowed, file := filepath.Join(dir, "allowed_signers"), filepath.Join(dir, "statement.sig")
	write(t, allowed, []byte("alice@example.org "+line(key, "")+"\n"), 0o600)
	write(t, file, signature, 0o600)
	out, err := keygen(t, bytes.NewReader(statement), "-Y", "verify", "-f", allowed, "-I", "alice@example.org", "-n", Namespace, "-s", file)
	if err != nil {
		return errors.New(out)
	}
	return nil
}

func write(t testing.TB, path string, text []byte, mode os.FileMode) {
	t.Helper()
	if err := os.WriteFile(path, text, mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil { // whatever the umask
		t.Fatal(err)
	}
}

func refused(t testing.TB, err, want error, words ...string) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("error is %v, want one of the kind %q", err, want)
		return
	}
	for _, word := range words {
		if !strings.Contains(err.Error(), word) {
			t.Errorf("error %q does not say %q", err, word)
		}
	}
}

func TestSignAndVerify(t *testing.T) {
	for kind := range kinds {
		t.Run(kind, func(t *testing.T) {
			t.Parallel()
			key := newKey(t, kind)
			v := newVerifier(t, map[string][]string{"release-manager": {
				line(newKey(t, "ed25519").PublicKey(), "somebody"),
				line(key.PublicKey(), "Alice Example <alice@example.org>"),
			}})
			signature := mustSign(t, key)
			who, err := v.Verify("release-manager", []byte(statement), signature)
			if want := "Alice Example <alice@example.org> (" + Fingerprint(key.PublicKey()) + ")"; who != want || err != nil {
				t.Errorf("Verify = %q, %v, want %q", who, err, want)
			}
			if err := opensshVerifies(t, key.PublicKey(), []byte(statement), signature); err != nil {
				t.Errorf("ssh-keygen refuses ours: %v", err)
			}
			if err := opensshVerifies(t, key.PublicKey(), []byte(statement+"x"), signature); err == nil {
				t.Error("ssh-keygen takes ours for another statement: this judge judges nothing")
			}
		})
	}
}

func TestWhoWithoutComment(t *testing.T) {
	key := newKey(t, "ed25519")
	v := newVerifier(t, map[string][]string{"owner": {line(key.PublicKey(), "")}})
	who, err := v.Verify("owner", []byte(statement), mustSign(t, key))
	if err != nil || who != Fingerprint(key.PublicKey()) {
		t.Errorf("Verify = %q, %v, want the fingerprint", who, err)
	}
	if got := v.Approvers("owner"); len(got) != 1 || got[0] != who {
		t.Errorf("Approvers = %q, want %q", got, who)
	}
}

// TestOpenSSHSigns has ssh-keygen make key and signature, and ours load that key and verify.
func TestOpenSSHSigns(t *testing.T) {
	for name, args := range map[string][]string{
		"ed25519":        {"-t", "ed25519"},
		"ecdsa256":       {"-t", "ecdsa", "-b", "256"},
		"ecdsa384":       {"-t", "ecdsa", "-b", "384"},
		"ecdsa521":       {"-t", "ecdsa", "-b", "521"},
		"rsa2048":        {"-t", "rsa", "-b", "2048"},
		"rsa3072":        {"-t", "rsa", "-b", "3072"},
		"rsa2048 PEM":    {"-t", "rsa", "-b", "2048", "-m", "PEM"},
		"rsa2048 PKCS8":  {"-t", "rsa", "-b", "2048", "-m", "PKCS8"},
		"ecdsa256 PEM":   {"-t", "ecdsa", "-b", "256", "-m", "PEM"},
		"ecdsa256 PKCS8": {"-t", "ecdsa", "-b", "256", "-m", "PKCS8"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			path, file := filepath.Join(dir, "id"), filepath.Join(dir, "request.json")
			if out, err := keygen(t, nil, append(args, "-q", "-N", "", "-C", "alice", "-f", path)...); err != nil {
				t.Fatal(out)
			}
			public, err := os.ReadFile(path + ".pub")
			if err != nil {
				t.Fatal(err)
			}
			key, err := LoadKey(path, nil)
			if err != nil {
				t.Fatal(err)
			}
			v := newVerifier(t, map[string][]string{"owner": {string(public)}})
			want := "alice (" + Fingerprint(key.PublicKey()) + ")"

			for _, hash := range []string{"sha512", "sha256"} {
				write(t, file, []byte(statement), 0o600)
				if out, err := keygen(t, nil, "-Y", "sign", "-n", Namespace, "-O", "hashalg="+hash, "-f", path, file); err != nil {
					t.Fatal(out)
				}
				signature, err := os.ReadFile(file + ".sig")
				if err != nil {
					t.Fatal(err)
				}
				if err := os.Remove(file + ".sig"); err != nil {
					t.Fatal(err)
				}
				if who, err := v.Verify("owner", []byte(statement), signature); err != nil || who != want {
					t.Errorf("theirs with %s: Verify = %q, %v, want %q", hash, who, err, want)
				}
				windows := bytes.ReplaceAll(signature, []byte("\n"), []byte("\r\n"))
				if _, err := v.Verify("owner", []byte(statement), windows); err != nil {
					t.Errorf("theirs with the line ends of Windows: %v", err)
				}
			}
			ours := mustSign(t, key)
			if who, err := v.Verify("owner", []byte(statement), ours); err != nil || who != want {
				t.Errorf("ours: Verify = %q, %v, want %q", who, err, want)
			}
			if err := opensshVerifies(t, key.PublicKey(), []byte(statement), ours); err != nil {
				t.Errorf("ssh-keygen refuses ours: %v", err)
			}
		})
	}
}

// badAgent answers as it likes, as an agent may.
type badAgent struct {
	ssh.AlgorithmSigner
	answer func(data []byte) (*ssh.Signature, error)
}

func (a badAgent) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) { return a.answer(data) }

func (a badAgent) SignWithAlgorithm(_ io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	return a.answer(data)
}

func TestSignRefuses(t *testing.T) {
	ed, rs := newKey(t, "ed25519"), newKey(t, "rsa2048")
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	sign := func(key ssh.Signer) error {
		signature, err := Sign([]byte(statement), key)
		if err != nil && signature != nil {
			t.Error("a signature came with an error")
		}
		return err
	}
	// An agent from before 2018 knows no flags and answers with SHA-1.
	refused(t, sign(badAgent{rs, func(data []byte) (*ssh.Signature, error) { return rs.Sign(rand.Reader, data) }}), ErrUnsupported, "SHA-1")
	other := newKey(t, "ed25519")
	refused(t, sign(badAgent{ed, func(data []byte) (*ssh.Signature, error) { return other.Sign(rand.Reader, data) }}),
		ErrMismatch, Fingerprint(ed.PublicKey()))
	no := errors.New("agent refused")
	refused(t, sign(badAgent{ed, func([]byte) (*ssh.Signature, error) { return nil, no }}), no, Fingerprint(ed.PublicKey()))
	refused(t, sign(signerOf(t, small)), ErrUnsupported, "1024 bits")
	certificate := &ssh.Certificate{Key: ed.PublicKey(), CertType: ssh.UserCert, ValidBefore: ssh.CertTimeInfinity}
	if err := certificate.SignCert(rand.Reader, other); err != nil {
		t.Fatal(err)
	}
	certified, err := ssh.NewCertSigner(certificate, ed)
	if err != nil {
		t.Fatal(err)
	}
	refused(t, sign(certified), ErrUnsupported, "certificates")
	if _, err := Sign(nil, ed); err == nil {
		t.Error("an empty statement was signed")
	}
}

func TestPick(t *testing.T) {
	a, b, c := newKey(t, "ed25519"), newKey(t, "ecdsa256"), newKey(t, "rsa2048")
	v := newVerifier(t, map[string][]string{"manager": {line(a.PublicKey(), "alice")}, "owner": {line(c.PublicKey(), "carol")}})
	got, err := v.Pick("manager", []ssh.Signer{c, b, a})
	if err != nil || got != ssh.Signer(a) {
		t.Errorf("Pick = %v, %v, want alice's", got, err)
	}
	_, err = v.Pick("manager", []ssh.Signer{b, c})
	refused(t, err, ErrNotApprover, Fingerprint(b.PublicKey()), `it is one for "owner"`, "needed alice ("+Fingerprint(a.PublicKey())+")")
	_, err = v.Pick("manager", nil)
	refused(t, err, ErrNotApprover, "offered none")
	_, err = v.Pick("nobody", []ssh.Signer{a})
	refused(t, err, ErrNoApprovers)
}
