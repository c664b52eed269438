//go:build linux

package build

import (
	"archive/tar"
	"bytes"
	"errors"
	"os"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/phases/build/bundle"
)

// sums replaces the checksum in a file of the AUR package.
func sums(with string) func([]byte) []byte {
	return func(b []byte) []byte { return digestRE.ReplaceAll(b, []byte(with)) }
}

// swap replaces a text that has to be there.
func (p *planting) swap(old, text string) func([]byte) []byte {
	return func(b []byte) []byte {
		if !bytes.Contains(b, []byte(old)) {
			p.t.Errorf("%q is not there", old)
		}
		return bytes.Replace(b, []byte(old), []byte(text), 1)
	}
}

// inDeb changes a member of the Debian package.
func inDeb(p *planting, member string, edit func(h *tar.Header, body []byte) (*tar.Header, []byte), more ...tar.Header) {
	p.made(debStep, debFile, func(b []byte) []byte {
		return redeb(p.t, b, func(name string, data []byte) []byte {
			if name == member {
				return retar(p.t, data, edit, more...)
			}
			return data
		})
	})
}

// mark is a byte order mark.
const mark = "\ufeff"

// packageFailures are those of finished packages, checksum files and AUR packages.
var packageFailures = []failure{
	{
		number: 6, what: "006_NameInSumField", plant: func(p *planting) {
			p.made(aurStep, aurInfo, sums(strings.Repeat("ab", 32)+" "+tarballFile))
		},
		fails: []string{"aur"}, says: []string{"sha256sums_x86_64: want the SHA-256 of the file in 64 lower-case hexadecimal digits"},
	},
	{
		number: 6, what: "006_LineOfChecksumFile", plant: func(p *planting) {
			p.made(aurStep, aurInfo, sums(strings.Repeat("ab", 32)+"  "+tarballFile))
		},
		fails: []string{"aur"}, says: []string{".SRCINFO:", "sha256sums_x86_64: white space that makepkg would have folded"},
	},
	{
		number: 6, what: "006_CapitalsInSumField", plant: func(p *planting) { p.made(aurStep, aurInfo, sums(strings.Repeat("AB", 32))) },
		fails: []string{"aur"}, says: []string{"64 lower-case hexadecimal digits"},
	},
	{
		number: 7, what: "007_ShaFromArtifact", plant: func(p *planting) { // one typed sum in both files
			p.step = aurStep
			p.spoil = func(name string, b []byte) []byte { return sums(strings.Repeat("ab", 32))(b) }
		},
		fails: []string{"aur"}, says: []string{".SRCINFO: pkgbase: sha256sums_x86_64: want", strings.Repeat("ab", 32), "PKGBUILD is not as it was printed"},
	},
	{
		number: 7, what: "007_ShaInChecksumFile", plant: func(p *planting) {
			p.made(sumsStep, debFile+".sha256", func(b []byte) []byte { return append([]byte(strings.Repeat("ab", 32)), b[64:]...) })
		},
		fails: []string{"checksums"}, says: []string{debFile + `.sha256 has abababababab for "` + debFile + `", which has `},
	},
	{
		// Version 3.2.0 was packaged, then a script raised its pkgver: the new address with the old sum.
		number: 8, what: "008_OldSumOfNewVersion", plant: func(p *planting) {
			var before *project
			p.step = aurStep
			p.spoil = func(name string, _ []byte) []byte {
				var err error
				if before == nil {
					before, _, err = release(p.t, filepath.Join(p.t.TempDir(), "before"), false, func(q *planting) {
						q.replace("README.md", "3.2.1", "3.2.0") // what makes it another tarball
					})
				}
				b, rerr := os.ReadFile(before.path(name))
				if err := errors.Join(err, rerr); err != nil {
					p.t.Error(err)
				}
				return b
			}
		},
		fails: []string{"aur"}, says: []string{".SRCINFO: pkgbase: sha256sums_x86_64: want", "PKGBUILD is not as it was printed"},
	},
	{
		number: 9, what: "009_FlatTarball", plant: func(p *planting) {
			p.made(tarballStep, tarballFile, func(b []byte) []byte {
				return retar(p.t, b, func(h *tar.Header, body []byte) (*tar.Header, []byte) {
					if h.Name = strings.TrimPrefix(h.Name, top); h.Name == "" {
						return nil, nil
					}
					return h, body
				})
			})
		},
		fails: []string{"contents", "modes", "paths"}, says: []string{`"cloudtolocalllm-3.2.1-x86_64" is missing`},
	},
	{
		number: 9, what: "009_PKGBUILDExpectsAnotherFolder", plant: func(p *planting) {
			p.made(aurStep, aurRecipe, p.swap(`--strip-components=1 "cloudtolocalllm-${pkgver}-x86_64"`, `--strip-components=1 "cloudtolocalllm-${pkgver}"`))
		},
		fails: []string{"aur"}, says: []string{"PKGBUILD is not as it was printed"},
	},
	{
		number: 10, what: "010_OldSRCINFO", plant: func(p *planting) {
			p.made(aurStep, aurInfo, func(b []byte) []byte { return bytes.ReplaceAll(b, []byte("3.2.1"), []byte("3.0.3")) })
		},
		fails: []string{"aur"}, says: []string{`PKGBUILD and .SRCINFO differ: `, "3.0.3"},
	},
	{
		number: 10, what: "010_EmptySRCINFO", plant: func(p *planting) { p.made(aurStep, aurInfo, func([]byte) []byte { return nil }) },
		fails: []string{"aur"}, says: []string{".SRCINFO:1: does not contain a pkgbase (is the file empty?)"},
	},
	{
		number: 10, what: "010_CommittedSRCINFOBehind", plant: func(p *planting) { p.replace("aur-package/.SRCINFO", "3.2.1", "2.0.0.r1") },
		stops: "build/version", says: []string{`aur-package/.SRCINFO:2: version is "2.0.0.r1"`},
	},
	{
		number: 21, what: "021_MarkInChecksumFile", plant: func(p *planting) {
			p.made(sumsStep, tarballFile+".sha256", func(b []byte) []byte { return append([]byte(mark), b...) })
		},
		fails: []string{"checksums"}, says: []string{tarballFile + ".sha256: line 1: it begins with a byte order mark"},
	},
	{
		number: 21, what: "021_MarkInBundle", plant: func(p *planting) { p.files["sums/icon.sha256"] = mark + p.files["sums/icon.sha256"] },
		fails: []string{"text"}, says: []string{"share/cloudtolocalllm/icon.sha256 begins with a byte order mark"},
	},
	{
		number: 21, what: "021_MarkInCarrier", plant: func(p *planting) { p.files["assets/version.json"] = mark + p.files["assets/version.json"] },
		stops: "build/version", says: []string{"assets/version.json:1: byte order mark"},
	},
	{
		number: 31, what: "031_FlutterInDepends", plant: func(p *planting) { p.cfg.Packages[3].Depends = []string{"gtk3", "flutter"} },
		fails: []string{"aur"}, says: []string{`depends names "flutter", which builds programs and does not run them: want it in makedepends`},
	},
	{
		number: 52, what: "052_ControlOfSizes", plant: func(p *planting) {
			inDeb(p, "control.tar.gz", func(h *tar.Header, body []byte) (*tar.Header, []byte) {
				if h.Name == "./control" {
					body = []byte("Installed-Size: 100\nInstalled-Size: 100\n")
				}
				return h, body
			})
		},
		fails: []string{"contents"}, damaged: true, says: []string{debFile, "Installed-Size is there twice"},
	},
	{
		number: 52, what: "052_NoFieldsInControl", plant: func(p *planting) {
			inDeb(p, "control.tar.gz", func(h *tar.Header, body []byte) (*tar.Header, []byte) {
				if h.Name == "./control" {
					body = []byte("Installed-Size: 100\n")
				}
				return h, body
			})
		},
		fails: []string{"contents"}, says: []string{`Package is "", want "cloudtolocalllm"`, `Version is "", want "3.2.1-1"`},
	},
	{
		number: 52, what: "052_ModeOfDaemon", plant: func(p *planting) {
			inDeb(p, "data.tar.gz", func(h *tar.Header, body []byte) (*tar.Header, []byte) {
				if strings.HasSuffix(h.Name, "bin/cloudtolocalllm-tray") {
					h.Mode = 0o644
				}
				return h, body
			})
		},
		fails: []string{"contents", "modes", "desktop"},
		says:  []string{debFile, "bin/cloudtolocalllm-tray is a script that is to be started and has mode 0644, want 0755"},
	},
	{
		number: 52, what: "052_LeftInStaging", plant: func(p *planting) {
			p.made(debStep, debFile, packed(p, debFile, "bin/cloudtolocalllm-enhanced-tray"))
		},
		fails: []string{"contents", "paths"}, says: []string{debFile, `"usr/bin/cloudtolocalllm-enhanced-tray" is not expected`, "bin/cloudtolocalllm-enhanced-tray is forbidden"},
	},
	{
		number: 52, what: "052_CommittedControl", plant: func(p *planting) {
			p.files["packaging/deb/DEBIAN/control"] = "Installed-Size: 1\nInstalled-Size: 1\n"
		},
		stops: "build/version", says: []string{"packaging/deb/DEBIAN/control", "no version"},
	},
	{
		number: 53, what: "053_SumSkipped", plant: func(p *planting) {
			p.step, p.spoil = aurStep, func(_ string, b []byte) []byte { return sums("SKIP")(b) }
		},
		fails: []string{"aur"}, says: []string{`want the SHA-256 of the file in 64 lower-case hexadecimal digits, found "SKIP"`},
	},
	{
		number: 53, what: "053_PipInBuild", plant: func(p *planting) {
			p.made(aurStep, aurRecipe, p.swap("package() {", "build() {\n\tpip install --user pystray\n}\n\npackage() {"))
		},
		fails: []string{"aur"}, says: []string{"PKGBUILD:", "pkgbuild-grammar"},
	},
	{
		number: 53, what: "053_ScriptletInPKGBUILD", plant: func(p *planting) {
			p.made(aurStep, aurRecipe, func(b []byte) []byte { return append(b, "\npost_install() {\n\tupdate-desktop-database\n}\n"...) })
		},
		fails: []string{"aur"}, says: []string{"PKGBUILD:", "pkgbuild-grammar"},
	},
	{
		number: 54, what: "054_TailOfArray", plant: func(p *planting) { // the first line of three was replaced
			p.made(aurStep, aurRecipe, func(b []byte) []byte {
				return digestRE.ReplaceAll(b, []byte("$0')\n            '"+strings.Repeat("cd", 32)))
			})
		},
		fails: []string{"aur"}, says: []string{"PKGBUILD:", "pkgbuild-grammar"},
	},
	{
		number: 57, what: "057_PlaceholderForSum", plant: func(p *planting) {
			p.step, p.spoil = aurStep, func(_ string, b []byte) []byte { return sums("PLACEHOLDER_SHA256")(b) }
		},
		fails: []string{"aur"}, says: []string{`found "PLACEHOLDER_SHA256"`},
	},
	{
		number: 65, what: "065_BrokenUTF8", plant: func(p *planting) {
			p.made(aurStep, aurInfo, p.swap("pkgdesc = Manage", "pkgdesc = Manage \xff"))
		},
		fails: []string{"aur"}, says: []string{"not UTF-8"},
	},
	{
		number: 65, what: "065_BlockTwice", plant: func(p *planting) { p.made(aurStep, aurInfo, func(b []byte) []byte { return append(b, b...) }) },
		fails: []string{"aur"}, says: []string{".SRCINFO:"},
	},
	{
		number: 66, what: "066_SettingsProgramInDeb", plant: func(p *planting) {
			p.made(debStep, debFile, packed(p, debFile, "bin/cloudtolocalllm-settings"))
		},
		fails: []string{"contents", "paths"}, says: []string{debFile, "bin/cloudtolocalllm-settings is forbidden"},
	},
	{
		number: 66, what: "066_SettingsProgramInAppImage", plant: func(p *planting) {
			p.made("build/appimage/CloudToLocalLLM/amd64", appImageFile, packed(p, appImageFile, "bin/cloudtolocalllm-settings"))
		},
		fails: []string{"contents", "paths"}, says: []string{appImageFile, "bin/cloudtolocalllm-settings is forbidden"},
	},
}

const appImageFile = "CloudToLocalLLM-3.2.1-x86_64.AppImage"

// packed is an edit that puts a package in the place of another that was made of a bundle with one program more, where
// nothing was forbidden.
func packed(p *planting, file, program string) func([]byte) []byte {
	var old []byte
	return func([]byte) []byte {
		if old != nil {
			return old
		}
		before, _, err := release(p.t, filepath.Join(p.t.TempDir(), "before"), false, func(q *planting) {
			q.files["tray/old"] = "#!/bin/sh\n"
			q.bundle(func(b *bundleConfig) {
				b.Contents = append(b.Contents, bundle.Content{Src: "tray/old", Dst: program})
				b.Forbidden = nil
			})
		})
		if err == nil {
			old, err = os.ReadFile(before.path(file))
		}
		if err != nil {
			p.t.Error(err)
		}
		return old
	}
}
