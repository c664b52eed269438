package gitremote

import (
	"bytes"
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// TestKnownHosts: nothing is trusted because it came first. With one kind of key in the file, a server that has several
// is still recognised.
func TestKnownHosts(t *testing.T) {
	w := newWorld(t, gitd.Options{})
	url := w.server.SSHURL("git", "o/r")
	lines := strings.SplitAfter(strings.TrimSpace(string(w.server.KnownHosts())), "\n")
	refs := func(file string) error {
		t.Helper()
		a, err := Open(t.Context(), Remote{URL: url, KnownHosts: file, KeyFile: "KEY"}, w.options())
		must(t, err)
		_, err = a.Refs(t.Context())
		return err
	}
	for i, line := range lines {
		if err := refs(write(t, filepath.Join(t.TempDir(), "hosts"), line)); err != nil {
			t.Errorf("only line %d: %v", i, err)
		}
	}
	empty := write(t, filepath.Join(t.TempDir(), "hosts"), "# none\ngithub.com "+strings.SplitN(lines[0], " ", 2)[1]+"\n")
	before := len(w.server.History("o/r"))
	err := refs(empty)
	if !errors.Is(err, ErrUnknownHost) || errors.Is(err, ErrHostChanged) || !strings.Contains(err.Error(), empty) || !strings.Contains(err.Error(), "slipway doctor") {
		t.Errorf("unknown: %v", err)
	}
	if content, _ := os.ReadFile(empty); strings.Contains(string(content), "127.0.0.1") || len(w.server.History("o/r")) != before {
		t.Error("the host was trusted on first use")
	}
	// The same port is meant: an entry without it is for port 22.
	if err := refs(write(t, filepath.Join(t.TempDir(), "hosts"), "127.0.0.1 "+strings.SplitN(lines[0], " ", 2)[1])); !errors.Is(err, ErrUnknownHost) {
		t.Errorf("another port: %v", err)
	}
	only := write(t, filepath.Join(t.TempDir(), "hosts"), lines[0])
	revoked := write(t, filepath.Join(t.TempDir(), "hosts"), lines[0]+"@revoked "+lines[0])
	if err := refs(revoked); !errors.Is(err, ErrHostChanged) {
		t.Errorf("revoked: %v", err)
	}
	must(t, w.server.ChangeHostKey("ssh-ed25519"))
	if err := refs(only); !errors.Is(err, ErrHostChanged) || errors.Is(err, ErrUnknownHost) || !strings.Contains(err.Error(), "SHA256:") {
		t.Errorf("changed: %v", err)
	}
	if _, err := Open(t.Context(), Remote{URL: url, KnownHosts: filepath.Join(w.dir, "none"), KeyFile: "KEY"}, w.options()); err == nil {
		t.Error("a file that is named but not there is taken for empty")
	}
	// The user's own file.
	o := w.options()
	o.Home = t.TempDir()
	write(t, filepath.Join(o.Home, ".ssh", "known_hosts"), string(w.server.KnownHosts()))
	a, err := Open(t.Context(), Remote{URL: url, KeyFile: "KEY"}, o)
	must(t, err)
	if _, err := a.Refs(t.Context()); err != nil {
		t.Error(err)
	}
}

// TestOffered shows all keys of a server, as lines that make it known.
func TestOffered(t *testing.T) {
	w := newWorld(t, gitd.Options{})
	keys, err := Offered(t.Context(), w.server.SSHAddr())
	must(t, err)
	var lines, prints, want []string
	for _, k := range keys {
		lines, prints = append(lines, k.Line), append(prints, k.Fingerprint)
	}
	for _, k := range w.server.HostKeys() {
		want = append(want, ssh.FingerprintSHA256(k))
	}
	slices.Sort(prints)
	slices.Sort(want)
	if !slices.Equal(prints, want) {
		t.Errorf("offered %v, has %v", prints, want)
	}
	write(t, filepath.Join(w.dir, "known_hosts"), strings.Join(lines, "\n")+"\n")
	if _, err := w.ssh().Refs(t.Context()); err != nil {
		t.Error(err)
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	closed.Close()
	if keys, err := Offered(t.Context(), closed.Addr().String()); err == nil {
		t.Errorf("nobody listens, and offers %v", keys)
	}
	// One that accepts and says nothing does not hold us up.
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer silent.Close()
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		if conn, err := silent.Accept(); err == nil {
			cancel()
			defer conn.Close()
			_, _ = conn.Read(make([]byte, 1<<10))
			<-t.Context().Done()
		}
	}()
	if _, err := Offered(ctx, silent.Addr().String()); !errors.Is(err, context.Canceled) {
		t.Errorf("a silent server: %v", err)
	}
}

func TestAuth(t *testing.T) {
	w := newWorld(t, gitd.Options{})
	a := w.ssh()
	if a.Identity != ssh.FingerprintSHA256(w.key) {
		t.Errorf("identity %q", a.Identity)
	}
	stranger := newKey(t, filepath.Join(w.dir, "stranger"))
	w.vars["KEY"] = filepath.Join(w.dir, "stranger")
	if _, err := w.ssh().Refs(t.Context()); !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), ssh.FingerprintSHA256(stranger)) {
		t.Errorf("an unknown key: %v", err)
	}
	o := w.options()
	o.Token = func() (string, string, error) { return "", "wrong", nil }
	h, err := Open(t.Context(), Remote{URL: w.server.HTTPURL("o/r")}, o)
	must(t, err)
	if err := h.CanPush(t.Context()); !errors.Is(err, ErrAuth) {
		t.Errorf("a wrong token: %v", err)
	}
	delete(w.vars, "KEY")
	_, err = Open(t.Context(), Remote{URL: w.server.SSHURL("git", "o/r"), KnownHosts: filepath.Join(w.dir, "known_hosts"), KeyFile: "KEY"}, w.options())
	if !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), "KEY") {
		t.Errorf("no key at all: %v", err)
	}
}

