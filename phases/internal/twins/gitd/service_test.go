package gitd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/transport"
	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"github.com/go-git/go-git/v5/storage/memory"
	"golang.org/x/crypto/ssh"
)

// auth is what go-git is given.
func (b *bench) auth(protocol string) transport.AuthMethod {
	if protocol == "http" {
		return &githttp.BasicAuth{Username: "x", Password: token}
	}
	return &gitssh.PublicKeys{User: "git", Signer: b.signer, HostKeyCallbackHelper: gitssh.HostKeyCallbackHelper{
		HostKeyCallback: b.trust,
	}}
}

// trust accepts the server's host keys.
func (b *bench) trust(_ string, _ net.Addr, key ssh.PublicKey) error {
	for _, k := range b.HostKeys() {
		if bytes.Equal(k.Marshal(), key.Marshal()) {
			return nil
		}
	}
	return errors.New("host key mismatch")
}

func (b *bench) plainURL(protocol string) string {
	if protocol == "ssh" {
		return b.SSHURL("git", "o/r")
	}
	return b.HTTPURL("o/r")
}

// TestGoGit is the same story as TestPushAndClone with the library.
func TestGoGit(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			b := start(t, func(o *Options) {
				o.Update = func(_ context.Context, u *Update) error {
					fmt.Fprintf(u.Messages, "hello %s\n", u.Account)
					return nil
				}
			})
			w := b.work()
			tip := b.must(w, "rev-parse", "HEAD")
			local, err := git.PlainOpen(w)
			if err != nil {
				t.Fatal(err)
			}
			remote, err := local.CreateRemote(&config.RemoteConfig{Name: "origin", URLs: []string{b.plainURL(protocol)}})
			if err != nil {
				t.Fatal(err)
			}
			var said bytes.Buffer
			push := func(spec config.RefSpec) {
				t.Helper()
				if err := remote.PushContext(t.Context(), &git.PushOptions{Auth: b.auth(protocol), RefSpecs: []config.RefSpec{spec}, Progress: &said}); err != nil {
					t.Fatal(err)
				}
			}
			push("refs/heads/main:refs/heads/main")
			push("refs/heads/main:refs/heads/side")
			if got := b.ref("refs/heads/main"); got != tip {
				t.Errorf("main is %q, want %s", got, tip)
			}
			if !strings.Contains(said.String(), "hello octo") {
				t.Errorf("the sideband said %q", said.String())
			}
			clone, err := git.CloneContext(t.Context(), memory.NewStorage(), nil, &git.CloneOptions{URL: b.plainURL(protocol), Auth: b.auth(protocol)})
			if err != nil {
				t.Fatal(err)
			}
			if head, err := clone.Head(); err != nil || head.Hash().String() != tip {
				t.Errorf("cloned %v, %v", head, err)
			}
			push(":refs/heads/side")
			if got := b.ref("refs/heads/side"); got != "" {
				t.Errorf("side is still %s", got)
			}
		})
	}
}

