package github

import (
	"crypto/sha256"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func digest(path string) (string, error) {
	b, err := os.ReadFile(path)
	return fmt.Sprintf("%x", sha256.Sum256(b)), err
}

func TestDocuments(t *testing.T) {
	tree := t.TempDir()
	outside := filepath.Join(t.TempDir(), "secret")
	for name, content := range map[string]string{outside: "secret", filepath.Join(tree, "README.md"): "read me", filepath.Join(tree, "empty"): ""} {
		if err := os.WriteFile(name, []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	for name, to := range map[string]string{"out": outside, "up": "../" + filepath.Base(filepath.Dir(outside)) + "/secret", "in": "README.md", "loop": "loop"} {
		if err := os.Symlink(to, filepath.Join(tree, name)); err != nil {
			t.Fatal(err)
		}
	}
	to := filepath.Join(t.TempDir(), "copy")
	for _, good := range []string{"README.md", "in"} {
		f, err := document(tree, good, to)
		if err != nil || f.Size != 7 || f.SHA256 != sum("read me") {
			t.Errorf("%s: %+v %v", good, f, err)
		}
		if got, err := digest(to); err != nil || got != f.SHA256 {
			t.Errorf("%s: copied %s, %v", good, got, err)
		}
	}
	for _, bad := range []string{"out", "up", "loop", "empty", "missing", "."} {
		if f, err := document(tree, bad, to); err == nil {
			t.Errorf("%s was taken: %+v", bad, f)
		}
	}
}

func TestValidate(t *testing.T) {
	good := Config{Owner: "octo", Repo: "app"}
	for name, c := range map[string]struct {
		change func(*Config)
		want   []string // parts of the error; none: it is good
	}{
		"good":             {func(*Config) {}, nil},
		"enterprise":       {func(c *Config) { c.BaseURL = "https://git.example.com/api/v3/" }, nil},
		"title":            {func(c *Config) { c.Title = "{{ .Tag }} of {{ .Project }}" }, nil},
		"empty":            {func(c *Config) { *c = Config{} }, []string{"owner: it is missing", "repo: it is missing"}},
		"URL for owner":    {func(c *Config) { c.Owner = "https://github.com/octo" }, []string{"owner: ", "OWNER/REPO"}},
		"option for owner": {func(c *Config) { c.Owner = "-x" }, []string{"owner: "}},
		"dots":             {func(c *Config) { c.Repo = ".." }, []string{"owner: "}},
		"newline":          {func(c *Config) { c.Repo = "a\nb" }, []string{"owner: "}},
		"plain http":       {func(c *Config) { c.BaseURL = "http://git.example.com/api/v3/" }, []string{"base_url: ", "https"}},
		"password":         {func(c *Config) { c.BaseURL = "https://u:p@git.example.com/" }, []string{"base_url: ", "GITHUB_TOKEN"}},
		"extra above":      {func(c *Config) { c.Extra = []string{"../x"} }, []string{`extra: "../x" is not the path`}},
		"extra absolute":   {func(c *Config) { c.Extra = []string{"/etc/passwd"} }, []string{"extra: "}},
		"extra renamed":    {func(c *Config) { c.Extra = []string{"a b.md"} }, []string{"extra: ", "rename"}},
		"extra hostile":    {func(c *Config) { c.Extra = []string{"$(touch x)`"} }, []string{"extra: "}},
		"extra twice":      {func(c *Config) { c.Extra = []string{"a/README.md", "b/readme.md"} }, []string{"extra: ", "case"}},
		"title unknown":    {func(c *Config) { c.Title = "{{ .Nope }}" }, []string{"title: "}},
		"title lines":      {func(c *Config) { c.Title = "a\nb" }, []string{"title: want one line"}},
		"title long":       {func(c *Config) { c.Title = strings.Repeat("x", 251) }, []string{"title: want one line"}},
		"several":          {func(c *Config) { c.Owner, c.Title = "", " " }, []string{"owner: ", "title: "}},
	} {
		cfg := good
		c.change(&cfg)
		err := cfg.Validate()
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, part := range c.want {
			if err == nil || !strings.Contains(err.Error(), part) {
				t.Errorf("%s: %v, want %q in it", name, err, part)
			}
		}
	}
}

func TestNew(t *testing.T) {
	cfg := Config{Owner: "octo", Repo: "app", Extra: []string{"docs/NOTICE"}}
	o := Options{Project: "App", Version: "1.2.3", Tag: tagName, Assets: []Asset{{"a.deb", "build/a"}}, Latest: true}
	for name, c := range map[string]struct {
		change func(*Config, *Options)
		want   string
	}{
		"good":      {func(*Config, *Options) {}, ""},
		"collision": {func(_ *Config, o *Options) { o.Assets = append(o.Assets, Asset{"sub/notice", "build/b"}) }, "case"},
		"twice":     {func(_ *Config, o *Options) { o.Assets = append(o.Assets, Asset{"sub/a.deb", "build/b"}) }, "case"},
		"renamed":   {func(_ *Config, o *Options) { o.Assets[0].Artifact = "a+b.deb" }, "rename"},
		"nothing":   {func(c *Config, o *Options) { c.Extra, o.Assets = nil, nil }, "no assets"},
		"many": {func(_ *Config, o *Options) {
			for i := range maxAssets {
				o.Assets = append(o.Assets, Asset{fmt.Sprintf("f%d", i), "build/b"})
			}
		}, "1000"},
		"no tag": {func(_ *Config, o *Options) { o.Tag = "" }, "tag"},
	} {
		cfg, o := cfg, o
		o.Assets = slices.Clone(o.Assets)
		c.change(&cfg, &o)
		if _, err := New(cfg, o); (err == nil) != (c.want == "") || err != nil && !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	yes := true
	cfg.Prerelease = &yes
	if r, err := New(cfg, o); err != nil || r.o.Latest || !r.o.Prerelease {
		t.Errorf("a prerelease: %+v %v", r, err)
	}
}
