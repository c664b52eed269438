//go:build unix

package deb

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/internal/archive"
)

func need(t *testing.T, tools ...string) {
	t.Helper()
	for _, tool := range tools {
		if _, err := exec.LookPath(tool); err == nil {
			continue
		}
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

func command(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.Command(args[0], args[1:]...)
	cmd.Env = append(os.Environ(), "LC_ALL=C.UTF-8")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%q: %v\n%s", args, err, out)
	}
	return string(out)
}

// payload is a bundle of some megabytes with hostile and long names, links, and files for /etc.
func payload(t testing.TB) string {
	t.Helper()
	big := make([]byte, 4<<20)
	_, _ = rand.NewChaCha8([32]byte{1}).Read(big[:1<<20]) // never fails
	files := map[string]string{
		"bin/demo": "#!/bin/sh\n", "lib/demo/big": string(big), "lib/demo/empty": "", "lib/demo/" + strings.Repeat("long", 60): "x",
		"lib/demo/" + strings.Repeat(strings.Repeat("deep", 20)+"/", 4) + "file": "x", "lib/demo/link": "-> ./../demo/big",
		"lib/demo/" + strings.Repeat("l", 120): "-> " + strings.Repeat("long", 60), "share/licenses/demo/LICENSE": mit,
		"share/man/man1/demo.1": ".TH demo 1\n.SH NAME\ndemo \\- say the version\n",
		"etc/demo/demo.conf":    "a=1\n", "etc/xdg/autostart/demo.desktop": "[Desktop Entry]\n", "etc/demo/other.conf": "-> demo.conf",
	}
	for _, name := range []string{"with space", "quote'd", `double"d`, "$(touch canary)", "-rf", "ünïcödé", "日本語.txt", " leading", "trailing ", "a:b"} {
		files["lib/demo/x"+name] = name
		files["lib/demo/dir "+name+"/f"] = name
	}
	return tree(t, files)
}

// made writes the package of a bundle.
func made(t testing.TB, c Config, dir string) (b []byte, files []File) {
	t.Helper()
	files, err := Layout(c, &env, dir)
	must(t, err)
	var out bytes.Buffer
	must(t, write(t.Context(), &out, c, files, tarball.Time(&env), t.TempDir()))
	must(t, Hash(files))
	return out.Bytes(), files
}

// TestWrite_Same packs with one, two and many processors: the bytes are the same, and hold what they should.
func TestWrite_Same(t *testing.T) {
	dir := payload(t)
	for _, compression := range []string{"", "gzip:1", "gzip", "xz"} {
		c := demo()
		c.Compression = compression
		first, files := made(t, c, dir)
		var want []archive.Entry
		for _, f := range files {
			want = append(want, f.Entry)
		}
		d, err := archive.ReadDeb(t.Context(), bytes.NewReader(first), archive.Limits{Entries: 100, Bytes: 1 << 30}, nil)
		must(t, err)
		for _, diff := range archive.Diff(want, d.Entries) {
			t.Errorf("%s: %s", compression, diff)
		}
		if !slices.Equal(d.Conffiles, Conffiles(files)) {
			t.Errorf("%s: conffiles %q", compression, d.Conffiles)
		}
		if compression == "xz" {
			continue // on one processor anyway
		}
		for _, n := range []int{1, 2, 7} {
			old := runtime.GOMAXPROCS(n)
			again, _ := made(t, c, dir)
			runtime.GOMAXPROCS(old)
			if !bytes.Equal(first, again) {
				t.Errorf("%s: other bytes with %d processors", compression, n)
			}
		}
	}
}

// TestWrite_Tools lets dpkg-deb unpack packages: the bundle comes out, and the sums are those of md5sum.
func TestWrite_Tools(t *testing.T) {
	t.Parallel()
	need(t, "dpkg-deb", "md5sum")
	dir := payload(t)
	for _, compression := range []string{"gzip:6", "xz"} {
		c := demo()
		c.Compression, c.Epoch, c.Depends = compression, 2, []string{"libc6 (>= 2.31)"}
		b, files := made(t, c, dir)
		file := filepath.Join(t.TempDir(), "x.deb")
		must(t, os.WriteFile(file, b, 0o644))
		to := t.TempDir()
		command(t, "dpkg-deb", "-x", file, to)
		var want []archive.Entry
		kib := int64(0)
		for _, f := range files {
			f.ModTime = time.Time{}
			want = append(want, f.Entry)
			if kib++; f.Mode.IsRegular() {
				kib += (f.Size+1023)/1024 - 1
			}
		}
		got, err := archive.Tree(to)
		must(t, err)
		must(t, archive.Hash(t.Context(), to, got))
		for _, d := range archive.Diff(want, got) {
			t.Errorf("%s: %s", compression, d)
		}
		sums := filepath.Join(t.TempDir(), "md5sums")
		must(t, os.WriteFile(sums, []byte(command(t, "dpkg-deb", "-I", file, "md5sums")), 0o644))
		cmd := exec.Command("md5sum", "--strict", "--quiet", "-c", sums)
		cmd.Dir = to
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("%v\n%s", err, out)
		}
		if got := command(t, "dpkg-deb", "-I", file, "conffiles"); got != "/etc/demo/demo.conf\n/etc/xdg/autostart/demo.desktop\n" {
			t.Errorf("conffiles\n%s", got)
		}
		if got, want := command(t, "dpkg-deb", "-f", file), fmt.Sprintf(`Package: demo
Version: 2:1.2.3~rc.1-1
Section: utils
Priority: optional
Architecture: amd64
Maintainer: Demo Team <team@demo.example>
Installed-Size: %d
Depends: libc6 (>= 2.31)
Homepage: https://demo.example/
Description: say the version and end
 It has no options.
`, kib); got != want {
			t.Errorf("got\n%s", got)
		}
	}
}

