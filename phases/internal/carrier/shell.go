package carrier

import (
	"bytes"
	"regexp"
	"strings"
)

// pkgbuild reads the assignment pkgver=... of a PKGBUILD: a literal, at the top level, once. It knows of the shell what
// is needed to see what is at the top level (quotes, comments, groups, substitutions, here-documents) and gives up on
// anything else; it runs nothing.
func pkgbuild(content []byte) ([]slot, error) {
	l := shellLexer{src: content}
	if err := l.read(); err != nil {
		return nil, err
	}
	return l.slots, nil
}

type shellLexer struct {
	src   []byte
	pos   int
	open  []byte   // '(' and '{' that are open
	docs  []string // here-documents to come after this line; a leading tab says that tabs are stripped
	slots []slot
}

var (
	pkgverAssigned = regexp.MustCompile(`^pkgver(\+?=)('[^'\n]*'|"[^"\\$` + "`" + `\n]*"|[A-Za-z0-9._+~:-]*)(?:[ \t]+#.*|[ \t]*;.*|[ \t]+[A-Za-z_][A-Za-z0-9_]*\+?=.*)?[ \t]*\r?(?:\n|$)`)
	pkgverFunction = regexp.MustCompile(`^(?:function[ \t]+pkgver[ \t\r\n({]|pkgver[ \t]*\([ \t]*\))`)
	hereDocument   = regexp.MustCompile(`^<<(-?)[ \t]*(?:'([^'\n]+)'|"([^"\n]+)"|\\?([A-Za-z0-9_.+-]+))`)
)

// read goes through the file command by command.
func (l *shellLexer) read() error {
	command, word := true, true // a command, a word may begin here
	for l.pos < len(l.src) {
		rest := l.src[l.pos:]
		c := rest[0]
		switch {
		case command && len(l.open) == 0 && pkgverFunction.Match(rest):
			return faultf(l.pos, "a function computes pkgver; want a literal")
		case command && len(l.open) == 0 && (bytes.HasPrefix(rest, []byte("pkgver=")) || bytes.HasPrefix(rest, []byte("pkgver+="))):
			if err := l.assignment(rest); err != nil {
				return err
			}
			word = false
			continue
		case c == '\n':
			l.pos++
			if err := l.hereDocuments(); err != nil {
				return err
			}
			command, word = true, true
			continue
		case c == ' ' || c == '\t' || c == '\r':
			l.pos++
			word = true
			continue
		case c == '#' && word:
			for l.pos < len(l.src) && l.src[l.pos] != '\n' {
				l.pos++
			}
			continue
		case c == ';' || c == '&' || c == '|':
			l.pos++
			command, word = true, true
			continue
		case c == '(':
			l.open = append(l.open, c)
			l.pos++
			command, word = true, true
			continue
		case c == ')':
			l.close('(')
			l.pos++
			command, word = true, true // a function's body may follow
			continue
		case c == '{' && word && (len(rest) == 1 || strings.IndexByte(" \t\r\n", rest[1]) >= 0):
			l.open = append(l.open, c)
			l.pos++
			command, word = true, true
			continue
		case c == '}' && command:
			l.close('{')
			l.pos++
			continue
		case c == '<' && !bytes.HasPrefix(rest, []byte("<<<")) && hereDocument.Match(rest):
			m := hereDocument.FindSubmatch(rest)
			end := string(m[2]) + string(m[3]) + string(m[4])
			if len(m[1]) > 0 {
				end = "\t" + end
			}
			l.docs = append(l.docs, end)
			l.pos += len(m[0])
		case bytes.HasPrefix(rest, []byte("<<<")):
			l.pos += 3
		default:
			if err := l.piece(0); err != nil {
				return err
			}
		}
		if word { // the rest of an assignment changes nothing: a further one may stand after it
			command = command && l.assigning(rest)
		}
		word = false
	}
	if len(l.open) > 0 {
		return faultf(l.pos, "a %q is never closed", l.open[len(l.open)-1])
	}
	return nil
}

