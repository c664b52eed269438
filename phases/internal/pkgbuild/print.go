package pkgbuild

import (
	"bytes"
	"io"
	"strings"
)

// lineWidth is where an array of several values goes to one value for each line.
const lineWidth = 100

// PrintPKGBUILD writes the model as a PKGBUILD. An invalid model is refused and nothing
// is written.
func PrintPKGBUILD(w io.Writer, m *Model) error {
	if err := Validate(m); err != nil {
		return err
	}
	var b bytes.Buffer
	for _, name := range m.Maintainers {
		b.WriteString("# Maintainer: " + name + "\n")
	}
	for _, v := range m.variables() {
		v.print(&b)
	}
	b.WriteString("\npackage() {\n")
	for _, a := range m.Package {
		for _, line := range a.commands(m) {
			b.WriteString("\t" + line + "\n")
		}
	}
	b.WriteString("}\n")
	_, err := w.Write(b.Bytes())
	return err
}

// PrintSRCINFO writes the model as a .SRCINFO, exactly as makepkg would from the PKGBUILD.
// An invalid model is refused and nothing is written.
func PrintSRCINFO(w io.Writer, m *Model) error {
	s, err := m.SRCINFO()
	if err != nil {
		return err
	}
	return s.Print(w)
}

func (v variable) print(b *bytes.Buffer) {
	words := make([]string, len(v.values))
	for i, t := range v.values {
		words[i] = t.quote()
	}
	line := strings.Join(words, " ")
	switch {
	case !v.array:
		b.WriteString(v.key + "=" + line + "\n")
	case len(words) > 1 && len(v.key+line) > lineWidth:
		b.WriteString(v.key + "=(\n\t" + strings.Join(words, "\n\t") + "\n)\n")
	default:
		b.WriteString(v.key + "=(" + line + ")\n")
	}
}

// Quote makes one word of bash that stands for s, whatever s holds (but for the character
// NUL, which no word can hold). It stands in single quotes; a single quote in it is
// written '"'"', which unlike a backslash before the quote every reader of bash gets right.
func Quote(s string) string {
	return "'" + strings.ReplaceAll(s, "'", `'"'"'`) + "'"
}

// quote makes one word of a resolved text.
func (t Text) quote() string {
	if len(t) == 0 {
		return Quote("")
	}
	var s strings.Builder
	for _, p := range t {
		if p.Ref == refVersion {
			s.WriteString(`"${pkgver}"`)
		} else {
			s.WriteString(Quote(p.Literal))
		}
	}
	return s.String()
}
