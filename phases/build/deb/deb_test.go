package deb

import (
	"bytes"
	"compress/gzip"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
)

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

var env = pipeline.Env{Project: "demo", Version: "1.2.3-rc.1+4", Time: time.Date(2026, 11, 21, 20, 30, 40, 0, time.FixedZone("", 3600))}

func demo() Config {
	return Config{
		Name: "demo", Bundle: "demo", Version: "1.2.3-rc.1", Upstream: "1.2.3~rc.1", Revision: 1, Arch: "amd64", Section: "utils",
		Maintainer: "Demo Team <team@demo.example>", Homepage: "https://demo.example/", License: "MIT",
		Description: "say the version and end\nIt has no options.",
	}
}

const mit = "MIT License\n\nCopyright (c) 2026 The Demo Authors\r\nCopyright 2019-2025 Others \n\n  Permission is hereby granted.\t\n\n\n"

// tree writes files; "-> x" is a link, and what begins with #! may be executed.
func tree(t testing.TB, files map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	for name, text := range files {
		p := filepath.Join(dir, name)
		must(t, os.MkdirAll(filepath.Dir(p), 0o755))
		if to, ok := strings.CutPrefix(text, "-> "); ok {
			must(t, os.Symlink(to, p))
			continue
		}
		mode := os.FileMode(0o644)
		if strings.HasPrefix(text, "#!") || strings.HasPrefix(text, "\x7fELF") {
			mode = 0o755
		}
		must(t, os.WriteFile(p, []byte(text), mode))
	}
	return dir
}

func gunzip(t *testing.T, b []byte) string {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	text, err := io.ReadAll(zr)
	must(t, err)
	return string(text)
}

// staticELF is the program /bin/true of busybox kind: the headers of a static executable for amd64, and nothing else.
func staticELF(shared bool) string {
	h := make([]byte, 64)
	copy(h, "\x7fELF\x02\x01\x01")
	h[16], h[18], h[20], h[52], h[54], h[58] = 2, 62, 1, 64, 56, 64
	if shared {
		h[16] = 3
	}
	return string(h)
}

func TestLayout(t *testing.T) {
	t.Parallel()
	dir := tree(t, map[string]string{
		"bin/demo": staticELF(false), "bin/odd [n]ame": staticELF(false), "lib/demo.so": staticELF(true), "bin/demo-static": staticELF(false),
		"bin/run": "#!/bin/sh\n", "bin/link": "-> demo", "share/licenses/demo/LICENSE": mit, "share/doc/demo/COPYING.txt": "other",
		"share/man/man1/demo.1": ".TH", "share/man/man1/other.1": "-> demo.1", "share/man/de/man8/x.8": "x", "share/man/man1/done.1.gz": "gz", "share/man/README": "no page",
	})
	files, err := Layout(demo(), &env, dir)
	must(t, err)
	must(t, Hash(files))
	var entries []archive.Entry
	byPath := map[string]File{}
	for _, f := range files {
		entries = append(entries, f.Entry)
		byPath[f.Path] = f
		if f.Mode.IsRegular() && f.SHA256 == "" || !f.ModTime.Equal(env.Time) {
			t.Errorf("%s has digest %q and time %v", f.Path, f.SHA256, f.ModTime)
		}
	}
	if got := archive.Listing(entries); got != `folder 0755         0 usr
folder 0755         0 usr/bin
file   0755        64 usr/bin/demo
file   0755        64 usr/bin/demo-static
link   0777         0 usr/bin/link -> demo
file   0755        64 usr/bin/odd [n]ame
file   0755        10 usr/bin/run
folder 0755         0 usr/lib
file   0755        64 usr/lib/demo.so
folder 0755         0 usr/share
folder 0755         0 usr/share/doc
folder 0755         0 usr/share/doc/demo
file   0644         5 usr/share/doc/demo/COPYING.txt
file   0644       145 usr/share/doc/demo/changelog.Debian.gz
file   0644       328 usr/share/doc/demo/copyright
folder 0755         0 usr/share/licenses
folder 0755         0 usr/share/licenses/demo
file   0644       114 usr/share/licenses/demo/LICENSE
folder 0755         0 usr/share/lintian
folder 0755         0 usr/share/lintian/overrides
file   0644       508 usr/share/lintian/overrides/demo
folder 0755         0 usr/share/man
file   0644         7 usr/share/man/README
folder 0755         0 usr/share/man/de
folder 0755         0 usr/share/man/de/man8
file   0644        25 usr/share/man/de/man8/x.8.gz
folder 0755         0 usr/share/man/man1
file   0644        27 usr/share/man/man1/demo.1.gz
file   0644         2 usr/share/man/man1/done.1.gz
link   0777         0 usr/share/man/man1/other.1.gz -> demo.1.gz
` {
		t.Errorf("got\n%s", got)
	}
	if got := string(byPath["usr/share/doc/demo/copyright"].text); got != `Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: demo
Source: https://demo.example/

Files: *
Copyright: 2026 The Demo Authors
           2019-2025 Others
License: Expat
 MIT License
 .
 Copyright (c) 2026 The Demo Authors
 Copyright 2019-2025 Others
 .
   Permission is hereby granted.
` {
		t.Errorf("got\n%s", got)
	}
	if got := gunzip(t, byPath["usr/share/doc/demo/changelog.Debian.gz"].text); got != `demo (1.2.3~rc.1-1) stable; urgency=medium

  * Release 1.2.3-rc.1.

 -- Demo Team <team@demo.example>  Sat, 21 Nov 2026 19:30:40 +0000
` {
		t.Errorf("got\n%s", got)
	}
	if got := string(byPath["usr/share/lintian/overrides/demo"].text); got != `# Released by the project itself, so there is no bug in Debian's tracker to close.
demo: initial-upload-closes-no-bugs [usr/share/doc/demo/changelog.Debian.gz:1]
# Programs that hold all they need, as those written in Go do.
demo: statically-linked-binary [usr/bin/demo]
demo: statically-linked-binary [usr/bin/odd??n?ame]
# The licence lies where the project's other packages have it, too.
demo: extra-license-file [usr/share/doc/demo/COPYING.txt]
demo: extra-license-file [usr/share/licenses/demo/LICENSE]
` {
		t.Errorf("got\n%s", got)
	}
	page := byPath["usr/share/man/man1/demo.1.gz"].text
	if gunzip(t, page) != ".TH" || !bytes.Equal(page[4:8], make([]byte, 4)) || page[3] != 0 {
		t.Errorf("got %x", page)
	}
}

