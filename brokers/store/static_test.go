package store_test

import (
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strings"
	"testing"
)

// S-10: no statement is put together at run time: what goes to a database as text is
// a constant, one of the prepared statements, a migration, or has numbers of ours in
// it. The sources are looked at.
func TestStatementsAreConstants(t *testing.T) {
	files, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	calls := 0
	set := token.NewFileSet()
	named := constants(t, files)
	for _, name := range files {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		file, err := parser.ParseFile(set, name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		ast.Inspect(file, func(n ast.Node) bool {
			call, ok := n.(*ast.CallExpr)
			if !ok || len(call.Args) < 2 {
				return true
			}
			method, ok := call.Fun.(*ast.SelectorExpr)
			if !ok {
				return true
			}
			switch method.Sel.Name {
			case "ExecContext", "QueryContext", "QueryRowContext", "PrepareContext":
			default:
				return true
			}
			if on, ok := method.X.(*ast.CallExpr); ok { // of a prepared statement: arguments only
				if _, prepared := on.Fun.(*ast.Ident); prepared {
					return true
				}
			}
			if _, indexed := method.X.(*ast.IndexExpr); indexed {
				return true
			}
			if _, sel := method.X.(*ast.SelectorExpr); !sel {
				if _, ident := method.X.(*ast.Ident); !ident {
					return true
				}
			}
			calls++
			if !constant(call.Args[1], named) {
				t.Errorf("S-10 %s: a statement is made at run time", set.Position(call.Pos()))
			}
			return true
		})
	}
	if calls < 10 {
		t.Errorf("only %d statements were found", calls)
	}
}

// constants are the names of the package that are declared as such.
func constants(t *testing.T, files []string) map[string]bool {
	t.Helper()
	named := make(map[string]bool)
	for _, name := range files {
		file, err := parser.ParseFile(token.NewFileSet(), name, nil, 0)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range file.Decls {
			group, ok := d.(*ast.GenDecl)
			if !ok || group.Tok != token.CONST {
				continue
			}
			for _, spec := range group.Specs {
				for _, n := range spec.(*ast.ValueSpec).Names {
					named[n.Name] = true
				}
			}
		}
	}
	return named
}

// constant reports whether an expression cannot have anything of a visitor in it.
func constant(e ast.Expr, named map[string]bool) bool {
	switch e := e.(type) {
	case *ast.Ident:
		return named[e.Name]
	case *ast.BasicLit:
		return true
	case *ast.BinaryExpr:
		return constant(e.X, named) && constant(e.Y, named)
	case *ast.CallExpr:
		switch f := e.Fun.(type) {
		case *ast.Ident: // string(text), of an embedded migration
			return f.Name == "string" && len(e.Args) == 1
		case *ast.SelectorExpr:
			if f.Sel.Name == "text" { // dialect.text, of a list of constants
				return true
			}
			if f.Sel.Name == "Sprintf" && len(e.Args) == 2 { // a number of ours
				format, ok := e.Args[0].(*ast.BasicLit)
				return ok && strings.Count(format.Value, "%") == 1 && strings.Contains(format.Value, "%d")
			}
		}
	}
	return false
}
