package notes

import (
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline/gate"
)

func TestEvidence(t *testing.T) {
	v := ver(t, "3.2.1+4")
	for text, want := range map[string]string{
		"- a\n":                             "",
		"# Slipway 3.2.1\n\n- a\n":          "",
		"# v3.2.1: b\n":                     "",
		"Slipway 3.2.1\n====\n\n- a\n":      "",
		"<!-- x -->\n# Slipway 3.2.1\n":     "",
		"## What's new\n\n- a\n":            "",
		"## New since 3.2.0 in 3.2.1\n":     "",
		"Text\n\n# 3.2.0\n":                 "",
		"Use `{{ .Version }}` and `TODO`\n": "",
		"the TODOs of METODO\n":             "",
		"cost $(5) and ${HOME}\n":           "",
		"":                                  "they say nothing",
		" \n":                               "they say nothing",
		"# Slipway\n":                       `their title "Slipway" does not name version 3.2.1`,
		"# Slipway 3.2.0\n":                 `their title "Slipway 3.2.0" does not name version 3.2.1`,
		"# Slipway 3.2.10\n":                "does not name version 3.2.1",
		"# Slipway 13.2.1\n":                "does not name version 3.2.1",
		"# Slipway 3.2.1-rc.1\n":            "does not name version 3.2.1",
		"## 3.2.0\n\n- a\n":                 `their title "3.2.0" does not name version 3.2.1`,
		"Slipway 3.2.0\n---\n":              "does not name version 3.2.1",
		"\n\n# {{ .Version }}\n":            `does not name version 3.2.1; line 3 holds the placeholder "{{ .Version }}"`,
		"a\n- TODO\n":                       `line 2 holds the placeholder "TODO"`,
		"BUILD_TIME_PLACEHOLDER":            `"BUILD_TIME_PLACEHOLDER"`,
		"on $(date +%Y)":                    `"$(date +%Y)"`,
		"```\ncurl x/${VERSION}/y\n```\n":   `line 2 holds the placeholder "${VERSION}"`,
		"```\n# TBD\n```":                   `"TBD"`,
		"Lorem ipsum dolor":                 `"Lorem ipsum"`,
		"version X.Y.Z of":                  `"X.Y.Z"`,
		"open {{":                           `"{{"`,
		strings.Repeat("TODO FIXME TBD XXX {{a}} {{b}} {{c}}\n", 100): `"{{a}}"`,
	} {
		e := evidence(composed{text: text, own: text, found: "what x says"}, v)
		verdict := gate.Pass
		if want != "" {
			verdict = gate.Fail
		}
		if e.Verdict != verdict || !strings.Contains(e.Found, want) || e.Check != Check || len(e.Found) > 500 || len(e.Subjects[Artifact]) != 64 {
			t.Errorf("%.60q: %+v; want %s %s", text, e, verdict, want)
		}
	}
	if e := evidence(composed{text: "- x", found: "0 changes since v1", empty: true}, v); e.Verdict != gate.Fail || e.Found != "they say nothing (0 changes since v1)" {
		t.Errorf("%+v", e)
	}
}