// TestLayout_Own: what the bundle brings along is taken as it is.
func TestLayout_Own(t *testing.T) {
	t.Parallel()
	own := map[string]string{"share/doc/demo/copyright": "own", "share/doc/demo/changelog.Debian.gz": "own", "share/lintian/overrides/demo": "own", "bin/x": staticELF(false)}
	files, err := Layout(demo(), &env, tree(t, own))
	must(t, err)
	for _, f := range files {
		if f.text != nil {
			t.Errorf("%s was made", f.Path)
		}
	}
}

func TestLayout_License(t *testing.T) {
	t.Parallel()
	const legal = "share/licenses/demo/LICENSE"
	for name, c := range map[string]struct {
		edit  func(*Config)
		files map[string]string
		want  string // part of the copyright file, or of the error
	}{
		"no text":           {nil, map[string]string{"a": ""}, "no line of the licence begins with Copyright and a year: say copyright"},
		"no text, a holder": {func(c *Config) { c.Copyright = "2026 X" }, map[string]string{"a": ""}, "the bundle holds no text of the licence MIT: add {src: LICENSE, dst: share/licenses/demo/LICENSE}"},
		"no holder":         {nil, map[string]string{legal: "You may."}, "say copyright in release.yaml"},
		"holder given":      {func(c *Config) { c.Copyright = "2026 X\n2027 Y" }, map[string]string{legal: "You may."}, "Copyright: 2026 X\n           2027 Y\nLicense: Expat\n You may.\n"},
		"common licence":    {func(c *Config) { c.License, c.Copyright = "GPL-3.0-or-later", "2026 X" }, map[string]string{"a": ""}, "License: GPL-3.0+\n On Debian systems the full text of this license stands in\n /usr/share/common-licenses/GPL-3.\n"},
		"choice":            {func(c *Config) { c.License = "MIT OR Zlib" }, map[string]string{legal: mit}, "License: MIT or Zlib\n MIT"},
		"in doc":            {nil, map[string]string{"share/doc/x/COPYING": mit}, "Copyright: 2026 The Demo Authors"},
		"licenses first":    {nil, map[string]string{"share/doc/x/COPYING": "Copyright 2001 No", legal: mit}, "Copyright: 2026 The Demo Authors"},
		"sign":              {nil, map[string]string{legal: "© 2026 Sign"}, "Copyright: 2026 Sign\n"},
		"not a text":        {nil, map[string]string{legal: "\xff\xfe"}, "is not a text in UTF-8"},
		"control character": {nil, map[string]string{legal: "Copyright 2026 a\x1b[31m"}, "is not a text in UTF-8"},
		"empty bundle":      {nil, nil, "the bundle is empty"},
		"page twice":        {nil, map[string]string{legal: mit, "share/man/man1/a.1": "", "share/man/man1/a.1.gz": ""}, "both compressed and not"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			cfg := demo()
			if c.edit != nil {
				c.edit(&cfg)
			}
			files, err := Layout(cfg, &env, tree(t, c.files))
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Errorf("got %v", err)
				}
				return
			}
			for _, f := range files {
				if f.Path == "usr/share/doc/demo/copyright" && !strings.Contains(string(f.text), c.want) {
					t.Errorf("got\n%s", f.text)
				}
			}
		})
	}
}

