package phases

import (
	"encoding/json"
	"errors"
	"fmt"
	"go/build"
	"go/parser"
	"go/token"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"github.com/go-git/go-git/v5"
	"github.com/go-git/go-git/v5/config"
	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/templates"
)

// maxManifest bounds what is read of any file of a repository that is looked at, in bytes.
const maxManifest = 1 << 20

// A folder is the repository that [Init] looks at. Nothing is read through a link that leads out of it, and nothing
// but regular files of a bearable size.
type folder struct {
	dir  string
	root *os.Root
}

func (f folder) read(name string) (string, bool) {
	info, err := f.root.Stat(filepath.FromSlash(name))
	if err != nil || !info.Mode().IsRegular() || info.Size() > maxManifest {
		return "", false
	}
	file, err := f.root.Open(filepath.FromSlash(name))
	if err != nil {
		return "", false
	}
	defer file.Close()
	b, err := io.ReadAll(io.LimitReader(file, maxManifest))
	return string(b), err == nil
}

func (f folder) has(name string) bool { _, ok := f.read(name); return ok }

// first returns the first of the files that is there, or "".
func (f folder) first(names ...string) string {
	for _, name := range names {
		if f.has(name) {
			return name
		}
	}
	return ""
}

// A kind of repository is known by the file at its root that describes it.
type repositoryKind struct {
	name, manifest string
	project        func(text string) string // the name that the file says
	fill           func(f folder, text string, r *templates.Release)
}

// kinds in the order of their precedence: a Flutter or Go repository may have a package.json for what goes with it.
var kinds = []repositoryKind{
	{"Flutter", "pubspec.yaml", byLine(`(?m)^name:[ \t]*["']?([^\s"'#]+)`), fillFlutter},
	{"Go", "go.mod", moduleName, fillGo},
	{"Rust", "Cargo.toml", byLine(`(?ms)^\[package\][^\[]*?^name[ \t]*=[ \t]*["']([^"'\n]+)["']`), fillRust},
	{"Node", "package.json", packageName, fillNode},
	{"Python", "pyproject.toml", byLine(`(?ms)^\[(?:project|tool\.poetry)\][^\[]*?^name[ \t]*=[ \t]*["']([^"'\n]+)["']`), fillPython},
}

func byLine(pattern string) func(string) string {
	re := regexp.MustCompile(pattern)
	return func(text string) string {
		if m := re.FindStringSubmatch(text); m != nil {
			return m[1]
		}
		return ""
	}
}

var (
	module    = byLine(`(?m)^module[ \t]+["` + "`" + `]?([^\s"` + "`" + `]+)`)
	goVersion = byLine(`(?m)^go[ \t]+(1\.[0-9]{1,3})`)
	major     = regexp.MustCompile(`^v[0-9]+$`)
)

// moduleName is the last element of a module's path that is not its major version.
func moduleName(text string) string {
	p := module(text)
	if major.MatchString(path.Base(p)) {
		p = path.Dir(p)
	}
	return path.Base(p)
}

func packageName(text string) string {
	var p struct{ Name string }
	if json.Unmarshal([]byte(text), &p) != nil {
		return ""
	}
	return path.Base(p.Name) // @scope/name
}

// detect looks at the repository and fills in what can be known of it.
func detect(f folder) templates.Release {
	r := templates.Release{Kind: "plain", Source: "VERSION"}
	name := ""
	fill := fillPrebuilt
	text := ""
	for _, k := range kinds {
		t, ok := f.read(k.manifest)
		if !ok {
			continue
		}
		r.Kind, name, fill, text = k.name, k.project(t), k.fill, t
		if _, _, err := carrier.Source(k.manifest, []byte(t)); err == nil && k.name != "Go" {
			r.Source = k.manifest
		}
		break
	}
	if r.Project = packageNameOf(name); r.Project == "" {
		r.Project = packageNameOf(filepath.Base(f.dir))
	}
	if r.Project == "" {
		r.Project, r.Todo = "my-project", append(r.Todo, "project: find a name of two or more of a-z, 0-9 and . -")
	}
	if !f.has(r.Source) {
		r.Todo = append(r.Todo, "version: make the file VERSION with one line like 0.1.0")
	}
	r.Arch = []string{"amd64"}
	fill(f, text, &r)
	f.carriers(&r)
	if file := f.first("LICENSE", "LICENSE.txt", "LICENSE.md", "LICENCE", "COPYING", "UNLICENSE"); file != "" {
		t, _ := f.read(file)
		r.License, r.LicenseFile = licenseOf(t), file
	}
	if r.License == "" {
		r.License = "MIT"
		r.Todo = append(r.Todo, "license: it is not known; MIT stands there as an example")
	}
	r.Readme = f.first("README.md", "README", "README.txt", "README.rst")
	if r.Homepage = f.homepage(); r.Homepage == "" {
		r.Homepage = "https://example.org/" + r.Project
		r.Todo = append(r.Todo, "homepage and url: no remote named origin says where the project is")
	}
	r.URL = r.Homepage + "/releases/download/v{{ .Version }}/"
	return r
}

