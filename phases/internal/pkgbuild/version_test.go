package pkgbuild

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
)

func TestPkgVer(t *testing.T) {
	for _, c := range []struct{ version, want, wantBuild string }{
		{"3.2.1", "3.2.1", "3.2.1"},
		{"3.2.1+1", "3.2.1", "3.2.1+1"},
		{"3.2.1+202506291750", "3.2.1", "3.2.1+202506291750"},
		{"3.2.1-rc.1", "3.2.1rc1", "3.2.1rc1"},
		{"3.2.1-rc1", "3.2.1rc1", "3.2.1rc1"},
		{"3.2.1-rc.0", "3.2.1rc0", "3.2.1rc0"},
		{"3.2.1-rc", "3.2.1rc", "3.2.1rc"},
		{"3.2.1-beta.10+7", "3.2.1beta10", "3.2.1beta10+7"},
		{"0.0.0+008", "0.0.0", "0.0.0+008"},
		{"", "", ""},
		{"3.2", "", ""},
		{"v3.2.1", "", ""},
		{"3.2.1 ", "", ""},
		{"03.2.1", "", ""},
		{"3.2.1-1", "", ""},      // would become 3.2.11
		{"3.2.1-rc.1.2", "", ""}, // would become 3.2.1rc12
		{"3.2.1-rc.01", "", ""},
		{"3.2.1-x-y", "", ""},
		{"3.2.1-rc1.2", "", ""},
		{"3.2.1+a-b", "", ""},
		{"3.2.1+", "", ""},
		{"3.2.1\n", "", ""},
		{"3.2.1~rc1", "", ""},
	} {
		for _, keep := range []bool{false, true} {
			want := c.want
			if keep {
				want = c.wantBuild
			}
			got, err := PkgVer(c.version, keep)
			if got != want || (err == nil) != (want != "") {
				t.Errorf("PkgVer(%q, %v) = %q, %v, want %q", c.version, keep, got, err, want)
			}
			if err == nil && pkgverProblem(got) != "" {
				t.Errorf("PkgVer(%q, %v) = %q: %s", c.version, keep, got, pkgverProblem(got))
			}
		}
	}
}

// TestPkgVer_Order makes sure that what is newer to the project is newer to pacman.
func TestPkgVer_Order(t *testing.T) {
	ascending := []string{
		"3.2.0", "3.2.1-alpha", "3.2.1-alpha.1", "3.2.1-beta.1", "3.2.1-rc.1", "3.2.1-rc.1+1", "3.2.1-rc.2", "3.2.1-rc.10", "3.2.1",
		"3.2.1+1", "3.2.1+2", "3.2.1+10", "3.2.1+202506291750", "3.2.2-rc.1", "3.2.2", "3.10.0", "4.0.0",
	}
	for i, a := range ascending {
		for j, b := range ascending {
			va, err := PkgVer(a, true)
			must(t, err)
			vb, err := PkgVer(b, true)
			must(t, err)
			if got, want := Vercmp(va+"-1", vb+"-1"), sign(i-j); got != want {
				t.Errorf("%s and %s: %d, want %d", va, vb, got, want)
			}
		}
	}
}

func sign(n int) int { return max(-1, min(1, n)) }

