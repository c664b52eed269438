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
