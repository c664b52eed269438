//go:build unix

package bundle

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/inspect"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// tree is a step that makes a tree by copying a folder.
type tree struct{ id, out, dir string }

func (s tree) Spec() pipeline.Spec {
	return pipeline.Spec{ID: s.id, Effect: pipeline.Local, Outputs: []string{s.out}}
}

func (s tree) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	out, err := ws.Create(pipeline.Artifact{Name: s.out, Kind: pipeline.KindTree})
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(out, 0o755); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(s.dir)
	if err != nil {
		return nil, err
	}
	entries, err := archive.List(root.FS())
	if err == nil {
		err = archive.CopyTree(ctx, root, out, entries, func(int64) {})
	}
	return nil, errors.Join(err, root.Close())
}

type phase []pipeline.Step

func (phase) Name() string                                                   { return "build" }
func (p phase) Plan(context.Context, *pipeline.Env) ([]pipeline.Step, error) { return p, nil }

// write makes files; "-> x" is a link to x, and what begins with #! may be executed.
func write(t *testing.T, dir string, content map[string]string) {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	for name, text := range content {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(to, p))
			continue
		}
		mode := os.FileMode(0o600)
		if strings.HasPrefix(text, "#!") {
			mode = 0o700
		}
		must(t, os.WriteFile(p, []byte(text), mode))
	}
}

// The repository and the components that bundles of these tests are made of.
var (
	repository = map[string]string{
		"LICENSE": "licence", "docs/a.md": "a", "docs/b.md": "b", "docs/deep/c.md": "c", "docs/pic.png": "p", "docs/[x].md": "brackets",
		"tools/run.sh": "#!/bin/sh\n", "assets/icons/a.svg": "a", "assets/icons/16/b.svg": "b", "assets/link": "-> icons/a.svg",
		"assets/out": "-> ../../../secret", "away": "-> assets/icons", "passwd": "-> /etc/passwd",
	}
	program = map[string]string{"app": "#!app", "lib/libx.so.1": "lib", "lib/libx.so": "-> libx.so.1", "data/with space": "s"}
)

// makeBundle makes a bundle and returns its folder.
func makeBundle(t *testing.T, cfg Config) (string, error) {
	t.Helper()
	dir := t.TempDir()
	write(t, filepath.Join(dir, "repo"), repository)
	write(t, filepath.Join(dir, "app"), program)
	write(t, dir, map[string]string{"secret": "secret"})
	components := map[string]component.Config{"app": {Builder: component.Prebuilt, Path: "app"}}
	steps, err := Steps("b", cfg, components)
	if err != nil {
		return "", err
	}
	all := append([]pipeline.Step{
		tree{component.SourceStep, component.Source, filepath.Join(dir, "repo")},
		tree{component.StepID("app", "amd64"), component.Artifact("app", "amd64"), filepath.Join(dir, "app")},
	}, steps...)
	plan, err := pipeline.NewPlan(t.Context(), pipeline.Env{Project: "p", Version: "1.0.0", Time: time.Unix(1, 0)}, phase(all))
	must(t, err)
	j, err := journal.Open(filepath.Join(dir, "j"))
	must(t, err)
	defer j.Close()
	dirs := pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "j", "work")}
	err = plan.Run(t.Context(), pipeline.Options{Journal: j, Dirs: dirs})
	out := dirs.Path(Artifact("b", "amd64"))
	if _, there := os.Stat(out); err != nil && there == nil {
		t.Error("left something under its final name")
	}
	return out, err
}

