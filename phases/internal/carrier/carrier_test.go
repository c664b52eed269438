package carrier

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/version"
)

func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

func parsed(t testing.TB, s string) version.Version {
	t.Helper()
	v, err := version.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

// stamp is what the examples are stamped with: half past four in Berlin.
var stamp = Stamp{time.Date(2025, 6, 29, 23, 50, 0, 999, time.FixedZone("", 2*3600)), "0123456789ab"}

// examples are carriers of every form. Between « and » stands what is read; after | what 3.2.1+10 makes of it.
var examples = []struct{ file, text string }{
	{"pubspec.yaml", "name: app\nversion: «3.1.3+001|3.2.1+10»\nenvironment:\n  sdk: '>=3.0.0 <4.0.0'\n"},
	{"pubspec.yaml", "name: app\r\nversion: «3.1.3+001|3.2.1+10»\r\n# end\r\n"},
	{"apps/main/pubspec.yaml", "version: '«3.1.3|3.2.1+10»' # the one\nname: app"},
	{"pubspec.yaml", "\"version\" : \"«3.8.3+202506291750|3.2.1+10»\"\t# x\n"},
	{"pubspec.yaml", "version:    «3.5.6+BUILD_TIME_PLACEHOLDER|3.2.1+10»   \n"},
	{"pubspec.yaml", "---\n# version: 9.9.9 " + strings.Repeat("-", 200) + "\ndependencies:\n  version: 1.0.0\n  text: |\n    version: 2.0.0\nversion: «3.2.1+9|3.2.1+10»"},
	{"pubspec.yaml", "description: it's here # don't\nversion: «3.2.1+9#x|3.2.1+10» #x\n"},
	{"VERSION", "«3.1.3|3.2.1»\n"},
	{"VERSION", "«3.1.3+9|3.2.1+10»"},
	{"VERSION", "  «3.1.3|3.2.1»\r\n\r\n"},
	{"VERSION.txt", "«dev|3.2.1»\n"},
	{"assets/version.json", "{\n  \"version\": \"«3.1.3|3.2.1»\",\n  \"build_number\":  \"«001|10»\",\n  \"build_date\": \"«2025-01-01T00:00:00Z|2025-06-29T21:50:00Z»\",\n  \"git_commit\": \"«latest|0123456789ab»\"\n}\n"},
	{"version.json", `{"app_name":"a","version":"«3.1.3|3.2.1»","build_number":"«9|10»","package_name":"a \u00e4 \" b"}`},
	{"version.json", `{"git_commit":"«|0123456789ab»","nested":{"version":"0"},"list":[{"version":"1"}],"build_number":"«9|10»","version":"«3.1.3+9|3.2.1»"}`},
	{"package.json", "{\r\n\t\"name\": \"x\",\r\n\t\"version\": \"«3.1.3|3.2.1»\",\r\n\t\"dependencies\": {\"version\": \"^1.0.0\"}\r\n}"},
	{"package.json", `{"version":"«3.1.3+1|3.2.1+10»"}`},
	{"lib/config/app_config.dart", "/// appVersion = '0.0.0';\nclass AppConfig {\n  static const String appVersion = '«3.1.3|3.2.1»';\n  static const String url = 'https://x/${f('appVersion = 1;')}';\n}\n"},
	{"lib/shared/lib/version.dart", `// Generated
class V {
  static const String mainAppVersion = '«3.1.3|3.2.1»';
  static const int mainAppBuildNumber = «202506291750|10»;
  static const String tunnelManagerVersion = "«3.1.0|3.2.1»";
  static const int tunnelManagerBuildNumber = «010|010»;
  static const String sharedLibraryVersion = '«BUILD_TIME_PLACEHOLDER|3.2.1»';
  static const String buildTimestamp = '«BUILD_TIME_PLACEHOLDER|2025-06-29T21:50:00Z»';
  static const String gitCommitHash = '«unknown|0123456789ab»';
  static const String trayDaemonVersion = 'deprecated';
  static String get s => '''appVersion = '${mainAppVersion}' ''' r'\';
  bool same(String appVersion) => appVersion == '0';
  void set() { appVersion = 'x'; }
}
`},
	{"v.dart", "/* a /* nested */ const appVersion = '0.0.0'; */ const appVersion='«3.1.3+1|3.2.1+10»';"},
	{"version.go", "package x\n\n// Version is x.\nconst Version = \"«3.1.3|3.2.1»\"\n\nvar (\n\tBuildNumber, other = «9|10», 1\n\tBuildDate = `«unknown|2025-06-29T21:50:00Z»`\n\tGitCommit = \"«|0123456789ab»\"\n\tversion string\n)\n\nfunc f() { Version := \"0.0.0\"; _ = Version }\n"},
	{"main.go", "package main\r\n\r\n//line /x.y:100\r\nvar version = \"«dev|3.2.1»\"\r\n"},
	{"Cargo.toml", "[package] # x\nname = \"x\"\nversion = \"«3.1.3|3.2.1»\" # y\ndescription = \"\"\"\n[package]\nversion = \"0.0.0\"\n\"\"\"\n\n[dependencies]\nversion = \"1\"\nx = { version = \"1\" }\n[[bin]]\nversion = 'z'\n"},
	{"Cargo.toml", "[workspace.package]\nversion = '«3.1.3|3.2.1»'\n"},
	{"pyproject.toml", "[build-system]\nrequires = [\n\"a>=1\", # it's\n['project'],\n]\n[ project ]\r\n\tversion=\"«3.1.3|3.2.1»\"\r\ndynamic = []\n"},
	{"pyproject.toml", "[tool.poetry]\n\"version\" = \"«3.1.3+1|3.2.1+10»\""},
	{"aur-package/PKGBUILD", "# pkgver=0\npkgname=x\npkgver=«3.1.3|3.2.1»\npkgrel=2\nsource=(\"x-$pkgver.tar.gz\"\n  pkgver=0)\nbuild() {\n  pkgver=1\n  case x in a) echo;; esac\n  cat <<EOT\npkgver=2\n}\nEOT\n}\n"},
	{"PKGBUILD", "pkgname='it'\\''s' pkgver='«3.1.3+1|3.2.1+10»' pkgrel=1 # x\n_x=\"$(echo 'a)' \"b\" ${y:-\\}} )\"\n"},
	{"PKGBUILD", "arch=(x86_64) ; pkgver=\"«3.1.3|3.2.1»\"; pkgrel=1\r\n"},
	{".SRCINFO", "pkgbase = x\n\tpkgdesc = pkgver = 0\n\tpkgver = «3.1.3|3.2.1»\n\tpkgrel = 1\n\npkgname = x\n"},
	{"packaging/deb/DEBIAN/control", "Package: x\nversion: «3.1.3|3.2.1»\nDescription: y\n Version: 0\n\nPackage: z\nVersion: 1\n"},
	{"control", "\nVersion:   2:«3.1.3~rc.1|3.2.1»-1ubuntu2  \r\n"},
	{"control", "Version: «3.1.3+9|3.2.1+10»-1"},
	{"installers/windows/x.iss", "\ufeff; #define MyAppVersion \"0\"\r\n#define MyAppVersion \"«3.1.3|3.2.1»\" ; y\r\n#define MyAppVersionInfo \"1\"\r\nName: \"\xe4\"\r\n"},
}

// sides cuts an example into what is read and what is written.
func sides(text string) (before, after string, places [][2]string) {
	for {
		head, rest, ok := strings.Cut(text, "«")
		before, after = before+head, after+head
		if !ok {
			return before, after, places
		}
		inner, rest, _ := strings.Cut(rest, "»")
		old, now, _ := strings.Cut(inner, "|")
		before, after, text = before+old, after+now, rest
		places = append(places, [2]string{old, now})
	}
}

func TestWrite(t *testing.T) {
	v := parsed(t, "3.2.1+10")
	for i, e := range examples {
		t.Run(fmt.Sprintf("%d_%s", i, filepath.Base(e.file)), func(t *testing.T) {
			before, after, places := sides(e.text)
			drifts, err := Check(e.file, []byte(before), v, stamp)
			if err != nil {
				t.Fatal(err)
			}
			differ := 0
			for _, p := range places {
				if p[0] != p[1] {
					differ++
				}
			}
			if len(drifts) != differ {
				t.Errorf("%d drifts, want %d: %v", len(drifts), differ, drifts)
			}
			for _, d := range drifts {
				line := strings.Split(before, "\n")[d.Line-1]
				if d.File != e.file || !strings.Contains(line, d.Found) {
					t.Errorf("drift %q is not what the line says: %q", d, line)
				}
			}
			got, err := Write(e.file, []byte(before), v, stamp)
			if err != nil {
				t.Fatal(err)
			}
			if string(got) != after {
				t.Fatalf("wrote\n%q, want\n%q", got, after)
			}
			if drifts, err := Check(e.file, got, v, stamp); err != nil || len(drifts) > 0 {
				t.Errorf("after writing: %v, %v", drifts, err)
			}
			if again, err := Write(e.file, got, v, stamp); err != nil || string(again) != after {
				t.Errorf("written again: %q, %v", again, err)
			}
			// Without a stamp its places stay as they were.
			plain, err := Write(e.file, []byte(before), v, Stamp{})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range places {
				if strings.HasPrefix(p[1], "2025-06") && !strings.Contains(string(plain), p[0]) {
					t.Errorf("without a stamp %q is gone from %q", p[0], plain)
				}
			}
		})
	}
}

func TestRead(t *testing.T) {
	for _, c := range []struct {
		file, text string
		want       Found
	}{
		{"pubspec.yaml", "name: x\n\nversion: 3.2.1+008\n", Found{"3.2.1+008", 3, "", false}},
		{"pubspec.yaml", "\ufeffversion: 3.5.6+BUILD_TIME_PLACEHOLDER\n", Found{"3.5.6+BUILD_TIME_PLACEHOLDER", 1, "", true}},
		{"version.json", "\ufeff{\n\"build_number\": \"7\",\n\"version\": \"3.1.3\"}", Found{"3.1.3", 3, "7", true}},
		{"VERSION", "\ufeff1.0.0", Found{"1.0.0", 1, "", true}},
		{"x.iss", "\ufeff#define MyAppVersion \"1.0.0\"", Found{"1.0.0", 1, "", false}},
		{"control", "A: b\nVersion: 1:3.2.1~rc.1-2\n", Found{"3.2.1~rc.1", 2, "", false}},
		{"x.dart", "const appVersion = '1.0.0';\nconst buildNumber = 7;", Found{"1.0.0", 1, "7", false}},
	} {
		if got, err := Read(c.file, []byte(c.text)); err != nil || got != c.want {
			t.Errorf("Read(%s, %q) = %+v, %v; want %+v", c.file, c.text, got, err, c.want)
		}
	}
}

func TestSource(t *testing.T) {
	for _, c := range []struct{ file, text, want string }{
		{"pubspec.yaml", "version: 3.8.3+202506291750\n", "3.8.3+202506291750"},
		{"version.json", `{"version":"3.1.3","build_number":"001"}`, "3.1.3+001"},
		{"VERSION", "0.1.0\n", "0.1.0"},
		{"package.json", `{"version":"0.1.0-rc.1"}`, "0.1.0-rc.1"},
	} {
		if v, _, err := Source(c.file, []byte(c.text)); err != nil || v.String() != c.want {
			t.Errorf("Source(%s) = %s, %v; want %s", c.file, v, err, c.want)
		}
	}
	for _, c := range []struct{ file, text, why string }{
		{"pubspec.yaml", "\nversion: 3.5.6+BUILD_TIME_PLACEHOLDER\n", `pubspec.yaml:2: "3.5.6+BUILD_TIME_PLACEHOLDER" is not a version: the build number "BUILD_TIME_PLACEHOLDER" is a placeholder`},
		{"pubspec.yaml", "version: 3.2\n", "has 2 numbers"},
		{"version.json", `{"version":"3.1.3+1","build_number":"1"}`, `stands beside it`},
		{"VERSION", "v1.0.0\n", "leading v"},
	} {
		if v, _, err := Source(c.file, []byte(c.text)); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("Source(%s, %q) = %s, %v; want an error with %q", c.file, c.text, v, err, c.why)
		}
	}
}

