package gitd

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"
)

// need finds a program, or skips; where CI is "true" it fails.
func need(t testing.TB, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err == nil {
		return path
	}
	if os.Getenv("CI") == "true" {
		t.Fatalf("%s is not installed", name)
	}
	t.Skipf("%s is not installed", name)
	return ""
}

// bench is a server with one repository "o/r" and the account "octo", whose key and token clients use.
type bench struct {
	*Server
	t       testing.TB
	dir     string // of the repositories
	home    string // of the clients
	keyFile string
	signer  ssh.Signer
}

const token = "s3cret-token"

func newKeyFile(t testing.TB, dir string) (ssh.Signer, string) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(key, "")
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(dir, "id")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return signer, file
}

func start(t testing.TB, change func(*Options)) *bench {
	t.Helper()
	need(t, "git")
	b := &bench{t: t, dir: t.TempDir(), home: t.TempDir()}
	b.signer, b.keyFile = newKeyFile(t, b.home)
	o := Options{Dir: b.dir, Accounts: []Account{{Name: "octo", Keys: []ssh.PublicKey{b.signer.PublicKey()}, Token: token}}}
	if change != nil {
		change(&o)
	}
	if err := Init(b.dir, "o/r", "main"); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.Server, err = Start(t.Context(), o); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := b.Close(); err != nil {
			t.Error(err)
		}
		b.fsck()
	})
	return b
}

// fsck lets git judge every repository.
func (b *bench) fsck() {
	b.t.Helper()
	list, _ := filepath.Glob(filepath.Join(b.dir, "*", "*.git"))
	more, _ := filepath.Glob(filepath.Join(b.dir, "*.git"))
	for _, dir := range append(list, more...) {
		cmd := exec.Command("git", "-c", "safe.directory=*", "--git-dir", dir, "fsck", "--strict", "--full", "--no-dangling")
		out, err := cmd.CombinedOutput()
		for line := range strings.Lines(string(out)) {
			if err != nil || !strings.HasPrefix(line, "notice: ") { // of branches that are not there yet
				b.t.Errorf("%s: %v: %s", dir, err, line)
			}
		}
		locks, _ := filepath.Glob(filepath.Join(dir, "refs", "*", "*.lock"))
		if len(locks) > 0 {
			b.t.Errorf("left behind: %v", locks)
		}
	}
}

// git runs the client in a folder and returns what it says.
func (b *bench) git(dir string, args ...string) (string, error) {
	b.t.Helper()
	known := filepath.Join(b.home, "known_hosts")
	if err := os.WriteFile(known, b.KnownHosts(), 0o600); err != nil {
		b.t.Fatal(err)
	}
	return b.gitWith(known, dir, args...)
}

func (b *bench) gitWith(known, dir string, args ...string) (string, error) {
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=" + b.home, "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0",
		"GIT_AUTHOR_NAME=N", "GIT_AUTHOR_EMAIL=n@example.invalid", "GIT_COMMITTER_NAME=N", "GIT_COMMITTER_EMAIL=n@example.invalid",
		"GIT_SSH_COMMAND=ssh -F /dev/null -i " + b.keyFile + " -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=" + known,
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (b *bench) must(dir string, args ...string) string {
	b.t.Helper()
	out, err := b.git(dir, args...)
	if err != nil {
		b.t.Fatalf("git %v: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(out)
}

// work makes a working tree with one commit on main.
func (b *bench) work() string {
	b.t.Helper()
	dir := b.t.TempDir()
	b.must(dir, "init", "-q", "-b", "main")
	b.commit(dir, "a")
	return dir
}

// commit adds a file that is long enough for packs of some thousand bytes.
func (b *bench) commit(dir, name string) string {
	b.t.Helper()
	noise := make([]byte, 3000)
	rand.Read(noise)
	if err := os.WriteFile(filepath.Join(dir, name), noise, 0o644); err != nil {
		b.t.Fatal(err)
	}
	b.must(dir, "add", "-A")
	b.must(dir, "commit", "-q", "-m", name)
	return b.must(dir, "rev-parse", "HEAD")
}

// url is the repository's over ssh or http, with the credentials.
func (b *bench) url(protocol string) string {
	if protocol == "ssh" {
		return b.SSHURL("git", "o/r")
	}
	return strings.Replace(b.HTTPURL("o/r"), "http://", "http://x:"+token+"@", 1)
}

// ref is what a ref of the repository points at, or "".
func (b *bench) ref(name string) string {
	b.t.Helper()
	var out bytes.Buffer
	if err := Git(b.t.Context(), folder(b.dir, "o/r"), nil, &out, "for-each-ref", "--format=%(objectname)", name); err != nil {
		b.t.Fatal(err)
	}
	return strings.TrimSpace(out.String())
}

var protocols = []string{"ssh", "http"}

func TestPushAndClone(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			if protocol == "ssh" {
				need(t, "ssh")
			}
			b := start(t, nil)
			w := b.work()
			tip := b.must(w, "rev-parse", "HEAD")
			b.must(w, "push", b.url(protocol), "main", "HEAD:refs/heads/odd'$(id)`x`\"&;name")
			if got := b.ref("refs/heads/main"); got != tip {
				t.Errorf("main is %q, want %s", got, tip)
			}
			if got := b.ref("refs/heads/odd'$(id)`x`\"&;name"); got != tip {
				t.Errorf("the odd branch is %q", got)
			}
			to := filepath.Join(t.TempDir(), "clone")
			b.must(w, "clone", "-q", b.url(protocol), to)
			if got := b.must(to, "rev-parse", "HEAD"); got != tip {
				t.Errorf("cloned %s, want %s", got, tip)
			}
			b.must(to, "-c", "protocol.version=0", "fetch", "-q")
			b.must(w, "push", b.url(protocol), "HEAD:refs/tags/v1", ":refs/heads/odd'$(id)`x`\"&;name")
			if got := b.ref("refs/heads/odd*"); got != "" {
				t.Errorf("the odd branch is still %s", got)
			}
			h := b.History("o/r")
			if len(h) != 5 || len(h[0].Refs) != 0 || len(h[1].Refs) != 1 || len(h[2].Refs) != 2 || len(h[4].Refs) != 2 || h[4].Refs["refs/tags/v1"] != tip {
				t.Errorf("history %+v", h)
			}
		})
	}
}
