package component

import (
	"bufio"
	"context"
	"debug/buildinfo"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

var (
	// sumRE matches the sum of a module: SHA-256 of its list of files, in base64 (golang.org/ref/mod#go-sum-files).
	sumRE = regexp.MustCompile(`^h1:[A-Za-z0-9+/]{43}=$`)
	// modulePathRE: golang.org/ref/mod#go-mod-file-ident, with a host as the first element, since it has to be fetched.
	modulePathRE = regexp.MustCompile(`^[a-z0-9-]+(\.[a-z0-9-]+)+(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)*$`)
	// moduleVersionRE matches a canonical version: a whole one, no branch, no latest (golang.org/ref/mod#versions).
	moduleVersionRE = regexp.MustCompile(`^v(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)\.(0|[1-9][0-9]*)(-[0-9A-Za-z.-]+)?(\+incompatible)?$`)
)

// splitModule takes PATH@VERSION apart.
func splitModule(text string) (pkg, version string, err error) {
	pkg, version, _ = strings.Cut(text, "@")
	switch {
	case !modulePathRE.MatchString(pkg) || strings.HasPrefix(pkg, "-"):
		err = fmt.Errorf("want the path of a package and a version, like example.org/m/cmd/x@v1.2.3, found %q", text)
	case !moduleVersionRE.MatchString(version):
		err = fmt.Errorf("want a whole version like v1.2.3, no branch and no latest, found %q", text)
	}
	return pkg, version, err
}

// A fetched module is what go mod download -json says of one.
type fetched struct{ Path, Version, Error, Dir, Sum string }

// install builds a package of a module. The module comes first: it is fetched, and its sum is compared, before anything
// in it is compiled; then what it needs is compared with its own go.sum, which the sum covers. Only then go install
// builds it, out of the same cache, and at last the program itself says which module it was made of.
func (b goBuilder) install(ctx context.Context, env []string, source, tmp, out string, receipt pipeline.Receipt) error {
	pkg, v, err := splitModule(b.pkg)
	if err != nil {
		return err
	}
	// A module of its own keeps go from looking at the one that the user works in, which lies further up.
	dir, gopath := filepath.Join(tmp, "empty"), filepath.Join(tmp, "gopath")
	if err := errors.Join(os.Mkdir(dir, 0o755), os.Mkdir(gopath, 0o755)); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, "go.mod"), []byte("module slipway.invalid/empty\n"), 0o644); err != nil {
		return err
	}
	m, err := b.fetch(ctx, env, dir, pkg, v)
	if err != nil {
		return err
	}
	want, err := b.wanted(source, m)
	if err != nil {
		return err
	}
	if m.Sum != want {
		return fmt.Errorf("module %s@%s has the sum %s, wanted is %s: do not use it before you know why", m.Path, v, m.Sum, want)
	}
	if _, err := os.Stat(filepath.Join(m.Dir, "go.mod")); err != nil {
		return fmt.Errorf("module %s@%s has no go.mod, so that nothing says which versions it is built with", m.Path, v)
	}
	below := "." + strings.TrimPrefix(pkg, m.Path)
	list := []string{"go", "list", "-deps", "-mod=readonly", "-f", "{{if .Error}}{{.Error}}{{end}}", below}
	if len(b.tags) > 0 {
		list = append(list[:len(list)-1], "-tags="+strings.Join(b.tags, ","), below)
	}
	if _, err := tool.Run(ctx, tool.Command{Argv: list, Dir: m.Dir, Env: env, Timeout: b.timeout}); err != nil {
		return fmt.Errorf("cannot check what %s@%s needs against its go.sum: %w", m.Path, v, err)
	}
	if _, err := tool.Run(ctx, tool.Command{Argv: b.argv(""), Dir: dir, Env: append(env, "GOPATH="+gopath, "GOBIN="), Timeout: b.timeout}); err != nil {
		return err
	}
	program, err := onlyFile(filepath.Join(gopath, "bin"))
	if err != nil {
		return fmt.Errorf("go install made no program of %s: is it a main package? %w", b.pkg, err)
	}
	info, err := buildinfo.ReadFile(program)
	if err != nil {
		return fmt.Errorf("cannot read what the program was built of: %w", err)
	}
	if info.Main.Path != m.Path || info.Main.Version != v || info.Main.Sum != want {
		return fmt.Errorf("the program was built of %s@%s with the sum %s, wanted is %s@%s with %s", info.Main.Path, info.Main.Version, info.Main.Sum, m.Path, v, want)
	}
	receipt["module"], receipt["sum"] = m.Path+"@"+v, want
	root, err := os.OpenRoot(filepath.Dir(program))
	if err != nil {
		return err
	}
	name := filepath.Base(program)
	return errors.Join(archive.CopyFile(root, name, filepath.Join(out, name), 0o755), root.Close())
}

