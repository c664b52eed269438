//go:build linux

package build

import (
	"archive/tar"
	"bytes"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/pipeline"
)

type bundleConfig = bundle.Config

const (
	tarballStep = "build/tarball/cloudtolocalllm/amd64"
	tarballFile = "cloudtolocalllm-3.2.1-x86_64.tar.gz"
	debStep     = "build/deb/cloudtolocalllm/amd64"
	debFile     = "cloudtolocalllm_3.2.1_amd64.deb"
	sumsStep    = "build/checksums"
	aurStep     = "build/aur/cloudtolocalllm-bin"
	aurRecipe   = "aur/cloudtolocalllm-bin/PKGBUILD"
	aurInfo     = "aur/cloudtolocalllm-bin/.SRCINFO"
	top         = "cloudtolocalllm-3.2.1-x86_64/"
)

// tampered changes one file in the finished tarball; more is added to it.
func tampered(p *planting, file string, edit func(h *tar.Header, body []byte) (*tar.Header, []byte), more ...tar.Header) {
	found := len(more) > 0
	p.made(tarballStep, tarballFile, func(b []byte) []byte {
		b = retar(p.t, b, func(h *tar.Header, body []byte) (*tar.Header, []byte) {
			if edit != nil && strings.TrimSuffix(strings.TrimPrefix(h.Name, top), "/") == file {
				found = true
				return edit(h, body)
			}
			return h, body
		}, more...)
		if !found {
			p.t.Errorf("%s is not in the tarball", file)
		}
		return b
	})
}

// holding is an edit that gives a file another content.
func holding(text string) func(*tar.Header, []byte) (*tar.Header, []byte) {
	return func(h *tar.Header, _ []byte) (*tar.Header, []byte) { return h, []byte(text) }
}

