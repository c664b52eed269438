package carrier

import (
	"bytes"
	"encoding/json"
	"path/filepath"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
)

// FuzzCarrier: whatever can be read can be written, reads back as written, differs nowhere else, and is written the
// same a second time. Where a second reader of the form exists it must see the same version.
func FuzzCarrier(f *testing.F) {
	for _, e := range examples {
		before, _, _ := sides(e.text)
		f.Add(filepath.Base(e.file), []byte(before))
	}
	for _, text := range []string{"", "\ufeff", "version: 1.0.0\n  x\n", "a: \"\nversion: 1\n\"", "pkgver=1\nx=$(", "{\"version\":\"1\r\"}", "const appVersion = '${'}'}';", "[package]\nversion = ''"} {
		for _, form := range forms {
			f.Add(strings.Replace(form.names[0], "*", "x", 1), []byte(text))
		}
	}
	v := parsed(f, "3.2.1+10")
	f.Fuzz(func(t *testing.T, file string, content []byte) {
		slots, _, err := read(file, content)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\x1b") {
				t.Fatalf("the error holds control characters: %q", err)
			}
			return
		}
		out, err := Write(file, content, v, stamp)
		if err != nil {
			t.Fatalf("what can be read cannot be written: %v", err)
		}
		if same := cut(t, file, content); !bytes.Equal(same, cut(t, file, out)) {
			t.Fatalf("more than the version has changed: %q became %q", content, out)
		}
		if again, err := Write(file, out, v, stamp); err != nil || !bytes.Equal(again, out) {
			t.Fatalf("written again: %q, %v; was %q", again, err, out)
		}
		drifts, err := Check(file, out, v, stamp)
		if err != nil || len(drifts) > 1 || len(drifts) == 1 && drifts[0].What != "byte order mark" {
			t.Fatalf("after writing: %v, %v", drifts, err)
		}
		body := bytes.TrimPrefix(out, []byte(mark))
		switch {
		case strings.HasSuffix(file, ".json"):
			var doc struct{ Version string }
			var all map[string]any
			if err := json.Unmarshal(body, &all); err != nil || all["version"] != "3.2.1" && all["version"] != "3.2.1+10" {
				t.Fatalf("encoding/json reads %v, %v, %v", all, doc, err)
			}
		case filepath.Base(file) == "pubspec.yaml":
			var all struct{ Version string }
			if err := yaml.Unmarshal(body, &all); err != nil || all.Version != v.String() {
				t.Fatalf("the YAML library reads %q, %v from %q", all.Version, err, body)
			}
		}
		if len(slots) == 0 {
			t.Fatal("read without a place")
		}
	})
}

// cut returns the content without the values.
func cut(t *testing.T, file string, content []byte) (out []byte) {
	slots, _, err := read(file, content)
	if err != nil {
		t.Fatal(err)
	}
	from := 0
	for {
		next := -1
		for i, s := range slots {
			if s.start >= from && (next < 0 || s.start < slots[next].start) {
				next = i
			}
		}
		if next < 0 {
			return append(out, content[from:]...)
		}
		out = append(append(out, content[from:slots[next].start]...), 0)
		if from = slots[next].end; slots[next].start == slots[next].end {
			slots[next].start = -1
		}
	}
}