// facts are pairs of which the traps are known, with what the program says.
var facts = []struct {
	a, b string
	want int
}{
	{"3.2.1_rc1", "3.2.1", 1},
	{"3.2.1.rc1", "3.2.1", 1},
	{"3.2.1rc1", "3.2.1", -1},
	{"3.2.1+1", "3.2.1.1", 0},
	{"3.2.1-1", "3.2.1-1.1", -1},
	{"3.2.1-1.1", "3.2.1-2", -1},
	{"3.2.1-2", "3.2.1.1-1", -1},
	{"3.2.1-1", "1:3.2.0-1", -1},
	{"1:3.2.0", "3.9", 1},
	{"1:3.2.0-1", "1:3.2.1-1", -1},
	{"3.2.1-1", "3.2.1", 0},
	{"3.2.1-2", "3.2.1+really3.2.0-1", -1},
	{"3.2.1+really3.2.0-1", "3.2.2-1", -1},
	{"3.2.1+really3.2.0", "3.2.1+1", -1},
	{"3.2.1+1", "3.2.1+1+really3.2.0", -1},
	{"3.2.1+1+really3.2.0", "3.2.1+2", -1},
	{"3.2.1.r3.2.0", "3.2.1", 1},
	{"", "", 0},
	{"1", "", 1},
	{"a", "", -1},
	{"1.", "1", 1},
	{"1.", "1.a", 1},
	{"1..", "1.", 0},
	{"1..1", "1.1", 1},
	{"01", "1", 0},
	{"1a", "1", -1},
	{"1a", "1.1", -1},
	{"0:1", "1", 0},
	{":1", "1", 0},
	{"00:1", "1", 0},
	{"1:", "1", 1},
	{"a:1", "1", -1},
	{"1-", "1-1", -1},
	{"1-1-1", "1-1", 1},
	{"-", "-1", -1},
	{"99999999999999999999999", "100000000000000000000000", -1},
	{"1é", "1", 1},
	{"1é1", "1.1", 1},
	{"1_2", "1+2", 0},
	{"~", "a", 1},
}

func TestVercmp(t *testing.T) {
	for _, c := range facts {
		if got := Vercmp(c.a, c.b); got != c.want {
			t.Errorf("Vercmp(%q, %q) = %d, want %d", c.a, c.b, got, c.want)
		}
		if got := Vercmp(c.b, c.a); got != -c.want {
			t.Errorf("Vercmp(%q, %q) = %d, want %d", c.b, c.a, got, -c.want)
		}
	}
}

// TestVercmp_Program asks alpm's own program about the facts and about random pairs.
func TestVercmp_Program(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("vercmp"); err != nil {
		must(t, &makepkg.MissingError{Tool: "vercmp", Package: "makepkg"})
	}
	rng := seeded(t)
	var words []string
	for _, c := range facts {
		words = append(words, c.a, c.b)
	}
	for range 800 {
		words = append(words, randomPair(rng)...)
	}
	cmd := exec.CommandContext(t.Context(), findBash(t), "-c", `while IFS= read -r -d '' a && IFS= read -r -d '' b; do vercmp "$a" "$b" || echo; done`)
	cmd.Stdin = strings.NewReader(strings.Join(words, "\x00") + "\x00")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	out, err := cmd.Output()
	must(t, err)
	said := bytes.Split(bytes.TrimSuffix(out, []byte("\n")), []byte("\n"))
	if len(said) != len(words)/2 {
		t.Fatalf("%d answers to %d questions", len(said), len(words)/2)
	}
	for i, s := range said {
		a, b := words[2*i], words[2*i+1]
		want, err := strconv.Atoi(string(s))
		must(t, err)
		if got := Vercmp(a, b); got != want {
			t.Errorf("Vercmp(%q, %q) = %d, the program says %d", a, b, got, want)
		}
	}
}

// randomPair makes two versions that are often nearly equal.
func randomPair(rng *rand.Rand) []string {
	parts := []string{"0", "1", "2", "10", "01", "00", "9", "a", "b", "rc", "Z", "really", ".", ".", "..", "+", "_", "-", ":", "~", "é", "1.1"}
	var a []string
	for range rng.IntN(8) {
		a = append(a, parts[rng.IntN(len(parts))])
	}
	b := slices.Clone(a)
	for range rng.IntN(3) {
		switch i := rng.IntN(len(b) + 1); rng.IntN(3) {
		case 0:
			b = slices.Insert(b, i, parts[rng.IntN(len(parts))])
		case 1:
			b = slices.Delete(b, i, min(i+1, len(b)))
		default:
			if i < len(b) {
				b[i] = parts[rng.IntN(len(parts))]
			}
		}
	}
	pair := []string{strings.Join(a, ""), strings.Join(b, "")}
	if rng.IntN(4) == 0 {
		n := rng.IntN(2)
		pair[n] = fmt.Sprint(rng.IntN(3)) + ":" + pair[n]
	}
	return pair
}
