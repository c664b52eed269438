package inspect

import (
	"bytes"
	"strings"
	"testing"
	"testing/iotest"
)

func TestInspect_051_IconIsText(t *testing.T) {
	t.Parallel()
	for body, want := range map[string]string{
		"this is an icon\n":    `it is no PNG, it begins with "this is an icon\n"`,
		pngFile(64, 64):        "has 64 x 64 pixels, want the 128 x 128",
		pngFile(128, 128)[:20]: "damaged PNG",
		pngFile(1<<30, 1<<30):  "want 1 to 16384",
		pngFile(0, 128):        "want 1 to 16384",
		strings.Replace(pngFile(128, 128), "IHDR", "IHDX", 1):                 "no IHDR",
		strings.Replace(pngFile(128, 128), "\x08\x06\x00", "\x08\x07\x00", 1): "checksum",
		"": "no PNG",
	} {
		planted(t, flutterRules, Icons, good(), good(file{path: iconAt, body: body}), iconAt, want)
	}
	svg := "share/icons/hicolor/scalable/apps/cloudtolocalllm.svg"
	for _, body := range []string{"text", "", "<html></html>", "<svg", pngFile(1, 1), "<!-- "} {
		planted(t, flutterRules, Icons, good(), good(file{path: svg, body: body}), svg, "no SVG")
	}
	big := "share/icons/hicolor/24x24@2/apps/x.png"
	planted(t, flutterRules, Icons, good(file{path: big, body: pngFile(48, 48)}), good(file{path: big, body: pngFile(24, 24)}), big, "48 x 48")
}

func TestInspect_056_NamesOfPrograms(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		strings.Replace(goodUnit, "cloudtolocalllm-tray", "cloudtolocalllm-enhanced-tray", 1): `program "/usr/bin/cloudtolocalllm-enhanced-tray" is not in the tree, want bin/cloudtolocalllm-enhanced-tray`,
		strings.Replace(goodUnit, "Type=exec", "Type=exec\nUser=%i", 1):                       "uses %i, but only a template",
		strings.Replace(goodUnit, "Type=exec", "User=root", 1):                                "cannot be set in a user's unit",
		strings.Replace(goodUnit, "ExecStart=", "# ExecStart=", 1):                            "has no ExecStart",
		strings.Replace(goodUnit, "/usr/bin/", "/opt/", 1):                                    "outside of /usr",
		strings.Replace(goodUnit, "/usr/bin/", "bin/", 1):                                     "neither a name nor a path",
		strings.Replace(goodUnit, "[Service]", "[Service", 1):                                 "line 4",
		"ExecStart=x\n": "line 1",
		goodUnit + "\\": "goes on",
		strings.Replace(goodUnit, "ExecStart=", "ExecStart=\"", 1): "quote",
	} {
		planted(t, flutterRules, Desktop, good(), good(file{path: unitAt, body: bad}), unitAt, want)
	}
	for _, fine := range []string{
		strings.Replace(goodUnit, "ExecStart=", "ExecStartPre=-/bin/sh -c 'x'\nExecStart=@", 1),
		strings.Replace(goodUnit, "ExecStart=/usr/bin/", "ExecStart= \\\n; comment\n  ", 1),
		strings.Replace(goodUnit, "ExecStart=", "ExecStart=/usr/bin/env A=b ", 1),
		strings.Replace(goodUnit, "Description=Tray", "Description=100%%i", 1),
	} {
		if got := faults(t, flutterRules, good(file{path: unitAt, body: fine}), Desktop); len(got) != 0 {
			t.Errorf("%q of\n%s", got, fine)
		}
	}
	template := "lib/systemd/user/x@.service"
	if got := faults(t, flutterRules, good(file{path: template, body: strings.Replace(goodUnit, "tray\n", "tray %i\n", 1)}), Desktop); len(got) != 0 {
		t.Errorf("a template: %q", got)
	}
}

func TestInspect_Desktop(t *testing.T) {
	t.Parallel()
	for bad, want := range map[string]string{
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", "Exec=cloudtolocalllm-settings", 1):     `"cloudtolocalllm-settings" is not in the tree`,
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", "Exec=/usr/bin/nothing", 1):             "want bin/nothing",
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", "Exec=/opt/app/app", 1):                 "outside of /usr",
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", "Exec=$(id)", 1):                        "reserved",
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", "Exec=/usr/"+flutter, 1):                "mode 0644, want 0755",
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", "Exec=../../../bin/sh", 1):              "neither a name",
		strings.Replace(goodEntry, "Exec=cloudtolocalllm %U", "Exec=env A=b", 1):                   "env starts nothing",
		goodEntry + "TryExec=nothing\n":                                                            "TryExec",
		goodEntry + "Actions=a;\n[Desktop Action a]\nName=a\nExec=no-such\n":                       `"no-such" is not in the tree`,
		strings.Replace(goodEntry, "Icon=cloudtolocalllm", "Icon=other", 1):                        "no icon of this name",
		strings.Replace(goodEntry, "Icon=cloudtolocalllm", "Icon=/usr/share/pixmaps/other.png", 1): "not in the tree",
		strings.Replace(goodEntry, "Type=Application\n", "", 1):                                    "it has no Type",
		"\ufeff" + goodEntry:                              "byte order mark",
		strings.ReplaceAll(goodEntry, "\n", "\r\n"):       "carriage return",
		goodEntry + strings.Repeat("# filler\n", 1<<20/8): "larger than",
	} {
		planted(t, flutterRules, Desktop, good(), good(file{path: entryAt, body: bad}), entryAt, want)
	}
	for _, fine := range []string{
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", `Exec="/usr/bin/cloudtolocalllm"`, 1),
		strings.Replace(goodEntry, "Exec=cloudtolocalllm", `Exec=env A=b cloudtolocalllm`, 1),
		strings.Replace(goodEntry, "Icon=cloudtolocalllm", "Icon=/usr/"+iconAt, 1),
	} {
		if got := faults(t, flutterRules, good(file{path: entryAt, body: fine}), Desktop); len(got) != 0 {
			t.Errorf("%q of\n%s", got, fine)
		}
	}
	planted(t, flutterRules, Desktop, good(), without(good(), "lib/cloudtolocalllm/cloudtolocalllm"), entryAt, "is not in the tree")
}