// TestWriteSource: bump build of a source without build number must not lose it.
func TestWriteSource(t *testing.T) {
	for _, c := range []struct{ file, before, after string }{
		{"VERSION", "3.2.1\n", "3.2.1+10\n"},
		{"package.json", `{"version": "3.0.0"}`, `{"version": "3.2.1+10"}`},
		{"version.json", `{"version": "3.0.0", "build_number": "1"}`, `{"version": "3.2.1", "build_number": "10"}`},
		{"pubspec.yaml", "version: 3.0.0\n", "version: 3.2.1+10\n"},
		{"PKGBUILD", "pkgver=3.0.0\n", "pkgver=3.2.1+10\n"},
	} {
		if got, err := WriteSource(c.file, []byte(c.before), parsed(t, "3.2.1+10"), Stamp{}); err != nil || string(got) != c.after {
			t.Errorf("WriteSource(%s, %q) = %q, %v; want %q", c.file, c.before, got, err, c.after)
		}
	}
}

func TestWrite_Prerelease(t *testing.T) {
	for file, want := range map[string]string{
		"VERSION": "3.3.0-rc.1", "control": "3.3.0~rc.1", "PKGBUILD": "3.3.0rc1", ".SRCINFO": "3.3.0rc1", "pubspec.yaml": "3.3.0-rc.1+2",
	} {
		text := map[string]string{"VERSION": "1.0.0", "control": "Version: 1.0.0-1", "PKGBUILD": "pkgver=1.0.0", ".SRCINFO": "\tpkgver = 1.0.0", "pubspec.yaml": "version: 1.0.0+1"}[file]
		got, err := Write(file, []byte(text), parsed(t, "3.3.0-rc.1+2"), Stamp{})
		if err != nil || !strings.Contains(string(got), want) {
			t.Errorf("%s: %q, %v; want %s in it", file, got, err, want)
		}
	}
}