// TestWrite_Conffiles: what a user changed in /etc stays through an upgrade and a removal; a purge takes it along.
func TestWrite_Conffiles(t *testing.T) {
	t.Parallel()
	need(t, "dpkg", "dpkg-deb")
	root := t.TempDir()
	for _, name := range []string{"info", "updates", "triggers"} {
		must(t, os.MkdirAll(filepath.Join(root, "var/lib/dpkg", name), 0o755))
	}
	for _, name := range []string{"status", "available"} {
		must(t, os.WriteFile(filepath.Join(root, "var/lib/dpkg", name), nil, 0o644))
	}
	dpkg := []string{"dpkg", "--root=" + root, "--force-not-root", "--force-bad-path", "--force-architecture", "--force-depends", "--log=" + filepath.Join(t.TempDir(), "log")}
	install := func(revision int) {
		c := demo()
		c.Revision = revision
		b, _ := made(t, c, tree(t, map[string]string{"bin/run": "#!/bin/sh\n", "share/licenses/demo/LICENSE": mit, "etc/demo.conf": "a=1\n"}))
		file := filepath.Join(t.TempDir(), "x.deb")
		must(t, os.WriteFile(file, b, 0o644))
		command(t, append(dpkg, "-i", file)...)
	}
	install(1)
	conf := filepath.Join(root, "etc/demo.conf")
	must(t, os.WriteFile(conf, []byte("a=2\n"), 0o644))
	install(2)
	command(t, append(dpkg, "-r", "demo")...)
	if b, err := os.ReadFile(conf); err != nil || string(b) != "a=2\n" {
		t.Errorf("after upgrade and removal: %q, %v", b, err)
	}
	if _, err := os.Stat(filepath.Join(root, "usr/bin/run")); err == nil {
		t.Error("the program is still there")
	}
	command(t, append(dpkg, "-P", "demo")...)
	if _, err := os.Stat(conf); err == nil {
		t.Error("the configuration is still there after a purge")
	}
}

