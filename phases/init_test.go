package phases

import (
	"bytes"
	"encoding/binary"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

// tree writes files into a new folder of that name.
func tree(t testing.TB, name string, files map[string]string) string {
	t.Helper()
	dir := filepath.Join(t.TempDir(), name)
	for file, text := range files {
		path := filepath.Join(dir, filepath.FromSlash(file))
		if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(text), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		t.Fatal(err)
	}
	return dir
}

const (
	mit    = "MIT License\n\nCopyright (c) 2026 X\n\nPermission is hereby granted, free of charge, to any person obtaining a copy\nof this software [...]\nThe above copyright notice and this permission notice shall be included in all\ncopies.\n"
	origin = "[core]\n\tbare = false\n[remote \"upstream\"]\n\turl = https://example.com/other.git\n[remote \"origin\"]\n\turl = git@github.com:Owner/Some-App.git\n\tfetch = +refs/heads/*:refs/remotes/origin/*\n"
)

var repositories = map[string]map[string]string{
	"go": {
		"go.mod": "module github.com/owner/some-app/v2\n\ngo 1.24.3\n", "VERSION": "2.0.0\n", "LICENSE": mit, "README.md": "x", ".git/config": origin,
		"main.go": "package main\nfunc main() {}\n", "cmd/some-tool/main.go": "// Command x.\npackage main\n", "cmd/Other_Tool/main.go": "package main\n",
		"cmd/lib/lib.go": "package lib\n", "cmd/windows/main_windows.go": "package main\n", "cmd/ignored/x.go": "//go:build ignore\n\npackage main\n",
		"cmd/tests/x_test.go": "package main\n", "cmd/-rf/main.go": "package main\n", "cmd/broken/main.go": "packag main",
		"package.json": `{"name": "web", "version": "9.9.9"}`,
	},
	"flutter": {
		"pubspec.yaml":  "name: cloudtolocalllm # the app\nversion: 3.2.1+1\nenvironment:\n  sdk: '>=3.5.0 <4.0.0'\n  flutter: \">=3.24.0\"\n",
		"package.json":  "{}",
		"LICENSE":       "Apache License\nVersion 2.0, January 2004",
		"lib/main.dart": "void main() {}\n", "lib/config/app_config.dart": "class AppConfig {\n  static const String appVersion = '3.2.1';\n}\n",
		"assets/version.json":      `{"version": "3.2.1", "build_number": "1", "build_date": "2026-01-01T00:00:00Z", "git_commit": "unknown"}`,
		"aur-package/PKGBUILD":     "pkgname=cloudtolocalllm-desktop\npkgver=3.2.1\npkgrel=1\n",
		"aur-package/.SRCINFO":     "pkgbase = cloudtolocalllm-desktop\n\tpkgver = 3.2.0\n\tpkgrel = 1\n\npkgname = cloudtolocalllm-desktop\n",
		"api-backend/package.json": `{"name": "api", "version": "3.2.1"}`, "build/version.json": `{"version": "3.2.1"}`, ".dart_tool/version.json": `{"version": "3.2.1"}`,
		"linux/CMakeLists.txt":   "cmake_minimum_required(VERSION 3.13)\nset(BINARY_NAME \"cloudtolocalllm\")\n",
		"linux/my-app.desktop":   "[Desktop Entry]\nType=Application\nExec=cloudtolocalllm\nIcon=cloudtolocalllm\n",
		"linux/broken.desktop":   "text",
		"linux/icons/app-64.png": png(64, 64), "linux/icons/app-128.png": png(128, 128), "linux/icons/text.png": "no image", "assets/images/app_icon.png": png(128, 128),
		"assets/images/photo.png": png(256, 256), "linux/icons/wide.png": png(48, 32),
	},
	"flutter-bare": {"pubspec.yaml": "name: bare_app\nversion: 1.0.0\n"},
	"node":         {"package.json": `{"name": "@scope/my-tool", "version": "1.2.3"}`, "README": "x", "COPYING": "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007"},
	"node-program": {"package.json": `{"name": "@scope/my-tool", "version": "1.2.3", "bin": {"other": "o.js", "my-tool": "bin/cli.js"}, "engines": {"node": ">=20.1"}}`, "npm-shrinkwrap.json": "{}"},
	"python":       {"pyproject.toml": "[build-system]\nrequires = []\n\n[project]\nname = \"My_Tool\"\nversion = \"0.3.0\"\n"},
	"python-program": {
		"pyproject.toml":     "[project]\nname = \"My_Tool\"\nversion = \"0.3.0\"\nrequires-python = \">=3.11\"\ndependencies = [\n  \"requests\",\n]\n\n[project.scripts]\nmy-tool = \"my_tool.cli:main\"\n",
		"src/my_tool/cli.py": "def main(): pass\n",
	},
	"python-frozen": {
		"pyproject.toml": "[project]\nname = \"my_tool\"\nversion = \"0.3.0\"\n",
		"tray.spec":      "a = Analysis(['main.py'])\nexe = EXE(PYZ(a.pure), a.scripts, name='my-tray')\ncoll = COLLECT(exe, a.binaries, name='my-tray')\n", "other.spec": "Name: rpm\n",
	},
	"rust":         {"Cargo.toml": "[package]\nname = \"grepper\"\nversion = \"0.3.0\"\nedition = \"2024\"\nrust-version = \"1.85\"\n", "src/main.rs": "fn main() {}\n", "LICENSE": "nobody knows"},
	"rust-library": {"Cargo.toml": "[package]\nname = \"lib\"\nversion = \"0.3.0\"\n", "src/lib.rs": ""},
	"plain":        {"script.sh": "#!/bin/sh\n"},
	"empty":        {},
	"go-library":   {"go.mod": "module example.com/lib\n", "lib.go": "package lib\n"},
	"rust-no-name": {"Cargo.toml": "[workspace]\nmembers = []\n"},
}

// png is the beginning of an image of that size.
func png(width, height uint32) string {
	b := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\rIHDR"), width)
	return string(binary.BigEndian.AppendUint32(b, height)) + "\x08\x06\x00\x00\x00"
}

// TestInit makes a release.yaml for each kind of repository; Load and Validate accept it, and so does the schema.
func TestInit(t *testing.T) {
	s := parsedSchema(t)
	for name, files := range repositories {
		t.Run(name, func(t *testing.T) {
			dir := tree(t, name, files)
			got, err := Init(dir)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := loaded(got); err != nil {
				t.Error(err)
			}
			if err := accepts(s, s, asJSON(t, got), ""); err != nil {
				t.Error(err)
			}
			golden := filepath.Join("testdata", "init", name+".yaml")
			if *update {
				if err := os.MkdirAll(filepath.Dir(golden), 0o777); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(golden, got, 0o666); err != nil {
					t.Fatal(err)
				}
			}
			if want, err := os.ReadFile(golden); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s differs (%v):\n%s", golden, err, got)
			}
			if again, err := Init(dir); err != nil || !bytes.Equal(got, again) {
				t.Errorf("a second time it is another: %v", err)
			}
		})
	}
}

