package hub

import (
	"strings"
	"testing"
)

// TestBare: a second notice takes the place of the first one, and nothing else of the notes is lost.
func TestBare(t *testing.T) {
	const run, back, again = "<!-- slipway 1 -->", "<!-- slipway 2 -->", "<!-- slipway 3 -->"
	notes := "> a quotation\n\nWhat is new.\n\n" + run + "\n"
	first := retracted(bare(notes), "> [!CAUTION]\n> withdrawn: use 1", back)
	if !strings.HasSuffix(first, notes) || !strings.HasPrefix(first, "> [!CAUTION]\n> withdrawn: use 1\n\n"+back+"\n\n") {
		t.Fatalf("%q", first)
	}
	for name, body := range map[string]string{"as it was sent": first, "as it comes back": strings.ReplaceAll(first, "\n", "\r\n")} {
		second := strings.ReplaceAll(retracted(bare(body), "> [!CAUTION]\n> withdrawn: use 0", again), "\r\n", "\n")
		if want := "> [!CAUTION]\n> withdrawn: use 0\n\n" + again + "\n\n" + notes; second != want {
			t.Errorf("%s: %q, want %q", name, second, want)
		}
	}
	for _, body := range []string{
		"", "\n", notes, "notes\n" + run, "> only a quotation\n", "> a quotation\n\n" + run + "\n", "> a quotation\n\n" + run + "\n\nno marker behind it\n",
		"> a quotation\n\nnotes\n\n" + run, "> a quotation\n" + back + "\n\n" + run,
	} {
		if got := bare(body); got != body {
			t.Errorf("%q became %q", body, got)
		}
	}
}

func TestWithdrawn(t *testing.T) {
	const run, back = "<!-- slipway 1 -->", "<!-- slipway 2 -->"
	for _, c := range []struct {
		rel  Release
		want bool
	}{
		{Release{Draft: true, Body: run}, false},
		{Release{Draft: true, Body: "notes\n\n" + run + "\n" + back + "\n"}, true},
		{Release{Draft: true, Body: "notes\r\n\r\n" + run + "\r\n" + back}, true},
		{Release{Draft: true, Body: "notes with " + back + " in a line\n" + run}, false},
		{Release{Body: back + "\n" + run}, false}, // it is public
	} {
		if got := c.rel.Withdrawn(run); got != c.want {
			t.Errorf("%+v: %v", c.rel, got)
		}
	}
}
