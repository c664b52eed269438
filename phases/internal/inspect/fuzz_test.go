package inspect

import (
	"bytes"
	"image/png"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/version"
)

// FuzzScan compares a search in small windows with one in a single window.
func FuzzScan(f *testing.F) {
	f.Add([]byte("PLACEHOLDER_SHA256"), 1500)
	f.Add([]byte("x BUILD_TIME_PLACEHOLDER {{ .Version }} $(date forbidden"), 2047)
	f.Add([]byte("PLACEHOLDER PLACEHOLDER_{{ {{.Commit}}$$(date\n\nforbiforbidden"), 3070)
	f.Fuzz(func(t *testing.T, b []byte, shift int) {
		if len(b) > 4000 || shift < 0 || shift > 8000 {
			t.Skip()
		}
		body := append(bytes.Repeat([]byte(".\n"), shift), b...)
		body = append(body, bytes.Repeat([]byte(","), 3000)...)
		search := func(buf []byte) []hit {
			s := scan{text: true, date: true, forbidden: []string{"forbidden"}}
			n, err := s.stream(t.Context(), body[:min(len(body), 100)], bytes.NewReader(body[min(len(body), 100):]), buf)
			if err != nil || n != int64(len(body)) {
				t.Fatal(n, len(body), err)
			}
			return s.found
		}
		small, whole := search(make([]byte, behind+ahead+100)), search(make([]byte, len(body)+behind+ahead+1))
		found := map[hit]bool{}
		for _, h := range whole {
			found[h] = true
		}
		for _, h := range small {
			if !found[h] {
				t.Errorf("%+v is not among %+v", h, whole)
			}
		}
		if len(small) != len(whole) {
			t.Errorf("got %+v, want %+v", small, whole)
		}
	})
}

// FuzzPNG: what image/png reads, this reads, with the same size.
func FuzzPNG(f *testing.F) {
	f.Add([]byte(pngFile(128, 128)))
	f.Add([]byte("\x89PNG\r\n\x1a\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		width, height, err := pngSize(b)
		config, other := png.DecodeConfig(bytes.NewReader(b))
		if other == nil && config.Width > 0 && config.Width <= maxPixels && config.Height > 0 && config.Height <= maxPixels &&
			(err != nil || int(width) != config.Width || int(height) != config.Height) {
			t.Errorf("%dx%d %v, want %dx%d", width, height, err, config.Width, config.Height)
		}
		if err == nil && (width == 0 || height == 0 || width > maxPixels || height > maxPixels) {
			t.Errorf("%d x %d", width, height)
		}
	})
}

func FuzzUnit(f *testing.F) {
	f.Add([]byte(goodUnit))
	f.Add([]byte("[Service]\nExecStart=-@/usr/bin/a \\\n# c\n 'b c' %i %%i\n\n\\\n[x\\\n]\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		list, err := parseUnit(b)
		if err != nil && strings.ContainsAny(err.Error(), "\n\x00") {
			t.Errorf("%q", err)
		}
		total := 0
		for _, s := range list {
			total += len(s.key) + len(s.value)
			if s.section == "" || s.key == "" || s.line < 1 {
				t.Errorf("%+v", s)
			}
			if spec := instance(s.value); spec != "" && !strings.Contains(s.value, spec) {
				t.Errorf("%s of %q", spec, s.value)
			}
			if words, err := unitWords(s.value); err == nil && len(strings.Join(words, "")) > len(s.value) {
				t.Errorf("%q of %q", words, s.value)
			}
		}
		if total > 2*len(b)+2 {
			t.Errorf("%d bytes of %d", total, len(b))
		}
		tree := good(file{path: unitAt, body: string(b)})
		results, err := Inspect(t.Context(), Rules{}, tree)
		if err != nil {
			t.Fatal(err)
		}
		oneLine(t, results)
	})
}

// FuzzInspect puts one content into files of every kind.
func FuzzInspect(f *testing.F) {
	for _, s := range []string{goodEntry, goodUnit, ownJSON("3.2.1"), pngFile(1, 1), elfFile(program{glibc: "2.31"}), "<svg/>", "3.2.1\n", "\ufeff"} {
		f.Add(s)
	}
	rules := Rules{ForbiddenText: []string{"secret"}, Glibc: "2.31", Executable: []string{"bin/*"}, Versions: []string{"share/*"}}
	f.Fuzz(func(t *testing.T, s string) {
		var files []file
		for _, p := range []string{"bin/x", "lib/x.so", entryAt, unitAt, own, flutter, iconAt, "VERSION", "share/a.svg", "share/info"} {
			files = append(files, file{path: p, body: s})
		}
		results, err := Inspect(t.Context(), rules, treeOf(files...))
		if err != nil {
			t.Fatal(err)
		}
		oneLine(t, results)
	})
}

// oneLine holds every fault to what reports promise.
func oneLine(t *testing.T, results []Result) {
	t.Helper()
	for _, r := range results {
		for _, s := range r.Faults {
			if strings.ContainsAny(s, "\n\x00\x1b") || len(s) > 10000 {
				t.Errorf("%s: %q", r.Check, s)
			}
		}
	}
}

func FuzzMentions(f *testing.F) {
	f.Add("v3.2.1-x86_64", "3.2.1")
	f.Fuzz(func(t *testing.T, text, v string) {
		if _, err := version.Parse(v); err != nil {
			t.Skip()
		}
		if mentions([]byte(text), v) && !strings.Contains(text, v) {
			t.Errorf("%q does not hold %q", text, v)
		}
		if !mentions([]byte(text+" v"+v+",\n"), v) {
			t.Errorf("%q is not found", v)
		}
	})
}
