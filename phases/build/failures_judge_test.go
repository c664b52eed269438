//go:build linux

package build

import (
	"archive/tar"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/judge"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

const (
	demoEntry = "[Desktop Entry]\nType=Application\nName=Demo\nComment=Say the version\nExec=demo\nIcon=demo\nTerminal=true\nCategories=Utility;\n"
	demoInfo  = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>example.demo.demo</id>
  <metadata_license>CC0-1.0</metadata_license>
  <project_license>MIT</project_license>
  <name>Demo</name>
  <summary>Say the version</summary>
  <developer_name>The Demo Authors</developer_name>
  <description><p>This program prints its version to standard output and ends. It has no options.</p></description>
  <launchable type="desktop-id">example.demo.demo.desktop</launchable>
  <url type="homepage">https://demo.example/</url>
  <content_rating type="oars-1.1"/>
  <releases><release version="1.2.3" date="2026-11-21"/></releases>
</component>
`
)

// TestGate_065_EveryJudgeFails has every judge judge a release with nothing wrong, which all of them pass, and one in which
// there is something wrong for each of them: all of them fail, and so does the gate.
func TestGate_065_EveryJudgeFails(t *testing.T) {
	t.Parallel()
	need(t, "lintian", "dpkg", "desktop-file-validate", "appstreamcli", "makepkg", "pacman", "bwrap")
	isolated(t)
	files := maps.Clone(sourceFiles)
	files["demo.desktop"], files["demo.metainfo.xml"], files["demo.png"] = demoEntry, demoInfo, picture(64)
	start := func() *project {
		cfg := prebuiltConfig()
		b := cfg.Bundles["demo"]
		b.Contents = append(slices.Clone(b.Contents), bundle.Content{Src: "demo.desktop", Dst: "share/applications/example.demo.demo.desktop"},
			bundle.Content{Src: "demo.metainfo.xml", Dst: "share/metainfo/example.demo.demo.metainfo.xml"},
			bundle.Content{Src: "demo.png", Dst: "share/icons/hicolor/64x64/apps/demo.png"})
		cfg.Bundles["demo"] = b
		cfg.Judges = judge.Known()
		return newProject(t, cfg, files)
	}
	verdicts := func(s *pipeline.Survey) map[string]pipeline.Evidence {
		found := map[string]pipeline.Evidence{}
		for _, ss := range s.Steps {
			for _, e := range ss.Last.Evidence {
				if ss.Gate == nil && slices.Contains(judge.Known(), e.Check) {
					found[e.Check] = e
				}
			}
		}
		return found
	}
	good := start()
	s, err := good.run(t.Context())
	must(t, err)
	for _, name := range judge.Known() {
		if e := verdicts(s)[name]; e.Verdict != gate.Pass {
			t.Errorf("%s of what is right: %s: %s", name, e.Verdict, e.Summary)
		}
	}
	files["demo.desktop"] = strings.Replace(demoEntry, "Categories=Utility;", "Categories=Utility;\nTerminal=perhaps", 1)
	files["demo.metainfo.xml"] = strings.Replace(demoInfo, "<project_license>MIT</project_license>", "<project_license>MIT", 1)
	bad := start()
	bad.wrap = func(ph pipeline.Phase) pipeline.Phase {
		ph = faulty{ph, "build/deb/demo/amd64", good, func(_ string, b []byte) []byte {
			return redeb(t, b, func(name string, data []byte) []byte {
				if name != "data.tar.gz" {
					return data
				}
				return retar(t, data, func(h *tar.Header, body []byte) (*tar.Header, []byte) {
					if strings.HasSuffix(h.Name, "/copyright") { // for lintian; to dpkg it is a file that the list of sums knows
						return nil, nil
					}
					return h, body
				})
			})
		}}
		// The sums are those of the tarball before: for makepkg, and for pacman, which gets no package then.
		return faulty{ph, "build/aur/demo-bin", good, func(_ string, b []byte) []byte { return b }}
	}
	s, err = bad.run(t.Context())
	var stopped *pipeline.GateError
	if !errors.As(err, &stopped) {
		t.Fatalf("the gate: %v", err)
	}
	for _, name := range judge.Known() {
		e := verdicts(s)[name]
		if e.Verdict != gate.Fail {
			t.Errorf("%s of what is wrong: %s: %s", name, e.Verdict, e.Summary)
		}
		if !slices.ContainsFunc(stopped.State.Blocks, func(b gate.Block) bool { return b.Kind == "failed" && b.What == name }) {
			t.Errorf("the gate does not name %s", name)
		}
		t.Logf("%s: %s", name, e.Summary)
	}
}

// TestGate_065_Contradictions: what contradicts itself is no plan, and nothing is begun with it.
func TestGate_065_Contradictions(t *testing.T) {
	t.Parallel()
	for want, edit := range map[string]func(*Config){
		"packages[0]: size": func(c *Config) { c.Packages[0].Size = size.Band{Min: 130e6, Max: 120e6} },
		`two criteria are titled "contents"`: func(c *Config) {
			c.Gate = &GateConfig{Criteria: []Criterion{{Check: "contents"}, {Check: "contents"}}}
		},
		`nothing in the plan reports check "settings"`: func(c *Config) { c.Gate = &GateConfig{Criteria: []Criterion{{Check: "settings"}}} },
	} {
		p := newProject(t, prebuiltConfig(), nil)
		if _, err := p.plan(t.Context()); err != nil {
			t.Errorf("without a fault: %v", err)
		}
		edit(&p.cfg)
		if _, err := p.plan(t.Context()); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
