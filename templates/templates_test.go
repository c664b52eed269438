package templates

import (
	"strings"
	"testing"
)

var fields = map[string]string{"Version": "3.2.1", "Arch": "amd64", "Project": "{{ .Arch }}", "Commit": "$(reboot)`'\"\n"}

func TestExpand(t *testing.T) {
	for text, want := range map[string]string{
		"":                               "",
		"plain":                          "plain",
		"-X main.version={{ .Version }}": "-X main.version=3.2.1",
		"{{.Version}}-{{\t.Arch\t}}":     "3.2.1-amd64",
		"{{ .Project }}":                 "{{ .Arch }}", // what was put in is not looked at again
		"{{ .Commit }}":                  "$(reboot)`'\"\n",
		"} }} { {":                       "} }} { {",
		"é{{ .Arch }}é":                  "éamd64é",
	} {
		if got, err := Expand(text, fields); err != nil || got != want {
			t.Errorf("Expand(%q) = %q, %v; want %q", text, got, err, want)
		}
	}
}

func TestExpand_Refused(t *testing.T) {
	const names = "want one of {{ .Arch }}, {{ .Commit }}, {{ .Project }}, {{ .Version }}"
	for text, want := range map[string]string{
		"{{ .Vresion }}":               `cannot expand "{{ .Vresion }}": ` + names,
		"{{ .version }}":               `cannot expand "{{ .version }}": ` + names,
		"{{ Version }}":                `cannot expand "{{ Version }}": ` + names,
		"{{}}":                         `cannot expand "{{}}": ` + names,
		"{{ . }}":                      `cannot expand "{{ . }}": ` + names,
		"{{ .Version | printf }}":      `cannot expand "{{ .Version | printf }}": ` + names,
		"{{- .Version -}}":             `cannot expand "{{- .Version -}}": ` + names,
		"{{ .Version\n}}":              `cannot expand "{{ .Version\n}}": ` + names,
		"{{ env \"HOME\" }}":           `cannot expand "{{ env \"HOME\" }}": ` + names,
		"{{{ .Version }}}":             `cannot expand "{{{ .Version }}": ` + names,
		"a {{ .Version":                `cannot expand "{{ .Version": the braces are not closed; ` + names,
		"{{":                           `cannot expand "{{": the braces are not closed; ` + names,
		"{{" + strings.Repeat("é", 99): `the braces are not closed`,
	} {
		got, err := Expand(text, fields)
		if err == nil || got != "" || !strings.Contains(err.Error(), want) {
			t.Errorf("Expand(%q) = %q, %v; want error %s", text, got, err, want)
		} else if len(err.Error()) > 300 || strings.ContainsAny(err.Error(), "\n\x1b") {
			t.Errorf("Expand(%q): the error is not one short line: %q", text, err)
		}
	}
	if _, err := Expand("{{ .Version }}", nil); err == nil || !strings.Contains(err.Error(), "no field is known here") {
		t.Errorf("without fields: %v", err)
	}
}

func FuzzExpand(f *testing.F) {
	for _, s := range []string{"", "{{ .Version }}", "{{.Arch}}{{", "}}{{ .Project }}", "{{{{ .Commit }}", "{{ .Version }}}}", "\xff{{\x00}}"} {
		f.Add(s, "value {{ .Version }}")
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		all := map[string]string{"Version": value, "Arch": "amd64"}
		got, err := Expand(text, all)
		if err != nil {
			if got != "" || strings.ContainsAny(err.Error(), "\n\r\x1b") || len(err.Error()) > 400 {
				t.Fatalf("Expand(%q) = %q, %q", text, got, err)
			}
			if !strings.Contains(text, "{{") {
				t.Fatalf("Expand(%q) refuses a text without a field: %v", text, err)
			}
			return
		}
		// Taking each field for itself gives the same as a plain replacement of what remains.
		empty, err := Expand(text, map[string]string{"Version": "", "Arch": ""})
		if err != nil {
			t.Fatal(err)
		}
		if n := strings.Count(text, "{{"); n == 0 && got != text || len(got) < len(empty) {
			t.Fatalf("Expand(%q) = %q, which lost %q", text, got, empty)
		}
	})
}
