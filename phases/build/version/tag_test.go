package version

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// TestTag takes the version from the tag of the commit, as Go modules do.
func TestTag(t *testing.T) {
	cfg := appConfig
	cfg.Source = Tag
	cfg.Carriers = []string{"VERSION", "lib/config/app_config.dart"}
	must(t, cfg.Validate())
	dir := fixture(t, nil)
	e := env(t, dir)
	e.Version = "3.2.1"
	if _, err := run(t, cfg, dir, e); err == nil || !strings.Contains(err.Error(), "no tag like v1.2.3") {
		t.Errorf("without a tag: %v", err)
	}
	git(t, dir, "tag", "nightly")
	git(t, dir, "tag", "v3.2.1")
	if _, err := run(t, cfg, dir, e); err == nil || !strings.Contains(err.Error(), "v3.2.1 is lightweight") {
		t.Errorf("with a lightweight tag: %v", err)
	}
	git(t, dir, "tag", "-f", "-a", "-m", "release", "v3.2.1")
	out, err := run(t, cfg, dir, e)
	if err != nil || out.check.Summary != "version 3.2.1 stands in tag and 2 carriers" {
		t.Errorf("%v, %+v", err, out.check)
	}
	v, drifts, err := Drift(dir, cfg)
	if err != nil || v.String() != "3.2.1" || len(drifts) > 0 {
		t.Errorf("%s, %v, %v", v, drifts, err)
	}
	git(t, dir, "tag", "-a", "-m", "release", "v3.2.2")
	if _, err := run(t, cfg, dir, e); err == nil || !strings.Contains(err.Error(), "tags v3.2.1 and v3.2.2 are of one commit") {
		t.Errorf("with two tags: %v", err)
	}
	git(t, dir, "tag", "-d", "v3.2.1")
	if _, drifts, err := Drift(dir, cfg); err != nil || len(drifts) != 2 || drifts[0].Wanted != "3.2.2" {
		t.Errorf("after another tag: %v, %v", drifts, err)
	}
	if c, err := Bump(dir, cfg, "3.2.2"); err != nil || len(c.Files) != 2 {
		t.Errorf("bump: %+v, %v", c, err)
	}
	if _, err := Bump(dir, cfg, "minor"); err == nil || !strings.Contains(err.Error(), "say the next one in full") {
		t.Errorf("bump minor: %v", err)
	}
}

// TestTagged: a commit that people have tagged is released as it stands.
func TestTagged(t *testing.T) {
	cfg := appConfig
	cfg.Tagged = true
	dir := fixture(t, nil)
	e := env(t, dir)
	out, err := run(t, cfg, dir, e)
	if err != nil {
		t.Fatal(err)
	}
	if out.receipt["commit"] != e.Commit || out.check.Verdict != gate.Pass {
		t.Errorf("%v, %+v", out.receipt, out.check)
	}
	want := git(t, dir, "show", "HEAD:assets/version.json")
	b, err := os.ReadFile(filepath.Join(out.dirs.Path(Source), "assets/version.json"))
	must(t, err)
	if got := string(b); strings.TrimSpace(got) != want {
		t.Errorf("the checkout has\n%s\nwant\n%s", got, want)
	}
}
