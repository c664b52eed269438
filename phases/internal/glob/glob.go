// Package glob matches paths with the patterns of release.yaml: each part between slashes as [path.Match] says, and the
// part ** for any number of folders, none included.
//
// Matching takes time bounded by the product of the lengths, whatever the pattern.
package glob

import (
	"errors"
	"fmt"
	"path"
	"strings"
)

// Check refuses a pattern that [Match] could not read.
func Check(pattern string) error {
	if pattern == "" || strings.HasPrefix(pattern, "/") || strings.HasSuffix(pattern, "/") {
		return fmt.Errorf("want a pattern like bin/* or **/*.so, without slash at its ends, found %q", pattern)
	}
	for segment := range strings.SplitSeq(pattern, "/") {
		if segment == "" || segment == "." || segment == ".." {
			return fmt.Errorf("want a pattern without empty parts, . and .., found %q", pattern)
		}
		if strings.Contains(segment, "**") && segment != "**" {
			return fmt.Errorf("want ** alone between slashes, found %q", pattern)
		}
		if _, err := path.Match(segment, ""); errors.Is(err, path.ErrBadPattern) {
			return fmt.Errorf("want a pattern with closed brackets, found %q", pattern)
		}
	}
	return nil
}

// Match reports whether a slash-separated path matches a pattern. A malformed pattern matches nothing, or what comes
// before its fault; see [Check].
func Match(pattern, name string) bool {
	return match(strings.Split(pattern, "/"), strings.Split(name, "/"))
}

// match goes along both once, and falls back to the newest ** only: so its time is bounded by the product of the
// lengths, however many ** there are.
func match(pattern, name []string) bool {
	p, n, star, resume := 0, 0, -1, 0
	for n < len(name) {
		if p < len(pattern) && pattern[p] == "**" {
			star, resume = p, n
			p++
			continue
		}
		if p < len(pattern) {
			if ok, err := path.Match(pattern[p], name[n]); ok && err == nil {
				p, n = p+1, n+1
				continue
			}
		}
		if star < 0 {
			return false
		}
		resume++
		p, n = star+1, resume
	}
	for p < len(pattern) && pattern[p] == "**" {
		p++
	}
	return p == len(pattern)
}

// HasMeta reports whether a path of release.yaml is a pattern.
func HasMeta(p string) bool { return strings.ContainsAny(p, "*?[") }

// Fixed is the folder of a pattern that is named without *, ? and [...]; "." for none.
func Fixed(pattern string) string {
	var parts []string
	for part := range strings.SplitSeq(pattern, "/") {
		if HasMeta(part) {
			break
		}
		parts = append(parts, part)
	}
	if len(parts) == 0 {
		return "."
	}
	return path.Join(parts...)
}