// TestRefused are carriers in shapes that are errors, with the line that the error must name and words of it.
func TestRefused(t *testing.T) {
	for _, c := range []struct {
		file, text string
		line       int
		why        string
	}{
		{"pubspec.yaml", "name: x\n", 0, "no version"},
		{"pubspec.yaml", "", 0, "no version"},
		{"pubspec.yaml", "a:\n  version: 1.0.0\n", 0, "no version"},
		{"pubspec.yaml", "version: 1.0.0\nversion: 1.0.1\n", 2, "second time"},
		{"pubspec.yaml", "version:\n  1.0.0\n", 1, "no value"},
		{"pubspec.yaml", "version: # 1.0.0\n", 1, "no value"},
		{"pubspec.yaml", "version: &a 1.0.0\n", 1, "not one simple text"},
		{"pubspec.yaml", "version: {{version}}\n", 1, "not one simple text"},
		{"pubspec.yaml", "version: \"1.0.0\\x41\"\n", 1, "not one simple text"},
		{"pubspec.yaml", "version: '1.0.0\n", 1, "does not end"},
		{"pubspec.yaml", "version: '1.0.0' x\n", 1, "not one simple text"},
		{"pubspec.yaml", "version: 1.0.0\n  +1\n", 1, "YAML value"},
		{"pubspec.yaml", "name: \"\nversion: 1.0.0\n\"\n", 2, "not a key"},
		{"pubspec.yaml", "name: x\nversion: 1.0.0\n a: [\n", 2, "YAML"},
		{"pubspec.yaml", "name: x\rversion: 1.0.0\n", 1, "carriage return"},
		{"pubspec.yaml", "version: 1.0.0\nx: " + strings.Repeat("[", 1000) + "\n", 2, "deep"},
		{"pubspec.yaml", "version: 1.0.0\nx:\n  " + strings.Repeat("- ", 1000) + "\n", 3, "deep"},
		{"pubspec.yaml", strings.Repeat("#", maxYAML+1), 0, "larger than"},
		{"VERSION", strings.Repeat("1", MaxSize+1), 0, "larger than"},
		{"VERSION", "", 0, "no version"},
		{"VERSION", " \n", 0, "no version"},
		{"VERSION", "1.0.0\n1.0.1\n", 2, "more than one line"},
		{"version.json", "", 1, "not JSON"},
		{"version.json", "[]", 0, "not a JSON object"},
		{"version.json", `{"a":"b"}`, 0, "no version"},
		{"version.json", "{\n\"version\": \"1.0.0\",\n\"git_commit\": \"abc\r\"}", 3, "byte 41"}, // a real one held a raw carriage return
		{"version.json", "{\"version\": \"1.0.0\",}", 1, "byte 21"},
		{"version.json", `{"version": "1.0.0"} x`, 1, "not JSON"},
		{"version.json", `{"version": "1.0.0", "version": "1.0.0"}`, 1, "second time"},
		{"version.json", "{\"version\": 1.0}", 1, "not a string"},
		{"version.json", `{"version": "1.0.0", "build_number": 1}`, 1, "not a string"},
		{"version.json", `{"version": "1.\u0030.0"}`, 1, "escapes"},
		{"version.json", "{\"version\": \"1.0.0\", \"x\": \"\xff\"}", 1, "0xff"},
		{"version.json", "{\"version\": \"1.0.0\", // x\n}", 1, "not JSON"},
		{"package-lock.json", `{"version": "1.0.0"}`, 0, "package.json"},
		{"a.dart", "const x = 1;", 0, "no version"},
		{"a.dart", "\nconst appVersion = '1' '2';", 2, "not one literal"},
		{"a.dart", "const appVersion = '$x';", 1, "not a simple literal"},
		{"a.dart", "const appVersion = r'1.0.0';", 1, "not a simple literal"},
		{"a.dart", "const appVersion = '1.0.0';\nconst appVersion = '1.0.0';", 2, "second time"},
		{"a.dart", "const appVersion = '1.0.0\n';", 1, "does not end"},
		{"a.dart", "/* const appVersion = '1.0.0';", 1, "does not end"},
		{"a.dart", "const appVersion = '${", 1, "does not end"},
		{"a.go", "package x\nconst Version = 1 + 2\n", 2, "not one literal"},
		{"a.go", "package x\nconst Version = \"\\x31\"\n", 2, "escapes"},
		{"a.go", "package x\nfunc f() { const Version = \"1\" }\n", 0, "no version"},
		{"a.go", "package x\nconst Version = \"1.0.0\n", 2, "not Go"},
		{"Cargo.toml", "[package]\nversion.workspace = true\n", 2, "inherited"},
		{"Cargo.toml", "[package]\nversion = { workspace = true }\n", 2, "not one simple text"},
		{"Cargo.toml", "[package]\nversion = \"\"\"1.0.0\"\"\"\n", 2, "not one simple text"},
		{"Cargo.toml", "[package]\nversion = \"1.0.0\"\nversion = \"1.0.0\"\n", 3, "second time"},
		{"Cargo.toml", "[package]\nx = \"\nversion = \"1.0.0\"\n", 2, "does not end"},
		{"pyproject.toml", "[project]\ndynamic = [\"version\"]\n", 0, "no version"},
		{"PKGBUILD", "pkgname=x\n", 0, "no version"},
		{"PKGBUILD", "\npkgver=$(date)\n", 2, "computed"},
		{"PKGBUILD", "pkgver=${_v}\n", 1, "computed"},
		{"PKGBUILD", "pkgver=\"1.0.`id`\"\n", 1, "computed"},
		{"PKGBUILD", "pkgver=1.0.0'x'\n", 1, "computed"},
		{"PKGBUILD", "pkgver+=1.0.0\n", 1, "computed"},
		{"PKGBUILD", "pkgver=1.0.0 make\n", 1, "computed"}, // set for that command only
		{"PKGBUILD", "pkgver=1.0.0\npkgver=1.0.1\n", 2, "second time"},
		{"PKGBUILD", "pkgver=1.0.0\npkgver() {\n git describe\n}\n", 2, "function"},
		{"PKGBUILD", "x='\npkgver=1.0.0\n", 1, "does not end"},
		{"PKGBUILD", "x() {\npkgver=1.0.0\n", 3, "never closed"},
		{"PKGBUILD", "cat <<X\npkgver=1.0.0\n", 2, "does not end"},
		{".SRCINFO", "", 0, "no version"}, // a tag held an empty one
		{".SRCINFO", "pkgver = 1\npkgver = 2\n", 2, "second time"},
		{"control", "Package: x\n\nVersion: 1\n", 0, "no version"},
		{"control", "Version: 1\nVERSION: 2\n", 2, "second time"},
		{"control", "Installed-Size: 1\nInstalled-Size: 2\n", 0, "no version"},
		{"x.iss", "#define MyAppVersion GetVersion()\n", 1, "double quotes"},
		{"x.iss", "#define MyAppVersion \"1\" + \"2\"\n", 1, "double quotes"},
		{"x.iss", "#define MyAppVersion \"1\n", 1, "double quotes"},
		{"README.md", "1.0.0", 0, "form is not known"},
		{"a\nb", "1.0.0", 0, "form is not known"},
	} {
		_, err := Read(c.file, []byte(c.text))
		if err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("Read(%s, %.60q) = %v; want an error with %q", c.file, c.text, err, c.why)
			continue
		}
		if c.line > 0 && !strings.Contains(err.Error(), fmt.Sprintf("%s, line %d:", c.file, c.line)) {
			t.Errorf("Read(%s, %.60q) = %v; want line %d", c.file, c.text, err, c.line)
		}
		if _, err := Write(c.file, []byte(c.text), parsed(t, "3.2.1+1"), stamp); err == nil {
			t.Errorf("Write(%s, %.60q) went well", c.file, c.text)
		}
	}
}

