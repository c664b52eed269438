package checksum

import (
	"bytes"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const digest = "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08" // of "test"

func TestParse(t *testing.T) {
	t.Parallel()
	got, err := Parse(strings.NewReader(digest + "  a b\n" + digest + "  ünï--$(x)\n"))
	if err != nil || !slices.Equal(got, []Sum{{digest, "a b"}, {digest, "ünï--$(x)"}}) {
		t.Errorf("got %v, %v", got, err)
	}
	for text, want := range map[string]string{
		"":                                           "it is empty",
		"\n":                                         "line 1: want 64",
		"\ufeff" + digest + "  a\n":                  "byte order mark",
		digest + "  a\r\n":                           "carriage return",
		digest + "  a":                               "the last line has no end",
		digest + " a\n":                              "two spaces",
		digest + " *a\n":                             "two spaces",
		digest + "\ta\n":                             "two spaces",
		digest + "   a\n":                            "begins with neither space",
		digest + "  *a\n":                            "begins with neither space",
		digest + "  a \n":                            "does not end with a space",
		strings.ToUpper(digest) + "  a\n":            "lower-case",
		digest[1:] + "  a\n":                         "64",
		digest + "0  a\n":                            "64",
		"x" + digest[1:] + "  a\n":                   "hexadecimal",
		`\` + digest + "  a\\nb\n":                   "64",
		digest + "  a/b\n":                           "plain name",
		digest + "  ./a\n":                           "plain name",
		digest + "  ..\n":                            "plain name",
		digest + "  \n":                              "plain name",
		digest + "  a\\b\n":                          "plain name",
		digest + "  a\tb\n":                          "control characters",
		digest + "  a\x00\n":                         "control characters",
		digest + "  \xff\n":                          "not UTF-8",
		"# comment\n" + digest + "  a\n":             "line 1: want 64",
		digest + "  a\n\n" + digest + "  b\n":        "line 2: want 64",
		digest + "  a\n" + digest + "  a\n":          `line 2: "a" stands in line 1, too`,
		"SHA256 (a) = " + digest + "\n":              "want 64",
		strings.Repeat(digest+"  a\n", 1+maxFile/67): "larger than",
	} {
		if got, err := Parse(strings.NewReader(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%.100q: got %v, %v, want %q", text, got, err, want)
		}
	}
}

func TestPrint(t *testing.T) {
	t.Parallel()
	b, err := Print([]Sum{{digest, "b"}, {digest, "a"}})
	if want := digest + "  b\n" + digest + "  a\n"; err != nil || string(b) != want {
		t.Errorf("got %q, %v", b, err)
	}
	for _, sums := range [][]Sum{nil, {{digest, "a/b"}}, {{digest, "a\n"}}, {{"", "a"}}, {{digest, "a"}, {digest, "a"}}} {
		if b, err := Print(sums); err == nil {
			t.Errorf("%q is printed as %q", sums, b)
		}
	}
}

// TestPrint_Tool: sha256sum reads what we print, hostile names and all, and finds a changed file.
func TestPrint_Tool(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("sha256sum"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("sha256sum is missing")
		}
		t.Skip("sha256sum is missing")
	}
	dir := t.TempDir()
	var sums []Sum
	for _, name := range []string{"a b", "-rf", "$(touch x)", "quote'\"", "ünï", "#x", "%s", "a  b"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte("test"), 0o644); err != nil {
			t.Fatal(err)
		}
		sums = append(sums, Sum{digest, name})
	}
	b, err := Print(sums)
	if err != nil {
		t.Fatal(err)
	}
	check := func() ([]byte, error) {
		cmd := exec.Command("sha256sum", "--check", "--strict", "-")
		cmd.Dir, cmd.Stdin = dir, bytes.NewReader(b)
		return cmd.CombinedOutput()
	}
	if out, err := check(); err != nil || strings.Count(string(out), ": OK\n") != len(sums) {
		t.Errorf("%v\n%s", err, out)
	}
	if err := os.WriteFile(filepath.Join(dir, "-rf"), []byte("TEST"), 0o644); err != nil {
		t.Fatal(err)
	}
	if out, err := check(); err == nil {
		t.Errorf("a changed file is not found\n%s", out)
	}
}

// FuzzParse: what is accepted prints as the same bytes.
func FuzzParse(f *testing.F) {
	f.Add([]byte(digest + "  a\n" + digest + "  b c\n"))
	f.Add([]byte(digest + " *a\n"))
	f.Add([]byte("\ufeff" + digest + "  a\r\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		sums, err := Parse(bytes.NewReader(b))
		if err != nil {
			return
		}
		again, err := Print(sums)
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("%q prints as %q, %v", b, again, err)
		}
	})
}
