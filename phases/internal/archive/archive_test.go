//go:build unix

package archive

import (
	"errors"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// hostile are names that are packaged as they are.
var hostile = []string{
	"with space", "quote'd", `double"d`, "$(touch canary)", "`touch canary`", "-rf", "--checkpoint-action=exec=sh", "*", "[a-z]", "{a,b}",
	"?", "#hash", "~", "ünïcödé", "日本語", "ガ", "한글", "हिन्दी", "\U0001f6a2", "%s%n", "ab:c", "a;b", "a|b", "a&b", "<a>", "!", "=", "@", ".hidden", "...",
	"trailing ", " leading", "\u202egnp.exe", "\u00a0",
}

func TestCheckName(t *testing.T) {
	t.Parallel()
	for _, name := range append(hostile, "a", "a/b", "a/-b/c d", strings.Repeat("x", 255)) {
		if err := CheckName(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	for name, want := range map[string]string{
		"": "not a clean relative path", ".": "clean", "/a": "clean", "a/": "clean", "a//b": "clean", "a/./b": "clean", "..": "clean",
		"../a": "clean", "a/../b": "clean", "a\nb": "line break", "a\tb": "control character", "a\x7fb": "control", "a\u0085b": "control",
		"a\x00b": "control", "a\xffb": "UTF-8", `a\b`: "backslash", strings.Repeat("x", 256): "longer than 255",
		"e\u0301": "form NFC", "x/\u304b\u3099": "form NFC", "\u1112\u1161": "form NFC", "c:": "drive", "a:b": "drive",
		strings.Repeat("x/", 2048) + "x": "longer than 4095",
	} {
		if err := CheckName(name); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.20q: got %v, want %q", name, err, want)
		}
	}
}

func TestCheckLink(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ path, target, want string }{
		{"bin/a", "../lib/a", ""},
		{"a", "b c", ""},
		{"a/b/c", "../../d", ""},
		{"a", "-x", ""},
		{"a", "$(x)", ""},
		{"a", "", "no target"},
		{"a", "/etc/passwd", "relative to the link's folder"},
		{"a", "..", "outside"},
		{"a/b", "../..", "outside"},
		{"a/b", "../../c", "outside"},
		{"a", "b/../../c", "outside"},
		{"a", "x\ny", "cannot keep"},
		{"a", "x\xff", "cannot keep"},
		{"a", `x\y`, "cannot keep"},
		{"a", strings.Repeat("x/", 2100), "more than 4095"},
	} {
		err := CheckLink(c.path, c.target)
		if (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q to %.20q: got %v, want %q", c.path, c.target, err, c.want)
		}
	}
}

// TestCheckLinks_Kernel makes random trees full of links and asks the kernel, by way of os.Root, which of the links lead
// to something inside.
func TestCheckLinks_Kernel(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(7, 7))
	names := []string{"a", "b", "c"}
	accepted, refused := 0, 0
	for range 150 {
		dir := t.TempDir()
		for range 4 + rng.IntN(8) {
			var parts []string
			for range 1 + rng.IntN(3) {
				parts = append(parts, names[rng.IntN(len(names))])
			}
			p := filepath.Join(dir, filepath.Join(parts...))
			// What cannot be made because something else stands there is left out; the errors are the point of a random tree.
			if realDir(dir, filepath.Dir(p)) == nil {
				switch rng.IntN(5) {
				case 0:
					_ = os.MkdirAll(p, 0o755)
				case 1:
					_ = os.WriteFile(p, nil, 0o644)
				default:
					var target []string
					for range 1 + rng.IntN(4) {
						target = append(target, append(names, "..", "..", ".")[rng.IntN(len(names)+3)])
					}
					_ = os.Symlink(strings.Join(target, "/"), p)
				}
			}
		}
		entries, err := List(os.DirFS(dir))
		must(t, err)
		root, err := os.OpenRoot(dir)
		must(t, err)
		for _, e := range entries {
			if e.Mode&fs.ModeSymlink == 0 {
				continue
			}
			_, kernel := root.Stat(e.Path)
			ours := CheckLinks(append([]Entry{e}, without(entries, e.Path)...))
			byPath := map[string]*Entry{}
			for i := range entries {
				byPath[entries[i].Path] = &entries[i]
			}
			alone := errors.Join(CheckLink(e.Path, e.Link), follow(byPath, e))
			if kernel == nil && alone == nil {
				accepted++
			} else {
				refused++
			}
			if kernel != nil && (alone == nil || ours == nil) {
				t.Fatalf("%q to %q is accepted, the kernel says %v\n%s", e.Path, e.Link, kernel, Listing(entries))
			}
			// The lexical rule may refuse more than the kernel does; the walk must not.
			if kernel == nil && follow(byPath, e) != nil {
				t.Fatalf("%q to %q is refused (%v), the kernel follows it\n%s", e.Path, e.Link, follow(byPath, e), Listing(entries))
			}
		}
		must(t, root.Close())
	}
	if accepted < 20 || refused < 20 {
		t.Errorf("%d links accepted, %d refused: the trees are too much alike", accepted, refused)
	}
}

// realDir makes a folder unless something that is no folder stands on the way: a link is not gone through.
func realDir(root, dir string) error {
	for d := dir; len(d) > len(root); d = filepath.Dir(d) {
		if info, err := os.Lstat(d); err == nil && !info.IsDir() {
			return errors.New("something else stands there")
		}
	}
	return os.MkdirAll(dir, 0o755)
}