// TestInit_Hostile: names that would be something else in YAML, a package or a shell.
func TestInit_Hostile(t *testing.T) {
	for _, name := range []string{"$(reboot)", "`x`", "-rf", "a b", "..", "yes", "null", "1.0", "x", "", "é", "漢字", "\"", "'", "\\n", "#", "%YAML", "&a", "*a", "!x", "a: b", "[", "{{ .Version }}", "{{", "a\nb", strings.Repeat("n", 300), "a..b", "UPPER", "a_b", "_", "---"} {
		for _, files := range []map[string]string{
			{"package.json": `{"name": ` + quoteJSON(name) + `}`},
			{"pubspec.yaml": "name: " + name + "\nversion: 1.0.0+1\n"},
			{"Cargo.toml": "[package]\nname = \"" + name + "\"\nversion = \"1.0.0\"\n"},
			{"pyproject.toml": "[project]\nname = '" + name + "'\n"},
			{"go.mod": "module example.com/" + name + "\n", "main.go": "package main"},
			{"pubspec.yaml": "name: app\nversion: 1.0.0\n", "linux/CMakeLists.txt": "set(BINARY_NAME \"" + name + "\")\n", "linux/x.desktop": "Exec=x\nIcon=" + name + "\n", "linux/icon.png": png(64, 64)},
			{"package.json": `{"name": "app", "version": "1.0.0", "bin": {` + quoteJSON(name) + `: "x.js"}, "engines": {"node": ` + quoteJSON(name) + `}}`},
			{"Cargo.toml": "[package]\nname = \"app\"\nversion = \"1.0.0\"\nrust-version = \"" + name + "\"\n[[bin]]\nname = \"" + name + "\"\n"},
			{"pyproject.toml": "[project]\nname = 'app'\nversion = '1.0.0'\nrequires-python = '" + name + "'\n[project.scripts]\n\"" + name + "\" = \"a:b\"\n", "src/a.py": ""},
			{"pyproject.toml": "[project]\nname = 'app'\nversion = '1.0.0'\n", "x.spec": "Analysis(\nname='" + name + "'"},
			{"README.md": name, "LICENSE": name},
		} {
			got, err := Init(tree(t, "repo", files))
			if err != nil {
				t.Errorf("%q in %v: %v", name, files, err)
				continue
			}
			c, err := Load("x", got)
			if err != nil {
				t.Fatal(err)
			}
			if !regexp.MustCompile(`^[a-z0-9][a-z0-9.-]*[a-z0-9]$`).MatchString(c.Project) || strings.Contains(c.Project, "..") {
				t.Errorf("%q became project %q", name, c.Project)
			}
		}
	}
}