func TestValidate(t *testing.T) {
	t.Parallel()
	must(t, demo().Validate())
	for want, edit := range map[string]func(*Config){
		`name: want two or more`:                                func(c *Config) { c.Name = "Demo" },
		`found "a+b"`:                                           func(c *Config) { c.Name = "a+b" },
		`found "demo\nX: y"`:                                    func(c *Config) { c.Name = "demo\nX: y" },
		"bundle: want the name":                                 func(c *Config) { c.Bundle = "" },
		`found "1.2:3"`:                                         func(c *Config) { c.Upstream = "1.2:3" },
		`found "v1"`:                                            func(c *Config) { c.Upstream = "v1" },
		"revision: want 1 or more, found 0":                     func(c *Config) { c.Revision = 0 },
		"epoch: want 0 or more, found -1":                       func(c *Config) { c.Epoch = -1 },
		`section: want a section of the Debian archive`:         func(c *Config) { c.Section = "" },
		`found "tools"`:                                         func(c *Config) { c.Section = "tools" },
		`found "local/utils"`:                                   func(c *Config) { c.Section = "local/utils" },
		`priority: want required, important`:                    func(c *Config) { c.Priority = "extra" },
		`maintainer: want Name <address@host>, found ""`:        func(c *Config) { c.Maintainer = "" },
		`found "team@demo.example"`:                             func(c *Config) { c.Maintainer = "team@demo.example" },
		`found " A <a@b.cd>"`:                                   func(c *Config) { c.Maintainer = " A <a@b.cd>" },
		`found "A <a@localhost>"`:                               func(c *Config) { c.Maintainer = "A <a@localhost>" },
		`found "A <a@b.c>\nX: y"`:                               func(c *Config) { c.Maintainer = "A <a@b.c>\nX: y" },
		`homepage: want an address`:                             func(c *Config) { c.Homepage = "" },
		`found "ftp://x"`:                                       func(c *Config) { c.Homepage = "ftp://x" },
		`found "https://u:p@x/"`:                                func(c *Config) { c.Homepage = "https://u:p@x/" },
		`found "https://x/\nX: y"`:                              func(c *Config) { c.Homepage = "https://x/\nX: y" },
		`license: want an SPDX`:                                 func(c *Config) { c.License = " " },
		`copyright: want plain text`:                            func(c *Config) { c.Copyright = "a\x00" },
		`compression: want gzip:1`:                              func(c *Config) { c.Compression = "zstd" },
		`found "gzip:0"`:                                        func(c *Config) { c.Compression = "gzip:0" },
		"description: want a synopsis":                          func(c *Config) { c.Description = " \n " },
		"at most 80 characters, found 81":                       func(c *Config) { c.Description = strings.Repeat("ü", 79) + " x\nmore" },
		"begin with the package's name":                         func(c *Config) { c.Description = "Demo: says\nmore" },
		"begin with an article":                                 func(c *Config) { c.Description = "A thing\nmore" },
		"more than one word":                                    func(c *Config) { c.Description = "thing\nmore" },
		"want some full sentences after the first line":         func(c *Config) { c.Description = "say things" },
		"than the same again":                                   func(c *Config) { c.Description = "say things\nsay\nthings" },
		`description: want plain text`:                          func(c *Config) { c.Description = "say\tthings\nmore" },
		`depends: want NAME or NAME (>= VERSION), found "a, b"`: func(c *Config) { c.Depends = []string{"a, b"} },
		`found "libc6 (>=2.36)"`:                                func(c *Config) { c.Depends = []string{"libc6 (>=2.36)"} },
		`found "libc6 >= 2"`:                                    func(c *Config) { c.Recommends = []string{"libc6 >= 2"} },
		`found "x\nPre-Depends: evil"`:                          func(c *Config) { c.Suggests = []string{"x\nPre-Depends: evil"} },
		`found ""`:                                              func(c *Config) { c.Depends = []string{""} },
		`conflicts: want one package in each entry`:             func(c *Config) { c.Conflicts = []string{"a1 | b1"} },
		`provides: want no other version than (= VERSION)`:      func(c *Config) { c.Provides = []string{"xx (>= 1)"} },
		`breaks: want NAME`:                                     func(c *Config) { c.Breaks = []string{"X"} },
		`replaces: want NAME`:                                   func(c *Config) { c.Replaces = []string{"x (< 1)"} },
	} {
		c := demo()
		edit(&c)
		if err := c.Validate(); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
	c := demo()
	c.Section, c.Priority, c.Compression, c.Epoch = "contrib/net", "standard", "xz", 2
	c.Depends, c.Provides = []string{"libc6 (>= 2.36) | musl", "python3:any (<< 1:4~)"}, []string{"x-tool (= 1.0)", "y-tool"}
	must(t, c.Validate())
	if got := c.FullVersion(); got != "2:1.2.3~rc.1-1" {
		t.Errorf("got %s", got)
	}
	if got := c.File(); got != "demo_1.2.3-rc.1_amd64.deb" {
		t.Errorf("got %s", got)
	}
}

// TestFullVersion_Order asks dpkg whether versions come in the order of releases.
func TestFullVersion_Order(t *testing.T) {
	t.Parallel()
	if _, err := exec.LookPath("dpkg"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("dpkg is missing")
		}
		t.Skip("dpkg is missing")
	}
	older := ""
	for _, c := range []Config{
		{Upstream: "3.2.1~beta.1", Revision: 1},
		{Upstream: "3.2.1~rc.2", Revision: 1},
		{Upstream: "3.2.1~rc.10", Revision: 1},
		{Upstream: "3.2.1", Revision: 1},
		{Upstream: "3.2.1", Revision: 2},
		{Upstream: "3.2.1", Revision: 10},
		{Upstream: "3.2.2", Revision: 1},
		{Upstream: "3.2.1", Revision: 1, Epoch: 1},
	} {
		v := c.FullVersion()
		if older != "" {
			if out, err := exec.Command("dpkg", "--compare-versions", older, "lt", v).CombinedOutput(); err != nil {
				t.Errorf("%s is not older than %s: %v %s", older, v, err, out)
			}
		}
		older = v
	}
}