// versionFailures are those of versions and times.
var versionFailures = []failure{
	{
		number: 1, what: "001_StaleBundle", plant: func(p *planting) {
			p.replace(flutterStamp, "3.2.1", "3.0.1")
			p.replace(assetStamp, "3.2.1", "3.0.0")
		},
		fails: []string{"versions"},
		says: []string{
			inAssets + `version.json:1: version is "3.0.1", wanted "3.2.1"`, inAssets + `assets/version.json:2: version is "3.0.0", wanted "3.2.1"`,
		},
	},
	{
		number: 1, what: "001_StaleTarball",
		plant: func(p *planting) { tampered(p, inAssets+"assets/version.json", holding(stampJSON("3.0.0", "1"))) },
		fails: []string{"contents", "versions"}, says: []string{tarballFile, `assets/version.json:2: version is "3.0.0", wanted "3.2.1"`},
	},
	{
		number: 12, what: "012_CarriersDisagree", plant: func(p *planting) {
			p.replace("assets/version.json", "3.2.1", "2.1.1")
			p.replace("lib/config/app_config.dart", "3.2.1", "2.1.1")
			p.replace("aur-package/PKGBUILD", "3.2.1", "2.1.2")
		},
		stops: "build/version", says: []string{
			`assets/version.json:2: version is "2.1.1", wanted "3.2.1"`, `lib/config/app_config.dart:2: version is "2.1.1"`,
			`aur-package/PKGBUILD:2: version is "2.1.2"`, "slipway bump 3.2.1+1",
		},
	},
	{
		number: 13, what: "013_NoSourceOfTruth", plant: func(p *planting) { delete(p.files, "pubspec.yaml") },
		stops: "build/version", says: []string{"the source of truth pubspec.yaml does not exist"},
	},
	{
		number: 15, what: "015_OldPayloadBehindLink", plant: func(p *planting) {
			p.files["old/3.0.3/version.json"] = strings.ReplaceAll(p.files[flutterStamp], "3.2.1", "3.0.3")
			p.files["old/3.0.3/assets/version.json"] = stampJSON("3.0.3", "1")
			delete(p.files, flutterStamp)
			delete(p.files, assetStamp)
			p.bundle(func(b *bundleConfig) {
				b.Contents = append(b.Contents, bundle.Content{Src: "old/3.0.3", Dst: "lib/cloudtolocalllm-3.0.3", Type: "tree"},
					bundle.Content{Src: "../../cloudtolocalllm-3.0.3", Dst: strings.TrimSuffix(inAssets, "/"), Type: "symlink"})
			})
		},
		fails: []string{"versions"}, says: []string{inAssets + `version.json:1: version is "3.0.3", wanted "3.2.1"`},
	},
	{
		number: 18, what: "018_TwoVersions", plant: func(p *planting) { p.replace(assetStamp, "3.2.1", "3.2.0") },
		fails: []string{"versions"}, says: []string{inAssets + `assets/version.json:2: version is "3.2.0", wanted "3.2.1"`},
	},
	{
		number: 22, what: "022_Placeholder", plant: func(p *planting) { p.replace("pubspec.yaml", "+1", "+BUILD_TIME_PLACEHOLDER") },
		stops: "build/version", says: []string{"pubspec.yaml:2:", "placeholder"},
	},
	{
		number: 23, what: "023_ConstantUnset", plant: func(p *planting) { p.replace(versionDart, "= 1;", "= BUILD_NUMBER_PLACEHOLDER;") },
		stops: "build/version", says: []string{versionDart + ", line 3", "mainAppBuildNumber"},
	},
	{
		number: 24, what: "024_AnotherBuildNumber", plant: func(p *planting) { p.replace("assets/version.json", `"1"`, `"202506291750"`) },
		stops: "build/version", says: []string{`assets/version.json:3: build number is "202506291750", wanted "1"`},
	},
	{
		number: 24, what: "024_BuiltWithAnotherBuildNumber",
		plant: func(p *planting) { p.replace(flutterStamp, `"build_number":"1"`, `"build_number":"202506291750"`) },
		fails: []string{"versions"}, says: []string{inAssets + `version.json:1: build number is "202506291750", wanted "1"`},
	},
	{
		number: 55, what: "055_HardCodedInInstaller", plant: func(p *planting) { p.replace("installers/windows/app.iss", "3.2.1", "2.0.0") },
		stops: "build/version", says: []string{`installers/windows/app.iss:1: version is "2.0.0", wanted "3.2.1"`},
	},
	{
		number: 55, what: "055_HardCodedInScript",
		plant: func(p *planting) { p.files["scripts/packaging/deb.sh"] = "#!/bin/sh\nVERSION=\"3.0.2\"\n" },
		fails: []string{"no-literals"}, says: []string{`scripts/packaging/deb.sh:2: "VERSION=\"3." is forbidden`},
	},
	{
		number: 55, what: "055_AnotherNameOfArtifact", plant: func(p *planting) {
			p.made(sumsStep, "SHA256SUMS", func(b []byte) []byte {
				return bytes.Replace(b, []byte("cloudtolocalllm-3.2.1"), []byte("cloudtolocalllm-3.0.0"), 1)
			})
		},
		fails: []string{"checksums"}, says: []string{`SHA256SUMS names "cloudtolocalllm-3.0.0-x86_64.tar.gz", which is not one of its packages`},
	},
	{
		// The plan's time is the commit's, taken two hours too late: local time read as UTC.
		number: 59, what: "059_LocalTimeInPlan", plant: func(p *planting) { p.env = func(e *pipeline.Env) { e.Time = e.Time.Add(2 * time.Hour) } },
		stops: "build/version", says: []string{"2026-11-21T20:30:40Z", "the plan says 2026-11-21T22:30:40Z"},
	},
	{
		number: 59, what: "059_LocalTimeInBundle", plant: func(p *planting) { p.replace(assetStamp, "2025-06-29T21:50:00Z", "2025-06-29T23:50:00+02:00") },
		fails: []string{"versions"}, says: []string{`assets/version.json:4: build date is "2025-06-29T23:50:00+02:00", wanted a time in UTC like 2025-06-29T21:50:00Z`},
	},
	{
		number: 59, what: "059_LocalTimeInTarball", plant: func(p *planting) {
			tampered(p, "share/doc/cloudtolocalllm/LICENSE", func(h *tar.Header, b []byte) (*tar.Header, []byte) {
				h.ModTime = h.ModTime.Add(2 * time.Hour)
				return h, b
			})
		},
		fails: []string{"contents"}, says: []string{"LICENSE\": time 2026-11-21T22:30:40Z, want 2026-11-21T20:30:40Z"},
	},
	{
		// The branch as it was when all its boxes were ticked, then with one thing after the other mended.
		number: 66, what: "066_Branch_NoPubspec", plant: func(p *planting) { branch(p); delete(p.files, "pubspec.yaml") },
		stops: "build/version", says: []string{"the source of truth pubspec.yaml does not exist"},
	},
	{
		number: 66, what: "066_Branch_CarriersBehind", plant: branch,
		stops: "build/version", says: []string{`assets/version.json:2: version is "3.1.3"`, `aur-package/PKGBUILD:2: version is "3.2.0"`},
	},
	{
		number: 66, what: "066_Branch_SettingsProgram", plant: func(p *planting) {
			branch(p)
			p.replace("assets/version.json", "3.1.3", "3.2.1")
			p.replace("aur-package/PKGBUILD", "3.2.0", "3.2.1")
		},
		fails: []string{"paths", "no-launcher", "tracked"}, says: []string{
			"bin/cloudtolocalllm-settings is forbidden", `aur-package/PKGBUILD:5: "cloudtolocalllm-settings" is forbidden`,
			`scripts/build-tray.sh:2: "cloudtolocalllm-settings" is forbidden`, "pubspec.yaml.backup: it is in the commit",
		},
	},
	{
		number: 67, what: "067_RawReturnInCarrier", plant: func(p *planting) { p.replace("assets/version.json", "unknown", "unknown\r") },
		stops: "build/version", says: []string{"assets/version.json, line 5", "byte ", `'\r'`},
	},
	{
		number: 67, what: "067_RawReturnInBundle", plant: func(p *planting) { p.replace(assetStamp, "unknown", "unknown\r") },
		fails: []string{"versions"}, says: []string{inAssets + "assets/version.json, line 5", "not JSON: byte "},
	},
}

// branch is what was found on the branch of a release that was never made.
func branch(p *planting) {
	p.files["apps/main/pubspec.yaml"] = "version: 3.2.0+001\n"
	p.files["pubspec.yaml.backup"] = "version: 3.2.1+1\n"
	p.replace("assets/version.json", "3.2.1", "3.1.3")
	p.replace("aur-package/PKGBUILD", "pkgver=3.2.1", "pkgver=3.2.0")
	p.files["aur-package/PKGBUILD"] += "package() {\n\tinstall -Dm755 settings \"$pkgdir/usr/bin/cloudtolocalllm-settings\"\n}\n"
	p.files["scripts/build-tray.sh"] = "#!/bin/sh\npyinstaller --name cloudtolocalllm-settings settings.py\n"
	p.files["tray/settings"] = "#!/bin/sh\n"
	p.bundle(func(b *bundleConfig) {
		b.Contents = append(b.Contents, bundle.Content{Src: "tray/settings", Dst: "bin/cloudtolocalllm-settings"})
	})
}
