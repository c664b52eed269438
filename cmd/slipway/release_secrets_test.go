package main

import (
	"bytes"
	"compress/gzip"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/base64"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/klauspost/compress/zstd"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/cmd/slipway/internal/crash"
)

// needles are what must be nowhere: each secret, in each form in which it could get out, by what it is.
type needles map[string][]byte

func (n needles) token(what, token string) {
	n[what] = []byte(token)
	n[what+", base64"] = []byte(base64.StdEncoding.EncodeToString([]byte(token)))
	n[what+", as the header has it"] = []byte(base64.StdEncoding.EncodeToString([]byte("x-access-token:" + token)))
	n[what+", hex"] = []byte(hex.EncodeToString([]byte(token)))
}

// key takes the text of a private key's file: each of its lines, and the key itself.
func (n needles) key(what string, text []byte, secret []byte) {
	for i, line := range strings.Split(strings.TrimSpace(string(text)), "\n") {
		if !strings.HasPrefix(line, "-----") && i > 1 && len(line) > 20 { // the first line is the same of every key
			n[fmt.Sprintf("%s, line %d", what, i)] = []byte(line)
		}
	}
	n[what+", marker"] = []byte("PRIVATE KEY-----")
	if secret != nil {
		n[what+", raw"], n[what+", hex"] = secret, []byte(hex.EncodeToString(secret))
	}
}

// newKey writes a private key to a file, encrypted where there is a passphrase.
func newKey(t *testing.T, file, passphrase string) (public ssh.PublicKey, text, secret []byte) {
	t.Helper()
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	var block *pem.Block
	if passphrase == "" {
		block, err = ssh.MarshalPrivateKey(key, "planted")
	} else {
		block, err = ssh.MarshalPrivateKeyWithPassphrase(key, "planted", []byte(passphrase))
	}
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(key)
	if err != nil {
		t.Fatal(err)
	}
	text = pem.EncodeToMemory(block)
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return signer.PublicKey(), text, key.Seed()
}

// absent looks for the secrets in every byte, compressed ones as well.
func (n needles) absent(t *testing.T, where string, b []byte) {
	t.Helper()
	for what, secret := range n {
		if i := bytes.Index(b, secret); i >= 0 {
			t.Errorf("%s holds %s: %q", where, what, b[max(0, i-100):min(len(b), i+len(secret)+20)])
		}
	}
	var r io.Reader
	switch {
	case bytes.HasPrefix(b, []byte("\x1f\x8b")):
		z, err := gzip.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		r = z
	case bytes.HasPrefix(b, []byte("\x28\xb5\x2f\xfd")):
		z, err := zstd.NewReader(bytes.NewReader(b))
		if err != nil {
			t.Fatalf("%s: %v", where, err)
		}
		defer z.Close()
		r = z
	default:
		return
	}
	inner, err := io.ReadAll(r)
	if err != nil {
		t.Fatalf("%s: %v", where, err)
	}
	n.absent(t, where+", unpacked", inner)
}

// absentBelow looks in every file of a folder. It returns how many there are.
func (n needles) absentBelow(t *testing.T, dir string) (files int) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		files++
		n.absent(t, path, b)
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

// everything is what a person may run, in good times and in bad ones.
var everything = [][]string{
	{"plan", "--probe"},
	{"run", "--yes", "-v"},
	{"run", "--yes", "--json"},
	{"status", "-v"},
	{"status", "--json"},
	{"why"},
	{"plan", "--probe", "--json"},
	{"verify"},
	{"doctor", "-v"},
	{"doctor", "--json"},
	{"check"},
	{"rollback", "--dry-run"},
}

