package notes

import (
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/templates"
)

// placeholders are what people put where something is still to be written, and what a shell or a template would have
// filled in.
var placeholders = regexp.MustCompile(`\b(?:TODO|FIXME|TBD|XXX)\b|[A-Z_]*PLACEHOLDER[A-Z_]*|(?i:lorem ipsum)|\{\{.{0,80}?\}\}|\{\{|\$\((?:date|git)\b[^)]{0,80}\)?|\$\{?(?:VERSION|RELEASE|TAG)\b\}?|\bX\.Y\.Z\b|%VERSION%|@VERSION@`)

var (
	codeSpan  = regexp.MustCompile("(`+)[^`\n](?:.*?[^`\n])?(`+)")
	anVersion = regexp.MustCompile(`\bv?([0-9]+\.[0-9]+\.[0-9]+(?:-[0-9A-Za-z][0-9A-Za-z.-]*[0-9A-Za-z]|-[0-9A-Za-z])?)`)
)

// evidence is what a reader would complain about.
func evidence(n composed, v version.Version) pipeline.Evidence {
	sum := sha256.Sum256([]byte(n.text))
	e := pipeline.Evidence{
		Check: Check, Verdict: gate.Pass, Found: n.found, Summary: n.found,
		Expected: fmt.Sprintf("notes of %s: not empty, of no other version, without placeholders", v.Release()),
		Subjects: map[string]string{Artifact: hex.EncodeToString(sum[:])},
	}
	var faults []string
	if n.empty || strings.TrimSpace(n.text) == "" {
		faults = append(faults, "they say nothing ("+n.found+")")
	}
	if fault := title(n.text, v); fault != "" {
		faults = append(faults, fault)
	}
	faults = append(faults, unfilled(n.own)...)
	if len(faults) > 0 {
		e.Verdict, e.Found, e.Summary = gate.Fail, strings.Join(faults, "; "), faults[0]
	}
	return e
}

// title looks at the heading that the notes begin with. One of the first level must name the version, one below it must
// not name another.
func title(text string, v version.Version) string {
	lines := strings.Split(withoutComments(text), "\n")
	first := slices.IndexFunc(lines, func(l string) bool { return strings.TrimSpace(l) != "" })
	all := headings(lines)
	if len(all) == 0 || all[0].from != first {
		return ""
	}
	h := all[0]
	named := anVersion.FindAllStringSubmatch(h.text, -1)
	if slices.ContainsFunc(named, func(m []string) bool { return m[1] == v.Release() }) || h.level > 1 && len(named) == 0 {
		return ""
	}
	return fmt.Sprintf("their title %s does not name version %s", strconv.QuoteToASCII(clip(h.text, 80)), v.Release())
}

// unfilled lists the placeholders of a text with their lines. In code spans they are examples; in code blocks they are
// commands that somebody will copy.
func unfilled(text string) (faults []string) {
	const most = 5
	seen := map[string]bool{}
	lines := strings.Split(text, "\n")
	fenced, _ := templates.Fences(lines)
	for i, l := range lines {
		if !fenced[i] {
			l = codeSpan.ReplaceAllString(l, " ")
		}
		for _, p := range placeholders.FindAllString(l, -1) {
			if seen[p] || len(faults) == most {
				continue
			}
			seen[p] = true
			faults = append(faults, fmt.Sprintf("line %d holds the placeholder %s", i+1, strconv.QuoteToASCII(p)))
		}
	}
	return faults
}
