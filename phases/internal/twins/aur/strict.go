package aur

import (
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// What the strict parser wants of values. The grammar is that of the ALPM specifications (alpm-pkgver(7),
// alpm-package-relation(7), SRCINFO(5) of the ALPM project); that the server runs this very reading, and the texts of
// the refusals, are unconfirmed.
var (
	strictVersion = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_+.]*$`)
	strictRel     = regexp.MustCompile(`^[0-9]+(\.[0-9]+)?$`)
	strictEpoch   = regexp.MustCompile(`^[1-9][0-9]*$`)
	strictName    = regexp.MustCompile(`^[A-Za-z0-9@_+][A-Za-z0-9@._+-]*$`)
	strictArch    = regexp.MustCompile(`^[a-z0-9_]+$`)
	strictFull    = regexp.MustCompile(`^([1-9][0-9]*:)?[A-Za-z0-9][A-Za-z0-9_+.]*(-[0-9]+(\.[0-9]+)?)?$`)
	relation      = regexp.MustCompile(`^(.+?)(<=|>=|=|<|>)(.*)$`)
	soname        = regexp.MustCompile(`^[A-Za-z0-9@._+-]+\.so(=[A-Za-z0-9_+.]+(-[0-9]+)?)?$|^[A-Za-z0-9_+.-]+:[A-Za-z0-9@._+-]+\.so(\.[0-9.]+)?$`)
	spdxWord      = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]*\+?$|^(DocumentRef-[A-Za-z0-9.-]+:)?LicenseRef-[A-Za-z0-9.-]+$`)
	pgpKey        = regexp.MustCompile(`^[0-9A-Fa-f]{40}$`)
	option        = regexp.MustCompile(`^!?[A-Za-z0-9@._+-]+$`)
	hexDigits     = regexp.MustCompile(`^[0-9a-fA-F]+$`)
	decimal       = regexp.MustCompile(`^[0-9]+$`)
)

// singles are the keys with one value; true for those that a package may override.
var singles = map[string]bool{
	"pkgbase": false, "pkgver": false, "pkgrel": false, "epoch": false,
	"pkgdesc": true, "url": true, "install": true, "changelog": true,
}

// baseOnly are the arrays that a package cannot override.
var baseOnly = []string{
	"source", "noextract", "validpgpkeys", "makedepends", "checkdepends",
	"cksums", "md5sums", "sha1sums", "sha224sums", "sha256sums", "sha384sums", "sha512sums", "b2sums",
}

// sumLength is the number of hex digits of each checksum.
var sumLength = map[string]int{
	"md5sums": 32, "sha1sums": 40, "sha224sums": 56, "sha256sums": 64, "sha384sums": 96, "sha512sums": 128, "b2sums": 128,
}

// checkLine is what the strict parser looks at in one line.
func checkLine(section Section, inPackage bool, key, value string, refuse func(string, ...any)) {
	name, arch, array := isArray(key)
	overridable, single := singles[key]
	switch {
	case key == "pkgname":
	case !array && !single:
		refuse("unknown keyword %s", quoteLine(key))
		return
	case single && len(section[key]) > 0 && key != "pkgbase":
		refuse("keyword %s given twice", key)
	case inPackage && (single && !overridable && key != "pkgbase" || slices.Contains(baseOnly, name)):
		refuse("keyword %s does not belong to a package section", key)
	}
	if value == "" {
		if !inPackage {
			refuse("%s has no value", key)
		}
		return
	}
	if arch != "" && !strictArch.MatchString(arch) {
		refuse("invalid architecture %s", quoteLine(arch))
	}
	if !array {
		name = key
	}
	if !validValue(name, value) {
		refuse("invalid %s: %s", name, value)
	}
}

func validValue(name, value string) bool {
	switch name {
	case "pkgbase", "pkgname", "groups":
		return strictName.MatchString(value)
	case "pkgver":
		return strictVersion.MatchString(value)
	case "pkgrel":
		return strictRel.MatchString(value)
	case "epoch":
		return strictEpoch.MatchString(value)
	case "url":
		u, err := url.Parse(value)
		return err == nil && u.Scheme != "" && u.Host != ""
	case "arch":
		return strictArch.MatchString(value)
	case "license":
		return validLicense(value)
	case "depends", "makedepends", "checkdepends", "provides", "conflicts", "replaces":
		return validRelation(value)
	case "optdepends":
		what, _, _ := strings.Cut(value, ": ")
		return validRelation(strings.TrimSuffix(what, ":"))
	case "options":
		return option.MatchString(value)
	case "backup", "install", "changelog":
		return !strings.HasPrefix(value, "/") && !strings.HasSuffix(value, "/")
	case "validpgpkeys":
		return pgpKey.MatchString(value)
	case "cksums":
		return value == "SKIP" || decimal.MatchString(value)
	}
	if n := sumLength[name]; n > 0 {
		return value == "SKIP" || len(value) == n && hexDigits.MatchString(value)
	}
	return true
}

// validRelation takes NAME, NAME with a version and libraries.
func validRelation(value string) bool {
	if soname.MatchString(value) {
		return true
	}
	if m := relation.FindStringSubmatch(value); m != nil {
		return strictName.MatchString(m[1]) && strictFull.MatchString(m[3])
	}
	return strictName.MatchString(value)
}

// validLicense knows the grammar of SPDX expressions, not the list of licences: words joined by AND, OR and WITH,
// in brackets that match.
func validLicense(value string) bool {
	depth, wantWord := 0, true
	for w := range strings.FieldsSeq(strings.NewReplacer("(", " ( ", ")", " ) ").Replace(value)) {
		switch w {
		case "(":
			if !wantWord {
				return false
			}
			depth++
		case ")":
			if depth--; depth < 0 || wantWord {
				return false
			}
		case "AND", "OR", "WITH":
			if wantWord {
				return false
			}
			wantWord = true
		default:
			if !wantWord || !spdxWord.MatchString(w) {
				return false
			}
			wantWord = false
		}
	}
	return depth == 0 && !wantWord
}

// checkWhole is what the strict parser finds at the end of the file. The errors carry the line after which the lack shows,
// the first.
func checkWhole(s *SRCINFO) (errs []LineError) {
	if len(s.Base) == 0 {
		return nil // an empty file is the hook's to refuse
	}
	for _, key := range []string{"pkgver", "pkgrel", "arch"} {
		if len(s.Base[key]) == 0 {
			errs = append(errs, LineError{1, "missing keyword " + key})
		}
	}
	if arch := s.Base["arch"]; len(arch) > 1 && slices.Contains(arch, "any") {
		errs = append(errs, LineError{1, "architecture any stands with others"})
	}
	return errs
}