func TestUnknownKeyAndTokenAreRefused(t *testing.T) {
	t.Parallel()
	need(t, "ssh")
	b := start(t, nil)
	w := b.work()
	_, other := newKeyFile(t, t.TempDir())
	mine := b.keyFile
	b.keyFile = other
	if out, err := b.git(w, "push", b.url("ssh"), "main"); err == nil || !strings.Contains(out, "Permission denied (publickey)") {
		t.Errorf("unknown key: %v\n%s", err, out)
	}
	b.keyFile = mine
	for name, url := range map[string]string{
		"no token":    b.HTTPURL("o/r"),
		"wrong token": strings.Replace(b.HTTPURL("o/r"), "http://", "http://octo:wrong@", 1),
		"empty token": strings.Replace(b.HTTPURL("o/r"), "http://", "http://octo:@", 1),
	} {
		if out, err := b.git(w, "push", url, "main"); err == nil || !strings.Contains(out, "could not read") && !strings.Contains(out, "Authentication failed") {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
	}
	if got := b.ref("refs/heads/main"); got != "" {
		t.Errorf("main is %s", got)
	}
}

func TestReadingWithoutAnAccount(t *testing.T) {
	t.Parallel()
	private := false
	b := start(t, func(o *Options) {
		o.Before = func(s *Session) error {
			if private && s.Account == "" {
				return ErrAuth
			}
			return nil
		}
	})
	w := b.work()
	b.must(w, "push", "-q", b.url("http"), "main")
	b.must(w, "ls-remote", b.HTTPURL("o/r"))
	private = true
	if out, err := b.git(w, "ls-remote", b.HTTPURL("o/r")); err == nil || !strings.Contains(out, "terminal prompts disabled") {
		t.Errorf("private: %v\n%s", err, out)
	}
	b.must(w, "ls-remote", b.url("http"))
}

// TestUpdateDecidesEachRef also shows that the new objects are readable and that half a line arrives.
func TestUpdateDecidesEachRef(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var tip string
			b := start(t, func(o *Options) {
				o.Update = func(_ context.Context, u *Update) error {
					c, err := object.GetCommit(u.Store, plumbing.NewHash(u.New))
					if err != nil || c.Hash.String() != tip || u.Old != plumbing.ZeroHash.String() || u.Repository != "o/r" || u.Account != "octo" {
						t.Errorf("update %+v, %v", u, err)
					}
					fmt.Fprint(u.Messages, "half a ", "line of "+u.Ref+"\nwarning: $(touch x) `touch y`\n=yes\nyes\nand the end")
					if u.Ref == "refs/heads/bad" {
						return errors.New("error: not this one\nerror: ever")
					}
					return nil
				}
			})
			w := b.work()
			tip = b.must(w, "rev-parse", "HEAD")
			out, err := b.git(w, "push", b.url(protocol), "main:bad", "main:good")
			if err == nil {
				t.Error("no error")
			}
			for _, want := range []string{
				"remote: half a line of refs/heads/bad", "remote: error: not this one", "remote: error: ever", "remote: warning: $(touch x) `touch y`",
				"remote: =yes", "remote: yes", "remote: and the end", "! [remote rejected] main -> bad (hook declined)", "main -> good\n",
			} {
				if !strings.Contains(out, want) {
					t.Errorf("%q is missing in\n%s", want, out)
				}
			}
			if b.ref("refs/heads/bad") != "" || b.ref("refs/heads/good") != tip {
				t.Error("the wrong ref was changed")
			}
		})
	}
}

func TestOrderOfAPush(t *testing.T) {
	for _, protocol := range protocols {
		t.Run(protocol, func(t *testing.T) {
			t.Parallel()
			var mu sync.Mutex
			var order []string
			var b *bench
			say := func(format string, args ...any) {
				mu.Lock()
				defer mu.Unlock()
				order = append(order, fmt.Sprintf(format, args...))
			}
			b = start(t, func(o *Options) {
				o.Arrived = func(e Event) { say("arrived %s %d", e.Service, e.Seq) }
				o.Before = func(s *Session) error { say("before %s %s", s.Protocol, s.Repository); return nil }
				o.Update = func(context.Context, *Update) error {
					say("update %t", b.ref("refs/heads/main") != "")
					return nil
				}
				o.Updated = func(_ *Session, us []Update) {
					say("updated %d %t", len(us), b.ref("refs/heads/main") == us[0].New)
				}
				o.Handled = func(e Event) { say("handled %d", len(e.Updates)) }
			})
			w := b.work()
			b.must(w, "push", "-q", b.url(protocol), "main")
			want := "arrived receive-pack 1,before ssh o/r,update false,updated 1 true,handled 1"
			if protocol == "http" { // two requests
				want = "before http o/r,arrived receive-pack 1,before http o/r,arrived receive-pack 2,update false,updated 1 true,handled 1"
			}
			if got := strings.Join(order, ","); got != want {
				t.Errorf("order\n%s\nwant\n%s", got, want)
			}
		})
	}
}