func quoteJSON(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(s) + `"`
}

// TestInit_Outside looks at no file outside the repository, at no pipe, and at nothing huge.
func TestInit_Outside(t *testing.T) {
	secret := tree(t, "secret", map[string]string{"package.json": `{"name": "secret-name", "version": "1.0.0"}`, "LICENSE": mit})
	dir := tree(t, "outer", map[string]string{"LICENSE": strings.Repeat(mit, 10_000)})
	if err := os.Symlink(filepath.Join(secret, "package.json"), filepath.Join(dir, "package.json")); err != nil {
		t.Skip(err)
	}
	if mkfifo, err := exec.LookPath("mkfifo"); err == nil {
		if out, err := exec.CommandContext(t.Context(), mkfifo, filepath.Join(dir, "go.mod")).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	}
	got, err := Init(dir)
	if err != nil {
		t.Fatal(err)
	}
	if strings.Contains(string(got), "secret") || !strings.Contains(string(got), "project: outer") || !strings.Contains(string(got), "license: it is not known") {
		t.Errorf("got\n%s", got)
	}
	if _, err := Init(filepath.Join(dir, "nowhere")); err == nil || !strings.Contains(err.Error(), "cannot look at the repository") {
		t.Errorf("a folder that is not there: %v", err)
	}
}

// TestInit_Worktree finds the remote of a worktree that git added, whose .git is a file.
func TestInit_Worktree(t *testing.T) {
	if _, err := exec.LookPath("git"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
	dir := tree(t, "app", nil)
	git := func(args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), "git", append([]string{"-C", dir, "-c", "user.name=x", "-c", "user.email=x@example.org"}, args...)...)
		cmd.Env = append(os.Environ(), "GIT_CONFIG_GLOBAL="+os.DevNull, "GIT_CONFIG_NOSYSTEM=1")
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("git %v: %v %s", args, err, out)
		}
	}
	git("init", "-q")
	git("remote", "add", "origin", "https://token:x@git.example.org:8443/team/app.git")
	git("commit", "-q", "--allow-empty", "-m", "x")
	git("worktree", "add", "-q", filepath.Join(dir, "tree"))
	for _, at := range []string{dir, filepath.Join(dir, "tree")} {
		got, err := Init(at)
		if err != nil || !strings.Contains(string(got), `homepage: "https://git.example.org/team/app"`) || strings.Contains(string(got), "token") {
			t.Errorf("%s: %v\n%s", at, err, got)
		}
	}
}