// TestSecrets looks for planted secrets, the token and private keys with their passphrases, in every byte of what is
// written and said: the journal, plans, requests, states, packages, commits, and errors of runs that fail.
func TestSecrets(t *testing.T) {
	x := newTemplate(t, variant{ssh: true, sign: true})
	secrets := func(t *testing.T, s *stage) needles {
		n := needles{}
		n.token("the token", s.Map.Token)
		for what, file := range map[string]string{"the ssh key": s.Map.SSHKey, "the signing key": s.Map.Signing["ssh"]} {
			text, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			n.key(what, text, nil)
		}
		if len(n) < 8 {
			t.Fatalf("needles %v", sorted(n))
		}
		return n
	}
	search := func(t *testing.T, s *stage, r *trial, n needles, commands [][]string) {
		temporary := t.TempDir()
		r.env = append(r.env, "TMPDIR="+temporary)
		for _, args := range commands {
			_, said := r.slipway(args...)
			n.absent(t, "slipway "+strings.Join(args, " "), []byte(said))
		}
		state := filepath.Join(t.TempDir(), "state")
		code, said := r.slipway("state", "save", state)
		n.absent(t, "state save", []byte(said))
		if code == 0 {
			b, err := os.ReadFile(state)
			if err != nil {
				t.Fatal(err)
			}
			n.absent(t, "state", b)
		}
		if files := n.absentBelow(t, r.dir); files < 30 {
			t.Errorf("looked into %d files only", files)
		}
		n.absentBelow(t, temporary)
		for _, repo := range []string{r.dir, filepath.Join(s.dir, "origin.git")} {
			n.absent(t, "the objects of "+repo, []byte(gitIn(t, repo, "cat-file", "--batch-all-objects", "--batch")))
		}
	}
	t.Run("all goes well", func(t *testing.T) {
		s := newStage(t, x)
		r := s.clone(x)
		n := secrets(t, s)
		if code, said := r.slipway("run", "--yes", "-v", "--jobs", "1"); code != 0 {
			t.Fatalf("exit code %d: %s", code, said)
		} else {
			n.absent(t, "run", []byte(said))
		}
		search(t, s, r, n, everything)
		for _, st := range s.World().GitHub.History(owner, project) {
			for _, rel := range st.Releases {
				n.absent(t, "the release", []byte(rel.Body))
			}
		}
		if b := gitIn(t, filepath.Join(s.dir, "origin.git"), "cat-file", "-p", tagRef); !strings.Contains(b, "SSH SIGNATURE") {
			t.Errorf("the tag is not signed: %s", b)
		}
	})
	for _, fault := range []string{
		"github/* /** #1+: 401", "github/* /** #8+: 401", "github/* /** #12+: 403 secondary", "git/connect **: refused", "git/connect **: host key changed",
		"git/receive-pack ** #2+: declined words of the server", "git/receive-pack **: refused",
	} {
		t.Run(fault, func(t *testing.T) {
			s := newStage(t, x)
			r := s.trial(x)
			s.faults(fault)
			search(t, s, r, secrets(t, s), everything[:4])
		})
	}
	t.Run("killed", func(t *testing.T) {
		s := newStage(t, x)
		r := s.trial(x)
		r.env = []string{crash.Variable + "=30"}
		if code, said := r.slipway("run", "--yes"); code != -1 {
			t.Fatalf("exit code %d: %s", code, said)
		}
		r.env = nil
		search(t, s, r, secrets(t, s), nil)
	})
	t.Run("echoed", func(t *testing.T) { // a server, or a proxy before it, that shows what it was sent
		for i, answer := range []func(w http.ResponseWriter, r *http.Request, echo string){
			func(w http.ResponseWriter, _ *http.Request, echo string) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusForbidden)
				fmt.Fprintf(w, `{"message": "you may not, %s", "documentation_url": "https://docs.github.com/?%s"}`, echo, echo)
			},
			func(w http.ResponseWriter, _ *http.Request, echo string) {
				http.Error(w, "<html>"+echo, http.StatusBadGateway)
			},
			func(w http.ResponseWriter, _ *http.Request, echo string) {
				w.Header().Set("Content-Type", "application/json")
				w.WriteHeader(http.StatusUnprocessableEntity)
				fmt.Fprintf(w, `{"message": "Validation Failed", "errors": [{"resource": "Release", "code": "custom", "field": "x", "message": "%s"}]}`, echo)
			},
			func(w http.ResponseWriter, r *http.Request, echo string) {
				http.Redirect(w, r, "https://example.org/?token="+strings.TrimPrefix(echo, "Bearer "), http.StatusFound)
			},
			func(w http.ResponseWriter, _ *http.Request, echo string) {
				fmt.Fprintf(w, `{"full_name": "%s", "id": %s`, echo, echo)
			},
			func(w http.ResponseWriter, _ *http.Request, echo string) {
				w.Header().Set("X-GitHub-Request-Id", echo)
				w.Header().Set("Retry-After", echo)
				http.Error(w, echo, http.StatusUnauthorized)
			},
		} {
			t.Run(fmt.Sprint(i), func(t *testing.T) {
				s := newStage(t, x)
				asked := 0
				server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					if asked++; r.Header.Get("Authorization") == "" {
						t.Logf("%s without a token", r.URL)
					}
					answer(w, r, r.Header.Get("Authorization"))
				}))
				defer server.Close()
				for root := range s.Map.Hosts {
					s.Map.Hosts[root] = server.URL + "/"
				}
				s.tell()
				r := s.trial(x)
				search(t, s, r, secrets(t, s), everything[:4])
				if asked == 0 {
					t.Error("nobody asked")
				}
			})
		}
	})
	t.Run("passphrases", func(t *testing.T) { sealed(t, search) })
}

