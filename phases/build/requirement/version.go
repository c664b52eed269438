package requirement

import (
	"regexp"
	"strconv"
	"strings"

	"github.com/Masterminds/semver/v3"
)

// Version is what a program says of itself.
type Version struct {
	Text                string // as it was found
	Major, Minor, Patch uint64
	Pre                 string // what makes it a prerelease, like beta.1 or 0.2.pre; empty for a release
}

var (
	// dotted is a version with dots, and what stands right behind it: 3.24.0-0.2.pre, 3.13.0rc1, 2.43.0-1ubuntu7.
	dotted = regexp.MustCompile(`(?:^|[^0-9.])((\d{1,9})\.(\d{1,9})(?:\.(\d{1,9}))?(?:\.\d{1,9})*)((?:[-~.]?(?i:(?:alpha|beta|preview|pre|rc|dev)\.?\d{0,9}|[ab]\d{1,9})\b)|(?:-[0-9A-Za-z][0-9A-Za-z.-]{0,99}))?`)
	// whole is a version of one number, as less 590 has it.
	whole = regexp.MustCompile(`(?:^|\s|v)(\d{1,9})(?:[\s,)]|$)`)
	// preWord tells a prerelease from a distribution's revision, which also stands behind a hyphen.
	preWord = regexp.MustCompile(`(?i)(?:^|[^a-z])(?:alpha|beta|preview|pre|rc|dev|nightly|canary|snapshot|next|insiders?|master|[ab]\d{1,9})(?:$|[^a-z])`)
)

// ParseVersion finds the first version in a text: numbers with one dot at least, or failing these one that stands alone.
// What follows behind a hyphen makes it a prerelease where it says so in a word; otherwise it is somebody's revision of
// that version, and does not count. A fourth number does not count either.
func ParseVersion(text string) (Version, bool) {
	if m := dotted.FindStringSubmatch(text); m != nil {
		v := Version{Text: m[1], Major: number(m[2]), Minor: number(m[3]), Patch: number(m[4])}
		if rest := strings.TrimLeft(m[5], "-~."); rest != "" && preWord.MatchString(rest) {
			v.Text, v.Pre = v.Text+strings.TrimRight(m[5], "-.~"), strings.Trim(rest, "-.~")
		}
		return v, true
	}
	if m := whole.FindStringSubmatch(text); m != nil {
		return Version{Text: m[1], Major: number(m[1])}, true
	}
	return Version{}, false
}

func number(s string) uint64 {
	n, _ := strconv.ParseUint(s, 10, 64) // digits, nine at most, or none
	return n
}

// release is the version that a prerelease comes before.
func (v Version) release() Version {
	v.Pre = ""
	return v
}

// In reports whether the version lies in the range that text was read as. A prerelease lies in it where both it and its
// release do: 3.25.0-0.1.pre is good for >=3.24, but 3.24.0-0.1.pre is not, which comes before 3.24.0, and 4.0.0-beta is
// not below 4. Where the range itself names a prerelease, only the order of Semantic Versioning counts.
func (v Version) In(wanted *semver.Constraints, text string) bool {
	wanted.IncludePrerelease = true
	core := semver.New(v.Major, v.Minor, v.Patch, "", "")
	if v.Pre == "" {
		return wanted.Check(core)
	}
	pre := semver.New(v.Major, v.Minor, v.Patch, identifiers(v.Pre), "")
	return wanted.Check(pre) && (wanted.Check(core) || namesPre.MatchString(text))
}

var namesPre = regexp.MustCompile(`\d-[0-9A-Za-z]`)

// identifiers makes a prerelease of Semantic Versioning: rc1 becomes rc.1, so that rc.10 comes after rc.9, and numbers
// lose their leading zeros.
func identifiers(pre string) string {
	var out []string
	for _, part := range strings.FieldsFunc(pre, func(r rune) bool { return r == '.' || r == '-' }) {
		letters := strings.TrimRight(part, "0123456789")
		digits := part[len(letters):]
		if letters != "" {
			out = append(out, letters)
		}
		if digits != "" {
			if digits = strings.TrimLeft(digits, "0"); digits == "" {
				digits = "0"
			}
			out = append(out, digits)
		}
	}
	return strings.Join(out, ".")
}

var (
	// escapes are those of terminals (ECMA-48, control sequences), and what overprints for bold and underlined text.
	escapes = regexp.MustCompile("\x1b\\[[0-9;?]*[ -/]*[@-~]|\x1b[@-Z\\\\-_]|.\b")
	// negatable is how the help of Dart programs names two flags at once (package args, Parser.usage).
	negatable = regexp.MustCompile(`--\[no-\]([0-9A-Za-z][0-9A-Za-z_-]*)`)
)

// clean leaves text only.
func clean(s string) string { return escapes.ReplaceAllString(strings.ToValidUTF8(s, "?"), "") }

// HasFlag reports whether a help text names a flag, as a whole word: --web is not named by --web-renderer. The form
// --[no-]flag names --flag and --no-flag.
func HasFlag(help, flag string) bool {
	help = negatable.ReplaceAllString(clean(help), "--${1} --no-${1}")
	if flag == "" {
		return false
	}
	for at := 0; ; {
		i := strings.Index(help[at:], flag)
		if i < 0 {
			return false
		}
		begin, end := at+i, at+i+len(flag)
		if (begin == 0 || !wordByte(help[begin-1])) && (end == len(help) || !wordByte(help[end])) {
			return true
		}
		at = begin + 1
	}
}

func wordByte(b byte) bool {
	return b == '-' || b == '_' || b >= '0' && b <= '9' || b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z'
}
