package version

import (
	"strings"
	"testing"
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
