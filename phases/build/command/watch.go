package command

import (
	"bytes"
	"crypto/sha256"
	"hash"
)

// watch looks at what a program prints while it prints it.
type watch struct {
	texts []string
	found []bool
	left  int
	all   chan struct{} // closed when nothing is left to find
	kept  []byte        // the end of what was printed, shorter than the longest text
	n     int64
	sum   hash.Hash
}

func newWatch(texts []string) *watch {
	w := &watch{texts: texts, found: make([]bool, len(texts)), left: len(texts), all: make(chan struct{}), sum: sha256.New()}
	if w.left == 0 {
		close(w.all)
	}
	return w
}

func (w *watch) Write(p []byte) (int, error) {
	w.n += int64(len(p))
	w.sum.Write(p)
	if w.left == 0 {
		return len(p), nil
	}
	b := append(w.kept, p...)
	longest := 0
	for i, text := range w.texts {
		longest = max(longest, len(text))
		if w.found[i] || !bytes.Contains(b, []byte(text)) {
			continue
		}
		if w.found[i] = true; w.left == 1 {
			close(w.all)
		}
		w.left--
	}
	w.kept = append(w.kept[:0], b[max(0, len(b)-longest+1):]...)
	return len(p), nil
}

// missing lists the texts that were not printed.
func (w *watch) missing() (out []string) {
	for i, text := range w.texts {
		if !w.found[i] {
			out = append(out, text)
		}
	}
	return out
}