// TestAgent lets an ssh-agent sign.
func TestAgent(t *testing.T) {
	w := newWorld(t, gitd.Options{})
	raw, err := os.ReadFile(filepath.Join(w.dir, "key"))
	must(t, err)
	key, err := ssh.ParseRawPrivateKey(raw)
	must(t, err)
	ring := agent.NewKeyring()
	dir := t.TempDir()
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
	delete(w.vars, "KEY")
	w.vars["SSH_AUTH_SOCK"] = l.Addr().String()
	open := func() (Access, error) {
		return Open(t.Context(), Remote{URL: w.server.SSHURL("git", "o/r"), KnownHosts: filepath.Join(w.dir, "known_hosts")}, w.options())
	}
	if _, err := open(); !errors.Is(err, ErrAuth) || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("an empty agent: %v", err)
	}
	must(t, ring.Add(agent.AddedKey{PrivateKey: key}))
	a, err := open()
	must(t, err)
	if a.Identity != ssh.FingerprintSHA256(w.key) {
		t.Errorf("identity %q", a.Identity)
	}
	for range 2 {
		if _, err := a.Refs(t.Context()); err != nil {
			t.Error(err)
		}
	}
	l.Close()
	if _, err := a.Refs(t.Context()); !errors.Is(err, ErrAuth) {
		t.Errorf("the agent is gone: %v", err)
	}
}

