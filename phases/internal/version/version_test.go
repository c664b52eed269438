package version

import (
	"os"
	"os/exec"
	"strings"
	"testing"
)

// need skips where a tool is missing, and fails in CI, where none may be.
func need(t *testing.T, tool string) {
	t.Helper()
	if _, err := exec.LookPath(tool); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("%s is missing", tool)
		}
		t.Skipf("%s is missing", tool)
	}
}

func parsed(t testing.TB, s string) Version {
	t.Helper()
	v, err := Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestParse(t *testing.T) {
	for s, want := range map[string]Version{
		"3.2.1":                             {"3.2.1", "", ""},
		"3.2.1+1":                           {"3.2.1", "", "1"},
		"3.1.3+001":                         {"3.1.3", "", "001"},
		"3.1.3+008":                         {"3.1.3", "", "008"},
		"3.8.3+202506291750":                {"3.8.3", "", "202506291750"},
		"0.1.0":                             {"0.1.0", "", ""},
		"0.0.0":                             {"0.0.0", "", ""},
		"3.2.1-rc.1":                        {"3.2.1", "rc.1", ""},
		"3.2.1-alpha+7":                     {"3.2.1", "alpha", "7"},
		"10.20.30-beta2.11+0":               {"10.20.30", "beta2.11", "0"},
		"99999999999999999999999.0.0-a.b.c": {"99999999999999999999999.0.0", "a.b.c", ""},
	} {
		v, err := Parse(s)
		if err != nil || v != want {
			t.Errorf("Parse(%q) = %+v, %v; want %+v", s, v, err, want)
		}
		if v.String() != s {
			t.Errorf("Parse(%q) prints as %q", s, v)
		}
	}
}

func TestParse_Refused(t *testing.T) {
	for s, why := range map[string]string{
		"":                                 "empty",
		"v3.2.1":                           "leading v",
		"V3.2.1":                           "leading v",
		" 3.2.1":                           "white space",
		"3.2.1\n":                          "white space",
		"3.2.1\r":                          "white space",
		"\ufeff3.2.1":                      `is not a number`,
		"3.2":                              "has 2 numbers",
		"3":                                "has 1 numbers",
		"3.2.1.4":                          "has 4 numbers",
		"3..1":                             `"" is not a number`,
		"3.2.x":                            `"x" is not a number`,
		"03.2.1":                           "leading zero",
		"3.2.01":                           "leading zero",
		"3.2.1-":                           "empty part",
		"3.2.1-rc..1":                      "empty part",
		"3.2.1-rc.01":                      "leading zero",
		"3.2.1-rc-1":                       "letters and digits",
		"3.2.1-rc_1":                       "letters and digits",
		"3.2.1-1":                          "revision",
		"3.2.1+":                           "not a number",
		"3.2.1+abc":                        "not a number",
		"3.2.1+1+2":                        "not a number",
		"3.2.1+-1":                         "not a number",
		"3.2.1+1.2":                        "not a number",
		"3.5.6+BUILD_TIME_PLACEHOLDER":     "placeholder",
		"3.5.6+${BUILD}":                   "placeholder",
		"3.5.6+$(date +%Y)":                "placeholder",
		"3.2.١":                            "is not a number", // Arabic digits are not ASCII ones
		"$(touch x).2.3":                   "is not a number",
		"3.2.1/../..":                      "has 7 numbers",
		"-1.2.3":                           "has 1 numbers",
		"1.0.0+" + strings.Repeat("1", 99): "longer than",
	} {
		v, err := Parse(s)
		if err == nil {
			t.Errorf("Parse(%q) = %+v; want an error", s, v)
		} else if !strings.Contains(err.Error(), why) {
			t.Errorf("Parse(%q): %q does not say %q", s, err, why)
		} else if strings.ContainsAny(err.Error(), "\n\r") {
			t.Errorf("Parse(%q): the error is not one line: %q", s, err)
		}
	}
}

func TestForms(t *testing.T) {
	for s, want := range map[string]struct{ release, deb, pkgver string }{
		"3.2.1+1":      {"3.2.1", "3.2.1", "3.2.1"},
		"3.2.1-rc.1+4": {"3.2.1-rc.1", "3.2.1~rc.1", "3.2.1rc1"},
		"1.0.0-beta":   {"1.0.0-beta", "1.0.0~beta", "1.0.0beta"},
	} {
		v := parsed(t, s)
		if v.Release() != want.release || v.Deb() != want.deb || v.Pkgver() != want.pkgver {
			t.Errorf("%s: release %s, deb %s, pkgver %s; want %+v", s, v.Release(), v.Deb(), v.Pkgver(), want)
		}
		if v.Prerelease() != strings.Contains(s, "-") {
			t.Errorf("%s: Prerelease() = %v", s, v.Prerelease())
		}
	}
}

func TestBump(t *testing.T) {
	for _, c := range []struct{ from, what, want string }{
		{"3.2.1+008", "build", "3.2.1+009"},
		{"3.2.1+009", "build", "3.2.1+010"},
		{"3.2.1+010", "build", "3.2.1+011"},
		{"3.2.1+999", "build", "3.2.1+1000"},
		{"3.2.1+1", "build", "3.2.1+2"},
		{"3.2.1+9", "build", "3.2.1+10"},
		{"3.2.1", "build", "3.2.1+1"},
		{"3.2.1-rc.1+4", "build", "3.2.1-rc.1+5"},
		{"3.8.3+202506291750", "build", "3.8.3+202506291751"},
		{"3.8.3+99999999999999999999999999", "build", "3.8.3+100000000000000000000000000"},
		{"3.2.1", "patch", "3.2.2"},
		{"3.2.1+7", "patch", "3.2.2+1"},
		{"3.2.1+007", "patch", "3.2.2+001"},
		{"3.2.9", "patch", "3.2.10"},
		{"3.2.1-rc.1+7", "patch", "3.2.1+1"},
		{"3.8.3+202506291750", "patch", "3.8.4+202506291751"},
		{"3.2.1", "minor", "3.3.0"},
		{"3.9.1+3", "minor", "3.10.0+1"},
		{"3.3.0-rc.1", "minor", "3.3.0"},
		{"3.3.1-rc.1", "minor", "3.4.0"},
		{"3.2.1", "major", "4.0.0"},
		{"9.9.9", "major", "10.0.0"},
		{"4.0.0-rc.1", "major", "4.0.0"},
		{"4.1.0-rc.1", "major", "5.0.0"},
		{"3.2.1+7", "3.2.2", "3.2.2+1"},
		{"3.2.1+7", "3.2.1+8", "3.2.1+8"},
		{"3.2.1+7", "4.0.0-rc.1+202506291750", "4.0.0-rc.1+202506291750"},
		{"3.2.1", "3.2.2", "3.2.2"},
		{"3.2.1-rc.1", "3.2.1", "3.2.1"},
	} {
		v, err := parsed(t, c.from).Bump(c.what)
		if err != nil || v.String() != c.want {
			t.Errorf("%s bump %s = %s, %v; want %s", c.from, c.what, v, err, c.want)
		} else if v.Compare(parsed(t, c.from)) <= 0 {
			t.Errorf("%s bump %s = %s, which is not newer", c.from, c.what, v)
		}
	}
	for _, c := range []struct{ from, what, why string }{
		{"3.2.1", "3.2.1", "not newer"},
		{"3.2.1", "3.2.0", "not newer"},
		{"3.2.1+7", "3.2.1+7", "not newer"},
		{"3.2.1+7", "3.2.1+007", "not newer"},
		{"3.2.1+7", "3.2.1", "not newer"},
		{"3.2.1", "3.2.1-rc.1", "not newer"},
		{"3.2.1", "Major", "want major, minor"},
		{"3.2.1", "", "want major, minor"},
		{"3.2.1", "v3.2.2", "leading v"},
		{"3.2.1", "--help", "want major, minor"},
	} {
		if v, err := parsed(t, c.from).Bump(c.what); err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("%s bump %q = %s, %v; want an error with %q", c.from, c.what, v, err, c.why)
		}
	}
	if _, err := (Version{}).Bump("patch"); err == nil {
		t.Error("the zero version can be bumped")
	}
}

