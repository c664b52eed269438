package inspect

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"path"
	"regexp"
	"strings"
)

// Sizes in bytes.
const (
	headSize = 8 << 10   // of the start of a file that says whether it is text
	block    = 256 << 10 // read at once
	behind   = 1 << 10   // kept of what was judged, for words that began there
	ahead    = 1 << 10   // not judged before what follows was read; longer than any text that is looked for
	maxScan  = 1 << 30   // the most that is searched of one file
)

// mark is the byte order mark of UTF-8, which strict readers of JSON and of desktop entries refuse.
const mark = "\ufeff"

// unmarked are names of files that a byte order mark breaks.
var unmarked = []string{"*.json", "*.desktop", "*.service", "*.sha256", "*.sha512", "*.md5", "SHA256SUMS*", "VERSION", "VERSION.txt"}

// Words of capitals, and what makes a placeholder of them beside PLACEHOLDER: PLACEHOLDER_SHA256, BUILD_TIME_PLACEHOLDER.
var (
	placeholder = []byte("PLACEHOLDER")
	kinds       = map[string]bool{
		"SHA256": true, "SHA512": true, "SHA256SUM": true, "SHA": true, "MD5": true, "CHECKSUM": true, "HASH": true, "SIZE": true,
		"VERSION": true, "PKGVER": true, "PKGREL": true, "BUILD": true, "NUMBER": true, "TIME": true, "TIMESTAMP": true, "DATE": true,
		"COMMIT": true, "GIT": true, "TAG": true, "RELEASE": true, "URL": true,
	}
	opening = []byte("{{")
	field   = regexp.MustCompile(`^\{\{-?[ \t]*\.(?:Version|Tag|Commit|ShortCommit|FullCommit|BuildNumber|BuildDate|Date|Timestamp|ProjectName|Pkgver|SHA256)\b[^{}\n]{0,80}\}\}`)
	date    = []byte("$(date")
)

// scripted are names of files in which $(date) is no mistake.
var scripted = []string{"*.sh", "*.bash", "*.zsh", "*.fish", "*.mk", "Makefile", "*.bats", "*.go", "*.dart", "*.py", "*.pl"}

// hit is something found in a file.
type hit struct {
	what   string
	line   int // from 1; of a text
	offset int64
}

// scan searches a stream for texts. Each is found once.
type scan struct {
	text      bool // built-in ones, too
	date      bool // $(date) as well
	forbidden []string
	found     []hit
	done      map[string]bool
	lines     int   // line ends before the window
	at        int64 // of the window in the file
}

// window judges what begins in w[from:to].
func (s *scan) window(w []byte, from, to int) {
	for _, text := range s.forbidden {
		if !s.done[text] {
			if i := bytes.Index(w[from:min(len(w), to+len(text)-1)], []byte(text)); i >= 0 {
				s.hit(text, fmt.Sprintf("the forbidden text %.80q", text), w, from+i)
			}
		}
	}
	if !s.text {
		return
	}
	s.each(w, from, to, placeholder, func(i int) string {
		if word := capitals(w, i); isPlaceholder(word) {
			return "the placeholder " + word
		}
		return ""
	})
	s.each(w, from, to, opening, func(i int) string {
		if m := field.Find(w[i:min(len(w), i+ahead)]); m != nil {
			return fmt.Sprintf("the unfilled field %.80q", m)
		}
		return ""
	})
	if s.date {
		s.each(w, from, to, date, func(int) string { return "an unexpanded $(date" })
	}
}

// each looks at every place of a trigger until one is a fault.
func (s *scan) each(w []byte, from, to int, trigger []byte, judge func(int) string) {
	for !s.done[string(trigger)] {
		i := bytes.Index(w[from:min(len(w), to+len(trigger)-1)], trigger)
		if i < 0 {
			return
		}
		if what := judge(from + i); what != "" {
			s.hit(string(trigger), what, w, from+i)
		}
		from += i + 1
	}
}

func (s *scan) hit(key, what string, w []byte, i int) {
	if s.done == nil {
		s.done = map[string]bool{}
	}
	s.done[key] = true
	s.found = append(s.found, hit{what, s.lines + bytes.Count(w[:i], []byte{'\n'}) + 1, s.at + int64(i)})
}

// capitals is the word of capitals, digits and underscores around w[i].
func capitals(w []byte, i int) string {
	in := func(c byte) bool { return c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' }
	from, to := i, i
	for from > 0 && i-from < 100 && in(w[from-1]) {
		from--
	}
	for to < len(w) && to-i < 100 && in(w[to]) {
		to++
	}
	return string(w[from:to])
}

func isPlaceholder(word string) bool {
	whole, kind := false, false
	for part := range strings.SplitSeq(word, "_") {
		whole = whole || part == "PLACEHOLDER"
		kind = kind || kinds[part]
	}
	return whole && kind
}

// stream searches r, of which first was read already, and returns how many bytes it has, at most maxScan and a block.
func (s *scan) stream(ctx context.Context, first []byte, r io.Reader, buf []byte) (int64, error) {
	n := copy(buf, first)
	judged := 0
	for {
		if err := ctx.Err(); err != nil {
			return s.at + int64(n), err
		}
		m, err := io.ReadFull(r, buf[n:])
		n += m
		end := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
		if err != nil && !end {
			return s.at + int64(n), err
		}
		to := n
		if !end {
			to = n - ahead
		}
		s.window(buf[:n], judged, to)
		if end || s.at+int64(n) > maxScan {
			return s.at + int64(n), nil
		}
		drop := to - behind
		if s.text {
			s.lines += bytes.Count(buf[:drop], []byte{'\n'})
		}
		n = copy(buf, buf[drop:n])
		s.at += int64(drop)
		judged = behind
	}
}

// scanText searches one file whose start is head.
func (l *look) scanText(p string, head []byte, f io.Reader, script bool, buf []byte) error {
	text := bytes.IndexByte(head, 0) < 0
	base := path.Base(p)
	if text {
		l.texts++
		if bytes.HasPrefix(head, []byte(mark)) && named(unmarked, base) {
			l.fault(Text, "%s begins with a byte order mark, want none", p)
		}
	}
	if !text && len(l.rules.ForbiddenText) == 0 {
		return nil
	}
	s := scan{text: text, date: text && !script && !named(scripted, base), forbidden: l.rules.ForbiddenText}
	n, err := s.stream(l.ctx, head, f, buf)
	if err != nil {
		return err
	}
	if n > maxScan {
		l.fault(Text, "%s is too large to be searched (above %d bytes): if it is data, name it in rules.ignore", p, maxScan)
	}
	for _, h := range s.found {
		if text {
			l.fault(Text, "%s:%d: holds %s", p, h.line, h.what)
		} else {
			l.fault(Text, "%s: holds %s at byte %d", p, h.what, h.offset)
		}
	}
	return nil
}

func named(patterns []string, base string) bool {
	for _, p := range patterns {
		if ok, err := path.Match(p, base); ok && err == nil {
			return true
		}
	}
	return false
}