// run sends a command over ssh as a client that is no git.
func (b *bench) run(command string) (stdout, stderr string, status int) {
	b.t.Helper()
	client, err := ssh.Dial("tcp", b.SSHAddr(), &ssh.ClientConfig{
		User: "aur", Auth: []ssh.AuthMethod{ssh.PublicKeys(b.signer)}, HostKeyCallback: b.trust,
	})
	if err != nil {
		b.t.Fatal(err)
	}
	defer client.Close()
	s, err := client.NewSession()
	if err != nil {
		b.t.Fatal(err)
	}
	var out, errOut bytes.Buffer
	s.Stdout, s.Stderr = &out, &errOut
	s.Stdin = strings.NewReader("0000") // to git: no wishes
	if command == "" {
		if s.RequestPty("xterm", 80, 24, nil) == nil {
			b.t.Error("a terminal was given")
		}
		if err = s.Shell(); err == nil {
			err = s.Wait()
		}
	} else {
		err = s.Run(command)
	}
	if exit := (*ssh.ExitError)(nil); errors.As(err, &exit) {
		status = exit.ExitStatus()
	} else if err != nil {
		b.t.Errorf("%q: %v", command, err)
	}
	return out.String(), errOut.String(), status
}

func TestCommands(t *testing.T) {
	t.Parallel()
	b := start(t, func(o *Options) {
		o.Shell = "Welcome! Interactive shell is disabled."
		o.Command = func(s *Session, argv []string, stdout, stderr io.Writer) (int, bool) {
			if argv[0] != "list-repos" {
				return 0, false
			}
			fmt.Fprintf(stdout, "%s %s %q\n", s.Account, s.User, argv)
			fmt.Fprintln(stderr, "note")
			return 3, true
		}
	})
	if out, errOut, status := b.run("list-repos 'a b' c\\ d \"e'f\""); out != "octo aur [\"list-repos\" \"a b\" \"c d\" \"e'f\"]\n" || errOut != "note\n" || status != 3 {
		t.Errorf("%q, %q, %d", out, errOut, status)
	}
	if _, errOut, status := b.run(""); errOut != "Welcome! Interactive shell is disabled.\n" || status != 1 {
		t.Errorf("shell: %q, %d", errOut, status)
	}
	if _, errOut, status := b.run("rm -rf /"); errOut != "unknown command \"rm\"\n" || status != 1 {
		t.Errorf("unknown: %q, %d", errOut, status)
	}
}

// TestPaths asks for repositories in every form, and for what is none.
func TestPaths(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	w := b.work()
	b.must(w, "push", "-q", b.url("http"), "main")
	secret := filepath.Join(b.dir, "..", "outside.git")
	if err := Init(filepath.Dir(secret), "outside", "main"); err != nil {
		t.Fatal(err)
	}
	mark := filepath.Join(t.TempDir(), "executed")
	for _, path := range []string{"'/o/r.git'", "o/r.git", "'o/r'", "/o/r/", "'/o/r.git/'", `"/o/r.git"`} {
		for _, program := range []string{"git-upload-pack ", "git upload-pack "} {
			if out, errOut, status := b.run(program + path); !strings.Contains(out, "refs/heads/main") || status != 0 {
				t.Errorf("%s%s: %q, %q, %d", program, path, out, errOut, status)
			}
		}
	}
	for _, path := range []string{
		"'../outside.git'", "'/o/../../outside'", "'o/r.git/../../../outside.git'", "'/etc'", "'" + filepath.Dir(b.dir) + "/outside.git'", "''", "'/'", "'o'", "'o/none'",
		"'$(touch " + mark + ")'", "'`touch " + mark + "`'", "'o/r.git;touch " + mark + "'", "'o/r\n.git'", "'--upload-pack=touch " + mark + "'", "'-h'", "'.hidden'", "'o/r.git/objects'", "'~/x'", "'o//r'",
	} {
		_, errOut, status := b.run("git-upload-pack " + path)
		if status != 128 || !strings.HasPrefix(errOut, "fatal: '") || !strings.HasSuffix(errOut, "does not appear to be a git repository\n") || strings.Count(errOut, "\n") != 1 {
			t.Errorf("%s: %q, %d", path, errOut, status)
		}
	}
	for _, command := range []string{"git-upload-pack 'o/r", "git-upload-pack o/r o/r", "git-upload-pack", "git-upload-archive o/r", "git-upload-pack o/r --strict", "git\x00-upload-pack o/r", "git-shell o/r"} {
		if _, errOut, status := b.run(command); status != 1 || errOut == "" {
			t.Errorf("%q: %q, %d", command, errOut, status)
		}
	}
	for _, path := range []string{"../outside.git", "o%2f..%2f..%2foutside.git", "o/none.git", "o/r.git/objects", ""} {
		q, _ := http.NewRequestWithContext(t.Context(), "GET", strings.TrimSuffix(b.HTTPURL(""), "/.git")+"/x", nil)
		q.URL.Opaque = "/" + path + "/info/refs"
		q.URL.RawQuery = "service=git-upload-pack"
		a, err := http.DefaultClient.Do(q)
		if err != nil {
			t.Fatal(err)
		}
		a.Body.Close()
		if a.StatusCode != 404 {
			t.Errorf("%s: status %d", path, a.StatusCode)
		}
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("something was executed")
	}
}

