//go:build linux

package build

import (
	"archive/tar"
	"crypto/sha256"
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/internal/size"
)

// noise is text that does not compress.
func noise(n int) string {
	var b strings.Builder
	for i := 0; b.Len() < n; i++ {
		sum := sha256.Sum256([]byte(fmt.Sprint(i)))
		b.Write(sum[:])
	}
	return b.String()[:n]
}

// contentFailures are those of what is in a bundle and in the packages made of it.
var contentFailures = []failure{
	{
		number: 19, what: "019_NoLibraries", plant: func(p *planting) {
			delete(p.files, engine)
			p.modes[program] = 0o644
		},
		fails: []string{"libraries", "modes", "paths", "desktop"},
		says: []string{
			"lib/cloudtolocalllm/cloudtolocalllm needs libflutter_linux_gtk.so", "lib/cloudtolocalllm/cloudtolocalllm is a program and has mode 0644, want 0755",
			"lib/cloudtolocalllm/lib/*.so",
		},
	},
	{
		number: 19, what: "019_NoLibrariesInTarball", plant: func(p *planting) {
			tampered(p, "lib/cloudtolocalllm/lib/libflutter_linux_gtk.so", func(*tar.Header, []byte) (*tar.Header, []byte) { return nil, nil })
		},
		fails: []string{"contents", "libraries", "paths"}, says: []string{tarballFile, "needs libflutter_linux_gtk.so"},
	},
	{
		number: 19, what: "019_ModeInTarball", plant: func(p *planting) {
			tampered(p, "lib/cloudtolocalllm/cloudtolocalllm", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.Mode = 0o644; return h, b })
		},
		fails: []string{"contents", "modes", "desktop"}, says: []string{tarballFile, "mode 0644, want 0755"},
	},
	{
		number: 20, what: "020_RunpathElsewhere", plant: func(p *planting) {
			p.bundle(func(b *bundleConfig) {
				b.Contents[1] = bundle.Content{Src: "component:app/cloudtolocalllm", Dst: "bin/", FileInfo: bundle.FileInfo{Mode: 0o755}}
			})
		},
		fails: []string{"libraries"}, says: []string{"bin/cloudtolocalllm needs libflutter_linux_gtk.so", "it looks in bin/lib"},
	},
	{
		number: 32, what: "032_FileTooLarge", plant: func(p *planting) { p.files["prebuilt/app/data/icudtl.dat"] = strings.Repeat("\x00", 100001) },
		fails: []string{"paths", "tracked"}, says: []string{"lib/cloudtolocalllm/data/icudtl.dat", "100001 bytes", "100kB", "prebuilt/app/data/icudtl.dat: it has 100001 bytes"},
	},
	{
		number: 32, what: "032_PackageTooLarge", plant: func(p *planting) {
			for i := range 4 {
				p.files[fmt.Sprintf("prebuilt/app/data/part-%d", i)] = noise(90000)
			}
		},
		fails: []string{"size"}, says: []string{tarballFile + " has ", debFile + " has ", "want 100 to 200kB"},
	},
	{
		number: 32, what: "032_TarballTooLarge", plant: func(p *planting) {
			tampered(p, "lib/cloudtolocalllm/data/icudtl.dat", holding(noise(300000)))
		},
		fails: []string{"contents", "paths", "size"}, says: []string{tarballFile + " has ", "want 100 to 200kB"},
	},
	{
		number: 51, what: "051_IconIsText", plant: func(p *planting) { p.files[smallIcon] = "this is an icon\n" },
		fails: []string{"icons"}, says: []string{"share/icons/hicolor/32x32/apps/cloudtolocalllm.png: it is no PNG"},
	},
	{
		number: 51, what: "051_IconOfAnotherSize", plant: func(p *planting) { p.files[appIcon] = picture(32) },
		fails: []string{"icons"}, says: []string{"has 32 x 32 pixels, want the 64 x 64"},
	},
	{
		number: 51, what: "051_IconIsTextInTarball", plant: func(p *planting) {
			tampered(p, "share/icons/hicolor/64x64/apps/cloudtolocalllm.png", holding("this is an icon\n"))
		},
		fails: []string{"contents", "icons"}, says: []string{tarballFile, "it is no PNG"},
	},
	{
		number: 56, what: "056_ThreeNames", plant: func(p *planting) { p.replace(trayUnit, "/cloudtolocalllm-tray", "/cloudtolocalllm-enhanced-tray") },
		fails: []string{"desktop"}, says: []string{`program "/usr/bin/cloudtolocalllm-enhanced-tray" is not in the tree, want bin/cloudtolocalllm-enhanced-tray`},
	},
	{
		number: 56, what: "056_OldNameInstalled", plant: func(p *planting) {
			p.bundle(func(b *bundleConfig) {
				b.Contents = append(b.Contents, bundle.Content{Src: "cloudtolocalllm-tray", Dst: "bin/cloudtolocalllm-enhanced-tray", Type: "symlink"})
			})
		},
		fails: []string{"paths"}, says: []string{`bin/cloudtolocalllm-enhanced-tray is forbidden`},
	},
	{
		number: 56, what: "056_NameInTarball", plant: func(p *planting) {
			tampered(p, "share/applications/cloudtolocalllm.desktop", func(h *tar.Header, b []byte) (*tar.Header, []byte) {
				return h, []byte(strings.Replace(string(b), "Exec=cloudtolocalllm", "Exec=enhanced_tray_daemon.py", 1))
			})
		},
		fails: []string{"contents", "desktop"}, says: []string{tarballFile, `"enhanced_tray_daemon.py" is not in the tree`},
	},
	{
		number: 57, what: "057_Placeholder", plant: func(p *planting) { p.files["README.md"] += "sha256: PLACEHOLDER_SHA256\n" },
		fails: []string{"text"}, says: []string{"share/doc/cloudtolocalllm/README.md:2: holds the placeholder PLACEHOLDER_SHA256"},
	},
	{
		number: 57, what: "057_PlaceholderInTarball", plant: func(p *planting) {
			tampered(p, "share/doc/cloudtolocalllm/README.md", holding("PLACEHOLDER_SHA256\n"))
		},
		fails: []string{"contents", "text"}, says: []string{tarballFile, "README.md:1: holds the placeholder PLACEHOLDER_SHA256"},
	},
	{
		number: 62, what: "062_JunkCommitted", plant: func(p *planting) {
			p.files["lib/main.dart.build-backup"], p.files["backups/2025/app.bin"] = "x", "x"
		},
		fails: []string{"tracked"}, says: []string{`lib/main.dart.build-backup: it is in the commit`, `backups: it is in the commit`},
	},
	{
		number: 62, what: "062_JunkShipped", plant: func(p *planting) { p.files["prebuilt/app/data/flutter_assets/app.yaml.backup"] = "x" },
		fails: []string{"paths", "tracked"}, says: []string{inAssets + "app.yaml.backup is a backup copy"},
	},
	{
		number: 65, what: "065_UnexpandedDate", plant: func(p *planting) { p.files["README.md"] += "Last updated: $(date +%F)\n" },
		fails: []string{"text"}, says: []string{"README.md:2: holds an unexpanded $(date"},
	},
	{
		number: 65, what: "065_SizesContradict", plant: func(p *planting) { p.cfg.Packages[0].Size = size.Band{Min: 34e6, Max: 39e6} }, // 19 and 15 to 20
		fails: []string{"size"}, says: []string{tarballFile + " has ", "want 34MB to 39MB"},
	},
	{
		number: 66, what: "066_LauncherInProgram", plant: func(p *planting) {
			p.files[engine] += "\x00_launchTraySettings\x00"
			p.files["lib/screens/tray.dart"] = "void _launchTraySettings() {}\n"
		},
		fails: []string{"text", "no-launcher"},
		says:  []string{`libflutter_linux_gtk.so: holds the forbidden text "_launchTraySettings"`, `lib/screens/tray.dart:1: "_launchTraySettings" is forbidden`},
	},
	{
		number: 66, what: "066_SettingsProgramInTarball", plant: func(p *planting) {
			tampered(p, "", nil, tar.Header{Name: top + "bin/cloudtolocalllm-settings", Typeflag: tar.TypeReg, Mode: 0o755})
		},
		fails: []string{"contents", "paths"}, says: []string{tarballFile, "bin/cloudtolocalllm-settings is forbidden"},
	},
}