// sealed reaches a git server as the world itself is reached, with the environment's own keys, which have passphrases. The
// token is one that cannot be used, so nobody is asked.
func sealed(t *testing.T, search func(*testing.T, *stage, *trial, needles, [][]string)) {
	const passphrase, token = "an elephant under the bed", "ghp_plantedPLANTEDplantedPLANTEDplantedPL twice"
	x := newTemplate(t, variant{ssh: true, sign: true})
	s := newStage(t, x)
	keys := t.TempDir()
	n := needles{}
	n.token("the token", token)
	n["a passphrase"] = []byte(passphrase)
	for _, name := range []string{"git", "sign"} {
		_, text, secret := newKey(t, filepath.Join(keys, name), passphrase)
		n.key("the key "+name, text, secret)
	}
	r := s.clone(x)
	known, err := os.ReadFile(s.Map.KnownHosts)
	if err != nil {
		t.Fatal(err)
	}
	url := ""
	for _, at := range s.Map.Git {
		url = strings.Replace(at, "/origin.git", "/example/hello.git", 1)
	}
	if err := os.Mkdir(filepath.Join(s.dir, owner), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("../origin.git", filepath.Join(s.dir, owner, project+".git")); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(r.dir, "release.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	out := strings.Replace(string(text), "'git@github.com:example/hello.git'", "'"+url+"', known_hosts: known_hosts", 1)
	out = strings.Replace(out, "repo: hello,", "repo: hello, base_url: 'https://127.0.0.1:1/',", 1)
	out = strings.Replace(out, "key_file: SIGN_KEY_FILE", "key_file: SIGN_KEY_FILE, passphrase: SIGN_PASSPHRASE", 1)
	for name, content := range map[string]string{"release.yaml": out, "known_hosts": string(known)} {
		if err := os.WriteFile(filepath.Join(r.dir, name), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	gitIn(t, r.dir, "add", "-A")
	gitIn(t, r.dir, "commit", "-q", "-m", "Reach another world")
	r.twins = ""
	for _, wrong := range []string{"", "", passphrase + "?"} { // the server does not know the key, and then a passphrase is wrong
		r.env = []string{
			"GITHUB_TOKEN=" + token, "GIT_KEY_FILE=" + filepath.Join(keys, "git"), "GIT_KEY_FILE_PASSPHRASE=" + passphrase,
			"SIGN_KEY_FILE=" + filepath.Join(keys, "sign"), "SIGN_PASSPHRASE=" + passphrase,
		}
		if wrong != "" {
			r.env = append(r.env, "GIT_KEY_FILE_PASSPHRASE="+wrong)
		}
		code, said := r.slipway("run", "--yes", "-v", "--jobs", "1")
		n.absent(t, "run", []byte(said))
		if r.orderly(code, said); code != 1 && code != 3 {
			t.Errorf("exit code %d: %s", code, said)
		}
		if wrong == "" && !strings.Contains(said, "SHA256:") || wrong != "" && !strings.Contains(said, "passphrase") {
			t.Errorf("the key was not used:\n%s", said)
		}
		search(t, s, r, n, everything[:4])
	}
}
