package approval

import (
	"context"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"errors"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func newKeyFile(t *testing.T, args ...string) (path, text string) {
	t.Helper()
	path = filepath.Join(t.TempDir(), "id")
	if out, err := keygen(t, nil, append([]string{"-q", "-C", "alice", "-f", path}, args...)...); err != nil {
		t.Fatal(out)
	}
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return path, string(b)
}

func fingerprintOf(t *testing.T, path string) string {
	t.Helper()
	out, err := keygen(t, nil, "-lf", path+".pub")
	if err != nil {
		t.Fatal(out)
	}
	return strings.Fields(out)[1]
}

func TestLoadKeyMended(t *testing.T) {
	path, text := newKeyFile(t, "-t", "ed25519", "-N", "")
	_, parameters := newKeyFile(t, "-t", "ecdsa", "-m", "PEM", "-N", "")
	for name, damaged := range map[string]string{
		"as it is":            text,
		"no last line end":    strings.TrimSuffix(text, "\n"),
		"line ends of DOS":    strings.ReplaceAll(text, "\n", "\r\n"),
		"line ends of old":    strings.ReplaceAll(text, "\n", "\r"),
		"indented":            strings.ReplaceAll("\n"+text, "\n", "\n    "),
		"byte order mark":     "\ufeff" + text,
		"blank lines around":  "\n\n" + text + "\n\n",
		"public part before":  "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + text,
		"CR and no line end":  strings.TrimSuffix(strings.ReplaceAll(text, "\n", "\r\n"), "\r\n"),
		"ec with parameters":  "-----BEGIN EC PARAMETERS-----\nBggqhkjOPQMBBw==\n-----END EC PARAMETERS-----\n" + parameters,
		"spaces at line ends": strings.ReplaceAll(text, "\n", "  \n"),
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "id")
			write(t, file, []byte(damaged), 0o600)
			key, err := LoadKey(file, nil)
			if err != nil {
				t.Fatal(err)
			}
			if name != "ec with parameters" && Fingerprint(key.PublicKey()) != fingerprintOf(t, path) {
				t.Error("another key was read")
			}
			mustSign(t, key)
		})
	}
}

func TestLoadKeyRefuses(t *testing.T) {
	path, text := newKeyFile(t, "-t", "ed25519", "-N", "")
	public, err := os.ReadFile(path + ".pub")
	if err != nil {
		t.Fatal(err)
	}
	_, weak := newKeyFile(t, "-t", "rsa", "-b", "1024", "-N", "")
	_, pkcs8 := newKeyFile(t, "-t", "rsa", "-b", "2048", "-m", "PKCS8", "-N", "secret")
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for name, c := range map[string]struct {
		text  string
		mode  os.FileMode
		want  error
		words []string
	}{
		"public key":               {string(public), 0o644, ErrKeyFile, []string{"is a public key", "without .pub"}},
		"public key, PEM":          {"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----\n", 0o644, ErrKeyFile, []string{"is a public key"}},
		"public key, RFC 4716":     {"---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n", 0o644, ErrKeyFile, []string{"is a public key"}},
		"others may read":          {text, 0o644, ErrKeyFile, []string{"mode 0644", "chmod 600 "}},
		"group may read":           {text, 0o640, ErrKeyFile, []string{"chmod 600 "}},
		"group may write":          {text, 0o620, ErrKeyFile, []string{"chmod 600 "}},
		"empty":                    {"", 0o600, ErrKeyFile, []string{"empty"}},
		"cut off":                  {text[:len(text)/2], 0o600, ErrKeyFile, []string{"cut off"}},
		"body damaged":             {strings.Replace(text, "b3BlbnNzaC1", "c3BlbnNzaC1", 1), 0o600, ErrKeyFile, nil},
		"something else":           {"\x1b[2Jhello\n", 0o600, ErrKeyFile, []string{"is not a private key"}},
		"a certificate authority":  {string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: []byte("x")})), 0o600, ErrKeyFile, []string{"is not a private key"}},
		"PuTTY":                    {"PuTTY-User-Key-File-3: ssh-ed25519\n", 0o600, ErrKeyFile, []string{"puttygen"}},
		"encrypted PKCS 8":         {pkcs8, 0o600, ErrKeyFile, []string{"ssh-keygen -p -f"}},
		"weak":                     {weak, 0o600, ErrUnsupported, []string{"1024 bits"}},
		"too long":                 {strings.Repeat("x", maxKeyFile+1), 0o600, ErrKeyFile, []string{"65536"}},
		"security key":             {securityKeyFile("none"), 0o600, ErrKeyFile, []string{"ssh-add "}},
		"security key, encrypted":  {securityKeyFile("aes256-ctr"), 0o600, ErrKeyFile, []string{"ssh-add "}},
		"a kind PEM does not know": {string(pem.EncodeToMemory(&pem.Block{Type: "ODD PRIVATE KEY", Bytes: []byte("x")})), 0o600, ErrKeyFile, []string{"ssh-add"}},
		"rsa damaged":              {string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: rs.N.Bytes()})), 0o600, ErrKeyFile, nil},
	} {
		t.Run(name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "id")
			write(t, file, []byte(c.text), c.mode)
			_, err := LoadKey(file, func() ([]byte, error) { t.Error("asked for a passphrase"); return nil, nil })
			refused(t, err, c.want, append(c.words, file)...)
			fitToPrint(t, err.Error())
		})
	}
	_, err = LoadKey(filepath.Join(dir, "none"), nil)
	refused(t, err, ErrKeyFile, "none")
	refused(t, err, fs.ErrNotExist)
	_, err = LoadKey(dir, nil)
	refused(t, err, ErrKeyFile, "not a regular file")
}

