package gitremote

import (
	"crypto/ed25519"
	"crypto/rand"
	"encoding/pem"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/storage/filesystem"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

func need(t testing.TB, program string) {
	t.Helper()
	if _, err := exec.LookPath(program); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", program)
		}
		t.Skipf("%s is missing", program)
	}
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func write(t testing.TB, name, text string) string {
	t.Helper()
	must(t, os.MkdirAll(filepath.Dir(name), 0o700))
	must(t, os.WriteFile(name, []byte(text), 0o600))
	return name
}

func gitIn(t testing.TB, dir string, args ...string) string {
	t.Helper()
	cmd := exec.Command("git", args...)
	cmd.Dir = dir
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"), "HOME=/nonexistent", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_AUTHOR_NAME=A", "GIT_AUTHOR_EMAIL=a@example.org", "GIT_COMMITTER_NAME=C", "GIT_COMMITTER_EMAIL=c@example.org",
	}
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("git %q: %v\n%s", args, err, out)
	}
	return strings.TrimSpace(string(out))
}

// newKey writes an OpenSSH private key and returns its public one.
func newKey(t testing.TB, file string) ssh.PublicKey {
	t.Helper()
	public, private, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	block, err := ssh.MarshalPrivateKey(private, "a comment")
	must(t, err)
	write(t, file, string(pem.EncodeToMemory(block)))
	key, err := ssh.NewPublicKey(public)
	must(t, err)
	return key
}

// lockedKey has ssh-keygen write one with a passphrase. One round of its key derivation, in place of the 16 or 24 that are
// the custom, takes the race detector a second less for every time the key is opened.
func lockedKey(t testing.TB, file, passphrase string) ssh.PublicKey {
	t.Helper()
	need(t, "ssh-keygen")
	out, err := exec.Command("ssh-keygen", "-q", "-t", "ed25519", "-a", "1", "-C", "a comment", "-N", passphrase, "-f", file).CombinedOutput()
	if err != nil {
		t.Fatalf("ssh-keygen: %v\n%s", err, out)
	}
	line, err := os.ReadFile(file + ".pub")
	must(t, err)
	key, _, _, _, err := ssh.ParseAuthorizedKey(line)
	must(t, err)
	return key
}

// world is a server with the empty repository o/r, and somebody who may come in.
type world struct {
	t      testing.TB
	dir    string
	server *gitd.Server
	key    ssh.PublicKey
	vars   map[string]string
	local  string // a repository with a working tree
}

const token = "a-token-nobody-may-see"

func newWorld(t testing.TB, o gitd.Options) *world {
	t.Helper()
	need(t, "git")
	w := &world{t: t, dir: t.TempDir()}
	w.key = newKey(t, filepath.Join(w.dir, "key"))
	w.vars = map[string]string{"KEY": filepath.Join(w.dir, "key")}
	o.Dir = filepath.Join(w.dir, "remote")
	o.Accounts = []gitd.Account{{Name: "o", Keys: []ssh.PublicKey{w.key}, Token: token}}
	must(t, gitd.Init(o.Dir, "o/r", "main"))
	var err error
	w.server, err = gitd.Start(t.Context(), o)
	must(t, err)
	t.Cleanup(func() { w.server.Close() })
	write(t, filepath.Join(w.dir, "known_hosts"), string(w.server.KnownHosts()))
	w.local = filepath.Join(w.dir, "local")
	must(t, os.Mkdir(w.local, 0o700))
	gitIn(t, w.local, "init", "-q", "-b", "main")
	w.commit("one")
	return w
}

func (w *world) commit(name string) plumbing.Hash {
	w.t.Helper()
	write(w.t, filepath.Join(w.local, "deep", "er", name), name+"\n")
	gitIn(w.t, w.local, "add", "-A")
	gitIn(w.t, w.local, "commit", "-q", "-m", name)
	return plumbing.NewHash(gitIn(w.t, w.local, "rev-parse", "HEAD"))
}

func (w *world) store() *filesystem.Storage {
	return filesystem.NewStorage(osfs.New(filepath.Join(w.local, ".git")), cache.NewObjectLRUDefault())
}

func (w *world) options() Options {
	return Options{
		Getenv: func(name string) string { return w.vars[name] },
		Token:  func() (string, string, error) { return "", token, nil },
	}
}

func (w *world) ssh() Access {
	w.t.Helper()
	a, err := Open(w.t.Context(), Remote{URL: w.server.SSHURL("git", "o/r"), KnownHosts: filepath.Join(w.dir, "known_hosts"), KeyFile: "KEY"}, w.options())
	must(w.t, err)
	return a
}

func (w *world) https() Access {
	w.t.Helper()
	a, err := Open(w.t.Context(), Remote{URL: w.server.HTTPURL("o/r")}, w.options())
	must(w.t, err)
	return a
}

// both runs a test over both ways.
func both(t *testing.T, o gitd.Options, f func(t *testing.T, w *world, a Access)) {
	t.Run("ssh", func(t *testing.T) { w := newWorld(t, o); f(t, w, w.ssh()) })
	t.Run("https", func(t *testing.T) { w := newWorld(t, o); f(t, w, w.https()) })
}

func (w *world) remote(args ...string) string {
	w.t.Helper()
	return gitIn(w.t, filepath.Join(w.dir, "remote", "o", "r.git"), args...)
}

func (w *world) fault(plan string) {
	w.t.Helper()
	faults, err := gitd.ParseFaults(plan)
	must(w.t, err)
	must(w.t, w.server.SetFaults(faults))
}