// ascending is every rule of the order once, oldest first.
var ascending = []string{
	"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-alpha.2", "1.0.0-alpha.10", "1.0.0-alpha.beta", "1.0.0-beta",
	"1.0.0-rc.1", "1.0.0-rc.1+1", "1.0.0", "1.0.0+0", "1.0.0+1", "1.0.0+008", "1.0.0+9", "1.0.0+010", "1.0.0+202506291750",
	"1.0.1", "1.0.10", "1.2.0", "1.10.0", "2.0.0-a", "2.0.0", "10.0.0", "99999999999999999999.0.0", "100000000000000000000.0.0",
}

func TestCompare(t *testing.T) {
	for i, a := range ascending {
		for k, b := range ascending {
			want := 0
			if i < k {
				want = -1
			} else if i > k {
				want = 1
			}
			if got := parsed(t, a).Compare(parsed(t, b)); got != want {
				t.Errorf("Compare(%s, %s) = %d, want %d", a, b, got, want)
			}
		}
	}
	if !SameBuild("1", "001") || SameBuild("010", "8") || SameBuild("", "0") || !SameBuild("", "") || SameBuild("x", "0") {
		t.Error("SameBuild is wrong")
	}
}

// TestForms_SortAsThePackageManagersDo asks dpkg and pacman's vercmp, whose orders the forms are made for.
func TestForms_SortAsThePackageManagersDo(t *testing.T) {
	release := []string{"0.9.9", "1.0.0-alpha", "1.0.0-alpha.1", "1.0.0-beta", "1.0.0-rc.1", "1.0.0-rc.2", "1.0.0", "1.0.1-rc.1", "1.0.1", "1.0.10", "1.10.0", "2.0.0"}
	t.Run("dpkg", func(t *testing.T) {
		need(t, "dpkg")
		for i := range len(release) - 1 {
			a, b := parsed(t, release[i]).Deb(), parsed(t, release[i+1]).Deb()
			if out, err := exec.Command("dpkg", "--compare-versions", a+"-1", "lt", b+"-1").CombinedOutput(); err != nil {
				t.Errorf("dpkg does not think that %s is older than %s: %v %s", a, b, err, out)
			}
		}
	})
	t.Run("vercmp", func(t *testing.T) {
		need(t, "vercmp")
		for i := range len(release) - 1 {
			a, b := parsed(t, release[i]).Pkgver(), parsed(t, release[i+1]).Pkgver()
			if out, err := exec.Command("vercmp", a, b).Output(); err != nil || strings.TrimSpace(string(out)) != "-1" {
				t.Errorf("vercmp %s %s = %s, %v; want -1", a, b, out, err)
			}
		}
	})
}

