package needs

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// TestRead_Variants reads what compilers and strip(1) make: a program without section headers is still read, and
// debugging information that is kept apart has no needs.
func TestRead_Variants(t *testing.T) {
	dir := bundle(t, "-Wl,--enable-new-dtags,-rpath,$ORIGIN/../lib")
	tool := func(args ...string) {
		t.Helper()
		if _, err := exec.LookPath(args[0]); err != nil {
			if os.Getenv("CI") == "true" {
				t.Fatal(args[0] + " is not installed: apt-get install binutils")
			}
			t.Skip(args[0] + " is not installed: apt-get install binutils")
		}
		c := exec.CommandContext(t.Context(), args[0], args[1:]...)
		c.Dir = dir
		if out, err := c.CombinedOutput(); err != nil {
			t.Fatalf("%q: %v\n%s", args, err, out)
		}
	}
	tool("objcopy", "--only-keep-debug", "bin/app", "app.debug")
	tool("cp", "bin/app", "bare")
	read := func(name string) *Object {
		t.Helper()
		f, err := os.Open(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		o, err := Read(name, f)
		if err != nil || o == nil {
			t.Fatalf("%s: %v, %v", name, o, err)
		}
		return o
	}
	if o := read("bin/app"); !o.Program || len(o.Needed) != 2 || len(o.RunPath) != 1 || len(o.versions) == 0 {
		t.Errorf("%+v", o)
	}
	if o := read("lib/libouter.so"); o.Program || o.Soname != "libouter.so" {
		t.Errorf("%+v", o)
	}
	if o := read("app.debug"); len(o.Needed) != 0 {
		t.Errorf("%+v", o)
	}
	// Section headers are gone: e_shoff, e_shnum and e_shstrndx are zero and the file ends before them.
	bare := filepath.Join(dir, "bare")
	b, err := os.ReadFile(bare)
	if err != nil {
		t.Fatal(err)
	}
	clear(b[shoff64 : shoff64+8])
	clear(b[phentsize64+4 : header64])
	if err := os.WriteFile(bare, b, 0o600); err != nil {
		t.Fatal(err)
	}
	if o := read("bare"); !o.Program || len(o.Needed) != 2 {
		t.Errorf("%+v", o)
	}
}
