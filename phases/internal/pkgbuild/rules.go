package pkgbuild

import (
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// A problem is a value that breaks a rule: which field, what was found, what is wanted.
type problem struct{ field, found, want string }

func (p problem) Error() string { return fmt.Sprintf("%s: %s, found %q", p.field, p.want, p.found) }

// The rules for single values. Each gives the wish that is not met, or nothing. They are
// the strictest of makepkg's (the functions of /usr/share/makepkg/lint_pkgbuild, 6.0.2), of
// the AUR's two validators (aurweb's update hook with python-srcinfo, and with the ALPM
// parser, whose grammar is in alpm-pkgver(7), alpm-pkgrel(7), alpm-epoch(7),
// alpm-package-name(7) and alpm-package-relation(7)) and of our own. What stands behind a
// rule that is not obvious:
//
//   - makepkg takes ~ and others in a pkgver; the ALPM parser takes letters, digits and _ + .
//   - makepkg takes capitals in a pkgname; the AUR does not
//   - a licence is an SPDX expression by the Arch packaging guidelines; the server asks less
//   - an address is https, and a checksum is never SKIP: our own

var (
	nameRE        = regexp.MustCompile(`^[a-z0-9][a-z0-9.+_-]*$`)
	pkgverRE      = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9_+.]*$`)
	pkgrelRE      = regexp.MustCompile(`^[1-9][0-9]*(\.[0-9]+)?$`)
	epochRE       = regexp.MustCompile(`^(?:0|[1-9][0-9]*)$`)
	relationRE    = regexp.MustCompile(`^([a-zA-Z0-9@_+][a-zA-Z0-9@._+-]*)(?:(<=|>=|=|<|>)(.+))?$`)
	versionRE     = regexp.MustCompile(`^(?:[0-9]+:)?[a-zA-Z0-9][a-zA-Z0-9_+.]*(?:-[0-9]+(?:\.[0-9]+)?)?$`)
	describedRE   = regexp.MustCompile(`:[ \t]`) // unlike an epoch's colon
	licenseIDRE   = regexp.MustCompile(`^(?:DocumentRef-[a-zA-Z0-9.-]+:)?[a-zA-Z0-9][a-zA-Z0-9.-]*\+?$`)
	fingerprintRE = regexp.MustCompile(`^[0-9A-F]{40}([0-9A-F]{24})?$`)
	sha256RE      = regexp.MustCompile(`^[0-9a-f]{64}$`)
	installRE     = regexp.MustCompile(`^[a-zA-Z0-9][a-zA-Z0-9._+-]*$`)
)

// Limits of the AUR's update hook, in characters.
const (
	maxName   = 255
	maxDesc   = 255
	maxURL    = 8000
	maxSource = 8000
)

// options are those that makepkg 6.0.2 knows.
var options = []string{
	"strip", "docs", "libtool", "staticlibs", "emptydirs", "zipman", "purge", "debug", "lto", "makeflags", "buildflags",
	"ccache", "distcc",
}

func tooLong(v string, limit int) bool { return utf8.RuneCountInString(v) > limit }

func nameProblem(v string) string {
	switch {
	case !nameRE.MatchString(v):
		return "want a name of a-z, 0-9 and . + _ - that begins with a letter or digit"
	case tooLong(v, maxName):
		return fmt.Sprintf("want at most %d characters", maxName)
	}
	return ""
}

func pkgverProblem(v string) string {
	if !pkgverRE.MatchString(v) {
		return "want a version of letters, digits and _ + . that begins with a letter or digit"
	}
	return ""
}

func pkgrelProblem(v string) string {
	if !pkgrelRE.MatchString(v) {
		return "want a release like 1 or 1.1"
	}
	return ""
}

func epochProblem(v string) string {
	if !epochRE.MatchString(v) {
		return "want a whole number without leading zeros"
	}
	return ""
}

func descProblem(v string) string {
	if tooLong(Fold(v), maxDesc) {
		return fmt.Sprintf("want at most %d characters", maxDesc)
	}
	return ""
}

func archProblem(v string) string {
	if v == "" || strings.Trim(v, lower+digits+"_") != "" {
		return "want an architecture like x86_64, or any"
	}
	return ""
}

// urlProblem wants an absolute address of printable ASCII, so that it is written in one way only.
func urlProblem(v string, schemes ...string) string {
	if strings.ContainsFunc(v, func(r rune) bool { return r <= ' ' || r > '~' || strings.ContainsRune("\"<>\\^`{|}", r) }) {
		return "want an address of the characters that RFC 3986 allows"
	}
	u, err := url.Parse(v)
	if err != nil || !slices.Contains(schemes, u.Scheme) || u.Host == "" || u.User != nil {
		return "want an address that begins with " + strings.Join(schemes, ":// or ") + ":// and a host"
	}
	if tooLong(v, maxURL) {
		return fmt.Sprintf("want at most %d characters", maxURL)
	}
	return ""
}

