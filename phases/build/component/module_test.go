package component

import (
	"archive/zip"
	"bytes"
	"crypto/sha256"
	"debug/buildinfo"
	"encoding/base64"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A proxy is a folder that the go program fetches modules from, as GOPROXY=file://... (golang.org/ref/mod#goproxy-protocol).
type proxy struct {
	t   *testing.T
	dir string
}

// newProxy makes one, with a module cache of its own.
func newProxy(t *testing.T) proxy {
	t.Helper()
	p := proxy{t, t.TempDir()}
	cache := filepath.Join(t.TempDir(), "cache")
	t.Cleanup(func() { // go makes its cache read-only
		_ = filepath.WalkDir(cache, func(p string, d fs.DirEntry, err error) error {
			if err == nil && d.IsDir() {
				err = os.Chmod(p, 0o755)
			}
			return err
		})
	})
	for name, value := range map[string]string{
		"GOPROXY": "file://" + filepath.ToSlash(p.dir), "GOMODCACHE": cache, "GOSUMDB": "off", "GOFLAGS": "-mod=vendor -tags=evil", "GONOSUMDB": "", "GOPRIVATE": "", "GONOPROXY": "",
	} {
		t.Setenv(name, value)
	}
	return p
}

// add puts a module into the proxy and returns its sum and that of its go.mod, as go.sum has them: SHA-256 in base64 of
// lines of SHA-256 and name (golang.org/x/mod/sumdb/dirhash, Hash1).
func (p proxy) add(module, version string, content map[string]string) (sum, modSum string) {
	p.t.Helper()
	at := filepath.Join(p.dir, module, "@v")
	must(p.t, os.MkdirAll(at, 0o755))
	var b bytes.Buffer
	w := zip.NewWriter(&b)
	hash := sha256.New()
	for _, name := range slices.Sorted(maps.Keys(content)) {
		full := module + "@" + version + "/" + name
		f, err := w.Create(full)
		must(p.t, err)
		_, err = f.Write([]byte(content[name]))
		must(p.t, err)
		fmt.Fprintf(hash, "%x  %s\n", sha256.Sum256([]byte(content[name])), full)
	}
	must(p.t, w.Close())
	for name, text := range map[string]string{
		"list": version + "\n", version + ".info": `{"Version":"` + version + `"}`, version + ".mod": content["go.mod"], version + ".zip": b.String(),
	} {
		must(p.t, os.WriteFile(filepath.Join(at, name), []byte(text), 0o644))
	}
	one := sha256.Sum256(fmt.Appendf(nil, "%x  go.mod\n", sha256.Sum256([]byte(content["go.mod"]))))
	return "h1:" + base64.StdEncoding.EncodeToString(hash.Sum(nil)), "h1:" + base64.StdEncoding.EncodeToString(one[:])
}

const tray = `package main

import (
	"os"
	"runtime/debug"

	"example.org/dep"
)

var built = "?"

func main() {
	info, _ := debug.ReadBuildInfo()
	os.Stdout.WriteString(info.Main.Version + " " + built + " " + dep.Says)
}
`

// modules fills a proxy with a module that needs another one.
func modules(p proxy) (sum string, content map[string]string) {
	depSum, depMod := p.add("example.org/dep", "v1.0.0", map[string]string{"go.mod": "module example.org/dep\n", "dep.go": "package dep\n\nconst Says = \"dep\\n\"\n"})
	content = map[string]string{
		"go.mod": "module example.org/m\n\ngo 1.24\n\nrequire example.org/dep v1.0.0\n", "cmd/tray/main.go": tray, "lib/lib.go": "package lib\n",
		"go.sum": "example.org/dep v1.0.0 " + depSum + "\nexample.org/dep v1.0.0/go.mod " + depMod + "\n",
	}
	sum, _ = p.add("example.org/m", "v1.2.3", content)
	return sum, content
}

func TestModule(t *testing.T) {
	sum, _ := modules(newProxy(t))
	cfg := Config{
		Builder: Go, Module: "example.org/m/cmd/tray@v1.2.3", Sum: sum, Arch: []string{"amd64", "arm64"},
		Ldflags: []string{"-s", "-w", "-X main.built={{ .Version }}-{{ .Arch }}"},
	}
	// The repository has a module, too, which is not looked at but for its go.sum.
	repository := map[string]string{"go.mod": "module example.org/demo\n\ngo 9.99\n", "go.sum": "example.org/m v1.2.3 " + sum + "\nexample.org/m v1.2.3/go.mod " + h1 + "\n"}
	first, err := build(t, t.TempDir(), cfg, map[string]string{"README": "x"})
	must(t, err)
	cfg.Sum = ""
	second, err := build(t, t.TempDir(), cfg, repository)
	must(t, err)
	for _, goarch := range cfg.Arch {
		file := filepath.Join(first.Path(Artifact("demo", goarch)), "tray")
		a, err := os.ReadFile(file)
		must(t, err)
		b, err := os.ReadFile(filepath.Join(second.Path(Artifact("demo", goarch)), "tray"))
		must(t, err)
		if !bytes.Equal(a, b) {
			t.Errorf("%s: two builds differ", goarch)
		}
		info, err := buildinfo.ReadFile(file)
		must(t, err)
		settings := map[string]string{}
		for _, s := range info.Settings {
			settings[s.Key] = s.Value
		}
		if info.Main.Version != "v1.2.3" || info.Main.Sum != sum || settings["GOARCH"] != goarch || settings["GOOS"] != "linux" || settings["CGO_ENABLED"] != "0" || settings["-tags"] != "" {
			t.Errorf("%s: built as\n%s", goarch, info)
		}
		if bytes.Contains(a, []byte(first.Work)) {
			t.Errorf("%s: holds the path of its folder", goarch)
		}
	}
}

func TestModule_Fails(t *testing.T) {
	p := newProxy(t)
	sum, content := modules(p)
	other := func(module string, edit func(map[string]string)) string {
		c := maps.Clone(content)
		c["go.mod"] = strings.Replace(c["go.mod"], "example.org/m\n", module+"\n", 1)
		edit(c)
		maps.DeleteFunc(c, func(_, text string) bool { return text == "" })
		sum, _ := p.add(module, "v1.2.3", c)
		return sum
	}
	none := func(map[string]string) {}
	wrongDep := other("example.org/wrongdep", func(c map[string]string) {
		c["go.sum"] = strings.Replace(c["go.sum"], c["go.sum"][len("example.org/dep v1.0.0 "):][:len(h1)], h1, 1)
	})
	noSums := other("example.org/nosums", func(c map[string]string) { c["go.sum"] = "" })
	broken := other("example.org/broken", func(c map[string]string) { c["cmd/tray/main.go"] = "package main\n\nfunc main() { nothing() }\n" })
	newer := other("example.org/newer", func(c map[string]string) { c["go.mod"] = strings.Replace(c["go.mod"], "1.24", "1.999", 1) })
	local := other("example.org/local", func(c map[string]string) { c["go.mod"] += "replace example.org/dep => ../dep\n" })
	nested := other("example.org/nested", none)
	for name, c := range map[string]struct {
		cfg    Config
		goSum  string
		wanted []string
	}{
		"wrong sum":      {Config{Module: "example.org/m/cmd/tray@v1.2.3", Sum: h1}, "", []string{"module example.org/m@v1.2.3 has the sum " + sum + ", wanted is " + h1}},
		"wrong in list":  {Config{Module: "example.org/m/cmd/tray@v1.2.3"}, "example.org/m v1.2.3 " + h1 + "\n", []string{"has the sum " + sum + ", wanted is " + h1}},
		"they disagree":  {Config{Module: "example.org/m/cmd/tray@v1.2.3", Sum: sum}, "example.org/m v1.2.3 " + h1 + "\n", []string{"release.yaml wants the sum " + sum, "go.sum " + h1}},
		"not listed":     {Config{Module: "example.org/m/cmd/tray@v1.2.3"}, "example.org/m v1.2.2 " + sum + "\nexample.org/m v1.2.3/go.mod " + sum + "\n", []string{"cannot check module example.org/m@v1.2.3", "it has " + sum}},
		"two in list":    {Config{Module: "example.org/m/cmd/tray@v1.2.3"}, "example.org/m v1.2.3 " + sum + "\nexample.org/m v1.2.3 " + h1 + "\n", []string{"two sums for example.org/m@v1.2.3"}},
		"no version":     {Config{Module: "example.org/m/cmd/tray@v1.9.9", Sum: sum}, "", []string{"cannot find a module with package example.org/m/cmd/tray at v1.9.9"}},
		"no module":      {Config{Module: "example.org/nowhere/x@v1.2.3", Sum: sum}, "", []string{"cannot find a module with package example.org/nowhere/x"}},
		"no package":     {Config{Module: "example.org/m/cmd/other@v1.2.3", Sum: sum}, "", []string{"example.org/m@v1.2.3: has no package example.org/m/cmd/other"}},
		"not a program":  {Config{Module: "example.org/m/lib@v1.2.3", Sum: sum}, "", []string{"lib"}},
		"wrong dep":      {Config{Module: "example.org/wrongdep/cmd/tray@v1.2.3", Sum: wrongDep}, "", []string{"cannot check what example.org/wrongdep@v1.2.3 needs", "checksum mismatch"}},
		"no sums":        {Config{Module: "example.org/nosums/cmd/tray@v1.2.3", Sum: noSums}, "", []string{"missing go.sum entry"}},
		"no compile":     {Config{Module: "example.org/broken/cmd/tray@v1.2.3", Sum: broken}, "", []string{"undefined: nothing"}},
		"newer go":       {Config{Module: "example.org/newer/cmd/tray@v1.2.3", Sum: newer}, "", []string{"requires go >= 1.999"}},
		"local replace":  {Config{Module: "example.org/local/cmd/tray@v1.2.3", Sum: local}, "", []string{"replace"}},
		"bad linker":     {Config{Module: "example.org/nested/cmd/tray@v1.2.3", Sum: nested, Ldflags: []string{"-nosuchflag"}}, "", []string{"go ended with status 1", "[...]"}},
		"killed at once": {Config{Module: "example.org/m/cmd/tray@v1.2.3", Sum: sum, Timeout: 1}, "", []string{"go was killed after 1ns"}},
	} {
		t.Run(name, func(t *testing.T) {
			c.cfg.Builder = Go
			repository := map[string]string{"README": "x"}
			if c.goSum != "" {
				repository["go.sum"] = c.goSum
			}
			fails(t, c.cfg, repository, c.wanted...)
		})
	}
}

// TestModule_Longest: of two modules that have the package the one with the longer path counts, as in go itself.
func TestModule_Longest(t *testing.T) {
	p := newProxy(t)
	sum, content := modules(p)
	inner, _ := p.add("example.org/m/cmd", "v1.2.3", map[string]string{
		"go.mod": strings.Replace(content["go.mod"], "example.org/m\n", "example.org/m/cmd\n", 1), "go.sum": content["go.sum"], "tray/main.go": strings.ReplaceAll(tray, "built", "inner"),
	})
	cfg := Config{Builder: Go, Module: "example.org/m/cmd/tray@v1.2.3", Sum: sum}
	fails(t, cfg, map[string]string{"README": "x"}, "module example.org/m/cmd@v1.2.3 has the sum "+inner)
	cfg.Sum = inner
	dirs, err := build(t, t.TempDir(), cfg, map[string]string{"README": "x"})
	must(t, err)
	if info, err := buildinfo.ReadFile(filepath.Join(dirs.Path(Artifact("demo", "amd64")), "tray")); err != nil || info.Main.Path != "example.org/m/cmd" {
		t.Errorf("%v, %v", info, err)
	}
}

// FuzzSumIn: a go.sum is never misread as a sum that is not one.
func FuzzSumIn(f *testing.F) {
	f.Add("example.org/m v1.2.3 " + h1 + "\n")
	f.Add("example.org/m v1.2.3 h1:x\n")
	f.Add("example.org/m v1.2.3/go.mod " + h1 + "\r\n\n  \n")
	f.Fuzz(func(t *testing.T, text string) {
		sum, err := sumIn(strings.NewReader(text), "example.org/m", "v1.2.3")
		if sum != "" && (err == nil) && (!sumRE.MatchString(sum) || !strings.Contains(text, sum)) {
			t.Errorf("%q: %q, %v", text, sum, err)
		}
	})
}

// FuzzSplitModule: what is accepted is a path and a version that no program takes for a flag or for something outside.
func FuzzSplitModule(f *testing.F) {
	f.Add("example.org/m/cmd/x@v1.2.3")
	f.Add("example.org/../x@v1.2.3-rc.1+incompatible")
	f.Add("-x@v1.2.3@v2")
	f.Fuzz(func(t *testing.T, text string) {
		pkg, v, err := splitModule(text)
		if err == nil && (pkg+"@"+v != text || strings.Contains(text, "..") && strings.Contains(pkg, "/..") || strings.HasPrefix(text, "-") || strings.ContainsAny(text, " \n\\$`'\"")) {
			t.Errorf("%q gave %q and %q", text, pkg, v)
		}
	})
}
