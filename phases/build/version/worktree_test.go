package version

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

func tree(t *testing.T, changes map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	write(t, dir, app)
	write(t, dir, changes)
	return dir
}

func TestBump(t *testing.T) {
	dir := tree(t, nil)
	must(t, os.Chmod(filepath.Join(dir, "VERSION"), 0o755))
	must(t, os.Chmod(filepath.Join(dir, "assets/version.json"), 0o600))
	c, err := Bump(dir, appConfig, "minor")
	must(t, err)
	if c.From.String() != "3.2.1+1" || c.To.String() != "3.3.0+1" || len(c.Files) != 10 || len(c.Places) != 10 {
		t.Errorf("%+v", c)
	}
	if p := c.Places[0]; p.File != "pubspec.yaml" || p.Line != 2 || p.Found != "3.2.1+1" || p.Wanted != "3.3.0+1" {
		t.Errorf("%+v", p)
	}
	for name, text := range app {
		got, err := os.ReadFile(filepath.Join(dir, name))
		must(t, err)
		if want := strings.ReplaceAll(text, "3.2.1", "3.3.0"); string(got) != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	for name, mode := range map[string]os.FileMode{"VERSION": 0o755, "assets/version.json": 0o600, "pubspec.yaml": 0o644} {
		if info, err := os.Stat(filepath.Join(dir, name)); err != nil || info.Mode().Perm() != mode {
			t.Errorf("%s has mode %v, want %v", name, info.Mode(), mode)
		}
	}
	if n := len(pipelinetest.Snapshot(t, dir)); n != len(pipelinetest.Snapshot(t, tree(t, nil))) {
		t.Errorf("%d entries: something was left behind", n)
	}
	v, drifts, err := Drift(dir, appConfig)
	if err != nil || len(drifts) > 0 || v.String() != "3.3.0+1" {
		t.Errorf("%s, %v, %v", v, drifts, err)
	}
	if c, err := Bump(dir, appConfig, "build"); err != nil || c.To.String() != "3.3.0+2" || !slices.Equal(c.Files, []string{"pubspec.yaml", "assets/version.json", "lib/shared/lib/version.dart", "lib/shared/pubspec.yaml"}) {
		t.Errorf("build: %+v, %v", c, err)
	}
	if c, err := Bump(dir, appConfig, "3.3.0+2"); err != nil || len(c.Files) > 0 || len(c.Places) > 0 {
		t.Errorf("to what is there: %+v, %v", c, err)
	}
	if _, err := Bump(dir, appConfig, "3.2.9"); err == nil || !strings.Contains(err.Error(), "not newer") {
		t.Errorf("backwards: %v", err)
	}
}

// TestBump_MendsDrift: the version as it is, written where it is not.
func TestBump_MendsDrift(t *testing.T) {
	dir := tree(t, map[string]string{"VERSION": "3.0.0\n", "aur-package/PKGBUILD": "pkgver=3.0.3\n"})
	_, drifts, err := Drift(dir, appConfig)
	if err != nil || len(drifts) != 2 {
		t.Errorf("%v, %v", drifts, err)
	}
	c, err := Bump(dir, appConfig, "3.2.1+1")
	if err != nil || !slices.Equal(c.Files, []string{"aur-package/PKGBUILD", "VERSION"}) {
		t.Errorf("%+v, %v", c, err)
	}
	if _, drifts, err := Drift(dir, appConfig); err != nil || len(drifts) > 0 {
		t.Errorf("%v, %v", drifts, err)
	}
}

// TestBump_AllOrNothing: whatever stands in the way of one file, no file is changed and none is left behind.
func TestBump_AllOrNothing(t *testing.T) {
	for name, plant := range map[string]func(dir string){
		"unreadable form": func(dir string) { write(t, dir, map[string]string{"VERSION": "1\n2\n"}) },
		"missing carrier": func(dir string) { must(t, os.Remove(filepath.Join(dir, "VERSION"))) },
		"carrier is a link": func(dir string) {
			must(t, os.Rename(filepath.Join(dir, "VERSION"), filepath.Join(dir, "other")))
			must(t, os.Symlink("other", filepath.Join(dir, "VERSION")))
		},
		"link out of the tree": func(dir string) {
			must(t, os.RemoveAll(filepath.Join(dir, "deb")))
			must(t, os.Symlink(tree(t, nil)+"/deb", filepath.Join(dir, "deb")))
		},
		"in the way": func(dir string) { must(t, os.MkdirAll(filepath.Join(dir, ".pubspec.yaml.slipway-new", "x"), 0o777)) },
	} {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, nil)
			plant(dir)
			before := pipelinetest.Snapshot(t, dir)
			if c, err := Bump(dir, appConfig, "patch"); err == nil {
				t.Errorf("it went well: %+v", c)
			}
			after := pipelinetest.Snapshot(t, dir)
			for name := range after {
				if before[name] != after[name] {
					t.Errorf("%s was changed", name)
				}
			}
			if len(after) != len(before) {
				t.Errorf("%d entries, was %d", len(after), len(before))
			}
		})
	}
	t.Run("one cannot take its place", func(t *testing.T) {
		dir := tree(t, nil)
		must(t, os.MkdirAll(filepath.Join(dir, "b", "full"), 0o777)) // a file cannot be renamed onto it
		write(t, dir, map[string]string{"a": "old", "c": "old"})
		before := pipelinetest.Snapshot(t, dir)
		root, err := os.OpenRoot(dir)
		must(t, err)
		defer root.Close()
		err = replace(root, map[string][]byte{"a": []byte("old"), "c": []byte("old")}, map[string][]byte{"a": []byte("new"), "b": []byte("new"), "c": []byte("new")})
		if err == nil || !strings.Contains(err.Error(), "cannot write b") {
			t.Errorf("%v", err)
		}
		after := pipelinetest.Snapshot(t, dir)
		for _, name := range []string{"a", "b", "c"} {
			if after[name] != before[name] {
				t.Errorf("%s was changed", name)
			}
		}
		if len(after) != len(before) {
			t.Error("something was left behind")
		}
	})
	t.Run("a killed run before", func(t *testing.T) {
		dir := tree(t, map[string]string{".VERSION.slipway-new": "half"})
		_, err := Bump(dir, appConfig, "patch")
		must(t, err)
		if _, err := os.Stat(filepath.Join(dir, ".VERSION.slipway-new")); err == nil {
			t.Error("its file is still there")
		}
	})
}

func TestBump_NoBuildNumber(t *testing.T) {
	dir := tree(t, map[string]string{"VERSION": "0.1.0\n"})
	cfg := Config{Source: "VERSION", Author: "R <r@example.org>"}
	if c, err := Bump(dir, cfg, "build"); err != nil || c.To.String() != "0.1.0+1" {
		t.Fatalf("%+v, %v", c, err)
	}
	if got, _ := os.ReadFile(filepath.Join(dir, "VERSION")); string(got) != "0.1.0+1\n" {
		t.Errorf("VERSION is %q", got)
	}
	write(t, dir, map[string]string{"VERSION": "0.1.0\n"})
	cfg.Carriers = []string{"assets/version.json"}
	if _, err := Bump(dir, cfg, "patch"); err == nil || !strings.Contains(err.Error(), "0.1.1+1") {
		t.Errorf("a carrier with a build number: %v", err)
	}
}