func FuzzParse(f *testing.F) {
	for _, s := range ascending {
		f.Add(s)
	}
	for _, s := range []string{"", "v1.2.3", "1.2.3-", "1.2.3+", "1.2.3+BUILD_TIME_PLACEHOLDER", "01.2.3", "1.2.3-1", "1.2.3\n", "1.2.3-rc.1+202506291750"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		v, err := Parse(s)
		if err != nil {
			return
		}
		if v.String() != s {
			t.Fatalf("%q prints as %q", s, v)
		}
		if v.Compare(v) != 0 {
			t.Fatalf("%q is not equal to itself", s)
		}
		for _, form := range []string{v.Release(), v.Deb(), v.Pkgver()} {
			if strings.ContainsAny(form, "/\\: \t\r\n$`'\"_+") {
				t.Fatalf("%q has form %q", s, form)
			}
		}
		for _, what := range []string{"major", "minor", "patch", "build"} {
			n, err := v.Bump(what)
			if err != nil {
				t.Fatal(err)
			}
			if n.Compare(v) <= 0 || v.Compare(n) >= 0 {
				t.Fatalf("%s bump %s = %s, which is not newer", v, what, n)
			}
			if len(s) < longest-8 {
				if p, err := Parse(n.String()); err != nil || p != n {
					t.Fatalf("%s bump %s = %s, which reads as %v, %v", v, what, n, p, err)
				}
			}
		}
	})
}