func TestWrite_Refused(t *testing.T) {
	for _, c := range []struct{ file, text, v, commit, why string }{
		{"version.json", `{"version":"1.0.0","build_number":"1"}`, "3.2.1", "", "give it one, for example 3.2.1+1"},
		{"a.dart", "const appVersion = '1';\nconst buildNumber = 1;", "3.2.1", "", "line 2"},
		{"a.dart", "const appVersion = '1';\nconst buildNumber = 1;", "3.2.1+1234567890123456789", "", "cannot hold it"},
		{"version.json", `{"version":"1.0.0","git_commit":""}`, "3.2.1", `","x":"`, "not a hexadecimal"},
	} {
		if got, err := Write(c.file, []byte(c.text), parsed(t, c.v), Stamp{Commit: c.commit}); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("Write(%s, %s) = %q, %v; want an error with %q", c.file, c.v, got, err, c.why)
		}
	}
}

// TestCheck_BOM: a byte order mark is kept by writing and reported by checking, except where it belongs to the form.
func TestCheck_BOM(t *testing.T) {
	v := parsed(t, "3.2.1+1")
	for _, c := range []struct {
		file, text string
		faults     int
	}{
		{"version.json", "\ufeff{\"version\": \"3.2.1\"}", 1},
		{"VERSION", "\ufeff3.2.1\n", 1},
		{"pubspec.yaml", "\ufeffversion: 3.2.1+1\n", 1},
		{"x.iss", "\ufeff#define MyAppVersion \"3.2.1\"\r\n", 0},
	} {
		got, err := Write(c.file, []byte(c.text), v, Stamp{})
		if err != nil || string(got) != c.text {
			t.Errorf("%s: wrote %q, %v; want it unchanged", c.file, got, err)
		}
		drifts, err := Check(c.file, []byte(c.text), v, Stamp{})
		if err != nil || len(drifts) != c.faults {
			t.Errorf("%s: %v, %v; want %d", c.file, drifts, err, c.faults)
		}
		for _, d := range drifts {
			if d.Line != 1 || !strings.Contains(d.String(), "byte order mark") || !strings.Contains(d.String(), "wanted nothing") {
				t.Errorf("%s: %s", c.file, d)
			}
		}
	}
}

