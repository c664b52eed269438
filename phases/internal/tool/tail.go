package tool

import (
	"bytes"
	"strings"
	"sync"
)

// keep is how many bytes at the end of a program's output are kept.
const keep = 64 << 10

// tail keeps the end of what is written to it. It may be used from several goroutines.
type tail struct {
	mu   sync.Mutex
	buf  []byte
	lost bool // something before buf was thrown away
}

func (t *tail) Write(p []byte) (int, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	n := len(p)
	if len(p) > keep {
		p, t.lost, t.buf = p[len(p)-keep:], true, t.buf[:0]
	}
	if len(t.buf)+len(p) > 2*keep {
		t.buf, t.lost = append(t.buf[:0], t.buf[len(t.buf)-keep:]...), true
	}
	t.buf = append(t.buf, p...)
	return n, nil
}

// text is the kept end as valid UTF-8. Where its beginning was thrown away it begins at a new line, or where a line is
// longer than all that is kept, margin bytes later: so that no secret is shown of which the first part is gone.
func (t *tail) text(margin int) string {
	t.mu.Lock()
	defer t.mu.Unlock()
	b := t.buf
	lost := t.lost
	if len(b) > keep {
		b, lost = b[len(b)-keep:], true
	}
	if lost {
		if at := bytes.IndexByte(b, '\n'); at >= 0 {
			b = b[at+1:]
		} else {
			b = b[min(margin, len(b)):]
		}
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}

// lines passes what is written to it on to a tail line by line, so that two streams do not run into one another within a
// line.
type lines struct {
	to *tail

	mu   sync.Mutex
	part []byte
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.part = append(l.part, p...)
	if end := bytes.LastIndexByte(l.part, '\n') + 1; end > 0 {
		_, _ = l.to.Write(l.part[:end]) // never fails
		l.part = append(l.part[:0], l.part[end:]...)
	}
	if len(l.part) > keep {
		l.pass()
	}
	return len(p), nil
}

// pass passes on what has no end of a line yet.
func (l *lines) pass() {
	_, _ = l.to.Write(l.part)
	l.part = l.part[:0]
}

// flush ends the stream.
func (l *lines) flush() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.pass()
}