var assigned = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*(\[[^\]\n]*\])?\+?=`)

// assigning reports whether the word just begun is an assignment, after which a further one may stand.
func (l *shellLexer) assigning(word []byte) bool {
	if m := assigned.Find(word); m != nil {
		l.pos = max(l.pos, len(l.src)-len(word)+len(m))
		return true
	}
	return false
}

func (l *shellLexer) close(open byte) {
	if n := len(l.open); n > 0 && l.open[n-1] == open { // otherwise that of a case pattern
		l.open = l.open[:n-1]
	}
}

func (l *shellLexer) assignment(rest []byte) error {
	m := pkgverAssigned.FindSubmatchIndex(rest)
	if m == nil || rest[m[2]] == '+' {
		return faultf(l.pos, "pkgver is computed; want a literal")
	}
	if l.slots != nil {
		return faultf(l.pos, "pkgver is set there a second time")
	}
	s := slot{kind: pkgver, start: l.pos + m[4], end: l.pos + m[5]}
	if s.end > s.start && (l.src[s.start] == '\'' || l.src[s.start] == '"') {
		s.start, s.end = s.start+1, s.end-1
	}
	l.slots = []slot{s}
	l.pos += m[5] // the command goes on: further assignments, or its end
	return nil
}

// piece steps over one byte, quoted text, or substitution.
func (l *shellLexer) piece(depth int) error {
	if depth > maxDepth {
		return faultf(l.pos, "quotes and substitutions stand in each other more than %d deep", maxDepth)
	}
	begin, rest := l.pos, l.src[l.pos:]
	switch {
	case rest[0] == '\\':
		l.pos = min(l.pos+2, len(l.src))
		return nil
	case rest[0] == '\'':
		return l.to("'", 1)
	case bytes.HasPrefix(rest, []byte("$'")):
		for l.pos += 2; l.pos < len(l.src); l.pos++ {
			if l.src[l.pos] == '\\' {
				l.pos++
			} else if l.src[l.pos] == '\'' {
				l.pos++
				return nil
			}
		}
	case rest[0] == '"':
		for l.pos++; l.pos < len(l.src); {
			if l.src[l.pos] == '"' {
				l.pos++
				return nil
			}
			if l.src[l.pos] == '\'' {
				l.pos++
			} else if err := l.piece(depth + 1); err != nil {
				return err
			}
		}
	case rest[0] == '`':
		return l.to("`", 1)
	case bytes.HasPrefix(rest, []byte("$(")):
		return l.nested(')', depth)
	case bytes.HasPrefix(rest, []byte("${")):
		return l.nested('}', depth)
	default:
		l.pos++
		return nil
	}
	return faultf(begin, "a quote does not end")
}

// nested steps over a substitution to its closing byte.
func (l *shellLexer) nested(closing byte, depth int) error {
	begin, opening, open := l.pos, l.src[l.pos+1], 1
	for l.pos += 2; l.pos < len(l.src); {
		switch c := l.src[l.pos]; {
		case c == closing:
			l.pos++
			if open--; open == 0 {
				return nil
			}
		case c == opening:
			l.pos++
			open++
		default:
			if err := l.piece(depth + 1); err != nil {
				return err
			}
		}
	}
	return faultf(begin, "a substitution does not end")
}

func (l *shellLexer) to(quote string, skip int) error {
	i := bytes.Index(l.src[l.pos+skip:], []byte(quote))
	if i < 0 {
		return faultf(l.pos, "a quote does not end")
	}
	l.pos += skip + i + len(quote)
	return nil
}

// hereDocuments steps over those that were announced on the line before.
func (l *shellLexer) hereDocuments() error {
	for _, doc := range l.docs {
		end, strip := strings.CutPrefix(doc, "\t")
		begin, done := l.pos, false
		for l.pos < len(l.src) && !done {
			line := l.src[l.pos:]
			if i := bytes.IndexByte(line, '\n'); i >= 0 {
				line = line[:i]
			}
			l.pos = min(l.pos+len(line)+1, len(l.src))
			text := strings.TrimSuffix(string(line), "\r")
			if strip {
				text = strings.TrimLeft(text, "\t")
			}
			done = text == end
		}
		if !done {
			return faultf(begin, "a here-document does not end")
		}
	}
	l.docs = nil
	return nil
}
