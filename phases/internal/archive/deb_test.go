//go:build unix

package archive

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/md5"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

// member is one part of an ar archive.
type member struct {
	name string
	data []byte
}

func ar(members ...member) []byte {
	var b bytes.Buffer
	b.WriteString(arMagic)
	for _, m := range members {
		fmt.Fprintf(&b, "%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.name, 0, 0, 0, 0o100644, len(m.data))
		b.Write(m.data)
		if len(m.data)%2 == 1 {
			b.WriteByte('\n')
		}
	}
	return b.Bytes()
}

// gzTar packs files with contents, in the order of names.
func gzTar(t testing.TB, files ...string) []byte {
	t.Helper()
	var b bytes.Buffer
	zw := gzip.NewWriter(&b)
	tw := tar.NewWriter(zw)
	for i := 0; i < len(files); i += 2 {
		must(t, tw.WriteHeader(&tar.Header{Name: files[i], Mode: 0o644, Typeflag: tar.TypeReg, Size: int64(len(files[i+1]))}))
		_, err := tw.Write([]byte(files[i+1]))
		must(t, err)
	}
	must(t, errors.Join(tw.Close(), zw.Close()))
	return b.Bytes()
}

const control = "Package: demo\nVersion: 1.0-1\nArchitecture: all\nMaintainer: A <a@b.example>\nDescription: x\n more\n"

func md5Line(name, text string) string { return fmt.Sprintf("%x  %s\n", md5.Sum([]byte(text)), name) }

// deb makes a package of a control file, md5sums and data, each as it is given.
func deb(t testing.TB, control, sums string, data []byte) []byte {
	t.Helper()
	return ar(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", gzTar(t, "./control", control, "./md5sums", sums)}, member{"data.tar.gz", data})
}

// TestReadDeb_Tool reads what dpkg-deb made, in each compression that we take.
func TestReadDeb_Tool(t *testing.T) {
	t.Parallel()
	need(t, "dpkg-deb")
	dir := filepath.Join(t.TempDir(), "tree")
	var sums string
	must(t, os.MkdirAll(filepath.Join(dir, "DEBIAN"), 0o755))
	must(t, os.MkdirAll(filepath.Join(dir, "usr/share/demo"), 0o755))
	for _, name := range hostile {
		must(t, os.WriteFile(filepath.Join(dir, "usr/share/demo", name), []byte(name), 0o644))
		sums += md5Line("usr/share/demo/"+name, name)
	}
	must(t, os.Symlink("share/demo", filepath.Join(dir, "usr/link")))
	must(t, os.WriteFile(filepath.Join(dir, "DEBIAN/control"), []byte(control), 0o644))
	must(t, os.WriteFile(filepath.Join(dir, "DEBIAN/md5sums"), []byte(sums), 0o644))
	want, err := Tree(dir)
	must(t, err)
	must(t, Hash(t.Context(), dir, want))
	var files []Entry
	for _, e := range want {
		if e.Path != "DEBIAN" && !strings.HasPrefix(e.Path, "DEBIAN/") {
			files = append(files, e)
		}
	}
	for _, z := range []string{"gzip", "xz", "none", "zstd"} {
		file := filepath.Join(t.TempDir(), "x.deb")
		args := []string{"--root-owner-group", "-Z" + z, "--no-uniform-compression", "-b", dir, file}
		if out, err := exec.Command("dpkg-deb", args...).CombinedOutput(); err != nil {
			t.Fatalf("%v\n%s", err, out)
		}
		b, err := os.ReadFile(file)
		must(t, err)
		d, err := ReadDeb(t.Context(), bytes.NewReader(gzControl(t, b)), wide, nil)
		if z == "zstd" {
			if err == nil || !strings.Contains(err.Error(), `"data.tar.zst"`) {
				t.Errorf("zstd: got %v", err)
			}
			continue
		}
		must(t, err)
		for _, diff := range Diff(files, d.Entries) {
			t.Errorf("%s: %s", z, diff)
		}
		if d.Field("package") != "demo" || d.Field("Version") != "1.0-1" || d.Field("Description") != "x\n more" || d.Field("No") != "" {
			t.Errorf("%s: control %q", z, d.Control)
		}
	}
}

// gzControl replaces the control archive of a package, which dpkg-deb compresses with xz, by one with gzip.
func gzControl(t *testing.T, b []byte) []byte {
	t.Helper()
	a, err := newArReader(bytes.NewReader(b))
	must(t, err)
	var out []member
	for {
		name, body, err := a.next()
		if err != nil {
			break
		}
		var data bytes.Buffer
		_, err = data.ReadFrom(body)
		must(t, err)
		if strings.HasPrefix(name, "control.tar") {
			sums := ""
			for _, n := range hostile {
				sums += md5Line("usr/share/demo/"+n, n)
			}
			name, data = "control.tar.gz", *bytes.NewBuffer(gzTar(t, "./control", control, "./md5sums", sums))
		}
		out = append(out, member{name, data.Bytes()})
	}
	return ar(out...)
}

func TestReadDeb_Hostile(t *testing.T) {
	t.Parallel()
	data := gzTar(t, "./usr/a", "text")
	sums := md5Line("usr/a", "text")
	version := member{"debian-binary", []byte("2.0\n")}
	ctl := member{"control.tar.gz", gzTar(t, "./control", control, "./md5sums", sums)}
	good := deb(t, control, sums, data)
	if d, err := ReadDeb(t.Context(), bytes.NewReader(good), wide, nil); err != nil || len(d.Entries) != 1 || len(d.Members) != 2 {
		t.Fatalf("the good one: %v", err)
	}
	head := len(arMagic)
	header := func(edit string, at int) []byte {
		return append(append(bytes.Clone(good[:head+at]), edit...), good[head+at+len(edit):]...)
	}
	for _, c := range []struct {
		name string
		data []byte
		want string
	}{
		{"empty", nil, "not a Debian package"},
		{"not ar", []byte("PK\x03\x04aaaaaaaaaaaa"), "not a Debian package"},
		{"magic only", []byte(arMagic), "middle of a header"},
		{"half a header", good[:head+30], "middle of a header"},
		{"size is no number", header("-1        ", 48), "malformed part header"},
		{"size is huge", header("9999999999", 48), "debian-binary 2.0"},
		{"bad end of header", header("xx", 58), "malformed part header"},
		{"cut", good[:len(good)-4], "damaged"},
		{"wrong format version", ar(member{"debian-binary", []byte("3.0\n")}, ctl, member{"data.tar.gz", data}), "debian-binary 2.0"},
		{"wrong order", ar(ctl, version, member{"data.tar.gz", data}), "debian-binary 2.0"},
		{"no control", ar(version, member{"data.tar.gz", data}), "want control.tar.gz"},
		{"control in zstd", ar(version, member{"control.tar.zst", nil}, member{"data.tar.gz", data}), "want control.tar.gz"},
		{"no data", ar(version, ctl), "damaged: EOF"},
		{"zstd", ar(version, ctl, member{"data.tar.zst", nil}), "want data.tar.gz"},
		{"fourth part", ar(version, ctl, member{"data.tar.gz", data}, member{"_gpgorigin", []byte("x")}), "fourth part"},
		{"no control file", ar(version, member{"control.tar.gz", gzTar(t, "./md5sums", sums)}, member{"data.tar.gz", data}), "control file is malformed: it is empty"},
		{"dotdot in control", ar(version, member{"control.tar.gz", gzTar(t, "../control", control)}, member{"data.tar.gz", data}), "not a clean relative path"},
		{"control twice", ar(version, member{"control.tar.gz", gzTar(t, "./control", control, "control", control)}, member{"data.tar.gz", data}), "there twice"},
		{"large control file", deb(t, control+"X: "+strings.Repeat("x", maxControl)+"\n", sums, data), "larger than"},
		{"malformed control file", deb(t, control+"\n", sums, data), "line 7: is empty"},
		{"malformed md5sums", deb(t, control, "x", data), "md5sums are malformed"},
		{"wrong md5sum", deb(t, control, md5Line("usr/a", "other"), data), `md5sums say`},
		{"md5sum of nothing", deb(t, control, sums+md5Line("usr/b", ""), data), `name "usr/b", which is not there`},
		{"md5sum missing", deb(t, control, "", data), `md5sums say ""`},
		{"md5sum twice", deb(t, control, sums+sums, data), "there twice"},
		{"dotdot in data", deb(t, control, sums, gzTar(t, "./../a", "text")), "not a clean relative path"},
		{"absolute in data", deb(t, control, sums, gzTar(t, "/usr/a", "text")), "not a clean relative path"},
		{"after the data", deb(t, control, sums, append(bytes.Clone(data), "x"...)), "damaged"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			_, err := ReadDeb(t.Context(), bytes.NewReader(c.data), wide, nil)
			if !errors.As(err, new(*BadError)) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

func TestParseControl(t *testing.T) {
	t.Parallel()
	got, err := ParseControl([]byte("A: 1\nb-c:2 \t\nD:\n  more\n\tstill\n"))
	must(t, err)
	if s := fmt.Sprintf("%q", got); s != `[{"A" "1"} {"b-c" "2"} {"D" "\n  more\n\tstill"}]` {
		t.Errorf("got %s", s)
	}
	for text, want := range map[string]string{
		"": "empty", "A: 1": "line 1: has no end", "A: 1\n\nB: 2\n": "line 2: is empty", "A: 1\n \nB: 2\n": "line 2: is empty",
		" A: 1\n": "line 1: goes on", "A 1\n": "want NAME", ": 1\n": "want NAME", "-A: 1\n": "want NAME", "#A: 1\n": "want NAME", "A B: 1\n": "want NAME",
		"A: 1\na: 2\n": "line 2: a is there twice", "A: \x00\n": "control character", "A: 1\r\n": "control character", "A: \xff\n": "not UTF-8",
	} {
		if _, err := ParseControl([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
}

// FuzzParseControl: what is accepted says the same when it is written out.
func FuzzParseControl(f *testing.F) {
	f.Add([]byte(control))
	f.Add([]byte("A:\n b\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		fields, err := ParseControl(b)
		if err != nil {
			return
		}
		var out strings.Builder
		for _, field := range fields {
			out.WriteString(field.Name + ": " + field.Value + "\n")
		}
		again, err := ParseControl([]byte(out.String()))
		if err != nil || fmt.Sprint(again) != fmt.Sprint(fields) {
			t.Errorf("%q gave %q, and that %q, %v", b, fields, again, err)
		}
	})
}

func FuzzReadDeb(f *testing.F) {
	f.Add(deb(f, control, md5Line("usr/a", "text"), gzTar(f, "./usr/a", "text")))
	f.Add([]byte(arMagic))
	f.Add(ar(member{"debian-binary", []byte("2.0\n")}))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := ReadDeb(t.Context(), bytes.NewReader(b), Limits{Entries: 20, Bytes: 1 << 16}, nil)
		if err != nil {
			if !errors.As(err, new(*BadError)) {
				t.Errorf("%v is not a BadError", err)
			}
			return
		}
		if len(d.Control) == 0 || len(d.Entries) > 20 || CheckLinks(d.Entries) != nil {
			t.Errorf("accepted %+v", d)
		}
	})
}

func TestDiff(t *testing.T) {
	t.Parallel()
	want := []Entry{{Path: "a", Size: 1, Mode: 0o644, SHA256: strings.Repeat("a", 64)}, {Path: "b", Mode: fs.ModeDir | 0o755}, {Path: "d", Mode: fs.ModeSymlink | 0o777, Link: "a"}}
	got := []Entry{{Path: "a", Size: 1, Mode: 0o755, SHA256: strings.Repeat("b", 64)}, {Path: "c\n", Mode: 0o644}, {Path: "d", Mode: 0o777, Size: 4}}
	diff := Diff(want, got)
	if s := strings.Join(diff, "\n"); s != `"a": mode 0755, want 0644; SHA-256 bbbbbbbbbbbb, want aaaaaaaaaaaa
"b" is missing
"c\n" is not expected
"d": it is a file, want link; size 4, want 0; target "", want "a"` {
		t.Errorf("got\n%s", s)
	}
	if d := Diff(want, want); d != nil {
		t.Errorf("got %q", d)
	}
	if Digest(want) == Digest(got) {
		t.Error("digests do not tell the lists apart")
	}
}

// TestWriteAr: the parts come out again, and what the format cannot carry is an error.
func TestWriteAr(t *testing.T) {
	t.Parallel()
	at := time.Unix(1700000000, 0)
	body := func(name, text string) Member { return Member{name, int64(len(text)), strings.NewReader(text)} }
	var b bytes.Buffer
	must(t, WriteAr(&b, at, body("debian-binary", "2.0\n"), body("odd", "123"), body("empty", "")))
	if want := "!<arch>\ndebian-binary   1700000000  0     0     100644  4         `\n2.0\n" +
		"odd             1700000000  0     0     100644  3         `\n123\n" +
		"empty           1700000000  0     0     100644  0         `\n"; b.String() != want {
		t.Errorf("got %q", b.String())
	}
	for want, m := range map[string]Member{
		`cannot put "a name that is too long"`: body("a name that is too long", ""),
		`cannot put "big" with 10000000000`:    {"big", 1e10, strings.NewReader("")},
		`has 3 bytes or more, want 2`:          {"x", 2, strings.NewReader("1234")},
		`has 1 bytes or more, want 2`:          {"x", 2, strings.NewReader("1")},
	} {
		if err := WriteAr(io.Discard, at, m); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	if err := WriteAr(io.Discard, time.Unix(-1, 0), body("x", "")); err == nil {
		t.Error("a time before 1970 is accepted")
	}
	for n := range b.Len() {
		if err := WriteAr(&limitWriter{n}, at, body("debian-binary", "2.0\n"), body("odd", "123"), body("empty", "")); !errors.Is(err, errFull) {
			t.Fatalf("full after %d bytes: got %v", n, err)
		}
	}
}

// FuzzWriteAr: what is written is read back.
func FuzzWriteAr(f *testing.F) {
	f.Add("data.tar.gz", []byte("123"))
	f.Add("x/", []byte{})
	f.Fuzz(func(t *testing.T, name string, data []byte) {
		if len(name) > 16 || strings.ContainsAny(name, " /") || !utf8.ValidString(name) {
			t.Skip() // what no caller says
		}
		var b bytes.Buffer
		if WriteAr(&b, time.Unix(1, 0), Member{name, int64(len(data)), bytes.NewReader(data)}) != nil {
			return
		}
		r, err := newArReader(&b)
		must(t, err)
		got, body, err := r.next()
		must(t, err)
		text, err := io.ReadAll(body)
		must(t, err)
		if got != name || !bytes.Equal(text, data) {
			t.Errorf("%q: got %q with %q", name, got, text)
		}
		if _, _, err := r.next(); !errors.Is(err, io.EOF) {
			t.Errorf("got %v", err)
		}
	})
}

// TestPrintControl prints what was parsed, and refuses what would become another field.
func TestPrintControl(t *testing.T) {
	t.Parallel()
	fields, err := ParseControl([]byte(control))
	must(t, err)
	b, err := PrintControl(fields)
	if err != nil || string(b) != control {
		t.Errorf("%v\n%s", err, b)
	}
	for _, f := range []Field{{"A", "x\nEvil: y"}, {"A b", "x"}, {"", "x"}, {"A", "x\n"}, {"A", " x"}, {"A", "x\n\n y"}, {"A", "\xff"}, {"A", "\x1b"}} {
		if b, err := PrintControl([]Field{f}); err == nil {
			t.Errorf("%q is printed as %q", f, b)
		}
	}
	if _, err := PrintControl(nil); err == nil {
		t.Error("no fields are printed")
	}
}

// TestReadDeb_Conffiles: they are listed, and each is a file of the package.
func TestReadDeb_Conffiles(t *testing.T) {
	t.Parallel()
	data, sums := gzTar(t, "./etc/a", "text", "./etc/b", "text"), md5Line("etc/a", "text")+md5Line("etc/b", "text")
	read := func(conffiles string) (*Deb, error) {
		b := ar(member{"debian-binary", []byte("2.0\n")}, member{"control.tar.gz", gzTar(t, "./control", control, "./md5sums", sums, "./conffiles", conffiles)}, member{"data.tar.gz", data})
		return ReadDeb(t.Context(), bytes.NewReader(b), wide, nil)
	}
	d, err := read("/etc/b\n/etc/a\n")
	must(t, err)
	if got := strings.Join(d.Conffiles, " "); got != "etc/b etc/a" {
		t.Errorf("got %q", got)
	}
	for _, text := range []string{"etc/a\n", "/etc/a", "/etc/c\n", "/etc/a\n/etc/a\n", "\n", "/etc/../etc/a\n", "remove-on-upgrade /etc/a\n", "/etc/a \n", "//etc/a\n", "/\n"} {
		if _, err := read(text); !errors.As(err, new(*BadError)) || !strings.Contains(err.Error(), "conffiles are malformed") {
			t.Errorf("%q: got %v", text, err)
		}
	}
}

// TestReadDeb_Content: the content of every file is given, its own errors are no damage, and damage is none of its errors.
func TestReadDeb_Content(t *testing.T) {
	t.Parallel()
	data, sums := gzTar(t, "./usr/a", "text", "./usr/b", "more"), md5Line("usr/a", "text")+md5Line("usr/b", "more")
	b := deb(t, control, sums, data)
	got := ""
	d, err := ReadDeb(t.Context(), bytes.NewReader(b), wide, func(e Entry, r io.Reader) error {
		if e.Path == "usr/b" {
			return nil // what is not read is hashed all the same
		}
		text, err := io.ReadAll(r)
		got += e.Path + " " + string(text) + "\n"
		return err
	})
	must(t, err)
	if got != "usr/a text\n" || d.Entries[1].SHA256 == "" || d.Entries[0].SHA256 != fmt.Sprintf("%x", sha256.Sum256([]byte("text"))) {
		t.Errorf("got %q, %+v", got, d.Entries)
	}
	_, err = ReadDeb(t.Context(), bytes.NewReader(b), wide, func(Entry, io.Reader) error { return errFull })
	if !errors.Is(err, errFull) || errors.As(err, new(*BadError)) {
		t.Errorf("got %v", err)
	}
	broken := bytes.Clone(data)
	for i := len(broken) / 2; i < len(broken)/2+20; i++ {
		broken[i] ^= 0xff
	}
	_, err = ReadDeb(t.Context(), bytes.NewReader(deb(t, control, sums, broken)), wide, func(_ Entry, r io.Reader) error {
		_, err := io.ReadAll(r)
		return err
	})
	if !errors.As(err, new(*BadError)) {
		t.Errorf("got %v", err)
	}
}
