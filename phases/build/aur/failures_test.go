package aur

import (
	"crypto/sha256"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/deb"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// What went wrong in real releases, by its number.

// srcinfoOf reads the .SRCINFO that the steps made.
func srcinfoOf(t *testing.T, c Config, dirs pipeline.Dirs) *pkgbuild.SRCINFO {
	t.Helper()
	f, err := os.Open(dirs.Path(Artifact(c.Name, ".SRCINFO")))
	must(t, err)
	defer f.Close()
	s, err := pkgbuild.ParseSRCINFO(f)
	must(t, err)
	return s
}

// TestFailure_007_SumOfArtifact: checksums were typed, and five releases had wrong ones. Here they are those of the
// bytes on the disk, whatever is installed, and other bytes have another sum.
func TestFailure_007_SumOfArtifact(t *testing.T) {
	t.Parallel()
	for name, c := range released() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			seen := map[string]bool{}
			for _, data := range []string{"data", "other data"} {
				files := application(t)
				files["lib/demo/data"] = data
				dirs, err := run(t, c.steps(files, nil)...)
				must(t, err)
				b, err := os.ReadFile(dirs.Path(c.Sources()[0].Artifact))
				must(t, err)
				want := fmt.Sprintf("%x", sha256.Sum256(b))
				if got := srcinfoOf(t, c, dirs).Base["sha256sums_x86_64"]; len(got) != 1 || got[0] != want {
					t.Errorf("sums %q, the artifact has %s", got, want)
				}
				seen[want] = true
			}
			if len(seen) != 2 {
				t.Errorf("sums %v", seen)
			}
		})
	}
}

// TestFailure_015_OldPayload: the package of 3.1.3 installed 3.0.3. What is installed is of the version that the package
// says, in the file's name, in the address, and in the configuration.
func TestFailure_015_OldPayload(t *testing.T) {
	t.Parallel()
	for name, c := range released() {
		must(t, c.Validate(&testEnv))
		switch {
		case c.Tarballs != nil:
			c.Tarballs[0].Version = "1.2.2"
		case c.Debs != nil:
			c.Debs = []deb.Config{c.Debs[0]}
			c.Debs[0].Version = "1.2.2"
		default:
			c.AppImages[0].Version = "1.2.2"
		}
		if err := c.Validate(&testEnv); err == nil || !strings.Contains(err.Error(), "from: it installs version 1.2.2, and the package would say 1.2.3-rc.1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, c := range released() {
		m, err := c.model(&testEnv, func(Source) string { return strings.Repeat("1", 64) }, content{})
		must(t, err)
		s, err := m.SRCINFO()
		must(t, err)
		source := s.Base.First("source_x86_64")
		if local, address, _ := strings.Cut(source, "::"); local != c.Sources()[0].Local || !strings.HasSuffix(address, "/v1.2.3-rc.1/"+c.Sources()[0].Artifact) {
			t.Errorf("%s: source %s", name, source)
		}
	}
}
