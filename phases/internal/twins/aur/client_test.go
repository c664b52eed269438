package aur

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/pem"
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/revlist"
	"github.com/go-git/go-git/v5/plumbing/storer"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// need finds a program; without it a test is skipped, and fails where CI runs it.
func need(t *testing.T, tool string) string {
	t.Helper()
	path, err := exec.LookPath(tool)
	switch {
	case err == nil:
	case os.Getenv("CI") == "true":
		t.Fatalf("%s is missing", tool)
	default:
		t.Skipf("%s is missing", tool)
	}
	return path
}

// A testKey is a key pair with its private half in a file.
type testKey struct {
	signer ssh.Signer
	file   string
}

func newKey(t testing.TB) testKey {
	t.Helper()
	_, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	block, err := ssh.MarshalPrivateKey(private, "")
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(file, pem.EncodeToMemory(block), 0o600); err != nil {
		t.Fatal(err)
	}
	return testKey{signer, file}
}

func (k testKey) public() []ssh.PublicKey { return []ssh.PublicKey{k.signer.PublicKey()} }

// A manualClock stands still until it is told to go on, and Sleep is such a telling.
type manualClock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *manualClock {
	return &manualClock{now: time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)}
}

func (c *manualClock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *manualClock) Sleep(_ context.Context, d time.Duration) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
	return nil
}