func TestLayout(t *testing.T) {
	mode := func(m Mode) FileInfo { return FileInfo{Mode: m} }
	for name, c := range map[string]struct {
		cfg  Config
		want string // a listing
	}{
		"all kinds": {Config{
			Contents: []Content{
				{Src: "component:app/app", Dst: "bin/app"},
				{Src: "component:app/lib", Dst: "lib/app", Type: "tree"},
				{Src: "../lib/app/libx.so", Dst: "bin/x", Type: "symlink"},
				{Src: "LICENSE", Dst: "share/doc/app/"},
				{Src: "tools/run.sh", Dst: "share/doc/app/run.sh", FileInfo: mode(0o644)},
				{Src: "docs/*.md", Dst: "share/app", FileInfo: mode(0o755)},
				{Src: "docs/**/c.md", Dst: "share/other/"},
			},
			Required: []string{"nothing/like/this"}, Forbidden: []string{"bin/app"}, // for inspection to judge
		}, `folder 0755         0 bin
file   0755         5 bin/app
link   0777         0 bin/x -> ../lib/app/libx.so
folder 0755         0 lib
folder 0755         0 lib/app
link   0777         0 lib/app/libx.so -> libx.so.1
file   0644         3 lib/app/libx.so.1
folder 0755         0 share
folder 0755         0 share/app
file   0755         8 share/app/[x].md
file   0755         1 share/app/a.md
file   0755         1 share/app/b.md
folder 0755         0 share/doc
folder 0755         0 share/doc/app
file   0644         7 share/doc/app/LICENSE
file   0644        10 share/doc/app/run.sh
folder 0755         0 share/other
folder 0755         0 share/other/deep
file   0644         1 share/other/deep/c.md
`},
		"configuration in /etc": {Config{Arch: []string{"amd64"}, Contents: []Content{
			{Src: "LICENSE", Dst: "/etc/xdg/autostart/x.desktop"},
			{Src: "docs/a.md", Dst: "/etc/"},
			{Src: "x.desktop", Dst: "/etc/xdg/autostart/y.desktop", Type: "symlink"},
			{Src: "../a.md", Dst: "/etc/default/a", Type: "symlink"},
			{Src: "assets/icons", Dst: "/etc/app", Type: "tree", FileInfo: mode(0o755)},
			{Src: "LICENSE", Dst: "share/etc/LICENSE"},
			{Src: "LICENSE", Dst: "etcetera"},
		}}, `folder 0755         0 etc
file   0644         1 etc/a.md
folder 0755         0 etc/app
folder 0755         0 etc/app/16
file   0755         1 etc/app/16/b.svg
file   0755         1 etc/app/a.svg
folder 0755         0 etc/default
link   0777         0 etc/default/a -> ../a.md
folder 0755         0 etc/xdg
folder 0755         0 etc/xdg/autostart
file   0644         7 etc/xdg/autostart/x.desktop
link   0777         0 etc/xdg/autostart/y.desktop -> x.desktop
file   0644         7 etcetera
folder 0755         0 share
folder 0755         0 share/etc
file   0644         7 share/etc/LICENSE
`},
		"a name that looks like a pattern": {Config{Contents: []Content{{Src: "docs/[x].md", Dst: "x"}}, Arch: []string{"amd64"}}, "file   0644         8 x\n"},
		"a whole component": {Config{Contents: []Content{{Src: "component:app", Dst: "lib/a", Type: "tree", FileInfo: mode(0o644)}}}, `folder 0755         0 lib
folder 0755         0 lib/a
file   0644         5 lib/a/app
folder 0755         0 lib/a/data
file   0644         1 lib/a/data/with space
folder 0755         0 lib/a/lib
link   0777         0 lib/a/lib/libx.so -> libx.so.1
file   0644         3 lib/a/lib/libx.so.1
`},
		"by way of a link inside": {Config{Contents: []Content{{Src: "away", Dst: "i", Type: "tree"}, {Src: "away/a.svg", Dst: "a.svg"}}, Arch: []string{"amd64"}}, `file   0644         1 a.svg
folder 0755         0 i
folder 0755         0 i/16
file   0644         1 i/16/b.svg
file   0644         1 i/a.svg
`},
	} {
		t.Run(name, func(t *testing.T) {
			must(t, c.cfg.Validate())
			old := syscall.Umask(0o077)
			dir, err := makeBundle(t, c.cfg)
			syscall.Umask(old)
			must(t, err)
			entries, err := archive.Tree(dir)
			must(t, err)
			if got := archive.Listing(entries); got != c.want {
				t.Errorf("got\n%s", got)
			}
			for _, e := range entries { // the modes on the disk, too, whatever the umask was
				info, err := os.Lstat(filepath.Join(dir, e.Path))
				must(t, err)
				if e.Link == "" && info.Mode() != e.Mode {
					t.Errorf("%s has mode %v", e.Path, info.Mode())
				}
			}
		})
	}
}

