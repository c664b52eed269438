package gitsign

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

const object = "tree 4b825dc642cb6eb9a060e54bf8d69288fbee4904\nauthor A <a@b> 1 +0000\ncommitter A <a@b> 2000000000 +0000\n\ntagger x 5 +0000\n"

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name string, content []byte) string {
	t.Helper()
	must(t, os.WriteFile(name, content, 0o600))
	return name
}

func sshKey(t testing.TB, file string) (ed25519.PrivateKey, string) {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "")
	must(t, err)
	write(t, file, pem.EncodeToMemory(block))
	key, err := ssh.NewPublicKey(public)
	must(t, err)
	return private, strings.TrimSpace(string(ssh.MarshalAuthorizedKey(key)))
}

// lockedKey has ssh-keygen write one with a passphrase. One round of its key derivation, in place of the 16 or 24 that are
// the custom, takes the race detector a second less for every time the key is opened.
func lockedKey(t testing.TB, file, passphrase string) string {
	t.Helper()
	if _, err := exec.LookPath("ssh-keygen"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-C", "", "-N", passphrase, "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	line, err := os.ReadFile(file + ".pub")
	must(t, err)
	return strings.TrimSpace(string(line))
}

func checkSSH(t testing.TB, signature, public string) {
	t.Helper()
	s, err := sshsig.Unarmor([]byte(signature))
	must(t, err)
	key, _, _, _, err := ssh.ParseAuthorizedKey([]byte(public))
	must(t, err)
	must(t, sshsig.Verify(strings.NewReader(object), s, key, sshsig.HashSHA512, "git"))
	if !strings.HasSuffix(signature, "-----END SSH SIGNATURE-----\n") {
		t.Errorf("the armor ends in %q", signature[len(signature)-10:])
	}
}

func TestSSH(t *testing.T) {
	dir := t.TempDir()
	_, plain := sshKey(t, filepath.Join(dir, "plain"))
	locked := lockedKey(t, filepath.Join(dir, "locked"), "open sesame")
	vars := map[string]string{"PLAIN": filepath.Join(dir, "plain"), "LOCKED": filepath.Join(dir, "locked"), "PASS": "open sesame", "WRONG": "hunter2"}
	getenv := func(name string) string { return vars[name] }
	for _, c := range []struct {
		k      Key
		public string
	}{
		{Key{Format: SSH, KeyFile: "PLAIN"}, plain},
		{Key{Format: SSH, KeyFile: "PLAIN", Key: plain + " comment"}, plain},
		{Key{Format: SSH, KeyFile: "LOCKED", Passphrase: "PASS"}, locked},
	} {
		s, err := Open(t.Context(), c.k, getenv)
		must(t, err)
		one, err := s.Sign(t.Context(), []byte(object))
		must(t, err)
		checkSSH(t, one, c.public)
		if two, err := s.Sign(t.Context(), []byte(object)); err != nil || one != two {
			t.Error("Ed25519 signs differently the second time")
		}
	}
	for want, k := range map[string]Key{
		"release.yaml says":      {Format: SSH, KeyFile: "PLAIN", Key: locked},
		"encrypted; set NONE":    {Format: SSH, KeyFile: "LOCKED", Passphrase: "NONE"},
		"no passphrase is given": {Format: SSH, KeyFile: "LOCKED"},
		"WRONG is wrong":         {Format: SSH, KeyFile: "LOCKED", Passphrase: "WRONG"},
		"NONE is not set":        {Format: SSH, KeyFile: "NONE"},
		"no ssh-agent":           {Format: SSH, KeyFile: "NONE", Key: plain},
		"needs key":              {Format: SSH},
		"not a public ssh key":   {Format: SSH, Key: "ssh-ed25519 nonsense"},
		"not one that git":       {Format: "x509", KeyFile: "PLAIN"},
		"needs key_file":         {Format: OpenPGP},
		"not the fingerprint":    {Format: OpenPGP, KeyFile: "PLAIN", Key: "DEADBEEF"},
		"is not an OpenPGP key":  {Format: OpenPGP, KeyFile: "PLAIN"},
	} {
		_, err := Open(t.Context(), k, getenv)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want %q", k, err, want)
		}
	}
}