// securityKeyFile is what ssh-keygen -t ed25519-sk writes, as far as it is read: the private half stays in the device.
func securityKeyFile(cipher string) string {
	kdf := "bcrypt"
	if cipher == "none" {
		kdf = "none"
	}
	public := touchKey{key: ed25519.NewKeyFromSeed(make([]byte, ed25519.SeedSize))}.PublicKey()
	private := ssh.Marshal(struct {
		Check1, Check2 uint32
		Kind           string
	}{1, 1, public.Type()})
	file := append([]byte("openssh-key-v1\x00"), ssh.Marshal(struct {
		Cipher, KDF, Options string
		Keys                 uint32
		Public, Private      []byte
	}{cipher, kdf, "", 1, public.Marshal(), private})...)
	return string(pem.EncodeToMemory(&pem.Block{Type: "OPENSSH PRIVATE KEY", Bytes: file}))
}

func TestLoadKeyPassphrase(t *testing.T) {
	for name, args := range map[string][]string{
		"ed25519":      {"-t", "ed25519"},
		"ecdsa384":     {"-t", "ecdsa", "-b", "384"},
		"rsa2048":      {"-t", "rsa", "-b", "2048"},
		"rsa2048 PEM":  {"-t", "rsa", "-b", "2048", "-m", "PEM"},
		"ecdsa256 PEM": {"-t", "ecdsa", "-b", "256", "-m", "PEM"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			path, _ := newKeyFile(t, append(args, "-a", "1", "-N", "correct horse")...) // one round of bcrypt, for speed
			given := []byte("correct horse")
			asked := 0
			key, err := LoadKey(path, func() ([]byte, error) { asked++; return given, nil })
			if err != nil {
				t.Fatal(err)
			}
			if asked != 1 {
				t.Errorf("asked %d times", asked)
			}
			if strings.Trim(string(given), "\x00") != "" {
				t.Error("the passphrase was not wiped")
			}
			if Fingerprint(key.PublicKey()) != fingerprintOf(t, path) {
				t.Error("another key was read")
			}
			mustSign(t, key)
			for _, wrong := range []string{"wrong", ""} {
				_, err = LoadKey(path, func() ([]byte, error) { return []byte(wrong), nil })
				refused(t, err, ErrPassphrase, "wrong", path)
			}
			_, err = LoadKey(path, nil)
			refused(t, err, ErrPassphrase, "needs a passphrase", "ssh-add")
			no := errors.New("no terminal")
			_, err = LoadKey(path, func() ([]byte, error) { return nil, no })
			refused(t, err, no, path)
		})
	}
}

// TestLoadKeyCut cuts a key everywhere and damages each of its letters: never a panic, and never another key unnoticed.
func TestLoadKeyCut(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa256"} {
		_, text := newKeyFile(t, "-t", strings.TrimSuffix(kind, "256"), "-N", "")
		file := filepath.Join(t.TempDir(), "id")
		try := func(text string) {
			t.Helper()
			write(t, file, []byte(text), 0o600)
			key, err := LoadKey(file, nil)
			if err != nil {
				fitToPrint(t, err.Error())
				return
			}
			// Where damage goes unseen by the reader (the public half stands in the file three times), signing sees it.
			signature, err := Sign([]byte(statement), key)
			if err != nil {
				return
			}
			if _, err := parse(signature); err != nil {
				t.Errorf("a damaged key signs: %v", err)
			}
		}
		for n := range text {
			try(text[:n])
			if c := text[n]; c != '\n' && c != '-' && n%3 == 0 {
				try(text[:n] + "A" + text[n+1:])
			}
		}
	}
}

