package carrier

import (
	"slices"
	"strings"
)

// dartNames are the constants that generated version files hold; *BuildNumber is an integer or a text. Constants of
// other names, a trayDaemonVersion of its own for instance, are not the release's version.
var dartNames = map[string]kind{
	"appVersion": plain, "mainAppVersion": plain, "tunnelManagerVersion": plain, "sharedLibraryVersion": plain,
	"buildNumber": build, "appBuildNumber": build, "mainAppBuildNumber": build, "tunnelManagerBuildNumber": build, "sharedLibraryBuildNumber": build,
	"buildTimestamp": date, "buildDate": date, "gitCommitHash": commit, "gitCommit": commit,
}

// dart reads constants: NAME = LITERAL; where the literal is a simple string or, of a build number, an integer. A name
// may stand there once.
func dart(content []byte) (slots []slot, err error) {
	tokens, err := dartTokens(content)
	if err != nil {
		return nil, err
	}
	at := func(i int) dartToken {
		if i < len(tokens) {
			return tokens[i]
		}
		return dartToken{start: len(content), end: len(content)}
	}
	seen := map[string]bool{}
	for i, t := range tokens {
		name := string(content[t.start:t.end])
		k, known := dartNames[name]
		if t.kind != dartWord || !known || string(content[at(i+1).start:at(i+1).end]) != "=" || !declared(content, tokens[:i]) {
			continue
		}
		value, end := at(i+2), at(i+3)
		text := string(content[value.start:value.end])
		s := slot{kind: k, start: value.start, end: value.end}
		switch {
		case seen[name]:
			return nil, faultf(t.start, "%s is set there a second time", name)
		case string(content[end.start:end.end]) != ";":
			return nil, faultf(t.start, "%s is not one literal", name)
		case value.kind == dartString:
			s.start, s.end = s.start+1, s.end-1
		case value.kind == dartWord && k == build && strings.Trim(text, "0123456789") == "":
			s.kind = buildInt
		default:
			return nil, faultf(t.start, "%s is not a simple literal: %.40q", name, text)
		}
		seen[name] = true
		slots = append(slots, s)
	}
	return slots, nil
}

// declared reports whether the words before a name say that it is a constant: static, const or final, then a type.
func declared(content []byte, before []dartToken) bool {
	for _, t := range slices.Backward(before) {
		switch word := string(content[t.start:t.end]); {
		case word == "const" || word == "final" || word == "static":
			return true
		case t.kind != dartWord && word != "?":
			return false
		}
	}
	return false
}

type dartToken struct {
	kind       int
	start, end int
}

const (
	dartOther  = iota // punctuation, and strings that are not simple
	dartWord          // names and numbers
	dartString        // '...' or "..." on one line, without escapes and interpolation
)

// dartTokens cuts Dart source into tokens and drops comments (Dart language specification, "Lexical tokens"):
// /* */ nests, strings are single or triple quoted, raw after an r, and hold ${ } with code inside.
func dartTokens(content []byte) ([]dartToken, error) {
	l := dartLexer{src: content}
	if err := l.until(0, 0); err != nil {
		return nil, err
	}
	return l.tokens, nil
}

type dartLexer struct {
	src    []byte
	pos    int
	tokens []dartToken
}

func (l *dartLexer) has(s string) bool {
	return strings.HasPrefix(string(l.src[l.pos:min(len(l.src), l.pos+len(s))]), s)
}

// until reads tokens up to the closing byte, which may be 0 for the end of the source.
func (l *dartLexer) until(closing byte, depth int) error {
	if depth > maxDepth {
		return faultf(l.pos, "strings stand in each other more than %d deep", maxDepth)
	}
	begin, braces := l.pos, 0
	for l.pos < len(l.src) {
		start, c := l.pos, l.src[l.pos]
		switch {
		case c == ' ' || c == '\t' || c == '\r' || c == '\n':
			l.pos++
		case l.has("//"):
			for l.pos < len(l.src) && l.src[l.pos] != '\n' {
				l.pos++
			}
		case l.has("/*"):
			if err := l.comment(); err != nil {
				return err
			}
		case c == '\'' || c == '"', (l.has("r'") || l.has(`r"`)):
			if err := l.str(depth); err != nil {
				return err
			}
		case wordByte(c):
			for l.pos < len(l.src) && wordByte(l.src[l.pos]) {
				l.pos++
			}
			l.tokens = append(l.tokens, dartToken{dartWord, start, l.pos})
		case closing != 0 && c == closing && braces == 0:
			l.pos++
			return nil
		default:
			switch c {
			case '{':
				braces++
			case '}':
				braces--
			}
			if l.pos++; l.has("=") && strings.IndexByte("=!<>", c) >= 0 {
				l.pos++ // so that == is not an assignment
			}
			l.tokens = append(l.tokens, dartToken{dartOther, start, l.pos})
		}
	}
	if closing != 0 {
		return faultf(begin, "an interpolation does not end")
	}
	return nil
}

func wordByte(c byte) bool {
	return c == '_' || c == '$' || c >= '0' && c <= '9' || c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
}

func (l *dartLexer) comment() error {
	begin, depth := l.pos, 0
	for l.pos < len(l.src) {
		switch {
		case l.has("/*"):
			depth++
			l.pos += 2
		case l.has("*/"):
			l.pos += 2
			if depth--; depth == 0 {
				return nil
			}
		default:
			l.pos++
		}
	}
	return faultf(begin, "a comment does not end")
}

func (l *dartLexer) str(depth int) error {
	t := dartToken{dartString, l.pos, 0}
	raw := l.src[l.pos] == 'r'
	if raw {
		t.kind = dartOther
		l.pos++
	}
	quote := string(l.src[l.pos])
	if l.has(strings.Repeat(quote, 3)) {
		quote, t.kind = strings.Repeat(quote, 3), dartOther
	}
	l.pos += len(quote)
	kept := len(l.tokens)
	for l.pos < len(l.src) {
		switch c := l.src[l.pos]; {
		case l.has(quote):
			l.pos += len(quote)
			t.end = l.pos
			l.tokens = append(l.tokens[:kept], t)
			return nil
		case !raw && c == '\\':
			t.kind = dartOther
			l.pos = min(l.pos+2, len(l.src))
		case !raw && l.has("${"):
			t.kind = dartOther
			l.pos += 2
			if err := l.until('}', depth+1); err != nil {
				return err
			}
		case (c == '\n' || c == '\r') && len(quote) == 1:
			return faultf(t.start, "a string does not end on its line")
		default:
			if c == '$' && !raw {
				t.kind = dartOther
			}
			l.pos++
		}
	}
	return faultf(t.start, "a string does not end")
}
