package pkgbuild

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/version"
)

// published makes a .SRCINFO of one version; what else it holds is told apart by a checksum.
func published(full, sum string) *SRCINFO {
	epoch, pkgver, pkgrel := "", full, "1"
	if e, v, ok := strings.Cut(pkgver, ":"); ok {
		epoch, pkgver = e, v
	}
	if v, r, ok := strings.Cut(pkgver, "-"); ok {
		pkgver, pkgrel = v, r
	}
	s := &SRCINFO{PkgBase: "demo-bin", Base: Section{"pkgver": {pkgver}, "pkgrel": {pkgrel}, "arch": {"any"}, "sha256sums": {sum}}, Packages: []Package{{PkgName: "demo-bin", Section: Section{}}}}
	if epoch != "" {
		s.Base["epoch"] = []string{epoch}
	}
	return s
}

func TestNewer(t *testing.T) {
	for _, c := range []struct {
		candidate, published string
		set                  string // "": it is newer
		says                 string
	}{
		{"3.2.1", "3.2.0", "", ""},
		{"3.2.1-2", "3.2.1-1", "", ""},
		{"3.2.1-1.1", "3.2.1-1", "", ""},
		{"3.2.1", "3.2.1rc10-7", "", ""},
		{"3.2.1rc2", "3.2.1rc1", "", ""},
		{"3.2.1+2", "3.2.1+1", "", ""},
		{"3.2.1+1", "3.2.1", "", ""},
		{"3.2.2", "3.2.1+202506291750", "", ""},
		{"3.2.1+really3.2.0", "3.2.1-4", "", ""},
		{"3.2.2", "3.2.1+really3.2.0", "", ""},
		{"1:3.2.0", "3.2.1", "", ""},
		{"1:3.2.2", "1:3.2.1", "", ""},
		{"3.2.1", "0:3.2.0", "", ""},
		{"3.2.1", "3.2.1", "pkgrel: 2", "the same version is published with other content (sha256sums)"},
		{"3.2.1-2", "3.2.1-2", "pkgrel: 3", "other content"},
		{"3.2.1-9", "3.2.1-9", "pkgrel: 10", "other content"},
		{"3.2.1-1.9", "3.2.1-1.9", "pkgrel: 2", "other content"},
		{"3.2.1", "0:3.2.1", "pkgrel: 2", "other content"},
		{"3.2.1", "3.2.1-4", "pkgrel: 5", "an earlier release of the packaging"},
		{"3.2.1+1", "3.2.1.1", "pkgrel: 2", "the two compare as equal"},
		{"3.2.1", "1:3.2.0", "epoch: 1", "the published package has epoch 1, which can never be dropped again"},
		{"3.2.1", "2:3.2.1-3", "epoch: 2 and pkgrel: 4", "has epoch 2, which can never be dropped again, and it is an earlier release"},
		{"1:3.2.1", "2:3.2.0", "epoch: 2", "has epoch 2"},
		{"3.2.0", "3.2.1", "epoch: 1", "pkgver 3.2.0 is older than 3.2.1, so users would stay where they are; release a version above it, which costs nothing; or raise the epoch"},
		{"3.2.0", "3.2.1", "epoch: 1", "must then stay for ever"},
		{"3.2.0", "1:3.2.1", "epoch: 2", "has epoch 1, which can never be dropped again, and pkgver 3.2.0 is older"},
		{"3.2.1rc1", "3.2.1", "epoch: 1", "older than 3.2.1"},
		{"3.2.1", "3.2.1_rc1", "epoch: 1", "older than 3.2.1_rc1"},
		{"3.2.1", "3.2.1+1", "keep_build: true", "which was published with its build number kept"},
		{"3.2.1", "1:3.2.1+1", "epoch: 1 and keep_build: true", "build number kept"},
		{"3.2.1+7", "3.2.1+10", "epoch: 1", "older than 3.2.1+10"},
		{"3.2.1", "3.2.1+really3.2.0", "epoch: 1", "older than 3.2.1+really3.2.0"},
	} {
		err := Newer(published(c.candidate, "a"), published(c.published, "b"))
		if c.set == "" {
			if err != nil {
				t.Errorf("%s after %s: %v", c.candidate, c.published, err)
			}
			continue
		}
		if err == nil {
			t.Errorf("%s after %s is newer", c.candidate, c.published)
			continue
		}
		if !strings.HasSuffix(err.Error(), ": set "+c.set) || !strings.Contains(err.Error(), c.says) || errors.Is(err, ErrPublished) {
			t.Errorf("%s after %s: want %q and %q, got %v", c.candidate, c.published, c.set, c.says, err)
		}
	}
	if err := Newer(published("1", "a"), nil); err != nil {
		t.Errorf("of nothing: %v", err)
	}
}

