package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "github.com/imrightguy/slipway"

// Imports point one way: cmd, phases, one phase, pipeline. The engine needs nothing but the standard library, and the
// daemon nothing of the pipeline.
func TestImports(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "list", "-f", `{{.ImportPath}}:{{join .Imports ","}}`, "./...")
	cmd.Dir = filepath.Join("..", "..")
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	rules := []struct {
		from    string   // packages at and below this path
		may     []string // import of this module only these and what is below them; nil: no rule
		outside bool     // and of other modules anything
	}{
		{from: "pipeline", may: []string{"pipeline"}},
		{from: "templates", may: []string{"templates"}, outside: true},
		{from: "phases", may: []string{"pipeline", "phases", "templates"}, outside: true},
		{from: "phases/internal", may: []string{"pipeline", "phases/internal", "templates"}, outside: true},
		{from: "phases/build", may: []string{"pipeline", "phases/build", "phases/internal", "templates"}, outside: true},
		{from: "phases/release", may: []string{"pipeline", "phases/release", "phases/internal", "templates"}, outside: true},
		{from: "phases/aur", may: []string{"pipeline", "phases/aur", "phases/internal", "templates"}, outside: true},
		{from: "phases/rollback", may: []string{"pipeline", "phases/rollback", "phases/internal", "templates"}, outside: true},
		{from: "phases/verify", may: []string{"pipeline", "phases/verify", "phases/aur/published", "phases/internal", "templates"}, outside: true}, // it looks as users do
		{from: "cmd/cloudtolocalllm-tray", may: []string{"cmd/cloudtolocalllm-tray"}, outside: true},
		{from: "cmd/slipway", may: []string{"cmd/slipway", "pipeline", "phases", "templates"}, outside: true},
	}
	below := func(pkg, path string) bool { return pkg == path || strings.HasPrefix(pkg, path+"/") }
	packages := 0
	for line := range strings.Lines(string(out)) {
		pkg, imports, _ := strings.Cut(strings.TrimSpace(line), ":")
		name := strings.TrimPrefix(pkg, module+"/")
		for _, r := range rules {
			if !below(name, r.from) {
				continue
			}
			packages++
			for imp := range strings.SplitSeq(imports, ",") {
				own, ok := strings.CutPrefix(imp, module+"/")
				if ok && !slices.ContainsFunc(r.may, func(path string) bool { return below(own, path) }) {
					t.Errorf("%s imports %s", name, own)
				}
				if first, _, _ := strings.Cut(imp, "/"); !ok && !r.outside && strings.Contains(first, ".") {
					t.Errorf("%s imports %s: it needs the standard library alone", name, imp)
				}
			}
		}
	}
	if packages < 10 {
		t.Errorf("looked at %d packages only", packages)
	}
}

// Package ui is the only code that prints.
func TestOnlyUIPrints(t *testing.T) {
	printers := map[string][]string{"fmt": {"Print", "Println", "Printf"}, "os": {"Stdout", "Stderr"}, "log": nil}
	files := 0
	for _, top := range []string{".", "../../pipeline", "../../phases", "../../templates"} {
		err := filepath.WalkDir(top, func(path string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() && d.Name() == "testdata" {
				return cmpOr(err, fs.SkipDir)
			}
			if d.IsDir() || !strings.HasSuffix(path, ".go") || strings.HasSuffix(path, "_test.go") || isProgram(path) {
				return nil
			}
			files++
			set := token.NewFileSet()
			f, err := parser.ParseFile(set, path, nil, parser.SkipObjectResolution)
			if err != nil {
				return err
			}
			ast.Inspect(f, func(n ast.Node) bool {
				if sel, ok := n.(*ast.SelectorExpr); ok {
					if x, ok := sel.X.(*ast.Ident); ok && slices.Contains(printers[x.Name], sel.Sel.Name) {
						t.Errorf("%s: %s.%s prints", set.Position(n.Pos()), x.Name, sel.Sel.Name)
					}
				}
				return true
			})
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	if files < 50 {
		t.Errorf("looked at %d files only", files)
	}
}

// isProgram reports whether the file is of a program of its own, which is put into packages and not linked into this one.
func isProgram(path string) bool {
	f, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.PackageClauseOnly)
	return err == nil && f.Name.Name == "main"
}

func cmpOr(err, other error) error {
	if err != nil {
		return err
	}
	return other
}
