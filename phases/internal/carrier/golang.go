package carrier

import (
	"errors"
	"go/ast"
	"go/parser"
	"go/scanner"
	"go/token"
	"strings"
)

var goNames = map[string]kind{
	"Version": plain, "version": plain, "AppVersion": plain, "appVersion": plain,
	"BuildNumber": build, "buildNumber": build, "BuildDate": date, "buildDate": date, "GitCommit": commit, "gitCommit": commit,
}

// golang reads the package-level constants and variables of a Go file, by the parser of the language itself.
func golang(content []byte) (slots []slot, err error) {
	set := token.NewFileSet()
	file, err := parser.ParseFile(set, "", content, parser.SkipObjectResolution)
	if err != nil {
		if list, ok := errors.AsType[scanner.ErrorList](err); ok {
			return nil, faultf(list[0].Pos.Offset, "it is not Go: %s", list[0].Msg)
		}
		return nil, err
	}
	for _, d := range file.Decls {
		decl, ok := d.(*ast.GenDecl)
		if !ok || decl.Tok != token.CONST && decl.Tok != token.VAR {
			continue
		}
		for _, spec := range decl.Specs {
			values := spec.(*ast.ValueSpec)
			for i, name := range values.Names {
				k, known := goNames[name.Name]
				if !known || len(values.Values) <= i {
					continue
				}
				at := set.PositionFor(name.Pos(), false).Offset // of the bytes, whatever //line says
				lit, ok := values.Values[i].(*ast.BasicLit)
				if !ok || lit.Kind != token.STRING && (k != build || lit.Kind != token.INT) {
					return nil, faultf(at, "%s is not one literal", name.Name)
				}
				s := slot{kind: k, start: set.PositionFor(lit.Pos(), false).Offset, end: set.PositionFor(lit.End(), false).Offset}
				if lit.Kind == token.INT {
					s.kind = buildInt
				} else if s.start, s.end = s.start+1, s.end-1; strings.ContainsAny(string(content[s.start:s.end]), "\\\r\n") {
					return nil, faultf(at, "%s is written with escapes", name.Name)
				}
				slots = append(slots, s)
			}
		}
	}
	return slots, nil
}
