package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/archive"
)

// bundle compiles a program with two libraries, one of which needs the other, and a plug-in.
func bundle(t *testing.T, programFlags ...string) string {
	t.Helper()
	cc, err := exec.LookPath("cc")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("cc is not installed: apt-get install gcc")
		}
		t.Skip("cc is not installed: apt-get install gcc")
	}
	dir := t.TempDir()
	for _, d := range []string{"bin", "lib/plugins"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	compile := func(source string, args ...string) {
		t.Helper()
		c := exec.Command(cc, append([]string{"-Wl,--no-as-needed", "-x", "c", "-", "-x", "none"}, args...)...)
		c.Dir, c.Stdin = dir, strings.NewReader(source)
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
	}
	compile("int inner(void) { return 1; }", "-shared", "-fPIC", "-Wl,-soname,libinner.so.1", "-o", "lib/libinner.so.1.2")
	if err := os.Symlink("libinner.so.1.2", filepath.Join(dir, "lib/libinner.so.1")); err != nil {
		t.Fatal(err)
	}
	compile("int inner(void); int outer(void) { return inner(); }", "-shared", "-fPIC", "-Wl,-soname,libouter.so", "-o", "lib/libouter.so", "lib/libinner.so.1.2")
	compile("int outer(void); int plugin(void) { return outer(); }", "-shared", "-fPIC", "-o", "lib/plugins/plugin.so", "lib/libouter.so", "-Wl,-rpath,$ORIGIN/..", "-Wl,-rpath-link,lib")
	compile("#include <stdio.h>\nint outer(void); int main(void) { return printf(\"%d\", outer()); }",
		append([]string{"-o", "bin/app", "lib/libouter.so", "-Wl,-rpath-link,lib"}, programFlags...)...)
	return dir
}

// files lists a folder.
func files(t *testing.T, dir string) []File {
	t.Helper()
	entries, err := archive.List(os.DirFS(dir))
	if err != nil {
		t.Fatal(err)
	}
	var list []File
	for _, e := range entries {
		list = append(list, File{
			Path: e.Path, Mode: e.Mode, Size: e.Size, Link: e.Link,
			Open: func() (Content, error) { return os.Open(filepath.Join(dir, e.Path)) },
		})
	}
	return list
}

func of(t *testing.T, dir string, l Limits) *Report {
	t.Helper()
	r, err := Of(t.Context(), files(t, dir), l)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// is compares what is missing.
func is(m Missing, file, library string) bool { return m.File == file && m.Library == library }

func TestClosure(t *testing.T) {
	// RPATH serves the libraries' needs as well
	r := of(t, bundle(t, "-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"), Limits{})
	if r.Files != 4 || r.Host["libc.so.6"] == "" {
		t.Errorf("%+v", r)
	}
	for _, m := range r.Missing {
		if m.File != "lib/libouter.so" || m.Library != "libinner.so.1" { // loaded by the plug-in alone, RUNPATH does not serve it
			t.Errorf("%+v", m)
		}
	}
	// RUNPATH does not
	r = of(t, bundle(t, "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"), Limits{})
	if len(r.Missing) != 1 || !is(r.Missing[0], "lib/libouter.so", "libinner.so.1") {
		t.Errorf("%+v", r.Missing)
	}
	// a library path serves all
	r = of(t, bundle(t), Limits{LibraryPath: []string{"lib"}})
	if len(r.Missing) != 0 {
		t.Errorf("%+v", r.Missing)
	}
	// nothing serves
	r = of(t, bundle(t), Limits{})
	if len(r.Missing) < 1 || !is(r.Missing[0], "bin/app", "libouter.so") {
		t.Errorf("%+v", r.Missing)
	}
	problems, err := r.Check(Limits{})
	if err != nil || len(problems) == 0 || !strings.Contains(problems[0], "bin/app needs libouter.so") {
		t.Errorf("%q %v", problems, err)
	}
	// and the system does when it is told to
	r = of(t, bundle(t), Limits{Host: []string{"libouter.so", "libinner.so.1"}})
	if len(r.Missing) != 0 || r.Host["libouter.so"] == "" {
		t.Errorf("%+v", r)
	}
}

// TestClosureLikeLdSo asks the real dynamic linker about the same programs.
func TestClosureLikeLdSo(t *testing.T) {
	for _, flags := range [][]string{{"-Wl,--disable-new-dtags,-rpath,$ORIGIN/../lib"}, {"-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib"}, nil} {
		dir := bundle(t, flags...)
		runs := exec.Command(filepath.Join(dir, "bin/app"))
		out, _ := runs.CombinedOutput()
		starts := string(out) == "1"
		missing := false
		var without []File
		for _, e := range files(t, dir) {
			if !strings.Contains(e.Path, "plugin") {
				without = append(without, e)
			}
		}
		r, err := Of(t.Context(), without, Limits{})
		if err != nil {
			t.Fatal(err)
		}
		missing = len(r.Missing) > 0
		if starts == missing {
			t.Errorf("%q: it starts: %v (%s), missing %v", flags, starts, out, r.Missing)
		}
	}
}

func TestVersions(t *testing.T) {
	r := of(t, bundle(t), Limits{LibraryPath: []string{"lib"}})
	if r.GLIBC.Version == "" || compare(r.GLIBC.Version, "2.2") < 0 {
		t.Fatalf("%+v", r.GLIBC)
	}
	for limit, want := range map[string]int{"2.1": 1, "2.999": 0, "": 0} {
		problems, err := r.Check(Limits{GLIBC: limit})
		if err != nil || len(problems) != want {
			t.Errorf("limit %q: %q %v", limit, problems, err)
		}
	}
	if _, err := r.Check(Limits{GLIBC: "new"}); err == nil {
		t.Error("a limit that is no version")
	}
	var v Version
	for _, s := range []string{"GLIBC_2.4", "GLIBC_2.17", "GLIBC_2.9", "GLIBC_PRIVATE", "GLIBCXX_3.4"} {
		raise(&v, "GLIBC_", s, "f")
	}
	if v.Version != "2.17" {
		t.Errorf("%+v", v)
	}
	raise(&v, "GLIBC_", relr, "g")
	if v != (Version{"2.36", "g"}) {
		t.Errorf("%+v", v)
	}
}
