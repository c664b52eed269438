package journal_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func open(t testing.TB, dir string) *journal.Journal {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { j.Close() })
	return j
}

func record(n int) pipeline.Record {
	return pipeline.Record{Event: pipeline.Done, Run: "r", Step: fmt.Sprintf("build/%d", n), Receipt: pipeline.Receipt{"a": "<&>\u2028 \"quoted\"\n$(x)"}}
}

// steps reads the journal in dir; the error is the first one.
func steps(dir string) (out []string, err error) {
	for r, err := range journal.Read(dir).Records() {
		if err != nil {
			return out, err
		}
		out = append(out, r.Step)
	}
	return out, nil
}

// filled makes a journal of n records and returns its folder and bytes.
func filled(t testing.TB, n int) (string, []byte) {
	t.Helper()
	dir := t.TempDir()
	j := open(t, dir)
	for i := range n {
		if err := j.Append(record(i)); err != nil {
			t.Fatal(err)
		}
	}
	if err := j.Close(); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	return dir, b
}

func TestAppendAndRead(t *testing.T) {
	dir, _ := filled(t, 3)
	j := open(t, dir)
	if err := j.Append(record(3)); err != nil {
		t.Fatal(err)
	}
	n := 0
	for r, err := range j.Records() {
		if want := record(n); err != nil || r.Step != want.Step || r.Receipt["a"] != want.Receipt["a"] {
			t.Errorf("record %d reads %+v, %v", n, r, err)
		}
		n++
	}
	if n != 4 {
		t.Errorf("%d records", n)
	}
	for range j.Records() {
		break // stopping early is fine
	}
	if got, err := steps(t.TempDir()); err != nil || got != nil {
		t.Error("a journal that is not there has records:", got, err)
	}
	if err := journal.Read(dir).Append(record(0)); err == nil {
		t.Error("a reader could write")
	}
}

func TestTornTail(t *testing.T) {
	_, whole := filled(t, 3)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	start := len(lines[0]) + len(lines[1])
	for cut := start; cut < len(whole); cut++ { // every byte of the last line
		dir := t.TempDir()
		path := filepath.Join(dir, journal.FileName)
		if err := os.WriteFile(path, whole[:cut], 0o666); err != nil {
			t.Fatal(err)
		}
		if got, err := steps(dir); err != nil || len(got) != 2 {
			t.Fatalf("cut at %d: %v, %v", cut, got, err)
		}
		j := open(t, dir)
		if j.Torn != int64(cut-start) {
			t.Errorf("cut at %d: %d bytes torn", cut, j.Torn)
		}
		if err := j.Append(record(2)); err != nil {
			t.Fatal(err)
		}
		if b, _ := os.ReadFile(path); !bytes.Equal(b, whole) {
			t.Fatalf("cut at %d: the mended journal differs", cut)
		}
		j.Close()
	}
}

func TestDamage(t *testing.T) {
	_, whole := filled(t, 4)
	lines := bytes.SplitAfter(whole, []byte("\n"))
	join := func(ls ...[]byte) []byte { return bytes.Join(ls, nil) }
	_, other := filled(t, 2)
	for _, tt := range []struct {
		name string
		line int
		b    []byte
	}{
		{"reordered", 2, join(lines[0], lines[2], lines[1], lines[3])},
		{"a line lost", 2, join(lines[0], lines[2], lines[3])},
		{"the first line lost", 1, join(lines[1], lines[2])},
		{"a line twice", 3, join(lines[0], lines[1], lines[1])},
		{"changed", 2, bytes.Replace(whole, []byte("build/1"), []byte("build/7"), 1)},
		{"the last line changed", 4, bytes.Replace(whole, []byte("build/3"), []byte("build/7"), 1)},
		{"foreign text", 1, []byte("hello\nworld\n")},
		{"foreign JSON", 1, []byte("{\"level\":\"info\"}\n")},
		{"an empty line", 2, join(lines[0], []byte("\n"), lines[1])},
		{"a line of another journal", 3, join(lines[0], lines[1], bytes.SplitAfter(other, []byte("\n"))[1])},
		{"zero bytes", 2, join(lines[0], make([]byte, 20), []byte("\n"))},
		{"windows line ends", 1, bytes.ReplaceAll(whole, []byte("\n"), []byte("\r\n"))},
		{"a byte order mark", 1, join([]byte("\ufeff"), whole)},
		{"something behind a record", 1, bytes.Replace(whole, []byte("}\n"), []byte("} {}\n"), 1)},
	} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			path := filepath.Join(dir, journal.FileName)
			if err := os.WriteFile(path, tt.b, 0o666); err != nil {
				t.Fatal(err)
			}
			_, err := steps(dir)
			_, err2 := journal.Open(dir)
			for _, err := range []error{err, err2} {
				var d *journal.DamagedError
				if tt.name == "windows line ends" && err == nil {
					continue
				}
				if !errors.As(err, &d) || d.Line != tt.line || d.Path != path || !strings.Contains(err.Error(), fmt.Sprintf("line %d", tt.line)) {
					t.Errorf("error %v, want damage in line %d", err, tt.line)
				}
			}
			if b, _ := os.ReadFile(path); !bytes.Equal(b, tt.b) {
				t.Error("a damaged journal was changed")
			}
		})
	}
}