var notInName = regexp.MustCompile(`[^a-z0-9.-]+`)

// packageNameOf makes a name that tarballs, Debian and the AUR accept; "" where nothing of it remains.
func packageNameOf(name string) string {
	name = strings.Trim(notInName.ReplaceAllString(strings.ToLower(name), "-"), ".-")
	if name = name[:min(len(name), 60)]; len(name) < 2 || strings.Contains(name, "..") {
		return ""
	}
	return strings.TrimRight(name, ".-")
}

// fillPrebuilt takes one program.
func fillPrebuilt(_ folder, _ string, r *templates.Release) {
	r.Components = []templates.ReleaseComponent{{Name: r.Project, Builder: "prebuilt", Path: "prebuilt/" + r.Project}}
	r.Todo = append(r.Todo, "components: no program to build was found; commit it as prebuilt/"+r.Project+", or say another path; builder: command runs a program that makes it")
}

// fillGo takes every main package at the root and in cmd.
func fillGo(f folder, text string, r *templates.Release) {
	if v := goVersion(text); v != "" {
		r.Requires = append(r.Requires, [2]string{"go", ">=" + v})
	}
	add := func(dir, name string) {
		same := func(c templates.ReleaseComponent) bool { return c.Name == packageNameOf(name) }
		if len(name) < maxKey && goName.MatchString(name) && packageNameOf(name) != "" && f.isMain(dir) && !slices.ContainsFunc(r.Components, same) {
			r.Components = append(r.Components, templates.ReleaseComponent{Name: packageNameOf(name), Builder: "go", Package: dir, Program: name})
		}
	}
	add(".", moduleName(text))
	entries, _ := fs.ReadDir(f.root.FS(), "cmd")
	for _, e := range entries {
		if e.IsDir() {
			add("./cmd/"+e.Name(), e.Name())
		}
	}
	if len(r.Components) == 0 {
		fillPrebuilt(f, text, r)
		return
	}
	r.Arch = []string{"amd64", "arm64"}
}

