package judge

import (
	"maps"
	"os"
	"path/filepath"
	"testing"

	"github.com/imrightguy/slipway/pipeline/gate"
)

const entry = "[Desktop Entry]\nType=Application\nName=Demo\nExec=demo %U\nIcon=demo\nCategories=Utility;\n"

const metadata = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>org.example.demo</id>
  <metadata_license>MIT</metadata_license>
  <project_license>MIT</project_license>
  <name>Demo</name>
  <summary>Say the version</summary>
  <description><p>It says its version and then it ends.</p></description>
  <launchable type="desktop-id">demo.desktop</launchable>
</component>
`

var desktopFiles = map[string]string{
	"bin/demo":                        "#!/bin/sh\necho demo\n",
	"share/applications/demo.desktop": entry,
	"share/metainfo/org.example.demo.metainfo.xml": metadata,
}

// with is the bundle with other files.
func with(more map[string]string) map[string]string {
	files := maps.Clone(desktopFiles)
	maps.Copy(files, more)
	return files
}

// TestDesktop: errors fail, warnings and hints do not.
func TestDesktop(t *testing.T) {
	t.Parallel()
	need(t, Desktop)
	for name, c := range map[string]struct {
		files   map[string]string
		verdict gate.Verdict
		want    string
	}{
		"clean":     {desktopFiles, gate.Pass, "desktop entries without errors: 1"},
		"none":      {map[string]string{"bin/demo": "x"}, gate.Pass, "no desktop entries to judge"},
		"hint":      {with(map[string]string{"share/applications/demo.desktop": entry + "TerminalOptions=x\n"}), gate.Pass, ""},
		"no name":   {with(map[string]string{"share/applications/demo.desktop": "[Desktop Entry]\nType=Application\nExec=demo\n"}), gate.Fail, `share/applications/demo.desktop: error: required key "Name"`},
		"other":     {with(map[string]string{"share/applications/sub/b.desktop": "[Desktop Entry]\nType=Application\n"}), gate.Fail, `share/applications/sub/b.desktop: error: required key "Name"`},
		"autostart": {with(map[string]string{"etc/xdg/autostart/b.desktop": "nothing"}), gate.Fail, "etc/xdg/autostart/b.desktop: error: file contains line"},
		"option":    {with(map[string]string{"share/applications/--version.desktop": entry + "Name=2\n"}), gate.Fail, "share/applications/--version.desktop: error:"},
		"hostile":   {with(map[string]string{"share/applications/$(touch canary).desktop": "[Desktop Entry]\nType=\x1b[31m`touch canary`\nName=x\n"}), gate.Fail, "`touch canary`"},
		"link":      {with(map[string]string{"share/applications/b.desktop": "-> ../../lib/b.desktop", "lib/b.desktop": "x"}), gate.Fail, "share/applications/b.desktop: error:"},
		"folder":    {map[string]string{"share/applications": "-> ../lib", "lib/b.desktop": "x"}, gate.Fail, "share/applications/b.desktop: error:"},
		"nowhere":   {with(map[string]string{"share/applications/b.desktop": "-> ../../../nowhere"}), gate.Fail, "share/applications/b.desktop is not a file of the bundle"},
		"out":       {with(map[string]string{"share/applications/b.desktop": "-> /etc/passwd"}), gate.Fail, "share/applications/b.desktop is not a file of the bundle"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			wants(t, judged(t, tree(c.files), Bundle(Desktop, "demo", "amd64")), c.verdict, c.want)
			noCanary(t)
		})
	}
}

// TestAppStream: errors and warnings fail, infos do not.
func TestAppStream(t *testing.T) {
	t.Parallel()
	need(t, AppStream)
	const file = "share/metainfo/org.example.demo.metainfo.xml"
	for name, c := range map[string]struct {
		text    string
		verdict gate.Verdict
		want    []string
	}{
		"info":    {metadata, gate.Pass, []string{"metadata files without errors: 1"}}, // no content rating, a short description
		"no id":   {replace(metadata, "<id>org.example.demo</id>", ""), gate.Fail, []string{file + ": E:", "component-id-missing"}},
		"warning": {replace(metadata, "org.example.demo", "demo"), gate.Fail, []string{file + ": W:", "cid-desktopapp-is-not-rdns"}},
		"no XML":  {"<component", gate.Fail, []string{file + ": E:", "xml-markup-invalid"}},
		"empty":   {"", gate.Fail, []string{file}},
		"hostile": {replace(metadata, "org.example.demo", "a.b.$(touch canary)`touch canary`"), gate.Fail, []string{"cid-invalid-character"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := judged(t, tree(with(map[string]string{file: c.text})), Bundle(AppStream, "demo", "amd64"))
			wants(t, e, c.verdict, c.want...)
			if len(e.Tool) < len("appstreamcli 0.1") {
				t.Errorf("tool %q", e.Tool)
			}
			noCanary(t)
		})
	}
	t.Run("legacy folder", func(t *testing.T) {
		t.Parallel()
		wants(t, judged(t, tree(map[string]string{"share/appdata/x.appdata.xml": "<component/>"}), Bundle(AppStream, "demo", "amd64")), gate.Fail, "share/appdata/x.appdata.xml: E:")
	})
}

// noCanary: nothing in what was judged was run.
func noCanary(t *testing.T) {
	t.Helper()
	for _, dir := range []string{".", os.TempDir()} {
		if _, err := os.Lstat(filepath.Join(dir, "canary")); err == nil {
			t.Error("something was run")
		}
	}
}
