package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
)

func invoke(args ...string) (code int, out, stderr string) {
	var o, e bytes.Buffer
	code = Main(Process{Args: args, Streams: ui.Streams{In: strings.NewReader(""), Out: &o, Err: &e, Getenv: func(string) string { return "" }}})
	return code, o.String(), e.String()
}

// Every command says what it is for and shows its flags, on standard output.
func TestHelp(t *testing.T) {
	a := &app{ui: ui.New(ui.Streams{In: strings.NewReader(""), Out: &bytes.Buffer{}, Err: &bytes.Buffer{}, Getenv: func(string) string { return "" }})}
	names := 0
	var walk func(path []string, c *cobra.Command)
	walk = func(path []string, c *cobra.Command) {
		names++
		code, out, stderr := invoke(append(path, "--help")...)
		if code != 0 || stderr != "" || !strings.Contains(out, "Usage:") {
			t.Errorf("slipway %s --help ended with %d:\n%s%s", strings.Join(path, " "), code, out, stderr)
		}
		if c.Short == "" || strings.HasSuffix(c.Short, ".") {
			t.Errorf("%s has the short text %q", c.CommandPath(), c.Short)
		}
		for line := range strings.Lines(c.Long) {
			if len(line) > 121 {
				t.Errorf("%s: a line of its help has %d columns: %s", c.CommandPath(), len(line), line)
			}
		}
		for _, sub := range c.Commands() {
			walk(append(slices.Clip(path), sub.Name()), sub)
		}
	}
	walk(nil, a.root())
	if names < 22 {
		t.Errorf("looked at %d commands only", names)
	}
}

func TestCommand(t *testing.T) {
	a := &app{dir: "."}
	if got, want := a.command("attest", "gate/build", "it's $(x)"), `slipway attest gate/build 'it'\''s $(x)'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	a.dir, a.file = "my repo", "r.yaml"
	if got, want := a.command("run"), `slipway -C 'my repo' -f r.yaml run`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestIgnore(t *testing.T) {
	for before, want := range map[string]string{
		"":            "/dist/\n/.slipway/*\n!/.slipway/holds/\n",
		"*.o":         "*.o\n/dist/\n/.slipway/*\n!/.slipway/holds/\n",
		"*.o\r\n":     "*.o\r\n/dist/\r\n/.slipway/*\r\n!/.slipway/holds/\r\n",
		"/dist/\nx\n": "/dist/\nx\n/.slipway/*\n!/.slipway/holds/\n",
		"/.slipway/*\n!/.slipway/holds/\n/dist/\n": "/.slipway/*\n!/.slipway/holds/\n/dist/\n",
	} {
		path := filepath.Join(t.TempDir(), ".gitignore")
		if before != "" {
			if err := os.WriteFile(path, []byte(before), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		changed, err := ignore(path)
		got, readErr := os.ReadFile(path)
		if err != nil || readErr != nil || string(got) != want || changed != (before != want) {
			t.Errorf("%q became %q, changed %v, want %q: %v, %v", before, got, changed, want, err, readErr)
		}
	}
}

func TestBelow(t *testing.T) {
	root := t.TempDir()
	inside, outside := filepath.Join(root, "sub"), t.TempDir()
	if err := os.Mkdir(inside, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "link")); err != nil {
		t.Fatal(err)
	}
	if got, err := below(root, filepath.Join(inside, "r.yaml")); err != nil || got != "sub/r.yaml" {
		t.Errorf("got %q, %v", got, err)
	}
	for _, path := range []string{filepath.Join(outside, "r.yaml"), filepath.Join(root, "..", "r.yaml"), filepath.Join(root, "link", "r.yaml")} {
		if got, err := below(root, path); err == nil {
			t.Errorf("%s is said to lie in the repository, as %q", path, got)
		}
	}
}

func TestWriteFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "f")
	for _, text := range []string{"one", "two", "two"} {
		if err := writeFile(path, []byte(text)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(path); err != nil || string(b) != text {
			t.Errorf("it holds %q: %v", b, err)
		}
	}
	before, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := writeFile(path, []byte("two")); err != nil {
		t.Fatal(err)
	}
	if after, err := os.Stat(path); err != nil || !os.SameFile(before, after) {
		t.Error("what was the same has been written again")
	}
	if err := writeFile(filepath.Join(dir, "missing", "f"), nil); err == nil {
		t.Error("a file was written into a folder that is not there")
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}
