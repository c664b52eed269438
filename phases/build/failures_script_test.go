//go:build linux

package build

import (
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/requirement"
)

// asks plants a requirement in the place of another.
func (p *planting) asks(name string, edit func(*requirement.Config)) {
	r := p.cfg.Requires[name]
	edit(&r)
	p.cfg.Requires = with(p.cfg.Requires, name, r)
}

// builds plants a component that a command builds; what it makes goes into the bundle.
func (p *planting) builds(name string, c component.Config) {
	c.Builder, c.Output = component.Command, "made"
	p.cfg.Components[name] = c
	p.bundle(func(b *bundleConfig) {
		b.Contents = append(b.Contents, bundle.Content{Src: "component:" + name + "/", Dst: "share/" + name, Type: "tree"})
	})
}

// scriptFailures are those of tools, scripts and sources.
var scriptFailures = []failure{
	{
		number: 26, what: "026_UnboundVariable", everything: true, plant: func(p *planting) { p.files["scripts/build.sh"] += "echo \"$BUILD_MODE\"\n" },
		fails: []string{"dry-run"}, says: []string{"bash of the machine ended with status 1", "BUILD_MODE: unbound variable"},
	},
	{
		number: 26, what: "026_UnknownFlag", everything: true, plant: func(p *planting) {
			p.asks("flutter-build", func(r *requirement.Config) { r.Flags = append(r.Flags, "--no-tree-shake-fonts") })
		},
		stops: "build/requirements", says: []string{"flutter-build: ", "--no-tree-shake-fonts"},
	},
	{
		number: 26, what: "026_NoSuchSubcommand", everything: true, plant: func(p *planting) {
			p.asks("flutter-build", func(r *requirement.Config) { r.Command = []string{r.Command[0], "update-build-number", "--help"} })
		},
		stops: "build/requirements", says: []string{"flutter-build: ", "update-build-number --help ended with status 64", "this version may not know the command"},
	},
	{
		number: 27, what: "027_RemovedFlag", everything: true, plant: func(p *planting) {
			p.asks("flutter-build", func(r *requirement.Config) { r.Flags = append(r.Flags, "--web-renderer") })
		},
		stops: "build/requirements", says: []string{"flutter-build: ", "--web-renderer"},
	},
	{
		number: 27, what: "027_AnotherVersion", everything: true, plant: func(p *planting) {
			p.asks("flutter", func(r *requirement.Config) { r.Range = ">=3.38" })
		},
		stops: "build/requirements", says: []string{"flutter: 3.24.5, wanted >=3.38"},
	},
	{
		number: 28, what: "028_NotExecutable", everything: true, plant: func(p *planting) { p.modes["scripts/deploy.sh"] = 0o644 },
		fails: []string{"tracked", "deploy"}, says: []string{
			"scripts/deploy.sh: it is not executable (mode 0644 in the commit): git update-index --chmod=+x scripts/deploy.sh",
			`"scripts/deploy.sh" of the checkout is not executable`,
		},
	},
	{
		number: 28, what: "028_StatusSwallowed", everything: true, plant: func(p *planting) { p.files["scripts/deploy.sh"] = "#!/bin/sh\nset -e\n./README.md\necho up to date\n" },
		fails: []string{"deploy"}, says: []string{"scripts/deploy.sh of the checkout ended with status 126"},
	},
	{
		number: 33, what: "033_Hidden", plant: func(p *planting) { p.files[".gitignore"] = "lib/screens/\n" },
		fails: []string{"tracked"}, says: []string{`nothing in the commit matches "lib/screens/*.dart": files that are there without being tracked may be hidden by .gitignore`},
	},
	{
		number: 35, what: "035_TrayBlocksStart", everything: true, plant: func(p *planting) { p.replace(trayProgram, "echo ready; exec", "exec") },
		fails: []string{"smoke"}, says: []string{`was not ready within 2s, never printed ["ready"]`},
	},
	{
		number: 36, what: "036_Segfault", everything: true, plant: func(p *planting) { p.replace(trayProgram, "echo ready; exec sleep 60", "echo ready; kill -SEGV $$") },
		fails: []string{"smoke"}, says: []string{"was ended by signal SIGSEGV"},
	},
	{
		number: 43, what: "043_NoLockFile", plant: func(p *planting) { delete(p.files, "package-lock.json") },
		fails: []string{"tracked"}, says: []string{"package-lock.json: it is not in the commit"},
	},
	{
		// What is installed from the lock file is what it locks, and a version that is not there stops the build.
		number: 43, what: "043_NoSuchVersion", plant: func(p *planting) {
			p.files["scripts/install.sh"] = "#!/bin/sh\ngrep -q '\"3.0.1\"' package-lock.json || { echo 'No matching version found for jwks-client@3.0.1.' >&2; exit 1; }\n"
			p.builds("api", component.Config{Command: []string{"scripts/install.sh"}})
		},
		stops: "build/component/api/amd64", says: []string{"No matching version found for jwks-client@3.0.1."},
	},
	{
		number: 44, what: "044_ImportOfOtherPlatform", plant: func(p *planting) { p.files["lib/web.dart"] = "import 'dart:async';\nimport 'dart:html';\n" },
		fails: []string{"platforms"}, says: []string{`lib/web.dart:2: "import 'dart:html'" is forbidden`},
	},
	{
		number: 44, what: "044_OtherTargetDoesNotBuild", plant: func(p *planting) {
			p.files["scripts/web.sh"] = "#!/bin/sh\necho \"lib/io.dart:1:8: Error: Dart library 'dart:io' is not available on this platform.\" >&2\nexit 1\n"
			p.builds("web", component.Config{Command: []string{"scripts/web.sh"}})
		},
		stops: "build/component/web/amd64", says: []string{"Dart library 'dart:io' is not available on this platform"},
	},
	{
		number: 47, what: "047_Prompt", everything: true, plant: func(p *planting) {
			p.files["scripts/deploy.sh"] = "#!/bin/sh\necho 'password for user:'\nread -r answer || { echo nobody answers; exit 1; }\n"
		},
		fails: []string{"deploy"}, says: []string{"ended with status 1", "nobody answers"},
	},
	{
		number: 47, what: "047_Hangs", everything: true, plant: func(p *planting) {
			p.files["scripts/deploy.sh"] = "#!/bin/sh\ntrap '' TERM INT\nwhile :; do sleep 1; done\n"
		},
		fails: []string{"deploy"}, says: []string{"did not end within 1s and was killed"},
	},
	{
		number: 47, what: "047_BuildHangs", plant: func(p *planting) {
			p.files["scripts/ask.sh"] = "#!/bin/sh\ntrap '' TERM INT\nwhile :; do sleep 1; done\n"
			p.builds("asks", component.Config{Command: []string{"scripts/ask.sh"}, Timeout: component.Duration(500 * time.Millisecond)})
		},
		stops: "build/component/asks/amd64", says: []string{"500ms"},
	},
	{
		number: 61, what: "061_Gitlink", plant: func(p *planting) {
			p.index = []string{"--add", "--cacheinfo", "160000,1212121212121212121212121212121212121212,aur-repo"}
		},
		stops: "build/version", says: []string{`"aur-repo" is a submodule`},
	},
}