func TestAgent(t *testing.T) {
	dir := t.TempDir()
	other, _ := sshKey(t, filepath.Join(dir, "other"))
	private, public := sshKey(t, filepath.Join(dir, "key"))
	ring := agent.NewKeyring()
	must(t, ring.Add(agent.AddedKey{PrivateKey: &other}))
	l, err := net.Listen("unix", filepath.Join(dir, "s"))
	must(t, err)
	defer l.Close()
	go func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			go func() { defer conn.Close(); _ = agent.ServeAgent(ring, conn) }()
		}
	}()
	getenv := func(name string) string { return map[string]string{"SSH_AUTH_SOCK": l.Addr().String()}[name] }
	k := Key{Format: SSH, Key: public}
	if _, err := Open(t.Context(), k, getenv); err == nil || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("an agent without the key: %v", err)
	}
	must(t, ring.Add(agent.AddedKey{PrivateKey: &private}))
	s, err := Open(t.Context(), k, getenv)
	must(t, err)
	signature, err := s.Sign(t.Context(), []byte(object))
	must(t, err)
	checkSSH(t, signature, public)
	must(t, ring.Lock([]byte("x")))
	if _, err := s.Sign(t.Context(), []byte(object)); err == nil {
		t.Error("a locked agent signs")
	}
}

// export writes a private key as gpg --export-secret-keys --armor does.
func export(t testing.TB, e *openpgp.Entity, file string) {
	t.Helper()
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	must(t, err)
	must(t, e.SerializePrivateWithoutSigning(w, nil))
	must(t, w.Close())
	write(t, file, b.Bytes())
}

func TestOpenPGP(t *testing.T) {
	dir := t.TempDir()
	born := time.Date(2024, 1, 1, 0, 0, 0, 0, time.UTC)
	made := func(lifetime time.Duration) *openpgp.Entity {
		e, err := openpgp.NewEntity("Release Team", "", "release@example.org", &packet.Config{
			Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return born }, KeyLifetimeSecs: uint32(lifetime.Seconds()),
		})
		must(t, err)
		return e
	}
	e := made(0)
	export(t, e, filepath.Join(dir, "plain"))
	must(t, e.EncryptPrivateKeys([]byte("open sesame"), nil))
	export(t, e, filepath.Join(dir, "locked"))
	export(t, made(time.Hour), filepath.Join(dir, "expired"))
	vars := map[string]string{
		"PLAIN": filepath.Join(dir, "plain"), "LOCKED": filepath.Join(dir, "locked"), "EXPIRED": filepath.Join(dir, "expired"),
		"PASS": "open sesame", "WRONG": "hunter2",
	}
	getenv := func(name string) string { return vars[name] }
	ring := openpgp.EntityList{e}
	for _, k := range []Key{{Format: OpenPGP, KeyFile: "PLAIN"}, {Format: OpenPGP, KeyFile: "LOCKED", Passphrase: "PASS"}} {
		s, err := Open(t.Context(), k, getenv)
		must(t, err)
		for text, at := range map[string]time.Time{
			object: time.Unix(2000000000, 0), // the object's own time
			"tree x\ncommitter A <a@b> 1 +0000\n\nx\n": born, // older than the key
		} {
			one, err := s.Sign(t.Context(), []byte(text))
			must(t, err)
			block, err := armor.Decode(strings.NewReader(one))
			must(t, err)
			sig, _, err := openpgp.VerifyDetachedSignature(ring, strings.NewReader(text), block.Body, &packet.Config{Time: func() time.Time { return time.Unix(2100000000, 0) }})
			if err != nil || !sig.CreationTime.Equal(at) {
				t.Errorf("signed at %v, want %v, %v", sig, at, err)
			}
			if two, err := s.Sign(t.Context(), []byte(text)); err != nil || one != two {
				t.Errorf("it signs differently the second time: %v", err)
			}
		}
	}
	for want, k := range map[string]Key{
		"may sign today":    {Format: OpenPGP, KeyFile: "EXPIRED"},
		"set NONE":          {Format: OpenPGP, KeyFile: "LOCKED", Passphrase: "NONE"},
		"name the variable": {Format: OpenPGP, KeyFile: "LOCKED"},
		"WRONG is wrong":    {Format: OpenPGP, KeyFile: "LOCKED", Passphrase: "WRONG"},
		"does not hold":     {Format: OpenPGP, KeyFile: "PLAIN", Key: strings.Repeat("A", 40)},
		"NONE is not set":   {Format: OpenPGP, KeyFile: "NONE"},
	} {
		_, err := Open(t.Context(), k, getenv)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%+v: %v, want %q", k, err, want)
		}
	}
}

// FuzzMoment: whatever an object holds, its time is that of its head, or none.
func FuzzMoment(f *testing.F) {
	f.Add([]byte(object))
	f.Add([]byte("tagger a 99999999999 +0000"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if at := moment(b); !at.IsZero() && (at.Unix() < 0 || at.Unix() > 99999999999) {
			t.Errorf("%q is of %v", b, at)
		}
	})
}