func TestLayout_Refused(t *testing.T) {
	t.Parallel()
	for want, cfg := range map[string]Config{
		`cannot find src "nowhere": is it committed`:                                   {Contents: []Content{{Src: "nowhere", Dst: "x"}}},
		`cannot find src "component:app/nowhere"`:                                      {Contents: []Content{{Src: "component:app/nowhere", Dst: "x"}}},
		`no file matches src "docs/*.txt"`:                                             {Contents: []Content{{Src: "docs/*.txt", Dst: "x"}}},
		`no file matches src "nowhere/*"`:                                              {Contents: []Content{{Src: "nowhere/*", Dst: "x"}}},
		`src "docs" is a folder: say type: tree`:                                       {Contents: []Content{{Src: "docs", Dst: "x"}}},
		`src "LICENSE" is not a folder`:                                                {Contents: []Content{{Src: "LICENSE", Dst: "x", Type: "tree"}}},
		`"x" comes from src "LICENSE" and from src "docs/a.md"`:                        {Contents: []Content{{Src: "LICENSE", Dst: "x"}, {Src: "docs/a.md", Dst: "./x"[2:]}}},
		`"share/LICENSE" comes from`:                                                   {Contents: []Content{{Src: "LICENSE", Dst: "share/"}, {Src: "docs/a.md", Dst: "share/LICENSE"}}},
		`"i/a.svg" comes from src "assets/icons" and from src "docs/a.md"`:             {Contents: []Content{{Src: "assets/icons", Dst: "i", Type: "tree"}, {Src: "docs/a.md", Dst: "i/a.svg"}}},
		`"x/a" of src "docs/a.md" would lie below "x", which src "LICENSE"`:            {Contents: []Content{{Src: "LICENSE", Dst: "x"}, {Src: "docs/a.md", Dst: "x/a"}}},
		`"x" comes from src "docs/a.md" and from src "LICENSE"`:                        {Contents: []Content{{Src: "docs/a.md", Dst: "x/a"}, {Src: "LICENSE", Dst: "x"}}},
		`"l/a" of src "docs/a.md" would lie below "l", which src "d" makes`:            {Contents: []Content{{Src: "d", Dst: "l", Type: "symlink"}, {Src: "docs/a.md", Dst: "l/a"}}},
		`link "x" points to "../secret", which is outside`:                             {Contents: []Content{{Src: "../secret", Dst: "x", Type: "symlink"}}},
		`link "x" points to "y", which is not there`:                                   {Contents: []Content{{Src: "y", Dst: "x", Type: "symlink"}}},
		`link "x/a" points to "../x/b/../../y", which is outside`:                      {Contents: []Content{{Src: "../x/b/../../y", Dst: "x/a", Type: "symlink"}, {Src: ".", Dst: "x/b", Type: "symlink"}, {Src: "LICENSE", Dst: "y"}}},
		`link "a/out" points to "../../../secret", which is outside`:                   {Contents: []Content{{Src: "assets", Dst: "a", Type: "tree"}}},
		`link "p" points to "/etc/passwd"; want a target relative`:                     {Contents: []Content{{Src: "passwd", Dst: "p"}}},
		`link "l" points to "icons/a.svg", which is not there`:                         {Contents: []Content{{Src: "assets/link", Dst: "l"}}},
		`path escapes from parent`:                                                     {Contents: []Content{{Src: "passwd/x", Dst: "p"}}},
		`links cannot lead from /etc to /usr or back: link "l" points to "../x"`:       {Contents: []Content{{Src: "LICENSE", Dst: "x"}, {Src: "../x", Dst: "/etc/l", Type: "symlink"}}},
		`links cannot lead from /etc to /usr or back: link "a/l" points to "../etc/x"`: {Contents: []Content{{Src: "LICENSE", Dst: "/etc/x"}, {Src: "../etc/x", Dst: "a/l", Type: "symlink"}}},
		`"etc/data/with space" holds a space`:                                          {Contents: []Content{{Src: "component:app", Dst: "/etc/", Type: "tree"}}},
		`"etc/LICENSE" comes from src "LICENSE" and from src "docs/a.md"`:              {Contents: []Content{{Src: "LICENSE", Dst: "/etc/"}, {Src: "docs/a.md", Dst: "/etc/LICENSE"}}},
		`component "nope", which is not among the components`:                          {Contents: []Content{{Src: "component:nope/x", Dst: "x"}}},
		`arch arm64: component "app" is not built for it`:                              {Arch: []string{"arm64"}, Contents: []Content{{Src: "component:app/app", Dst: "x"}}},
	} {
		t.Run(want, func(t *testing.T) {
			t.Parallel()
			if len(cfg.Components()) == 0 {
				cfg.Arch = []string{"amd64"}
			}
			_, err := makeBundle(t, cfg)
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v", err)
			}
		})
	}
}