// TestNewer_Same: what is published already can be told from what must not be published.
func TestNewer_Same(t *testing.T) {
	err := Newer(published("1:3.2.1-2", "a"), published("1:3.2.1-2", "a"))
	if !errors.Is(err, ErrPublished) || !strings.Contains(err.Error(), "set pkgrel: 3") {
		t.Errorf("got %v", err)
	}
	other := published("1", "a")
	other.PkgBase = "other"
	if err := Newer(other, published("1", "a")); err == nil || errors.Is(err, ErrPublished) || !strings.Contains(err.Error(), "not one package") {
		t.Errorf("got %v", err)
	}
	m := forms()["everything"]
	s, err := m.SRCINFO()
	must(t, err)
	if err := Newer(s, s); !errors.Is(err, ErrPublished) {
		t.Errorf("got %v", err)
	}
}

// TestNewer_Set: whatever was published, with what the error wants in release.yaml the candidate is newer for pacman.
func TestNewer_Set(t *testing.T) {
	rng := seeded(t)
	random := func() string {
		v := fmt.Sprintf("%d.%d%s", rng.IntN(2), rng.IntN(3), []string{"", "rc1", "+1", "+2", "+really0.1", "_1", ".1"}[rng.IntN(7)])
		if rng.IntN(2) == 0 {
			v = strconv.Itoa(rng.IntN(3)) + ":" + v
		}
		return v + []string{"", "-1", "-2", "-1.1", "-10"}[rng.IntN(5)]
	}
	refused := 0
	for range 4000 {
		c, p := random(), random()
		err := Newer(published(c, "a"), published(p, "b"))
		if newer := Vercmp(published(c, "").Version(), published(p, "").Version()) > 0; newer != (err == nil) {
			t.Fatalf("%s after %s: %v", c, p, err)
		}
		e := (*NotNewerError)(nil)
		if !errors.As(err, &e) {
			continue
		}
		refused++
		if len(e.Set) == 0 {
			t.Fatalf("%s after %s: nothing to set: %v", c, p, err)
		}
		next := published(c, "a")
		for _, s := range e.Set {
			if s.Key == "keep_build" {
				next.Base["pkgver"] = []string{next.Base.First("pkgver") + "+99"}
				continue
			}
			next.Base[s.Key] = []string{s.Value}
		}
		if err := Newer(next, published(p, "b")); err != nil {
			t.Fatalf("%s after %s, with %v: %v", c, p, e.Set, err)
		}
	}
	if refused < 500 {
		t.Errorf("only %d were refused", refused)
	}
}

func TestReally(t *testing.T) {
	for _, c := range []struct{ bad, good, want string }{
		{"3.2.1", "3.2.0", "3.2.1+really3.2.0"},
		{"3.2.1+1", "3.2.0+7", "3.2.1+1+really3.2.0+7"},
		{"3.2.1rc2", "3.2.0", "3.2.1rc2+really3.2.0"},
		{"3.2.1+really3.2.0", "3.1.9", "3.2.1+really3.2.0+really3.1.9"},
	} {
		got, err := Really(c.bad, c.good)
		if err != nil || got != c.want {
			t.Errorf("Really(%q, %q) = %q, %v, want %q", c.bad, c.good, got, err, c.want)
		}
	}
	for _, c := range []struct{ bad, good, want string }{
		{"3.2.1", "3.2.1", "which is not older"},
		{"3.2.1", "3.2.2", "which is not older"},
		{"3.2.1", "3.2.1+1", "which is not older"},
		{"3.2.1rc", "3.2.0", "ends with a digit"},
		{"3.2.1-1", "3.2.0", "want a version of letters"},
		{"3.2.1", "$(id)", "want a version of letters"},
		{"", "1", "want a version of letters"},
	} {
		if got, err := Really(c.bad, c.good); err == nil || got != "" || !strings.Contains(err.Error(), c.want) {
			t.Errorf("Really(%q, %q) = %q, %v, want %q", c.bad, c.good, got, err, c.want)
		}
	}
}