func TestWebAddress(t *testing.T) {
	for remote, want := range map[string]string{
		"https://github.com/o/r.git":                 "https://github.com/o/r",
		"https://github.com/o/r/":                    "https://github.com/o/r",
		"http://GitHub.com/o/r":                      "https://github.com/o/r",
		"https://ghp_secret@github.com/o/r.git":      "https://github.com/o/r",
		"https://user:password@github.com/o/r?a=b#c": "https://github.com/o/r",
		"git@github.com:o/r.git":                     "https://github.com/o/r",
		"github.com:o/r":                             "https://github.com/o/r",
		"ssh://git@git.example.org:2222/a/b/c.git":   "https://git.example.org/a/b/c",
		"git://example.org/r.git":                    "https://example.org/r",
		"git+ssh://git@example.org/r":                "https://example.org/r",
		"":                                           "",
		"/srv/git/r.git":                             "",
		"../r.git":                                   "",
		"file:///srv/git/r.git":                      "",
		"ext::sh -c reboot":                          "",
		"-oProxyCommand=x":                           "",
		"https://github.com/":                        "",
		"https://localhost/o/r":                      "",
		"https://github.com/o/$(x)":                  "",
		"https://github.com/o/..":                    "",
		"https://github.com/o/%2e%2e":                "",
		"https://github.com/o/a b":                   "",
		"https://github.com/o//r":                    "",
		"C:\\git\\r":                                 "",
		"git@github.com:o/`x`.git":                   "",
		"javascript:alert(1)":                        "",
	} {
		if got := webAddress(remote); got != want {
			t.Errorf("%q: %q, want %q", remote, got, want)
		}
	}
}

// TestLicenseOf reads the texts that Debian ships, where there are some.
func TestLicenseOf(t *testing.T) {
	for file, want := range map[string]string{
		"GPL-3": "GPL-3.0-only", "GPL-2": "GPL-2.0-only", "LGPL-3": "LGPL-3.0-only", "LGPL-2.1": "LGPL-2.1-only", "Apache-2.0": "Apache-2.0", "MPL-2.0": "MPL-2.0",
	} {
		text, err := os.ReadFile(filepath.Join("/usr/share/common-licenses", file))
		if err != nil {
			t.Logf("not looked at: %v", err)
			continue
		}
		if got := licenseOf(string(text)); got != want {
			t.Errorf("%s: %q, want %q", file, got, want)
		}
	}
	for text, want := range map[string]string{
		mit: "MIT",
		"Redistribution and use in source\nand binary forms, with or without modification":                                                                      "BSD-2-Clause",
		"Redistribution and use in source and binary forms ... Neither the name of the copyright holder":                                                        "BSD-3-Clause",
		"Permission to use, copy, modify, and/or distribute this software for any purpose with or without fee is hereby granted.":                               "0BSD",
		"Permission to use, copy, modify, and/or distribute this software for any purpose ... copyright notice and this permission notice appear in all copies": "ISC",
		"This is free and unencumbered software released into the public domain.":                                                                               "Unlicense",
		"":                     "",
		"All rights reserved.": "",
	} {
		if got := licenseOf(text); got != want {
			t.Errorf("%.40q: %q, want %q", text, got, want)
		}
	}
	ours, err := os.ReadFile("../LICENSE")
	if err != nil || licenseOf(string(ours)) != "MIT" {
		t.Errorf("our own: %q, %v", licenseOf(string(ours)), err)
	}
}

// FuzzInit: whatever a manifest holds, what is written of it can be read.
func FuzzInit(f *testing.F) {
	manifests := []string{"pubspec.yaml", "Cargo.toml", "package.json", "pyproject.toml", "go.mod", "x.spec", "linux/CMakeLists.txt", "linux/x.desktop", "linux/icons/x.png", ".git/config"}
	f.Add(uint8(0), "name: a\nversion: 1.0.0+1\nenvironment:\n  flutter: '>=3.1'\n")
	f.Add(uint8(1), "[package]\nname = \"a\"\nrust-version = \"1.1\"\n[[bin]]\nname = \"b\"\n")
	f.Add(uint8(2), `{"name": "a", "version": "1.0.0", "bin": {"b": "c"}, "engines": {"node": "^1"}}`)
	f.Add(uint8(3), "[project]\nname = 'a'\nversion = '1'\n[project.scripts]\nb = 'c:d'\n")
	f.Add(uint8(5), "Analysis(\nname='x'\na = COLLECT(")
	f.Add(uint8(8), png(64, 64))
	f.Fuzz(func(t *testing.T, which uint8, text string) {
		files := map[string]string{"pubspec.yaml": "name: app\nversion: 1.0.0\n"}
		name := manifests[int(which)%len(manifests)]
		if name == "x.spec" {
			files = map[string]string{"pyproject.toml": "[project]\nname = 'app'\n"}
		} else if int(which)%len(manifests) < 5 {
			files = map[string]string{"src/c.py": "", "main.go": "package main"}
		}
		files[name] = text
		if _, err := Init(tree(t, "repo", files)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	})
}