func TestDrift_String(t *testing.T) {
	drifts, err := Check("assets/version.json", []byte("{\n  \"version\": \"3.1.3\"\n}"), parsed(t, "3.2.0+1"), Stamp{})
	if err != nil || len(drifts) != 1 {
		t.Fatal(drifts, err)
	}
	if got, want := drifts[0].String(), `assets/version.json:2: version is "3.1.3", wanted "3.2.0"`; got != want {
		t.Errorf("%s, want %s", got, want)
	}
}

// TestPKGBUILD_AsBashReadsIt sources every example PKGBUILD with the shell itself.
func TestPKGBUILD_AsBashReadsIt(t *testing.T) {
	need(t, "bash")
	n := 0
	for i, e := range examples {
		if filepath.Base(e.file) != "PKGBUILD" {
			continue
		}
		n++
		_, after, _ := sides(e.text)
		file := filepath.Join(t.TempDir(), "PKGBUILD")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(after, "\r", "")), 0o666); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("bash", "--noprofile", "--norc", "-c", `. "$1" >&2; printf %s "$pkgver"`, "bash", file).Output()
		found, _ := Read(e.file, []byte(after))
		if err != nil || string(out) != found.Version || found.Version == "" {
			t.Errorf("example %d: bash reads %q, %v; we read %q", i, out, err, found.Version)
		}
	}
	if n == 0 {
		t.Error("no example was read")
	}
}