// start starts a server whose account "me" has the key.
func start(t testing.TB, o Options, key testKey) *Server {
	t.Helper()
	if o.Dir == "" {
		o.Dir = t.TempDir()
	}
	if !slices.ContainsFunc(o.Accounts, func(a Account) bool { return a.Name == "me" }) {
		o.Accounts = append(o.Accounts, Account{Name: "me", Keys: key.public()})
	}
	s, err := Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func faults(t testing.TB, plan string) []Fault {
	t.Helper()
	list, err := ParseFaults(plan)
	if err != nil {
		t.Fatal(err)
	}
	return list
}

// files makes a package called name; the .SRCINFO is edited by pairs of old and new text.
func files(name string, edit ...string) map[string]string {
	info := "pkgbase = NAME\n\tpkgdesc = A test\n\tpkgver = 1.2.3\n\tpkgrel = 1\n\turl = https://example.org/\n\tarch = x86_64\n\tlicense = MIT\n" +
		"\tdepends = gtk3>=3.24\n\tdepends = glibc\n\toptdepends = ollama: local models\n\tprovides = other=1.2.3\n" +
		"\tsource_x86_64 = a.tar.gz::https://example.org/a.tar.gz\n\tsha256sums_x86_64 = " + strings.Repeat("0123456789abcdef", 4) + "\n\npkgname = NAME\n"
	for i := 0; i < len(edit); i += 2 {
		if !strings.Contains(info, edit[i]) {
			panic("nothing to edit: " + edit[i])
		}
		info = strings.Replace(info, edit[i], edit[i+1], 1)
	}
	return map[string]string{".SRCINFO": strings.ReplaceAll(info, "NAME", name), "PKGBUILD": "pkgname='" + name + "'\npkgrel='1'\n"}
}

// with adds files.
func with(list map[string]string, more ...string) map[string]string {
	for i := 0; i < len(more); i += 2 {
		list[more[i]] = more[i+1]
	}
	return list
}

func without(list map[string]string, names ...string) map[string]string {
	for _, n := range names {
		delete(list, n)
	}
	return list
}

// A clone is a client's own bare repository.
type clone struct {
	t   testing.TB
	dir string
	git *git.Repository
}

func newClone(t testing.TB) *clone {
	t.Helper()
	dir := t.TempDir()
	if err := gitd.Init(dir, "clone", "master"); err != nil {
		t.Fatal(err)
	}
	c := &clone{t: t, dir: filepath.Join(dir, "clone.git")}
	var err error
	if c.git, err = git.PlainOpen(c.dir); err != nil {
		t.Fatal(err)
	}
	return c
}

// commit makes a commit on a parent, "" for none.
func (c *clone) commit(parent, message string, files map[string]string) string {
	c.t.Helper()
	tree, err := writeTree(c.git.Storer, files)
	if err != nil {
		c.t.Fatal(err)
	}
	return c.commitTree(parent, message, tree)
}

func (c *clone) commitTree(parent, message string, tree plumbing.Hash) string {
	c.t.Helper()
	by := object.Signature{Name: "Me", Email: "me@example.org", When: time.Unix(1_700_000_000, 0).UTC()}
	o := &object.Commit{Author: by, Committer: by, Message: message + "\n", TreeHash: tree}
	if parent != "" {
		o.ParentHashes = []plumbing.Hash{plumbing.NewHash(parent)}
	}
	id, err := writeObject(c.git.Storer, o)
	if err != nil {
		c.t.Fatal(err)
	}
	return id.String()
}

// An outcome is what a push was told.
type outcome struct {
	accepted bool
	lines    []string // of the server
	text     string   // all that the client said
}

// A client pushes a commit of a clone to a ref; "+" before the commit forces.
type client struct {
	name string
	push func(t *testing.T, s *Server, key testKey, c *clone, name, commit, ref string) outcome
	tip  func(t *testing.T, s *Server, key testKey, name string) string // of master, "" for none
}

var clients = []client{
	{"git", gitPush, gitTip},
	{"go-git", goPush, goTip},
}

// clientsOf are the clients of case i: one, in turn, and all of them where SLIPWAY_LONG is set. [TestScenario] shows that the
// server tells both the same.
func clientsOf(i int) []client {
	if os.Getenv("SLIPWAY_LONG") != "" {
		return clients
	}
	return clients[i%len(clients):][:1]
}

// gitEnv is all that the git program sees of the machine.
func gitEnv(t *testing.T, s *Server, key testKey) []string {
	t.Helper()
	hosts := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(hosts, s.KnownHosts(), 0o600); err != nil {
		t.Fatal(err)
	}
	return []string{
		"PATH=/usr/bin:/bin", "HOME=/nonexistent", "LC_ALL=C", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=/dev/null", "GIT_TERMINAL_PROMPT=0",
		"GIT_SSH_COMMAND=" + need(t, "ssh") + " -F /dev/null -i " + key.file + " -o IdentitiesOnly=yes -o IdentityAgent=none -o BatchMode=yes" +
			" -o StrictHostKeyChecking=yes -o GlobalKnownHostsFile=/dev/null -o UserKnownHostsFile=" + hosts,
	}
}

func runGit(t *testing.T, s *Server, key testKey, dir string, args ...string) (stdout, stderr string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), need(t, "git"), args...)
	var out, text bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdout, cmd.Stderr = dir, gitEnv(t, s, key), &out, &text
	err = cmd.Run()
	return out.String(), text.String(), err
}

func gitPush(t *testing.T, s *Server, key testKey, c *clone, name, commit, ref string) outcome {
	t.Helper()
	_, text, err := runGit(t, s, key, c.dir, "push", s.SSHURL(name), commit+":"+ref)
	o := outcome{accepted: err == nil, text: text}
	for line := range strings.Lines(text) {
		if line, ok := strings.CutPrefix(strings.TrimRight(line, " \n"), "remote: "); ok {
			o.lines = append(o.lines, line)
		}
	}
	return o
}

func gitTip(t *testing.T, s *Server, key testKey, name string) string {
	t.Helper()
	out, text, err := runGit(t, s, key, t.TempDir(), "ls-remote", s.SSHURL(name), master)
	if err != nil {
		t.Fatal(err, text)
	}
	hash, _, _ := strings.Cut(out, "\t")
	return hash
}

