package hub

import (
	"strings"
	"testing"
)

// TestBare: a second notice takes the place of the first one, wherever that is by then, and nothing else of the notes is lost.
func TestBare(t *testing.T) {
	const run, back, again = "<!-- slipway 1 -->", "<!-- slipway 2 -->", "<!-- slipway 3 -->"
	const use1, use0 = "> [!CAUTION]\n> withdrawn: use 1", "> [!CAUTION]\n> withdrawn: use 0"
	notes := "> a quotation\n\nWhat is new.\n\n" + run + "\n"
	first := retracted(bare(notes, use1), use1, back)
	if !strings.HasSuffix(first, notes) || !strings.HasPrefix(first, use1+"\n\n"+back+"\n\n") {
		t.Fatalf("%q", first)
	}
	const people = "What people say, such as\n> [!CAUTION]\n> look out\n\n> first of all\n"
	for name, c := range map[string]struct{ body, above string }{
		"as it was sent":      {first, ""},
		"as it comes back":    {strings.ReplaceAll(first, "\n", "\r\n"), ""},
		"people wrote above":  {people + first, people},
		"two of them already": {retracted(first, use0, again), ""},
	} {
		second := strings.ReplaceAll(retracted(bare(c.body, use0), use0, again), "\r\n", "\n")
		if want := use0 + "\n\n" + again + "\n\n" + c.above + notes; second != want {
			t.Errorf("%s: %q, want %q", name, second, want)
		}
	}
	for _, body := range []string{
		"", "\n", notes, "notes\n" + run, "> [!CAUTION]\n", "> [!CAUTION]\n> no\n\n" + run + "\n", "> [!CAUTION]\n> no\n\n" + run + "\n\nno marker behind it\n",
		"> [!CAUTION]\n> no\n\nnotes\n\n" + run, "> [!CAUTION]\n> no\n" + back + "\n\n" + run, "> a quotation\n\n" + back + "\n\n" + run,
		"> [!CAUTION]\n> no\n\n" + run + "\n" + back + "\n", "> [!CAUTION]\n> no\n\n" + back,
	} {
		if got := bare(body, use0); got != body {
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