// TestConfirm plants what a wrong edit would leave: reading again must notice each.
func TestConfirm(t *testing.T) {
	const file, text = "version.json", `{"version": "1.0.0", "build_number": "1"}`
	before, _, err := read(file, []byte(text))
	if err != nil {
		t.Fatal(err)
	}
	v := parsed(t, "3.2.1+10")
	if err := confirm(file, before, []byte(`{"version": "3.2.1", "build_number": "10"}`), v, Stamp{}, false); err != nil {
		t.Error(err)
	}
	for text, why := range map[string]string{
		text: `instead of "3.2.1"`,
		`{"version": "3.2.1", "build_number": "1"}`:                      `instead of "10"`,
		`{"version": "3.2.1"}`:                                           "1 places instead of 2",
		`{"version": "3.2.1", "build_number": "10`:                       "cannot be read again",
		`{"version": "3.2.1", "build_number": "10", "git_commit": "ab"}`: "3 places instead of 2",
	} {
		if err := confirm(file, before, []byte(text), v, Stamp{}, false); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%s: %v; want an error with %q", text, err, why)
		}
	}
}

func TestChanges(t *testing.T) {
	got, err := Changes("version.json", []byte("{\n\"version\": \"1.0.0\", \"build_number\": \"1\"}"), []byte("{\n\"version\": \"1.0.1\", \"build_number\": \"1\"}"))
	if err != nil || len(got) != 1 || got[0] != (Drift{"version.json", 2, "version", "1.0.0", "1.0.1"}) {
		t.Errorf("%v, %v", got, err)
	}
	if _, err := Changes("version.json", []byte(`{"version":"1"}`), []byte(`{"version":"1","build_number":"1"}`)); err == nil {
		t.Error("contents of different shapes are compared")
	}
}