// licenseProblem wants an SPDX expression. It knows the grammar, not the list of licences.
func licenseProblem(v string) string {
	const want = "want an SPDX expression like MIT, Apache-2.0 OR MIT, or LicenseRef-name"
	if lineProblem(v) != "" {
		return want
	}
	words := strings.Fields(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(v))
	depth, operand := 0, true // operand: a licence or an opening bracket is due
	for i, w := range words {
		switch {
		case operand && w == "(":
			depth++
		case operand:
			if !licenseIDRE.MatchString(w) || slices.Contains([]string{"AND", "OR", "WITH"}, w) {
				return want
			}
			operand = false
		case w == ")" && depth > 0:
			depth--
		case w == "AND" || w == "OR" || w == "WITH" && words[i-1] != ")":
			operand = true
		default:
			return want
		}
	}
	if operand || depth > 0 {
		return want
	}
	return ""
}

// relationProblem wants NAME or NAME OPERATOR VERSION without spaces.
func relationProblem(v string, operators ...string) string {
	m := relationRE.FindStringSubmatch(v)
	switch {
	case m == nil:
		return "want a package name, or name, operator and version"
	case m[2] != "" && !slices.Contains(operators, m[2]):
		return "want no other operator than " + strings.Join(operators, " ")
	case m[2] != "" && !versionRE.MatchString(m[3]):
		return "want a version like 1.2, 1.2-1 or 1:1.2-1"
	}
	return ""
}

func anyRelation(v string) string { return relationProblem(v, "<", "<=", "=", ">=", ">") }
func provision(v string) string   { return relationProblem(v, "=") }

func optionalRelation(v string) string {
	if at := describedRE.FindStringIndex(v); at != nil {
		if Fold(v[at[1]:]) == "" {
			return "want a description after the colon"
		}
		v = v[:at[0]]
	}
	return anyRelation(v)
}

func optionProblem(v string) string {
	if !slices.Contains(options, strings.TrimPrefix(v, "!")) {
		return "want an option of makepkg, with or without !"
	}
	return ""
}

func backupProblem(v string) string {
	if v == "" || strings.HasPrefix(v, "/") || strings.HasSuffix(v, "/") || lineProblem(v) != "" ||
		slices.ContainsFunc(strings.Split(v, "/"), func(part string) bool { return part == "" || part == "." || part == ".." }) {
		return "want a clean path of a file without leading slash"
	}
	return ""
}

func installProblem(v string) string {
	if !installRE.MatchString(v) {
		return "want a plain file name"
	}
	return ""
}

func fingerprintProblem(v string) string {
	if !fingerprintRE.MatchString(v) {
		return "want a full fingerprint in capital hexadecimal digits"
	}
	return ""
}

// The digests of nothing: what a failed download or a placeholder gives.
const (
	sha256OfNothing = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
	sha256Zero      = "0000000000000000000000000000000000000000000000000000000000000000"
)

func sha256Problem(v string) string {
	if !sha256RE.MatchString(v) || v == sha256OfNothing || v == sha256Zero {
		return "want the SHA-256 of the file in 64 lower-case hexadecimal digits"
	}
	return ""
}

func sourceNameProblem(v string) string {
	if v == "" || strings.Trim(v, nameMark) != "" || v[0] == '-' || v[0] == '.' {
		return "want a file name of letters, digits and . _ + @ = - that begins with none of . and -"
	}
	return ""
}

// sourceProblem looks at a whole entry, NAME::URL or the name of a file beside the PKGBUILD.
func sourceProblem(v string) string {
	if tooLong(v, maxSource) {
		return fmt.Sprintf("want at most %d characters", maxSource)
	}
	name, address, remote := strings.Cut(v, "::")
	if !remote {
		return sourceNameProblem(v)
	}
	if msg := sourceNameProblem(name); msg != "" {
		return msg
	}
	return urlProblem(address, "https")
}

// valueRules are the rules of each key. Keys for one architecture have those of the key itself.
var valueRules = map[string]func(string) string{
	"pkgdesc": descProblem, "pkgver": pkgverProblem, "pkgrel": pkgrelProblem, "epoch": epochProblem,
	"url": func(v string) string { return urlProblem(v, "https", "http") }, "install": installProblem, "changelog": installProblem,
	"arch": archProblem, "groups": nameProblem, "license": licenseProblem,
	"checkdepends": anyRelation, "makedepends": anyRelation, "depends": anyRelation, "optdepends": optionalRelation,
	"provides": provision, "conflicts": anyRelation, "replaces": anyRelation,
	"noextract": sourceNameProblem, "options": optionProblem, "backup": backupProblem,
	"source": sourceProblem, "validpgpkeys": fingerprintProblem, "sha256sums": sha256Problem,
}

// ruleOf gives the rule for a key and the key without its architecture.
func ruleOf(key string) (rule func(string) string, plain string) {
	if rule, ok := valueRules[key]; ok {
		return rule, key
	}
	for _, k := range archArrays {
		if strings.HasPrefix(key, k+"_") {
			return valueRules[k], k
		}
	}
	return nil, key
}

// charProblem says which character may not stand in any value.
func charProblem(v string) string {
	if !utf8.ValidString(v) {
		return "bytes that are not UTF-8"
	}
	for _, r := range v {
		switch {
		case r == ' ' || r == '\t':
		case unicode.IsControl(r):
			return fmt.Sprintf("control character %U", r)
		case unicode.IsSpace(r):
			return fmt.Sprintf("white space %U", r)
		case unicode.Is(unicode.Bidi_Control, r) || r == '\ufeff':
			return fmt.Sprintf("invisible character %U", r)
		}
	}
	return ""
}