// fetch gets the module that has the package into go's cache: of all modules whose path the package's begins with, that
// with the longest path, as go itself chooses (golang.org/ref/mod#resolve-pkg-mod).
func (b goBuilder) fetch(ctx context.Context, env []string, dir, pkg, v string) (fetched, error) {
	argv := []string{"go", "mod", "download", "-json"}
	for p := pkg; p != "."; p = path.Dir(p) {
		argv = append(argv, p+"@"+v)
	}
	var answer strings.Builder
	_, failed := tool.Run(ctx, tool.Command{Argv: argv, Dir: dir, Env: append(env, "GOFLAGS=-mod=mod"), Stdout: &answer, Timeout: b.timeout})
	if err := ctx.Err(); err != nil {
		return fetched{}, err
	}
	var best fetched
	var why []string
	for dec := json.NewDecoder(strings.NewReader(answer.String())); ; {
		var m fetched
		if err := dec.Decode(&m); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return m, errors.Join(failed, fmt.Errorf("cannot read what go mod download says: %w", err))
		}
		if m.Error != "" {
			why = append(why, m.Error)
			continue
		}
		folder := filepath.Join(m.Dir, filepath.FromSlash(strings.TrimPrefix(pkg, m.Path)))
		if found, _ := filepath.Glob(filepath.Join(quoteGlob(folder), "*.go")); len(found) == 0 {
			why = append(why, fmt.Sprintf("%s@%s: has no package %s", m.Path, v, pkg))
			continue
		}
		if len(m.Path) > len(best.Path) {
			best = m
		}
	}
	if best.Path == "" {
		if len(why) == 0 && failed != nil {
			return best, failed
		}
		text := tool.NewRedactor().Text(strings.Join(why, "\n"))
		return best, fmt.Errorf("cannot find a module with package %s at %s:\n%.2000s", pkg, v, text)
	}
	return best, nil
}

// quoteGlob makes a pattern that matches a path alone. In a class, no character but these needs it.
func quoteGlob(p string) string {
	if os.PathSeparator == '\\' {
		return p // cannot be quoted there
	}
	return strings.NewReplacer(`\`, `\\`, `*`, `\*`, `?`, `\?`, `[`, `\[`).Replace(p)
}

// wanted is the sum that the module should have: that of release.yaml, and that of the repository's own go.sum.
func (b goBuilder) wanted(source string, m fetched) (string, error) {
	root, err := os.OpenRoot(source)
	if err != nil {
		return "", err
	}
	defer root.Close()
	listed := ""
	file, err := root.Open("go.sum")
	if err == nil {
		defer file.Close()
		listed, err = sumIn(file, m.Path, m.Version)
	}
	switch {
	case err != nil && !errors.Is(err, fs.ErrNotExist):
		return "", fmt.Errorf("cannot read go.sum: %w", err)
	case b.sum == "" && listed == "":
		return "", fmt.Errorf("cannot check module %s@%s: release.yaml gives no sum, and the repository's go.sum does not list it; it has %s, which is to be compared with what its authors say", m.Path, m.Version, m.Sum)
	case b.sum != "" && listed != "" && b.sum != listed:
		return "", fmt.Errorf("release.yaml wants the sum %s for module %s@%s, go.sum %s", b.sum, m.Path, m.Version, listed)
	case b.sum != "":
		return b.sum, nil
	}
	return listed, nil
}

// sumIn finds a module's sum in a go.sum: lines of path, version and sum (golang.org/ref/mod#go-sum-files). Two lines
// that differ are an error.
func sumIn(r io.Reader, module, version string) (sum string, err error) {
	lines := bufio.NewScanner(r)
	for lines.Scan() {
		f := strings.Fields(lines.Text())
		if len(f) != 3 || f[0] != module || f[1] != version || !strings.HasPrefix(f[2], "h1:") {
			continue
		}
		if !sumRE.MatchString(f[2]) {
			return "", fmt.Errorf("the sum of %s@%s is %q", module, version, f[2])
		}
		if sum != "" && sum != f[2] {
			return "", fmt.Errorf("it has two sums for %s@%s", module, version)
		}
		sum = f[2]
	}
	return sum, lines.Err()
}

// onlyFile finds the one file below a folder: go install puts programs for another system into a folder of their own.
func onlyFile(dir string) (file string, err error) {
	err = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		if file != "" {
			return errors.New("it made two")
		}
		file = p
		return nil
	})
	if err == nil && file == "" {
		err = errors.New("the folder is empty")
	}
	return file, err
}