var goName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9_-]*(\.[A-Za-z0-9_-]+)*$`)

// isMain reports whether a folder holds a Go program for linux. Only the heads of files are read, nothing is run.
func (f folder) isMain(dir string) bool {
	sys := f.root.FS()
	entries, err := fs.ReadDir(sys, path.Clean(dir))
	if err != nil {
		return false
	}
	ctx := build.Default
	ctx.GOOS, ctx.GOARCH, ctx.CgoEnabled = "linux", "amd64", false
	ctx.OpenFile = func(name string) (io.ReadCloser, error) { return sys.Open(filepath.ToSlash(name)) }
	for _, e := range entries {
		name := path.Join(dir, e.Name())
		if !strings.HasSuffix(name, ".go") || strings.HasSuffix(name, "_test.go") || !e.Type().IsRegular() {
			continue
		}
		if match, err := ctx.MatchFile(path.Clean(dir), e.Name()); err != nil || !match {
			continue
		}
		text, ok := f.read(name)
		if !ok {
			continue
		}
		if file, err := parser.ParseFile(token.NewFileSet(), "", text, parser.PackageClauseOnly); err == nil && file.Name.Name == "main" {
			return true
		}
	}
	return false
}

// licenses are the licences that can be told by their texts, each by words of its own: of its title, or of its terms.
// The order matters: some hold the words of others.
var licenses = []struct {
	spdx         string
	title, terms []string
}{
	{"AGPL-3.0-only", []string{"gnu affero general public license", "version 3"}, nil},
	{"LGPL-3.0-only", []string{"gnu lesser general public license", "version 3"}, nil},
	{"LGPL-2.1-only", []string{"gnu lesser general public license", "version 2.1"}, nil},
	{"GPL-3.0-only", []string{"gnu general public license", "version 3"}, nil},
	{"GPL-2.0-only", []string{"gnu general public license", "version 2"}, nil},
	{"Apache-2.0", []string{"apache license", "version 2.0"}, nil},
	{"MPL-2.0", []string{"mozilla public license", "2.0"}, nil},
	{"Unlicense", nil, []string{"this is free and unencumbered software released into the public domain"}},
	{"BSD-3-Clause", nil, []string{"redistribution and use in source and binary forms", "neither the name"}},
	{"BSD-2-Clause", nil, []string{"redistribution and use in source and binary forms"}},
	{"ISC", nil, []string{"permission to use, copy, modify, and/or distribute this software for any purpose", "copyright notice and this permission notice appear in all copies"}},
	{"0BSD", nil, []string{"permission to use, copy, modify, and/or distribute this software for any purpose"}},
	{"MIT", nil, []string{"permission is hereby granted, free of charge, to any person obtaining a copy", "the above copyright notice and this permission notice shall be included"}},
}

// titleLength is how much of a text its title stands in, in bytes.
const titleLength = 200

// licenseOf is the SPDX name of a licence by its text, or "". The GPL family's texts do not say whether later versions
// may be used, so that the narrower name is given.
func licenseOf(text string) string {
	text = strings.ToLower(strings.Join(strings.Fields(text), " "))
	title := text[:min(len(text), titleLength)]
	holds := func(text string, words []string) bool {
		return !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(text, w) })
	}
	for _, l := range licenses {
		if holds(title, l.title) && holds(text, l.terms) {
			return l.spdx
		}
	}
	return ""
}

// homepage is the address of the remote named origin as a browser wants it; "" where there is none. Of the settings
// only the repository's own are read, and what they name is not run.
func (f folder) homepage() string {
	cfg := config.NewConfig()
	if text, ok := f.read(".git/config"); ok {
		if cfg.Unmarshal([]byte(text)) != nil {
			return ""
		}
	} else if repo, err := git.PlainOpenWithOptions(f.dir, &git.PlainOpenOptions{DetectDotGit: true, EnableDotGitCommonDir: true}); err != nil {
		return ""
	} else if cfg, err = repo.Config(); err != nil {
		return ""
	}
	if cfg.Remotes["origin"] == nil || len(cfg.Remotes["origin"].URLs) == 0 {
		return ""
	}
	return webAddress(cfg.Remotes["origin"].URLs[0])
}

var (
	scpLike  = regexp.MustCompile(`^(?:[A-Za-z0-9._-]+@)?([A-Za-z0-9-]+(?:\.[A-Za-z0-9-]+)+):([^/].*)$`)
	webHost  = regexp.MustCompile(`^[A-Za-z0-9-]+(\.[A-Za-z0-9-]+)+$`)
	webPath  = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)
	fetching = []string{"https", "http", "ssh", "git", "git+ssh", "git+https"}
)

// webAddress makes of the address of a git repository the one of its page, without user, password and port.
func webAddress(remote string) string {
	if m := scpLike.FindStringSubmatch(remote); m != nil {
		remote = "ssh://" + m[1] + "/" + m[2]
	}
	u, err := url.Parse(remote)
	if err != nil || !slices.Contains(fetching, u.Scheme) {
		return ""
	}
	p := strings.TrimSuffix(strings.TrimSuffix(u.EscapedPath(), "/"), ".git")
	if !webHost.MatchString(u.Hostname()) || !webPath.MatchString(p) {
		return ""
	}
	return "https://" + strings.ToLower(u.Hostname()) + p
}

// Init makes a release.yaml for the repository in dir, which [Load] and [Config.Validate] accept: what kind it is, its
// name, source of truth, licence and page are found out, and comments say what is left to fill in. Files are read,
// nothing is run or written.
func Init(dir string) (_ []byte, err error) {
	if dir, err = filepath.Abs(dir); err != nil {
		return nil, err
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return nil, fmt.Errorf("cannot look at the repository: %w", err)
	}
	defer func() { err = errors.Join(err, root.Close()) }()
	text, err := templates.RenderRelease(detect(folder{dir, root}))
	if err != nil {
		return nil, err
	}
	c, err := Load("release.yaml", text)
	if err == nil {
		err = c.Validate()
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a release.yaml for %s: %w", dir, err)
	}
	return text, nil
}