// startAgent runs a real ssh-agent for the test and ends it by its process.
func startAgent(t *testing.T) {
	t.Helper()
	need(t, "ssh-agent")
	need(t, "ssh-add")
	dir, err := os.MkdirTemp("/tmp", "agent") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	socket := filepath.Join(dir, "s")
	cmd := exec.CommandContext(t.Context(), "ssh-agent", "-D", "-a", socket)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // the context, which has ended by now, killed it
		if err := cmd.Wait(); err == nil {
			t.Error("the ssh-agent ended by itself")
		}
		if err := os.RemoveAll(dir); err != nil {
			t.Error(err)
		}
	})
	t.Setenv("SSH_AUTH_SOCK", socket)
	for end := time.Now().Add(10 * time.Second); ; time.Sleep(5 * time.Millisecond) {
		conn, err := new(net.Dialer).DialContext(t.Context(), "unix", socket)
		if err == nil {
			conn.Close()
			return
		}
		if time.Now().After(end) {
			t.Fatal(err)
		}
	}
}

func sshAdd(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.CommandContext(t.Context(), "ssh-add", args...).CombinedOutput(); err != nil {
		t.Fatalf("ssh-add: %s", out)
	}
}

func TestAgent(t *testing.T) {
	startAgent(t)
	_, _, err := AgentSigners(t.Context())
	refused(t, err, ErrAgent, "holds no keys", "ssh-add")

	approvers := map[string][]string{}
	for role, args := range map[string][]string{
		"ed25519":  {"-t", "ed25519"},
		"ecdsa256": {"-t", "ecdsa", "-b", "256"},
		"ecdsa384": {"-t", "ecdsa", "-b", "384"},
		"ecdsa521": {"-t", "ecdsa", "-b", "521"},
		"rsa2048":  {"-t", "rsa", "-b", "2048"},
	} {
		path, _ := newKeyFile(t, append(args, "-N", "")...)
		public, err := os.ReadFile(path + ".pub")
		if err != nil {
			t.Fatal(err)
		}
		approvers[role] = []string{string(public)}
		// With a certificate beside the key the agent lists both, and only the key counts.
		if out, err := keygen(t, nil, "-q", "-s", path, "-I", "alice", path+".pub"); err != nil {
			t.Fatal(out)
		}
		sshAdd(t, path)
	}
	v := newVerifier(t, approvers)
	signers, closer, err := AgentSigners(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(signers) != 2*len(approvers) {
		t.Errorf("the agent lists %d keys, want %d and as many certificates", len(signers), len(approvers))
	}
	for role := range approvers {
		key, err := v.Pick(role, signers)
		if err != nil {
			t.Fatal(err)
		}
		signature := mustSign(t, key)
		if _, err := v.Verify(role, []byte(statement), signature); err != nil {
			t.Errorf("%s: %v", role, err)
		}
		if err := opensshVerifies(t, key.PublicKey(), []byte(statement), signature); err != nil {
			t.Errorf("%s: ssh-keygen refuses: %v", role, err)
		}
	}
	for range 2 {
		if err := closer.Close(); err != nil {
			t.Error(err)
		}
	}
	if _, err := Sign([]byte(statement), signers[0]); err == nil {
		t.Error("a closed agent still signs")
	}
}

func TestAgentMissing(t *testing.T) {
	t.Setenv("SSH_AUTH_SOCK", "")
	_, _, err := AgentSigners(t.Context())
	refused(t, err, ErrAgent, "SSH_AUTH_SOCK is not set")
	t.Setenv("SSH_AUTH_SOCK", filepath.Join(t.TempDir(), "none"))
	_, _, err = AgentSigners(t.Context())
	refused(t, err, ErrAgent, "cannot reach")
	refused(t, err, fs.ErrNotExist)
}

// TestAgentHangs has an agent that takes the call and says nothing.
func TestAgentHangs(t *testing.T) {
	dir, err := os.MkdirTemp("/tmp", "agent") //nolint:usetesting // t.TempDir is too long for a socket
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket := filepath.Join(dir, "s")
	listener, err := new(net.ListenConfig).Listen(t.Context(), "unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	t.Setenv("SSH_AUTH_SOCK", socket)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	_, _, err = AgentSigners(ctx)
	refused(t, err, ErrAgent, "deadline")
	refused(t, err, context.DeadlineExceeded)
}