// TestSteps_Params: what is for inspection to judge does not make the tree anew.
func TestSteps_Params(t *testing.T) {
	t.Parallel()
	params := func(cfg Config) string {
		steps, err := Steps("b", cfg, nil)
		must(t, err)
		return fmt.Sprint(steps[0].Spec().Params)
	}
	cfg := Config{Arch: []string{"amd64"}, Contents: []Content{{Src: "LICENSE", Dst: "x"}}}
	plain := params(cfg)
	cfg.Required, cfg.Forbidden = []string{"bin/*"}, []string{"x"}
	cfg.Rules.Glibc, cfg.Rules.ForbiddenText = "2.31", []string{"x"}
	if got := params(cfg); got != plain {
		t.Errorf("got %s, want %s", got, plain)
	}
	cfg.Contents[0].Dst = "/etc/x"
	if got := params(cfg); got == plain {
		t.Error("dst is not part of it")
	}
}

func TestTargets(t *testing.T) {
	t.Parallel()
	components := map[string]component.Config{"both": {Arch: []string{"amd64", "arm64"}}, "one": {}, "other": {Arch: []string{"arm64", "amd64"}}}
	contents := func(names ...string) (out []Content) {
		for _, n := range names {
			out = append(out, Content{Src: "component:" + n + "/x", Dst: n})
		}
		return out
	}
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Contents: contents("both")}, "amd64 arm64"},
		{Config{Contents: contents("one")}, "amd64"},
		{Config{Contents: contents("both", "other")}, "amd64 arm64"},
		{Config{Contents: contents("both", "one"), Arch: []string{"amd64"}}, "amd64"},
		{Config{Contents: contents("both", "one")}, "its components are built for different architectures (one has amd64, others amd64 arm64): say arch in the bundle"},
		{Config{Contents: contents("one"), Arch: []string{"arm64"}}, `arch arm64: component "one" is not built for it`},
		{Config{Contents: []Content{{Src: "LICENSE", Dst: "x"}}}, "it takes nothing from a component, so it must say arch itself"},
		{Config{Contents: []Content{{Src: "LICENSE", Dst: "x"}}, Arch: []string{"arm64"}}, "arm64"},
	} {
		arches, err := c.cfg.Targets(components)
		got := strings.Join(arches, " ")
		if err != nil {
			got = err.Error()
		}
		if got != c.want {
			t.Errorf("got %q, want %q", got, c.want)
		}
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		content Content
		want    string
	}{
		{Content{Src: "", Dst: "x"}, "src: want a path"},
		{Content{Src: "x"}, "dst: name"},
		{Content{Src: "/etc/passwd", Dst: "x"}, "src: want a path relative to the repository"},
		{Content{Src: "../x", Dst: "x"}, "src: want a path that stays in the repository"},
		{Content{Src: "a/../../x", Dst: "x"}, "src: want a path that stays in the repository"},
		{Content{Src: `..\x`, Dst: "x"}, "with slashes"},
		{Content{Src: "component:a/../x", Dst: "x"}, "src: want a path that stays"},
		{Content{Src: "component:/x", Dst: "x"}, "want component:NAME/FILE"},
		{Content{Src: "component:a", Dst: "x"}, "want component:NAME/FILE"},
		{Content{Src: "x", Dst: "/usr/bin/x"}, "dst: want a path below /usr without leading slash"},
		{Content{Src: "x", Dst: "/opt/x"}, "dst: want a path below /usr without leading slash, or one that begins with /etc/"},
		{Content{Src: "x", Dst: "/etc"}, "or one that begins with /etc/"},
		{Content{Src: "x", Dst: "/etcetera/x"}, "or one that begins with /etc/"},
		{Content{Src: "x", Dst: "//etc/x"}, "or one that begins with /etc/"},
		{Content{Src: "x", Dst: "/etc/../usr/x"}, "dst: name"},
		{Content{Src: "x", Dst: "/etc//x"}, "dst: name"},
		{Content{Src: "x", Dst: "etc/x"}, `dst: "etc/x" would be /usr/etc/x: want /etc/x`},
		{Content{Src: "x", Dst: "etc", Type: "tree"}, `dst: "etc" would be /usr/etc: want /etc`},
		{Content{Src: "x", Dst: "etc/"}, `would be /usr/etc`},
		{Content{Src: "/x", Dst: "/etc/y", Type: "symlink"}, "want a target relative to the link's folder"},
		{Content{Src: "x", Dst: "../x"}, "dst: name"},
		{Content{Src: "x", Dst: "a/../../x"}, "dst: name"},
		{Content{Src: "x", Dst: "a\nb"}, "line break"},
		{Content{Src: "x", Dst: "."}, "dst: name"},
		{Content{Src: "x", Dst: "y", Type: "dir"}, "type: want file, tree or symlink"},
		{Content{Src: "x", Dst: "y", Type: "config"}, "type: want file, tree or symlink"},
		{Content{Src: "x", Dst: "y", FileInfo: FileInfo{Mode: 0o4755}}, "want 0755 or 0644, found 04755"},
		{Content{Src: "[x", Dst: "y"}, "closed brackets"},
		{Content{Src: "a/**b", Dst: "y"}, "** alone"},
		{Content{Src: "/usr/x", Dst: "y", Type: "symlink"}, "want a target relative to the link's folder"},
		{Content{Src: "../x", Dst: "y", Type: "symlink"}, "outside"},
		{Content{Src: "x", Dst: "y/", Type: "symlink"}, "the path of the link"},
		{Content{Src: "x", Dst: "y", Type: "symlink", FileInfo: FileInfo{Mode: 0o755}}, "a link has none"},
	} {
		err := Config{Contents: []Content{c.content}}.Validate()
		if err == nil || !strings.Contains(err.Error(), "contents[0]: ") || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.content, err, c.want)
		}
	}
	for want, cfg := range map[string]Config{
		"contents: want at least one":                {},
		`contents[1]: dst "x" is there already`:      {Contents: []Content{{Src: "a", Dst: "x"}, {Src: "b", Dst: "x"}}},
		`contents[1]: dst "/etc/x" is there already`: {Contents: []Content{{Src: "a", Dst: "/etc/x"}, {Src: "b", Dst: "/etc/x"}}},
		`rules: glibc: want a version like 2.31`:     {Contents: []Content{{Src: "a", Dst: "x"}}, Rules: inspect.Rules{Glibc: "new"}},
		`required: want a pattern`:                   {Contents: []Content{{Src: "a", Dst: "x"}}, Required: []string{"/x"}},
		`forbidden: want a pattern`:                  {Contents: []Content{{Src: "a", Dst: "x"}}, Forbidden: []string{"a/../b"}},
	} {
		if err := cfg.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// TestMode reads the forms in which people write modes.
func TestMode(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Mode{"0755": 0o755, "0o755": 0o755, "0644": 0o644, `"0644"`: 0o644, "'0755'": 0o755} {
		var c Content
		must(t, yaml.Unmarshal([]byte("src: a\ndst: b\nfile_info: {mode: "+text+"}\n"), &c))
		if c.FileInfo.Mode != want {
			t.Errorf("%s: got %o", text, c.FileInfo.Mode)
		}
		b, err := yaml.Marshal(c)
		must(t, err)
		var again Content
		if err := yaml.Unmarshal(b, &again); err != nil || again != c {
			t.Errorf("%s: written as %s", text, b)
		}
	}
	for _, text := range []string{"755", "0777", "4755", "04755", "-1", "0x1ed", "493", "rwx", "''", "0_755"} {
		var c Content
		if err := yaml.Unmarshal([]byte("file_info: {mode: "+text+"}\n"), &c); err == nil || !strings.Contains(err.Error(), "want mode 0755 or 0644") {
			t.Errorf("%s: got %v, %o", text, err, c.FileInfo.Mode)
		}
	}
}