func TestFirstPushCreates(t *testing.T) {
	t.Parallel()
	need(t, "ssh")
	b := start(t, func(o *Options) {
		o.Before = func(s *Session) error {
			if s.Repository == "" {
				return fmt.Errorf("git-%s: invalid repository name: %s", s.Service, s.Path)
			}
			return s.Create()
		}
	})
	w := b.work()
	if out, err := b.git(w, "push", b.SSHURL("aur", "../x"), "main"); err == nil || !strings.Contains(out, "git-receive-pack: invalid repository name: /../x.git") {
		t.Errorf("%v\n%s", err, out)
	}
	to := filepath.Join(t.TempDir(), "empty")
	b.must(w, "clone", b.SSHURL("aur", "new-bin"), to)
	if head := b.must(to, "symbolic-ref", "HEAD"); head != "refs/heads/master" {
		t.Errorf("HEAD is %s", head)
	}
	b.must(w, "push", b.SSHURL("aur", "new-bin"), "main:master")
	if h := b.History("new-bin"); len(h) != 2 || len(h.Last().Refs) != 1 {
		t.Errorf("history %+v", h)
	}
}

// TestConcurrentPushes lets many push to one branch and each to one of their own. The history holds every step.
func TestConcurrentPushes(t *testing.T) {
	t.Parallel()
	b := start(t, nil)
	w := b.work()
	b.must(w, "push", "-q", b.url("http"), "main")
	const clients = 6
	var wg sync.WaitGroup
	var dirs, tips [clients]string
	for i := range clients {
		dirs[i] = filepath.Join(t.TempDir(), strconv.Itoa(i))
		b.must(w, "clone", "-q", b.url("http"), dirs[i])
		tips[i] = b.commit(dirs[i], "of"+strconv.Itoa(i))
	}
	for i, dir := range dirs {
		tip := tips[i]
		wg.Go(func() {
			known := filepath.Join(b.home, "known_hosts")
			if out, err := b.gitWith(known, dir, "push", b.url(protocols[i%2]), "HEAD:refs/heads/own"+strconv.Itoa(i)); err != nil {
				t.Errorf("client %d: %v\n%s", i, err, out)
			}
			if out, err := b.gitWith(known, dir, "push", b.url(protocols[i%2]), "HEAD:main"); err == nil && b.ref("refs/heads/main") != tip {
				t.Errorf("client %d was told that it won\n%s", i, out)
			}
		})
	}
	wg.Wait()
	won := 0
	for _, e := range b.History("o/r")[1:] {
		if strings.HasSuffix(e.Cause, " refs/heads/main") {
			won++
		}
	}
	if won != 2 { // the first push and one of the clients'
		t.Errorf("main changed %d times", won)
	}
	var last State
	if err := b.History("o/r").Always(func(s State) error {
		changed := 0
		for name, hash := range s.Refs {
			if last.Refs[name] != hash {
				changed++
			}
		}
		if s.Seq > 1 && changed != 1 {
			return fmt.Errorf("%d refs changed at once", changed)
		}
		last = s
		return nil
	}); err != nil {
		t.Error(err)
	}
	if len(last.Refs) != clients+1 {
		t.Errorf("refs %v", last.Refs)
	}
}