// TestWrite_Lintian: a package with configuration is as clean as one without.
func TestWrite_Lintian(t *testing.T) {
	t.Parallel()
	need(t, "lintian")
	b, _ := made(t, demo(), tree(t, map[string]string{
		"share/licenses/demo/LICENSE": mit, "etc/demo/demo.conf": "a=1\n", "etc/demo/link.conf": "-> demo.conf", "share/demo/x": "x",
		"etc/xdg/autostart/demo.desktop": "[Desktop Entry]\nType=Application\nName=Demo\nExec=true\nKeywords=x;\n",
	}))
	file := filepath.Join(t.TempDir(), "demo_1.2.3-rc.1_amd64.deb")
	must(t, os.WriteFile(file, b, 0o644))
	args := []string{"lintian", "--fail-on", "error,warning"}
	if os.Geteuid() == 0 {
		args = append(args, "--allow-root")
	}
	if out := command(t, append(args, file)...); strings.Contains(out, "E: ") || strings.Contains(out, "W: ") {
		t.Error(out)
	}
}

// TestWrite_Changed: a file that grows or shrinks after it was listed is an error.
func TestWrite_Changed(t *testing.T) {
	t.Parallel()
	for _, size := range []int{0, 10, 5000, 300000} {
		dir := tree(t, map[string]string{"a": strings.Repeat("a", 4000), "share/licenses/demo/LICENSE": mit})
		files, err := Layout(demo(), &env, dir)
		must(t, err)
		must(t, os.WriteFile(filepath.Join(dir, "a"), make([]byte, size), 0o644))
		if err := write(t.Context(), io.Discard, demo(), files, tarball.Time(&env), t.TempDir()); err == nil || !strings.Contains(err.Error(), `"usr/a" changed`) {
			t.Errorf("%d bytes: got %v", size, err)
		}
	}
}

// limitWriter is a disk that is full after n bytes.
type limitWriter struct{ n int }

var errFull = errors.New("no space left")

func (w *limitWriter) Write(p []byte) (int, error) {
	if len(p) > w.n {
		n := w.n
		w.n = 0
		return n, errFull
	}
	w.n -= len(p)
	return len(p), nil
}

// TestWrite_Full: a disk that is full anywhere, at the very last byte too, is an error.
func TestWrite_Full(t *testing.T) {
	t.Parallel()
	files, err := Layout(demo(), &env, tree(t, map[string]string{"a": "a", "share/licenses/demo/LICENSE": mit}))
	must(t, err)
	tmp, mtime := t.TempDir(), tarball.Time(&env)
	for name, to := range map[string]func(io.Writer) error{
		"package": func(w io.Writer) error { return write(t.Context(), w, demo(), files, mtime, tmp) },
		"data": func(w io.Writer) error {
			_, _, err := writeData(t.Context(), w, DefaultCompression, files, mtime)
			return err
		},
	} {
		var whole bytes.Buffer
		must(t, to(&whole))
		for n := 0; n < whole.Len(); n += 1 + n/100 {
			if err := to(&limitWriter{n}); !errors.Is(err, errFull) {
				t.Fatalf("%s: full after %d of %d bytes: got %v", name, n, whole.Len(), err)
			}
		}
		if err := to(&limitWriter{whole.Len() - 1}); !errors.Is(err, errFull) {
			t.Errorf("%s: full at the last byte: got %v", name, err)
		}
		if err := to(&limitWriter{whole.Len()}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestWrite_Interrupted(t *testing.T) {
	t.Parallel()
	files, err := Layout(demo(), &env, payload(t))
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := write(ctx, io.Discard, demo(), files, tarball.Time(&env), t.TempDir()); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
	if _, err := io.Copy(io.Discard, interruptible{ctx, strings.NewReader("x")}); !errors.Is(err, context.Canceled) {
		t.Errorf("got %v", err)
	}
}
