package gate_test

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline/gate"
)

func TestWorstVerdictCounts(t *testing.T) {
	const u, p, f = gate.Unknown, gate.Pass, gate.Fail
	for _, tt := range []struct {
		in   []gate.Verdict
		want gate.Verdict
		kind string
	}{
		{nil, u, "missing"},
		{[]gate.Verdict{p}, p, ""},
		{[]gate.Verdict{u}, u, "unknown"},
		{[]gate.Verdict{f}, f, "failed"},
		{[]gate.Verdict{p, u, p}, u, "unknown"},
		{[]gate.Verdict{u, f, p}, f, "failed"},
		{[]gate.Verdict{p, f, u}, f, "failed"},
		{[]gate.Verdict{p, p}, p, ""},
	} {
		c := gate.Case{Evidence: func(string) (out []gate.Evidence) {
			for _, v := range tt.in {
				out = append(out, gate.Evidence{Check: "c", Verdict: v, Expected: "e", Found: "f"})
			}
			return out
		}}
		s := gate.Evaluate(gate.Gate{ID: "gate/x", Criteria: []gate.Criterion{{Title: "t", Check: "c"}}}, c)
		kind := ""
		if len(s.Blocks) > 0 {
			kind = s.Blocks[0].Kind
		}
		if s.Verdict != tt.want || kind != tt.kind {
			t.Errorf("%v: %v %q, want %v %q", tt.in, s.Verdict, kind, tt.want, tt.kind)
		}
		if line := s.Criteria[0].Line(); line.Verdict != tt.want || line.Check != "t" {
			t.Errorf("%v: line %+v", tt.in, line)
		}
	}
}

func TestEvidenceDigest(t *testing.T) {
	base := gate.Evidence{Check: "c", Verdict: gate.Pass, Expected: "e", Found: "f", Subjects: map[string]string{"a": "1", "b": "2"}}
	free := base
	free.Summary, free.Tool = "another day", "lintian 9"
	if free.Digest() != base.Digest() {
		t.Error("summary or tool are in the digest")
	}
	for name, change := range map[string]func(*gate.Evidence){
		"check": func(e *gate.Evidence) { e.Check = "d" }, "verdict": func(e *gate.Evidence) { e.Verdict = gate.Fail },
		"expected": func(e *gate.Evidence) { e.Expected = "x" }, "found": func(e *gate.Evidence) { e.Found = "x" },
		"subjects": func(e *gate.Evidence) { e.Subjects = map[string]string{"a": "1"} },
		"shift":    func(e *gate.Evidence) { e.Expected, e.Found = "ef", "" },
	} {
		e := base
		if change(&e); e.Digest() == base.Digest() {
			t.Errorf("%s is not in the digest", name)
		}
	}
}

func TestStringers(t *testing.T) {
	if got := gate.Unknown.String() + gate.Pass.String() + gate.Fail.String(); got != "unknownpassfail" {
		t.Error(got)
	}
}

func TestRequestForm(t *testing.T) {
	r := gate.Request{Kind: gate.Waiver, Project: "a<b>&\u2028", Run: "r", Criterion: "quote \" and `$(x)`", Expires: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Artifacts: map[string]string{"b": "2", "a": "1"}}
	b := r.Bytes()
	if !bytes.HasSuffix(b, []byte("\n")) || !strings.Contains(string(b), "a<b>&") {
		t.Errorf("form: %s", b)
	}
	back, err := gate.ParseRequest(b)
	if err != nil || !bytes.Equal(back.Bytes(), b) {
		t.Error(err)
	}
	for name, change := range map[string]func(string) string{
		"truncated":        func(s string) string { return s[:len(s)-1] },
		"cut in half":      func(s string) string { return s[:len(s)/2] },
		"extended":         func(s string) string { return s + " " },
		"compact":          func(s string) string { return strings.Join(strings.Fields(s), "") },
		"a second key":     func(s string) string { return strings.Replace(s, `"kind"`, "\"kind\": \"approval\",\n  \"kind\"", 1) },
		"an unknown key":   func(s string) string { return strings.Replace(s, `"kind"`, "\"more\": \"\",\n  \"kind\"", 1) },
		"another spelling": func(s string) string { return strings.Replace(s, `"kind"`, `"Kind"`, 1) },
		"empty":            func(string) string { return "" },
	} {
		if _, err := gate.ParseRequest([]byte(change(string(b)))); err == nil || !strings.HasPrefix(err.Error(), "cannot read the request") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseRequest(f *testing.F) {
	f.Add(gate.Request{Kind: gate.Approval}.Bytes())
	f.Add([]byte("null"))
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if r, err := gate.ParseRequest(b); err == nil && !bytes.Equal(r.Bytes(), b) {
			t.Errorf("accepted %q, which is not what was written", b)
		}
	})
}