// goingBack makes versions in their order: a bad one, the one to go back to under a higher version, and all that may
// come next.
func goingBack(t *testing.T, rng *rand.Rand, keep bool) (bad, really string, next []string) {
	t.Helper()
	text := fmt.Sprintf("%d.%d.%d", rng.IntN(12), rng.IntN(12), rng.IntN(11)+1)
	if rng.IntN(4) == 0 {
		text += []string{"-rc.1", "-rc.9", "-beta.2"}[rng.IntN(3)]
	}
	if keep || rng.IntN(3) == 0 {
		text += []string{"+1", "+009", "+202506291750", "+9"}[rng.IntN(4)]
	}
	b, err := version.Parse(text)
	must(t, err)
	good := "0.0.0"
	if rng.IntN(2) == 0 {
		good = strings.Split(b.Core, ".")[0] + ".0.0+" + strconv.Itoa(rng.IntN(20))
	}
	if bad, err = PkgVer(text, keep); err != nil {
		t.Fatal(err)
	}
	goodVer, err := PkgVer(good, keep)
	must(t, err)
	if Vercmp(goodVer, bad) >= 0 {
		goodVer = "0.0.0"
	}
	if really, err = Really(bad, goodVer); err != nil {
		t.Fatal(err)
	}
	steps := []string{"patch", "minor", "major"}
	if keep || b.Prerelease() {
		steps = append(steps, "patch")
	}
	if keep {
		steps = append(steps, "build")
	}
	for _, step := range steps {
		n, err := b.Bump(step)
		must(t, err)
		v, err := PkgVer(n.String(), keep)
		must(t, err)
		next = append(next, v)
		if rng.IntN(2) == 0 && step != "build" && !b.Prerelease() { // its first candidate comes even before
			v, err := PkgVer(n.Release()+"-alpha.1", keep)
			must(t, err)
			next = append(next, v)
		}
	}
	// A build number that is kept from now on, and another time of going back.
	if !keep {
		next = append(next, bad+"+1")
	}
	return bad, really, next
}

// TestReally_Between: bad, then what goes back behind it, then whatever comes next; for ours and for the real vercmp.
func TestReally_Between(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	var pairs []string // each newer than the one before it
	for i := range 300 {
		bad, really, next := goingBack(t, rng, i%2 == 0)
		pairs = append(pairs, bad+"-9", really+"-1")
		for _, n := range next {
			pairs = append(pairs, really+"-9", n+"-1")
		}
		again, err := Really(really, "0")
		must(t, err)
		pairs = append(pairs, really+"-1", again+"-1", again+"-1", next[0]+"-1")
	}
	for pair := range slices.Chunk(pairs, 2) {
		if Vercmp(pair[0], pair[1]) != -1 {
			t.Errorf("Vercmp(%q, %q) = %d, want -1", pair[0], pair[1], Vercmp(pair[0], pair[1]))
		}
	}
	if _, err := exec.LookPath("vercmp"); err != nil {
		must(t, &makepkg.MissingError{Tool: "vercmp", Package: "makepkg"})
	}
	cmd := exec.CommandContext(t.Context(), findBash(t), "-c", `while read -r a && read -r b; do [[ $(vercmp "$a" "$b") == -1 ]] || echo "$a $b"; done`)
	cmd.Stdin = strings.NewReader(strings.Join(pairs[:min(len(pairs), 1600)], "\n") + "\n")
	cmd.Env = []string{"PATH=/usr/bin:/bin", "LC_ALL=C"}
	out, err := cmd.CombinedOutput()
	must(t, err)
	if len(out) > 0 {
		t.Errorf("vercmp does not agree about\n%s", out)
	}
}
