package hold

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func valid() Hold {
	return Hold{Project: "app", Version: "3.2.1", Reason: "it is slow", Since: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Run: "0123456789abcdef", Plan: strings.Repeat("0", 64)}
}

// What is written is read back, hostile reasons included; what is no hold is refused.
func TestParse(t *testing.T) {
	for _, reason := range []string{"it is slow", `quotes " ' and $(id) <b> \ & ümläüt`, "-rf", "Slipway-Run: other"} {
		h := valid()
		h.Reason, h.Signed, h.Signature = reason, []byte("a"), []byte{0, 255}
		b, err := h.Bytes()
		if err != nil {
			t.Fatal(err)
		}
		got, err := Parse(b)
		if err != nil || got.Reason != reason || !bytes.Equal(got.Signature, h.Signature) || !got.Since.Equal(h.Since) {
			t.Errorf("%q reads back as %+v, %v", reason, got, err)
		}
	}
	plain, _ := valid().Bytes()
	for name, text := range map[string]string{
		"empty":          "",
		"no object":      "[]",
		"unknown key":    strings.Replace(string(plain), `"reason"`, `"because"`, 1),
		"no reason":      strings.Replace(string(plain), "it is slow", " ", 1),
		"two lines":      strings.Replace(string(plain), "it is slow", `a\nb`, 1),
		"a path":         strings.Replace(string(plain), "3.2.1", "../3.2.1", 1),
		"build number":   strings.Replace(string(plain), "3.2.1", "3.2.1+4", 1),
		"no run":         strings.Replace(string(plain), "0123456789abcdef", "", 1),
		"something more": string(plain) + "{}",
		"too large":      strings.Repeat(" ", MaxSize) + string(plain),
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.HasPrefix(err.Error(), "cannot read the hold: ") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestPath(t *testing.T) {
	for planned, want := range map[string]string{"3.2.1": "3.2.1", "3.2.1+4": "3.2.1", "3.2.1-rc.1": "3.2.1-rc.1"} {
		if got, err := Path(planned); err != nil || got != ".slipway/holds/"+want+".json" {
			t.Errorf("%s: %s, %v", planned, got, err)
		}
	}
	for _, bad := range []string{"", "..", "../3.2.1", "3.2.1/..", "3.2.1\n"} {
		if got, err := Path(bad); err == nil {
			t.Errorf("%q has path %s", bad, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	plain, _ := valid().Bytes()
	f.Add(plain)
	f.Add([]byte(`{"version": "3.2.1", "reason": "x", "run": "y", "since": "9999-12-31T23:59:59+00:00"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := Parse(b)
		if err != nil {
			return
		}
		again, err := h.Bytes()
		if err != nil {
			t.Fatalf("%+v cannot be written: %v", h, err)
		}
		if _, err := Parse(again); err != nil && len(again) <= MaxSize {
			t.Fatalf("%q: %v", again, err)
		}
		if p := pathOf(h.Version); strings.Contains(p, "..") && !strings.Contains(h.Version, "-") || strings.Count(p, "/") != 2 {
			t.Fatalf("path %s", p)
		}
		if text := (Found{There: true, Hold: h}).Text(); strings.ContainsAny(text, "\n\r") {
			t.Fatalf("%q is no line", text)
		}
	})
}
