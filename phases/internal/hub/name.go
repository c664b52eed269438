package hub

import (
	"fmt"
	"regexp"
	"strings"
)

var nameRE = regexp.MustCompile(`^[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?$`)

// CheckName refuses names that GitHub would store an asset under another name for: it replaces special characters and
// drops dots at the ends ("Upload a release asset" of the REST documentation says so without a list). Allowed are
// letters, digits and single dots, dashes and underscores between them.
func CheckName(name string) error {
	if len(name) > 255 || !nameRE.MatchString(name) || strings.Contains(name, "..") {
		return fmt.Errorf("cannot upload %.100q: GitHub would rename it; use letters, digits, and . _ - between them", name)
	}
	return nil
}

// CheckNames refuses names that [CheckName] does, and pairs that are equal but for the case of letters: they would be
// one file on many computers.
func CheckNames(names []string) error {
	seen := map[string]string{}
	for _, name := range names {
		if err := CheckName(name); err != nil {
			return err
		}
		folded := strings.ToLower(name)
		if other, ok := seen[folded]; ok {
			return fmt.Errorf("cannot upload both %q and %q: they differ in the case of letters at most", other, name)
		}
		seen[folded] = name
	}
	return nil
}
