package phases

import (
	"bytes"
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
		"pubspec.yaml": "name: cloudtolocalllm # the app\nversion: 3.2.1+1\n", "package.json": "{}", "LICENSE": "Apache License\nVersion 2.0, January 2004",
	},
	"node":         {"package.json": `{"name": "@scope/my-tool", "version": "1.2.3"}`, "README": "x", "COPYING": "GNU GENERAL PUBLIC LICENSE\nVersion 3, 29 June 2007"},
	"python":       {"pyproject.toml": "[build-system]\nrequires = []\n\n[project]\nname = \"My_Tool\"\nversion = \"0.3.0\"\n"},
	"rust":         {"Cargo.toml": "[package]\nname = \"grepper\"\nversion = \"0.3.0\"\nedition = \"2024\"\n", "LICENSE": "nobody knows"},
	"plain":        {"script.sh": "#!/bin/sh\n"},
	"empty":        {},
	"go-library":   {"go.mod": "module example.com/lib\n", "lib.go": "package lib\n"},
	"rust-no-name": {"Cargo.toml": "[workspace]\nmembers = []\n"},
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