// goAuth is how go-git comes in.
func goAuth(t *testing.T, s *Server, key testKey) *gitssh.PublicKeys {
	t.Helper()
	file := filepath.Join(t.TempDir(), "known_hosts")
	if err := os.WriteFile(file, s.KnownHosts(), 0o600); err != nil {
		t.Fatal(err)
	}
	callback, err := knownhosts.New(file)
	if err != nil {
		t.Fatal(err)
	}
	auth := &gitssh.PublicKeys{User: "aur", Signer: key.signer}
	auth.HostKeyCallback = func(host string, remote net.Addr, k ssh.PublicKey) error { return callback(host, remote, k) }
	return auth
}

func goPush(t *testing.T, s *Server, key testKey, c *clone, name, commit, ref string) outcome {
	t.Helper()
	// go-git pushes refs, so the commit gets one.
	hash, force := strings.CutPrefix(commit, "+")
	from := plumbing.ReferenceName("refs/heads/from-" + hash)
	if hash != "" {
		if err := c.git.Storer.SetReference(plumbing.NewHashReference(from, plumbing.NewHash(hash))); err != nil {
			t.Fatal(err)
		}
	} else {
		from = ""
	}
	var progress bytes.Buffer
	remote := git.NewRemote(c.git.Storer, &config.RemoteConfig{Name: "aur", URLs: []string{s.SSHURL(name)}})
	spec := from.String() + ":" + ref
	if force {
		spec = "+" + spec
	}
	err := remote.PushContext(t.Context(), &git.PushOptions{
		RemoteName: "aur", RefSpecs: []config.RefSpec{config.RefSpec(spec)}, Auth: goAuth(t, s, key), Progress: &progress,
	})
	o := outcome{accepted: err == nil || errors.Is(err, git.NoErrAlreadyUpToDate)}
	o.text = progress.String()
	if err != nil {
		o.text += err.Error() + "\n"
	}
	for line := range strings.Lines(progress.String()) {
		o.lines = append(o.lines, strings.TrimRight(line, " \n"))
	}
	return o
}

func goTip(t *testing.T, s *Server, key testKey, name string) string {
	t.Helper()
	remote := git.NewRemote(nil, &config.RemoteConfig{Name: "aur", URLs: []string{s.SSHURL(name)}})
	refs, err := remote.ListContext(t.Context(), &git.ListOptions{Auth: goAuth(t, s, key)})
	if err != nil && !strings.Contains(err.Error(), "remote repository is empty") {
		t.Fatal(err)
	}
	for _, r := range refs {
		if r.Name() == master {
			return r.Hash().String()
		}
	}
	return ""
}

// command runs an ssh command, "" for a shell.
func command(t *testing.T, s *Server, key testKey, line string) (stdout, stderr string, status int) {
	t.Helper()
	host := strings.TrimPrefix(strings.TrimSuffix(s.SSHURL("x"), "/x.git"), "ssh://aur@")
	conn, err := ssh.Dial("tcp", host, &ssh.ClientConfig{
		User: "aur", Auth: []ssh.AuthMethod{ssh.PublicKeys(key.signer)}, HostKeyCallback: ssh.InsecureIgnoreHostKey(), Timeout: 30 * time.Second,
	})
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	session, err := conn.NewSession()
	if err != nil {
		t.Fatal(err)
	}
	defer session.Close()
	var out, text bytes.Buffer
	session.Stdout, session.Stderr = &out, &text
	if line == "" {
		if err = session.Shell(); err == nil {
			err = session.Wait()
		}
	} else {
		err = session.Run(line)
	}
	if exit := (*ssh.ExitError)(nil); errors.As(err, &exit) {
		status = exit.ExitStatus()
	} else if err != nil {
		t.Fatal(err)
	}
	return out.String(), text.String(), status
}

// copyObjects copies what a commit needs.
func copyObjects(from, to storer.EncodedObjectStorer, tip plumbing.Hash) error {
	ids, err := revlist.Objects(from, []plumbing.Hash{tip}, nil)
	if err != nil {
		return err
	}
	for _, id := range ids {
		o, err := from.EncodedObject(plumbing.AnyObject, id)
		if err != nil {
			return err
		}
		if _, err := to.SetEncodedObject(o); err != nil {
			return err
		}
	}
	return nil
}
