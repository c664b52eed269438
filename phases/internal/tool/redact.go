package tool

import (
	"cmp"
	"os"
	"regexp"
	"slices"
	"strings"
	"unicode/utf8"
)

// Blot stands where a secret was.
const Blot = "[hidden]"

// secretName matches names of environment variables that hold secrets.
var secretName = regexp.MustCompile(`(?i)(TOKEN|PASSWORD|PASSWD|PASSPHRASE|SECRET|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|_PAT$|_AUTH$|^AUTH)`)

// shapes match secrets by what they look like, wherever they came from.
var shapes = []*regexp.Regexp{
	regexp.MustCompile(`\b(?:gh[opsur]_[A-Za-z0-9]{20,}|github_pat_[A-Za-z0-9_]{20,})`), // GitHub
	regexp.MustCompile(`\bglpat-[A-Za-z0-9_-]{20,}`),                                    // GitLab
	regexp.MustCompile(`\bAKIA[0-9A-Z]{16}\b`),                                          // AWS
	regexp.MustCompile(`(?s)-----BEGIN [A-Z0-9 ]*PRIVATE KEY-----.*?(?:-----END [A-Z0-9 ]*PRIVATE KEY-----|$)`),
}

var (
	userinfo = regexp.MustCompile(`\b([a-zA-Z][a-zA-Z0-9+.-]*://)[^/\s@"'<>]+@`)
	header   = regexp.MustCompile(`(?i)\b((?:proxy-)?authorization:\s*(?:(?:bearer|basic|token)\s+)?)[^\s"']+`)
)

// shortest is the length below which a value is not taken for a secret: blotting out every "1" would hide the message.
const shortest = 6

// Redactor blots secrets out of texts.
type Redactor struct {
	known   []string // longest first
	longest int
}

// NewRedactor knows the given secrets, and the values of this process's environment variables whose names say that they
// are secret. Every redactor also knows secrets by their shape: tokens of the large forges, private keys, passwords in
// addresses and authorization headers.
func NewRedactor(secrets ...string) *Redactor {
	r := &Redactor{longest: 512}
	for _, s := range append(values(os.Environ()), secrets...) {
		r.add(s)
		for line := range strings.Lines(s) { // a key of several lines may be printed in part
			r.add(strings.TrimSpace(line))
		}
	}
	slices.SortFunc(r.known, func(a, b string) int { return cmp.Or(cmp.Compare(len(b), len(a)), strings.Compare(a, b)) })
	r.known = slices.Compact(r.known)
	return r
}

func (r *Redactor) add(s string) {
	if len(s) >= shortest {
		r.known, r.longest = append(r.known, s), max(r.longest, len(s))
	}
}

// Text returns s without the secrets. What was UTF-8 stays UTF-8, even where a secret begins or ends within a character.
func (r *Redactor) Text(s string) string {
	valid := utf8.ValidString(s)
	for _, k := range r.known {
		s = strings.ReplaceAll(s, k, Blot)
	}
	for _, re := range shapes {
		s = re.ReplaceAllString(s, Blot)
	}
	s = userinfo.ReplaceAllString(s, "${1}"+Blot+"@")
	s = header.ReplaceAllString(s, "${1}"+Blot)
	if valid {
		s = strings.ToValidUTF8(s, "\uFFFD")
	}
	return s
}
