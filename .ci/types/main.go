// Command types says whether packages with their tests hold together for another system: types GOOS PACKAGE... It reads
// sources only, those of what is imported without the bodies of functions, so that nothing has to be compiled for that
// system: go vet and go build take some twenty times as long where they have nothing in their cache.
package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// listed is a package as go list tells of it. That of a test has the name "p [p.test]" or "p_test [p.test]".
type listed struct {
	Dir, ImportPath string
	GoFiles         []string
	ImportMap       map[string]string
	Module          *struct {
		Main      bool
		GoVersion string
	}
}

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: types GOOS PACKAGE...")
		os.Exit(2)
	}
	if err := check(os.Args[1], os.Args[2:]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func check(system string, patterns []string) error {
	list := exec.CommandContext(context.Background(), "go", append([]string{"list", "-deps", "-test", "-json=Dir,ImportPath,GoFiles,ImportMap,Module"}, patterns...)...)
	list.Env = append(os.Environ(), "GOOS="+system, "CGO_ENABLED=0")
	list.Stderr = os.Stderr
	out, err := list.StdoutPipe()
	if err != nil {
		return err
	}
	if err := list.Start(); err != nil {
		return err
	}
	files := token.NewFileSet()
	made := map[string]*types.Package{"unsafe": types.Unsafe}
	var wrong []error
	for dec := json.NewDecoder(out); ; { // what is imported comes first
		var p listed
		if err := dec.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		if p.ImportPath == "unsafe" || strings.HasSuffix(p.ImportPath, ".test") {
			continue // the latter is the main package of a test, which go makes
		}
		pkg, err := p.check(files, made)
		if p.Module != nil && p.Module.Main && err != nil {
			wrong = append(wrong, fmt.Errorf("%s, %s:\n%w", system, p.ImportPath, err))
		}
		made[p.ImportPath] = pkg
	}
	return errors.Join(append(wrong, list.Wait())...)
}

// importer finds what a package imports among those made before.
type importer func(path string) (*types.Package, error)

func (i importer) Import(path string) (*types.Package, error) { return i(path) }

func (p *listed) check(files *token.FileSet, made map[string]*types.Package) (*types.Package, error) {
	var wrong []error
	var trees []*ast.File
	for _, name := range p.GoFiles {
		tree, err := parser.ParseFile(files, filepath.Join(p.Dir, name), nil, parser.SkipObjectResolution)
		if err != nil {
			return nil, err
		}
		trees = append(trees, tree)
	}
	ours := p.Module != nil && p.Module.Main
	config := types.Config{
		IgnoreFuncBodies: !ours,
		Sizes:            types.SizesFor("gc", "amd64"),
		Error:            func(err error) { wrong = append(wrong, err) },
		Importer: importer(func(path string) (*types.Package, error) {
			if at, is := p.ImportMap[path]; is {
				path = at
			}
			if pkg := made[path]; pkg != nil {
				return pkg, nil
			}
			return nil, fmt.Errorf("%s does not hold together", path)
		}),
	}
	if p.Module != nil && p.Module.GoVersion != "" {
		config.GoVersion = "go" + p.Module.GoVersion
	}
	path, _, _ := strings.Cut(p.ImportPath, " ")
	pkg, _ := config.Check(path, files, trees, nil)
	return pkg, errors.Join(wrong...)
}
