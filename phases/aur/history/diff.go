package history

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	fdiff "github.com/go-git/go-git/v5/plumbing/format/diff"
	"github.com/go-git/go-git/v5/utils/diff"
)

// Bounds of what people are shown.
const (
	maxShown = 64 << 10 // bytes of a file whose lines are compared
	maxLines = 200      // of a diff
	maxWidth = 300      // characters of a line
	diffTime = time.Second
)

// Diff shows what becomes of the files, as a unified diff of bounded size in which every character can be seen. Equal
// files give nothing. Of large and of binary files it shows the sizes.
func Diff(old, want map[string]File) (string, error) {
	paths := slices.Concat(slices.Collect(maps.Keys(old)), slices.Collect(maps.Keys(want)))
	slices.Sort(paths)
	var out strings.Builder
	for _, path := range slices.Compact(paths) {
		a, before := old[path]
		b, after := want[path]
		if before && after && a.Hash == b.Hash && a.Mode == b.Mode {
			continue
		}
		if err := diffFile(&out, path, a, b, before, after); err != nil {
			return "", fmt.Errorf("cannot compare %q: %w", path, err)
		}
	}
	return bound(out.String()), nil
}

func diffFile(out *strings.Builder, path string, a, b File, before, after bool) error {
	name := visible(path)
	if a.Size > maxShown || b.Size > maxShown {
		fmt.Fprintf(out, "--- %s: %s, afterwards %s\n", name, sizeOf(a, before), sizeOf(b, after))
		return nil
	}
	var texts [2]string
	for i, f := range []struct {
		File
		there bool
	}{{a, before}, {b, after}} {
		if !f.there {
			continue
		}
		text, err := f.Text(maxShown)
		if err != nil {
			return err
		}
		if strings.Contains(text, "\x00") || !utf8.ValidString(text) {
			fmt.Fprintf(out, "--- %s: %s, afterwards %s (binary)\n", name, sizeOf(a, before), sizeOf(b, after))
			return nil
		}
		texts[i] = text
	}
	p := &patch{chunks: chunks(texts[0], texts[1])}
	if before {
		p.from = file{name, a.Hash, a.Mode}
	}
	if after {
		p.to = file{name, b.Hash, b.Mode}
	}
	return fdiff.NewUnifiedEncoder(out, fdiff.DefaultContextLines).Encode(p)
}

func sizeOf(f File, there bool) string {
	if !there {
		return "nothing"
	}
	return fmt.Sprintf("%d bytes", f.Size)
}

// bound cuts a diff after so many lines, and its lines after so many characters.
func bound(text string) string {
	lines := strings.Split(strings.TrimSuffix(text, "\n"), "\n")
	more := len(lines) - maxLines
	if more > 0 {
		lines = lines[:maxLines]
	}
	for i, line := range lines {
		lines[i] = short(visible(line), maxWidth)
	}
	if more > 0 {
		lines = append(lines, fmt.Sprintf("... and %d more lines", more))
	}
	return strings.Join(lines, "\n")
}

// visible shows characters that a terminal would obey, or not show, by their escapes.
func visible(s string) string {
	if strings.IndexFunc(s, hidden) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range strings.ToValidUTF8(s, "\uFFFD") {
		if hidden(r) {
			quoted := strconv.QuoteRuneToASCII(r)
			b.WriteString(quoted[1 : len(quoted)-1])
		} else {
			b.WriteRune(r)
		}
	}
	return b.String()
}

func hidden(r rune) bool { return r != '\t' && !unicode.IsPrint(r) || r == utf8.RuneError }

// chunks compares line by line, within a bounded time: what is left then counts as changed.
func chunks(a, b string) []fdiff.Chunk {
	var out []fdiff.Chunk
	for _, d := range diff.DoWithTimeout(a, b, diffTime) {
		op := fdiff.Equal
		switch { // -1 deletes, 0 keeps, 1 inserts
		case d.Type > 0:
			op = fdiff.Add
		case d.Type < 0:
			op = fdiff.Delete
		}
		out = append(out, chunk{d.Text, op})
	}
	return out
}

// patch is the change of one file, as the encoder wants it.
type patch struct {
	from, to fdiff.File
	chunks   []fdiff.Chunk
}

func (p *patch) FilePatches() []fdiff.FilePatch  { return []fdiff.FilePatch{p} }
func (p *patch) Message() string                 { return "" }
func (p *patch) IsBinary() bool                  { return false }
func (p *patch) Files() (fdiff.File, fdiff.File) { return p.from, p.to }
func (p *patch) Chunks() []fdiff.Chunk           { return p.chunks }

type file struct {
	path string
	hash plumbing.Hash
	mode filemode.FileMode
}

func (f file) Hash() plumbing.Hash     { return f.hash }
func (f file) Mode() filemode.FileMode { return f.mode }
func (f file) Path() string            { return f.path }

type chunk struct {
	text string
	op   fdiff.Operation
}

func (c chunk) Content() string       { return c.text }
func (c chunk) Type() fdiff.Operation { return c.op }
