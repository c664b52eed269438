package channel

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
)

func tags(t testing.TB, names ...string) (tags []repo.VersionTag) {
	t.Helper()
	for _, name := range names {
		v, err := version.Parse(strings.TrimPrefix(name, "v"))
		if err != nil {
			t.Fatal(err)
		}
		tags = append(tags, repo.VersionTag{Name: name, Version: v})
	}
	return tags
}

func TestDecide(t *testing.T) {
	yes, aur, latest := Rule{AUR: true, Latest: true}, Rule{AUR: true}, Rule{Latest: true}
	for _, c := range []struct {
		version string
		tags    string
		cfg     Config
		want    Decision
		why     string
	}{
		{"3.2.1", "", Config{}, Decision{AUR: true, Latest: true}, ""},
		{"3.2.1+1", "v3.2.0 v3.1.0 v3.3.0-rc.1", Config{}, Decision{AUR: true, Latest: true}, ""},
		{"3.2.1", "v3.2.1 v3.2.0", Config{}, Decision{AUR: true, Latest: true}, ""}, // its own tag
		{"3.2.1+2", "v3.2.1", Config{}, Decision{AUR: true, Latest: true}, ""},
		{"3.2.1-rc.1", "v3.2.0", Config{}, Decision{Prerelease: true}, `3.2.1-rc.1 is a prerelease: it is left out of the AUR and does not become "latest"`},
		{"3.2.1-rc.1", "v3.2.0", Config{Prerelease: aur}, Decision{AUR: true, Prerelease: true}, `3.2.1-rc.1 is a prerelease: it does not become "latest"; release.yaml publishes it in the AUR`},
		{"3.2.1-rc.1", "v3.2.0", Config{Prerelease: latest}, Decision{Latest: true}, `3.2.1-rc.1 is a prerelease: it is left out of the AUR; release.yaml makes it "latest"`},
		{"3.2.1-rc.1", "", Config{Prerelease: yes, OlderThanLatest: yes}, Decision{AUR: true, Latest: true}, "3.2.1-rc.1 is a prerelease; release.yaml publishes it everywhere all the same"},
		{"3.1.9", "v3.2.0 3.2.0 v3.10.0 v4.0.0-rc.1", Config{Prerelease: yes}, Decision{}, `3.1.9 is older than 3.10.0 (tag v3.10.0): it is left out of the AUR and does not become "latest"`},
		{"3.1.9", "v3.2.0", Config{OlderThanLatest: aur}, Decision{AUR: true}, `3.1.9 is older than 3.2.0 (tag v3.2.0): it does not become "latest"; release.yaml publishes it in the AUR`},
		{"3.1.9-rc.1", "v3.2.0", Config{Prerelease: yes}, Decision{Prerelease: true}, "3.1.9-rc.1 is a prerelease; release.yaml publishes it everywhere all the same|" +
			`3.1.9-rc.1 is older than 3.2.0 (tag v3.2.0): it is left out of the AUR and does not become "latest"`},
		{"3.2.0-rc.1", "v3.2.0", Config{Prerelease: yes, OlderThanLatest: yes}, Decision{AUR: true, Latest: true}, "3.2.0-rc.1 is a prerelease; release.yaml publishes it everywhere all the same|" +
			"3.2.0-rc.1 is older than 3.2.0 (tag v3.2.0); release.yaml publishes it everywhere all the same"},
	} {
		got, err := Decide(c.cfg, c.version, tags(t, strings.Fields(c.tags)...))
		why := strings.Join(got.Why, "|")
		got.Why = nil
		if err != nil || fmt.Sprint(got) != fmt.Sprint(c.want) || why != c.why {
			t.Errorf("%s with %s, %+v:\n%+v %s, %v\nwant\n%+v %s", c.version, c.tags, c.cfg, got, why, err, c.want, c.why)
		}
	}
	for _, bad := range []string{"", "v3.2.1", "3.2", "$(id)"} {
		if _, err := Decide(Config{}, bad, nil); err == nil {
			t.Errorf("version %q is decided on", bad)
		}
	}
}

// TestDecide_AnyOrder: the order of the tags, and the tag of the version itself, make no difference; nothing is both a
// prerelease and the latest; and each rule can only let in what it names.
func TestDecide_AnyOrder(t *testing.T) {
	all := tags(t, "v1.0.0", "1.0.0", "v1.1.0", "v2.0.0-rc.1", "v2.0.0", "v1.1.1", "v3.0.0-alpha")
	for range 300 {
		v := fmt.Sprintf("%d.%d.0%s", 1+rand.IntN(3), rand.IntN(3), []string{"", "-rc.1"}[rand.IntN(2)])
		b := func() bool { return rand.IntN(2) == 0 }
		c := Config{Rule{b(), b()}, Rule{b(), b()}}
		first, err := Decide(c, v, all)
		if err != nil {
			t.Fatal(err)
		}
		shuffled := append(slices.Clone(all), tags(t, "v"+v)...)
		rand.Shuffle(len(shuffled), func(i, k int) { shuffled[i], shuffled[k] = shuffled[k], shuffled[i] })
		again, err := Decide(c, v, shuffled)
		if err != nil || fmt.Sprint(first) != fmt.Sprint(again) {
			t.Fatalf("%s: %+v, then %+v", v, first, again)
		}
		if first.Prerelease && first.Latest || len(first.Why) == 0 && (!first.AUR || !first.Latest) {
			t.Fatalf("%s, %+v: %+v", v, c, first)
		}
		least, err := Decide(Config{}, v, all)
		if err != nil || least.AUR && !first.AUR || least.Latest && !first.Latest {
			t.Fatalf("%s: %+v takes away, %+v without it", v, first, least)
		}
	}
}