func TestInspect_057_Placeholders(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{
		"sha256: PLACEHOLDER_SHA256\n":     "x.txt:3: holds the placeholder PLACEHOLDER_SHA256",
		"at BUILD_TIME_PLACEHOLDER":        "BUILD_TIME_PLACEHOLDER",
		"X_GIT_COMMIT_PLACEHOLDER_Y":       "X_GIT_COMMIT_PLACEHOLDER_Y",
		"version {{ .Version }}":           `x.txt:3: holds the unfilled field "{{ .Version }}"`,
		"{{-.BuildNumber | printf `%s` }}": "unfilled field",
	} {
		planted(t, Rules{}, Text, good0(), treeOf(file{path: "share/x.txt", body: "one\n\n" + text}), want)
	}
	for _, text := range []string{"INPUT_PLACEHOLDER", "placeholder_sha256", "PLACEHOLDERS_SHA256", "{{ .Title }}", "{ .Version }", "{{ .Versions }}", "PLACEHOLDER\nSHA256"} {
		if got := faults(t, Rules{}, treeOf(file{path: "share/x.txt", body: text}), Text); len(got) != 0 {
			t.Errorf("%s: %q", text, got)
		}
	}
}

func TestInspect_065_UnexpandedDate(t *testing.T) {
	t.Parallel()
	planted(t, Rules{}, Text, good0(), treeOf(file{path: "share/PACKAGE_INFO.txt", body: "Built $(date -u)\n"}), "PACKAGE_INFO.txt:1", "$(date")
	if got := faults(t, Rules{}, treeOf(file{path: "bin/x", body: "#!/bin/sh\necho $(date)\n", mode: 0o755}, file{path: "lib/x.sh", body: "$(date)"}), Text); len(got) != 0 {
		t.Errorf("a script: %q", got)
	}
	for _, name := range []string{"a.json", "SHA256SUMS", "VERSION", "a.desktop", "a.service", "x.sha256"} {
		planted(t, Rules{}, Text, good0(), treeOf(file{path: "share/" + name, body: "\ufeff1.0"}), name, "byte order mark")
	}
	if got := faults(t, Rules{}, treeOf(file{path: "share/a.txt", body: "\ufeff1.0"}), Text); len(got) != 0 {
		t.Errorf("a text for people: %q", got)
	}
}

func TestInspect_ForbiddenText(t *testing.T) {
	t.Parallel()
	r := Rules{ForbiddenText: []string{"_launchTraySettings", "two\nlines"}}
	planted(t, r, Text, good0(), treeOf(file{path: "lib/libapp.so", body: elfFile(program{library: true, text: "x_launchTraySettingsx"})}), "lib/libapp.so", "_launchTraySettings", "at byte")
	planted(t, r, Text, good0(), treeOf(file{path: "share/x", body: "a\nb _launchTraySettings\n"}), "share/x:2")
	planted(t, r, Text, good0(), treeOf(file{path: "share/x", body: "two\nlines"}), "share/x:1")
	if got := faults(t, Rules{ForbiddenText: r.ForbiddenText, Ignore: []string{"share/*"}}, treeOf(file{path: "share/x", body: "_launchTraySettings"}), Text); len(got) != 0 {
		t.Errorf("ignored: %q", got)
	}
}

func TestScan_Borders(t *testing.T) {
	t.Parallel()
	buf := make([]byte, block+behind+ahead)
	for _, word := range []string{"forbidden text", "BUILD_TIME_PLACEHOLDER", "{{ .Version }}", "$(date"} {
		for _, border := range []int{headSize, block, block + behind, block + behind + ahead, block + ahead, 2 * block, 2*block + behind + ahead} {
			for _, shift := range []int{-30, -22, -21, -14, -13, -12, -6, -5, -1, 0, 1} {
				at := border + shift
				body := bytes.Repeat([]byte("."), 3*block)
				for i := 99; i < at; i += 100 {
					body[i] = '\n'
				}
				copy(body[at:], word)
				s := scan{text: true, date: true, forbidden: []string{"forbidden text"}}
				if n, err := s.stream(t.Context(), body[:headSize], iotest.HalfReader(bytes.NewReader(body[headSize:])), buf); err != nil || n != int64(len(body)) {
					t.Fatal(n, err)
				}
				if len(s.found) != 1 || !strings.Contains(s.found[0].what, word) && word[0] != '$' {
					t.Fatalf("%s at %d: %+v", word, at, s.found)
				}
				if h := s.found[0]; word[0] != 'B' && h.offset != int64(at) || h.line != 1+bytes.Count(body[:at], []byte("\n")) {
					t.Fatalf("%s at %d, line %d: %+v", word, at, 1+bytes.Count(body[:at], []byte("\n")), h)
				}
			}
		}
	}
}