func TestReadKey(t *testing.T) {
	dir := t.TempDir()
	plain := newKey(t, filepath.Join(dir, "plain"))
	locked := lockedKey(t, filepath.Join(dir, "locked"), "open sesame")
	for _, file := range []string{"plain", "locked"} {
		content, err := os.ReadFile(filepath.Join(dir, file))
		must(t, err)
		text := string(content)
		want := map[string]ssh.PublicKey{"plain": plain, "locked": locked}[file]
		for name, damaged := range map[string]string{
			"as it is":          text,
			"Windows":           strings.ReplaceAll(text, "\n", "\r\n"),
			"old Mac":           strings.ReplaceAll(text, "\n", "\r"),
			"no last newline":   strings.TrimSpace(text),
			"spaces for lines":  strings.ReplaceAll(text, "\n", " "),
			"no lines":          strings.ReplaceAll(text, "\n", ""),
			"written newlines":  strings.ReplaceAll(text, "\n", `\n`),
			"indented, BOM":     "\ufeff" + strings.ReplaceAll(text, "\n", "\n    "),
			"something before":  "my key:\n" + text,
			"doubled new lines": strings.ReplaceAll(text, "\n", "\n\n"),
		} {
			key, err := ReadKey(write(t, filepath.Join(dir, "damaged"), damaged), "open sesame", "PASS")
			if err != nil || !bytes.Equal(key.PublicKey().Marshal(), want.Marshal()) {
				t.Errorf("%s, %s: %v", file, name, err)
			}
		}
	}
	for name, c := range map[string]struct{ file, passphrase, want string }{
		"no passphrase":    {filepath.Join(dir, "locked"), "", "set PASS"},
		"wrong passphrase": {filepath.Join(dir, "locked"), "hunter2", "PASS is wrong"},
		"no key":           {write(t, filepath.Join(dir, "none"), "ssh-ed25519 AAAA"), "", "not one that ssh-keygen makes"},
		"too large":        {write(t, filepath.Join(dir, "large"), strings.Repeat("a", maxKey+1)), "", "too large"},
		"not there":        {filepath.Join(dir, "missing"), "", "no such file"},
	} {
		_, err := ReadKey(c.file, c.passphrase, "PASS")
		if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestValidate(t *testing.T) {
	for _, r := range []Remote{
		{URL: "https://github.com/owner/repo.git"},
		{URL: "git@github.com:owner/repo.git", KeyFile: "KEY"},
		{URL: "ssh://aur@aur.archlinux.org/pkg.git", KnownHosts: "/etc/hosts"},
		{URL: "ssh://git@[::1]:2222/x"},
		{URL: "ssh://git@host:22/~user/x"},
	} {
		if err := r.Validate(); err != nil {
			t.Errorf("%+v: %v", r, err)
		}
	}
	for _, r := range []Remote{
		{},
		{URL: "/srv/git"},
		{URL: "file:///srv/git"},
		{URL: "git://host/x"},
		{URL: "http://github.com/o/r"},
		{URL: "http://127.0.0.1/o/r"},
		{URL: "https://user:hidden-secret@github.com/o/r"},
		{URL: "https://hidden-secret@github.com/o/r"},
		{URL: "ssh://git:hidden-secret@host/x"},
		{URL: "ssh://host/x"},
		{URL: "git@host:"},
		{URL: "git@host:-x"},
		{URL: "git@-oProxyCommand=x:y"},
		{URL: "ssh://git@-oProxyCommand=x/y"},
		{URL: "git@host:x'; touch /tmp/x; '"},
		{URL: "git@host:$(id)"},
		{URL: "git@host:`id`"},
		{URL: "git@host:a\nb"},
		{URL: "git@host:../../x"},
		{URL: "https://host/x?y"},
		{URL: "https://host/x#y"},
		{URL: "https://host/"},
		{URL: "https://host/%2e%2e/x"},
		{URL: "ext::sh -c id"},
		{URL: "git@host:x", KeyFile: "/home/me/key"},
		{URL: "git@host:x", KnownHosts: "relative"},
		{URL: "https://host/x", KeyFile: "KEY"},
		{URL: "https://host/x", KnownHosts: "/x"},
	} {
		if err := r.Validate(); err == nil {
			t.Errorf("%+v: no error", r)
		} else if strings.Contains(err.Error(), "hidden-secret") || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("%+v: %v", r, err)
		}
	}
}

func FuzzRemote(f *testing.F) {
	for _, s := range []string{"git@host:x", "ssh://git@host:22/x", "https://host/o/r.git", "https://a:b@host/x", "ssh://git@-o/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		p, err := parse(s)
		if err != nil {
			return
		}
		if strings.ContainsAny(p.path+p.host+p.user, "'\"`$;&|<>\\ \n\r\x00!()*?") || strings.HasPrefix(p.host, "-") || strings.HasPrefix(p.user, "-") || strings.HasPrefix(p.path, "-") {
			t.Errorf("%q gave %+v", s, p)
		}
	})
}

func FuzzKey(f *testing.F) {
	f.Add([]byte("-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"), "x")
	f.Add([]byte("-----BEGIN RSA PRIVATE KEY-----\nProc-Type: 4,ENCRYPTED\n\nAAAA\n-----END RSA PRIVATE KEY-----"), "")
	f.Fuzz(func(t *testing.T, content []byte, passphrase string) {
		once := mendKey(content)
		if !bytes.Equal(mendKey(once), once) {
			t.Errorf("mended twice is different: %q", content)
		}
	})
}

// FuzzAnswer: whatever a remote answers, it is understood or refused.
func FuzzAnswer(f *testing.F) {
	f.Add([]byte("0008NAK\n0005\x010000"))
	f.Add([]byte("0031ACK 1111111111111111111111111111111111111111\n0009\x01PACK"))
	f.Fuzz(func(_ *testing.T, b []byte) {
		_, _, _ = acknowledged(bytes.NewReader(b))
		for _, line := range readable(b) {
			if strings.ContainsAny(line, "\n\r\x1b\x00") {
				panic(line)
			}
		}
		c := conversation{}
		if c.readRefs(bytes.NewReader(b)) == nil {
			_ = c.refs()
		}
	})
}