func TestHostKeys(t *testing.T) {
	t.Parallel()
	need(t, "ssh")
	b := start(t, nil)
	w := b.work()
	for i, kind := range kinds {
		if got := b.HostKeys()[i].Type(); got != kind {
			t.Errorf("host key %d is %s", i, got)
		}
		// A client that knows one key only meets that one.
		known := filepath.Join(b.home, "one")
		line := strings.SplitAfter(string(b.KnownHosts()), "\n")[i]
		if err := os.WriteFile(known, []byte(line), 0o600); err != nil {
			t.Fatal(err)
		}
		if out, err := b.gitWith(known, w, "ls-remote", b.url("ssh")); err != nil {
			t.Errorf("%s: %v\n%s", kind, err, out)
		}
		if err := b.ChangeHostKey(kind); err != nil {
			t.Fatal(err)
		}
		if out, err := b.gitWith(known, w, "ls-remote", b.url("ssh")); err == nil || !strings.Contains(out, "Host key verification failed") {
			t.Errorf("%s changed: %v\n%s", kind, err, out)
		}
	}
	if err := b.ChangeHostKey("ssh-dss"); err == nil {
		t.Error("an unknown kind was made")
	}
}

// TestCloseEndsEverything closes the server while pushes, a hook and an idle connection are under way.
func TestCloseEndsEverything(t *testing.T) {
	waiting := make(chan string, 10)
	b := start(t, func(o *Options) {
		o.Update = func(ctx context.Context, u *Update) error {
			waiting <- u.Ref
			<-ctx.Done()
			return ctx.Err()
		}
	})
	w := b.work()
	b.git(w, "version") // writes known_hosts
	var wg sync.WaitGroup
	for _, protocol := range protocols {
		wg.Go(func() {
			if out, err := b.gitWith(filepath.Join(b.home, "known_hosts"), w, "push", b.url(protocol), "main:"+protocol); err == nil {
				t.Errorf("pushed\n%s", out)
			}
		})
		<-waiting
	}
	if n := len(children(t)); n < 4 { // two clients, two servers
		t.Errorf("%d processes", n)
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	wg.Wait()
	if left := children(t); len(left) > 0 {
		t.Errorf("left: %v", left)
	}
	stacks := make([]byte, 1<<20)
	stacks = stacks[:runtime.Stack(stacks, true)]
	for stack := range strings.SplitSeq(string(stacks), "\n\n") {
		if strings.Contains(stack, "twins/gitd.(") { // a method; tests are functions
			t.Errorf("left running:\n%s", stack)
		}
	}
	if _, err := os.Stat(b.hooks); err == nil {
		t.Error("the hooks are still there")
	}
	if err := b.Close(); err != nil {
		t.Error(err)
	}
	if b.ref("refs/heads/ssh") != "" || b.ref("refs/heads/http") != "" {
		t.Error("a ref was changed")
	}
}

// children lists processes that this one or its children started and that run.
func children(t *testing.T) (list []string) {
	t.Helper()
	files, _ := filepath.Glob("/proc/[0-9]*/stat")
	parent, text := map[string]string{}, map[string]string{}
	for _, f := range files {
		raw, err := os.ReadFile(f)
		if err != nil {
			continue
		}
		pid, rest, _ := strings.Cut(string(raw), " ")
		i := strings.LastIndex(rest, ")")
		if fields := strings.Fields(rest[i+1:]); len(fields) > 1 {
			parent[pid], text[pid] = fields[1], rest[:i+1]+fields[0]
		}
	}
	for pid := range parent {
		for p := parent[pid]; p != ""; p = parent[p] {
			if p == strconv.Itoa(os.Getpid()) {
				list = append(list, pid+" "+text[pid])
			}
		}
	}
	return list
}

// TestContextEndsTheServer is Start's promise.
func TestContextEndsTheServer(t *testing.T) {
	need(t, "git")
	ctx, cancel := context.WithCancel(t.Context())
	s, err := Start(ctx, Options{Dir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	cancel()
	select {
	case <-s.closed:
	case <-time.After(20 * time.Second):
		t.Fatal("the server still runs")
	}
}
