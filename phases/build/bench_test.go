//go:build unix

package build

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
)

// BenchmarkPackages packs the folder named by SLIPWAY_BENCH_PAYLOAD as tar.gz and DEB, with checksums and all
// inspections, and reports the sizes.
func BenchmarkPackages(b *testing.B) {
	payload := os.Getenv("SLIPWAY_BENCH_PAYLOAD")
	if payload == "" {
		b.Skip("SLIPWAY_BENCH_PAYLOAD names no folder")
	}
	for b.Loop() {
		b.StopTimer()
		dir := b.TempDir()
		repo := filepath.Join(dir, "repo")
		if err := os.MkdirAll(repo, 0o755); err != nil {
			b.Fatal(err)
		}
		if out, err := exec.Command("cp", "-a", payload, filepath.Join(repo, "payload")).CombinedOutput(); err != nil {
			b.Fatalf("%v: %s", err, out)
		}
		if err := os.WriteFile(filepath.Join(repo, "LICENSE"), []byte(sourceFiles["LICENSE"]), 0o644); err != nil {
			b.Fatal(err)
		}
		cfg := demoConfig()
		cfg.Components = map[string]component.Config{"app": {Builder: component.Prebuilt, Path: "payload"}}
		cfg.Bundles["demo"] = bundle.Config{Contents: []bundle.Content{
			{Src: "component:app", Dst: "lib/demo", Type: "tree"},
			{Src: "LICENSE", Dst: "share/licenses/demo/LICENSE"},
		}}
		p := &project{repo: repo, work: filepath.Join(dir, "out"), cfg: cfg, env: demoEnv()}
		b.StartTimer()
		if _, err := p.run(b.Context()); err != nil {
			b.Fatal(err)
		}
		for _, unit := range []struct{ name, file string }{{"tar.gz-bytes", "demo-1.2.3-x86_64.tar.gz"}, {"deb-bytes", "demo_1.2.3_amd64.deb"}} {
			info, err := os.Stat(p.path(unit.file))
			if err != nil {
				b.Fatal(err)
			}
			b.ReportMetric(float64(info.Size()), unit.name)
		}
	}
}