// A record with a field that this program does not know is not half understood.
func TestNewerRecord(t *testing.T) {
	dir, whole := filled(t, 1)
	newer := bytes.Replace(whole, []byte(`"event":`), []byte(`"colour":"red","event":`), 1)
	if err := os.WriteFile(filepath.Join(dir, journal.FileName), newer, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := steps(dir); err == nil {
		t.Error("read")
	}
}

func TestLocked(t *testing.T) {
	dir := t.TempDir()
	j := open(t, dir)
	_, err := journal.Open(dir)
	if !errors.Is(err, journal.ErrLocked) || !strings.Contains(err.Error(), fmt.Sprint(os.Getpid())) {
		t.Error(err)
	}
	if got, err := steps(dir); err != nil || len(got) != 0 {
		t.Error("a locked journal cannot be read", err)
	}
	j.Close()
	open(t, dir)
}

func TestWriteFails(t *testing.T) {
	if os.Getuid() != 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("needs root to mount a small file system")
		}
		t.Skip("needs root to mount a small file system")
	}
	dir := t.TempDir()
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", dir).CombinedOutput(); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("cannot mount a small file system: %s", out)
		}
		t.Skipf("cannot mount a small file system here: %s", out)
	}
	t.Cleanup(func() { exec.Command("umount", "-l", dir).Run() })
	j := open(t, dir)
	big := record(0)
	big.Error = strings.Repeat("x", 20<<10)
	kept := 0
	var err error
	for ; err == nil && kept < 100; kept++ {
		err = j.Append(big)
	}
	kept--
	if err == nil || !strings.Contains(err.Error(), "cannot write the journal") || !strings.Contains(err.Error(), "no space left") {
		t.Fatal(err)
	}
	if again := j.Append(record(1)); again == nil {
		t.Error("a broken journal took another record")
	}
	j.Close()
	if got, err := steps(dir); err != nil || len(got) != kept {
		t.Errorf("%d records, want %d: %v", len(got), kept, err)
	}
}

func TestReadOnlyFolder(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(dir+"/file", nil, 0o666); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(dir + "/file/sub"); err == nil {
		t.Error("opened a journal below a file")
	}
	if err := os.Mkdir(filepath.Join(dir, journal.FileName), 0o777); err != nil {
		t.Fatal(err)
	}
	if _, err := journal.Open(dir); err == nil {
		t.Error("opened a folder as a journal")
	}
}

func TestFork(t *testing.T) {
	_, a := filled(t, 3)
	lines := bytes.SplitAfter(a, []byte("\n"))
	_, b := filled(t, 3)
	if got := journal.Fork(a, b); got != 0 { // the same records give the same bytes
		t.Error(got)
	}
	if journal.Fork(a, a[:len(lines[0])]) != 0 || journal.Fork(nil, a) != 0 || journal.Fork(a, a[:len(a)-3]) != 0 {
		t.Error("a prefix was called a fork")
	}
	c := bytes.Replace(a, []byte("build/1"), []byte("build/9"), 1)
	if got := journal.Fork(a, c); got != 2 {
		t.Error(got)
	}
}

func FuzzRead(f *testing.F) {
	_, whole := filled(f, 3)
	f.Add(whole)
	f.Add(whole[:len(whole)-9])
	f.Add([]byte("{}\n"))
	f.Add([]byte("null\n\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		dir := t.TempDir()
		path := filepath.Join(dir, journal.FileName)
		if err := os.WriteFile(path, b, 0o666); err != nil {
			t.Fatal(err)
		}
		before, err := steps(dir)
		j, openErr := journal.Open(dir)
		if (err == nil) != (openErr == nil) {
			t.Fatalf("reading says %v, opening %v", err, openErr)
		}
		if openErr != nil {
			return
		}
		defer j.Close()
		if err := j.Append(record(1)); err != nil {
			t.Fatal(err)
		}
		if after, err := steps(dir); err != nil || len(after) != len(before)+1 {
			t.Fatalf("%d records became %d: %v", len(before), len(after), err)
		}
	})
}