func without(entries []Entry, path string) []Entry {
	var out []Entry
	for _, e := range entries {
		if e.Path != path {
			out = append(out, e)
		}
	}
	return out
}

func TestCheckLinks_Circle(t *testing.T) {
	t.Parallel()
	link := func(p, to string) Entry { return Entry{Path: p, Link: to, Mode: fs.ModeSymlink | 0o777} }
	for want, entries := range map[string][]Entry{
		"in a circle":    {link("a", "b"), link("b", "a")},
		"not there":      {link("a", "b")},
		"through a file": {link("a", "f/x"), {Path: "f", Mode: 0o644}},
		"outside":        {link("d/x", "../d/y/../../z"), link("d/y", "."), {Path: "d", Mode: fs.ModeDir}, {Path: "z", Mode: 0o644}},
		"relative to":    {link("a", "/b")},
	} {
		if want == "through a file" {
			entries = append(entries, Entry{Path: "f/x", Mode: 0o644})
		}
		if err := CheckLinks(entries); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestTree(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range hostile {
		must(t, os.WriteFile(filepath.Join(dir, name), []byte(name), 0o600))
	}
	must(t, os.Mkdir(filepath.Join(dir, "dir"), 0o700))
	must(t, os.Mkdir(filepath.Join(dir, "dir", "empty"), 0o777))
	must(t, os.WriteFile(filepath.Join(dir, "dir", "run"), nil, 0o700))
	must(t, os.Symlink("../dir", filepath.Join(dir, "dir", "link")))
	entries, err := Tree(dir)
	must(t, err)
	if len(entries) != len(hostile)+4 {
		t.Errorf("found %d entries", len(entries))
	}
	for i, e := range entries {
		want := fs.FileMode(0o644)
		switch {
		case e.Mode.IsDir():
			want = fs.ModeDir | 0o755
		case e.Link != "":
			want = fs.ModeSymlink | 0o777
		case e.Path == "dir/run":
			want = 0o755
		}
		if e.Mode != want {
			t.Errorf("%q has mode %v, want %v", e.Path, e.Mode, want)
		}
		if i > 0 && entries[i-1].Path >= e.Path {
			t.Errorf("%q comes before %q", entries[i-1].Path, e.Path)
		}
	}
	for want, plant := range map[string]func(p string) error{
		"neither file":     func(p string) error { return syscall.Mkfifo(p, 0o644) },
		"outside":          func(p string) error { return os.Symlink("../..", p) },
		"relative to the":  func(p string) error { return os.Symlink("/etc/passwd", p) },
		"which is not the": func(p string) error { return os.Symlink("nothing", p) },
		"line break":       func(p string) error { return os.WriteFile(p+"\n", nil, 0o644) },
		"not valid UTF-8":  func(p string) error { return os.WriteFile(p+"\xff", nil, 0o644) },
	} {
		dir := t.TempDir()
		must(t, plant(filepath.Join(dir, "planted")))
		if _, err := Tree(dir); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", want, err)
		}
	}
}

func TestHash_Changed(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("abc"), 0o644))
	entries, err := Tree(dir)
	must(t, err)
	must(t, Hash(t.Context(), dir, entries))
	if entries[0].SHA256 != "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad" { // FIPS 180-2, B.1
		t.Errorf("got %s", entries[0].SHA256)
	}
	must(t, os.WriteFile(filepath.Join(dir, "f"), []byte("abcd"), 0o644))
	if err := Hash(t.Context(), dir, entries); err == nil || !strings.Contains(err.Error(), `"f" changed`) {
		t.Errorf("got %v", err)
	}
}

// TestCopyTree copies below a folder whose links lead out: nothing from outside is copied.
func TestCopyTree(t *testing.T) {
	t.Parallel()
	from, to := t.TempDir(), filepath.Join(t.TempDir(), "to")
	must(t, os.Mkdir(to, 0o700))
	must(t, os.WriteFile(filepath.Join(from, "f"), []byte("f"), 0o600))
	must(t, os.Mkdir(filepath.Join(from, "d"), 0o700))
	must(t, os.WriteFile(filepath.Join(from, "d", "x"), []byte("x"), 0o700))
	must(t, os.Symlink("../f", filepath.Join(from, "d", "l")))
	root, err := os.OpenRoot(from)
	must(t, err)
	defer root.Close()
	entries, err := List(root.FS())
	must(t, err)
	must(t, CopyTree(t.Context(), root, to, entries, func(int64) {}))
	got, err := Tree(to)
	must(t, err)
	if d := Diff(entries, got); len(d) > 0 {
		t.Error(d)
	}
	if info, err := os.Stat(filepath.Join(to, "f")); err != nil || info.Mode().Perm() != 0o644 {
		t.Errorf("got %v, %v", info.Mode(), err)
	}
	must(t, os.Symlink("/etc", filepath.Join(from, "out")))
	if err := CopyFile(root, "out/passwd", filepath.Join(to, "stolen"), 0o644); err == nil {
		t.Error("copied a file from outside")
	}
	if err := CopyFile(root, "d", filepath.Join(to, "dir"), 0o644); err == nil || !strings.Contains(err.Error(), "not a file") {
		t.Errorf("got %v", err)
	}
	if err := CopyFile(root, "f", filepath.Join(to, "f"), 0o644); !errors.Is(err, fs.ErrExist) {
		t.Errorf("got %v", err)
	}
}