func TestDescription(t *testing.T) {
	t.Parallel()
	c := Config{Description: "  say  things \n\n one two\n\tthree\n\n\n" + strings.Repeat("word ", 40) + "\n\n" + strings.Repeat("x", 100) + "\n"}
	want := "say things\none two three\n\n" + strings.TrimSpace(strings.Repeat("word ", 15)) + "\n" + strings.TrimSpace(strings.Repeat("word ", 15)) + "\n" +
		strings.TrimSpace(strings.Repeat("word ", 10)) + "\n\n" + strings.Repeat("x", 100)
	if got := c.description(); got != want {
		t.Errorf("got\n%s", got)
	}
}

// FuzzFields: whatever a configuration says, once it is accepted the control file has the fields that it should have,
// and no others.
func FuzzFields(f *testing.F) {
	d := demo()
	f.Add(d.Maintainer, d.Description, d.Homepage, "libc6 (>= 2)")
	f.Add(" "+d.Maintainer, d.Description, d.Homepage, "libc6 (>= 2)")
	f.Add("A <a@b.c>\nEvil: x", "a b\nc\n\nEvil: x\n .\n", "https://x", "a | b\nEvil: y")
	f.Fuzz(func(t *testing.T, maintainer, description, homepage, depends string) {
		c := demo()
		c.Maintainer, c.Description, c.Homepage, c.Depends = maintainer, description, homepage, []string{depends}
		if c.Validate() != nil {
			return
		}
		files, err := Layout(c, &env, tree(t, map[string]string{"share/licenses/demo/LICENSE": mit}))
		must(t, err)
		var b bytes.Buffer
		must(t, write(t.Context(), &b, c, files, env.Time, t.TempDir()))
		got, err := archive.ReadDeb(t.Context(), &b, archive.Limits{Entries: 100, Bytes: 1 << 20}, nil)
		if err != nil {
			t.Fatalf("%q: %v", c.Description, err)
		}
		var names []string
		for _, field := range got.Control {
			names = append(names, field.Name)
			if !utf8.ValidString(field.Value) {
				t.Errorf("%q", field)
			}
		}
		if s := strings.Join(names, " "); s != "Package Version Section Priority Architecture Maintainer Installed-Size Depends Homepage Description" {
			t.Errorf("fields %s", s)
		}
		if got.Field("Maintainer") != maintainer || got.Field("Depends") != depends {
			t.Errorf("got %q, %q", got.Field("Maintainer"), got.Field("Depends"))
		}
	})
}
