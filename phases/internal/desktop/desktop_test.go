package desktop

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const good = `# comment
[Desktop Entry]
Type=Application
Name=CloudToLocalLLM
Name[de]=CloudToLocalLLM
Exec=cloudtolocalllm %U
Icon = cloudtolocalllm
Categories=Network;
Actions=new;

[Desktop Action new]
Name=New window
Exec=cloudtolocalllm --new
`

func TestParse(t *testing.T) {
	t.Parallel()
	e, err := Parse([]byte(good))
	if err != nil {
		t.Fatal(err)
	}
	if e.Get("Icon") != "cloudtolocalllm" || e.Get("Exec") != "cloudtolocalllm %U" || e.Get("No") != "" ||
		!slices.Equal(e.Actions(), []string{"new"}) || e.Action("new", "Exec") != "cloudtolocalllm --new" {
		t.Errorf("got %+v", e)
	}
	if p := e.Problems(); len(p) != 0 {
		t.Errorf("got %q", p)
	}
	for text, want := range map[string]string{
		"":                                   "no group",
		"Name=x\n":                           "line 1: \"Name=x\" is no key=value of a group",
		"[Other]\n":                          "line 1: the first group is not [Desktop Entry]",
		"[Desktop Entry]\n[Desktop Entry]\n": "line 2: a second group",
		"[Desktop Entry\n":                   "line 1",
		"[Desktop Entry]\nName=x\nName=y\n":  "line 3: a second Name",
		"[Desktop Entry]\nrubbish\n":         "line 2",
		"[Desktop Entry]\n$(id)=x\n":         "line 2",
		"[Desktop Entry]\nName=\xff\n":       "line 2: it is not UTF-8",
		"[Desktop Entry]\r\n":                "line 1: it ends with a carriage return",
		"\ufeff[Desktop Entry]\n":            "line 1: it begins with a byte order mark",
	} {
		if _, err := Parse([]byte(text)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: got %v, want %q", text, err, want)
		}
	}
	if _, err := Parse([]byte(good + strings.Repeat("#", MaxSize))); err == nil {
		t.Error("a large one is read")
	}
}

func TestProblems(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ from, to, want string }{
		{"Type=Application\n", "", "it has no Type"},
		{"Type=Application", "Type=Service", `its Type is "Service"`},
		{"Type=Application", "Type=Link", "it has no URL"},
		{"Name=CloudToLocalLLM\n", "", "it has no Name"},
		{"Exec=cloudtolocalllm %U\n", "", "it has no Exec"},
		{"= cloudtolocalllm", "=a/b", "neither a name nor a path"},
		{"= cloudtolocalllm", "=cloudtolocalllm.png", "has an extension"},
		{"Actions=new;", "Actions=new;old;", `its action "old" has no group`},
		{"Name=New window\n", "", `its action "new" has no Name`},
		{"Actions", "Terminal=yes\nActions", `its Terminal is "yes"`},
	} {
		text := strings.Replace(good, c.from, c.to, 1)
		e, err := Parse([]byte(text))
		if err != nil {
			t.Fatalf("%s: %v", c.want, err)
		}
		if p := e.Problems(); len(p) != 1 || !strings.Contains(p[0], c.want) {
			t.Errorf("got %q, want %q", p, c.want)
		}
		if c.want != "it has no Exec" && c.want != "has an extension" {
			judged(t, text, false)
		}
	}
	judged(t, good, true)
}

// judged asks desktop-file-validate about the same file.
func judged(t *testing.T, text string, valid bool) {
	t.Helper()
	judge, err := exec.LookPath("desktop-file-validate")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("desktop-file-validate is not installed: apt-get install desktop-file-utils")
		}
		t.Log("desktop-file-validate is not installed: apt-get install desktop-file-utils")
		return
	}
	file := filepath.Join(t.TempDir(), "x.desktop")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.CommandContext(t.Context(), judge, file).CombinedOutput()
	if (err == nil) != valid {
		t.Errorf("desktop-file-validate says %v, %s of\n%s", err, out, text)
	}
}

func TestWords(t *testing.T) {
	t.Parallel()
	for text, want := range map[string][]string{
		`app`:                          {"app"},
		`app %U --x=y`:                 {"app", "%U", "--x=y"},
		`"/usr/lib/a b/app"  -n`:       {"/usr/lib/a b/app", "-n"},
		`env A=b app`:                  {"env", "A=b", "app"},
		`sh -c "echo \\$HOME \\"x\\""`: {"sh", "-c", `echo $HOME "x"`},
		`a\sb`:                         {"a", "b"},
		``:                             nil,
		`""`:                           {""},
	} {
		if got, err := Words(text); err != nil || !slices.Equal(got, want) {
			t.Errorf("%s: got %q, %v", text, got, err)
		}
	}
	for _, text := range []string{`"app`, `app $(id)`, "app `id`", `app; rm`, `app > x`, `a\x`, `a\`, `'app'`} {
		if got, err := Words(text); err == nil {
			t.Errorf("%s: got %q", text, got)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(good))
	f.Add([]byte("[Desktop Entry]\nExec=\"a\\\\\"b\" %f\n"))
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Parse(b)
		if err != nil {
			if strings.ContainsAny(err.Error(), "\n\x00") {
				t.Errorf("%q", err)
			}
			return
		}
		for _, p := range e.Problems() {
			if strings.ContainsAny(p, "\n\x00") || len(p) > 1000 {
				t.Errorf("%q", p)
			}
		}
		words, err := Words(e.Get("Exec"))
		if err == nil && len(strings.Join(words, "")) > len(b) {
			t.Errorf("%q", words)
		}
	})
}
