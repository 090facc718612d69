package stalwart

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"reflect"
	"strings"
	"testing"
)

// exported returns the exported names of a directory, but for generic ones.
func exported(t *testing.T, directory string) map[string]bool {
	t.Helper()
	isSource := func(file os.FileInfo) bool { return !strings.HasSuffix(file.Name(), "_test.go") }
	packages, err := parser.ParseDir(token.NewFileSet(), directory, isSource, 0)
	if err != nil {
		t.Fatal(err)
	}
	names := map[string]bool{}
	add := func(name *ast.Ident, parameters *ast.FieldList) {
		if name.IsExported() && parameters == nil {
			names[name.Name] = true
		}
	}
	for _, one := range packages {
		for _, file := range one.Files {
			for _, declaration := range file.Decls {
				switch declared := declaration.(type) {
				case *ast.FuncDecl:
					if declared.Recv == nil {
						add(declared.Name, declared.Type.TypeParams)
					}
				case *ast.GenDecl:
					for _, spec := range declared.Specs {
						switch declared := spec.(type) {
						case *ast.TypeSpec:
							add(declared.Name, declared.TypeParams)
						case *ast.ValueSpec:
							for _, name := range declared.Names {
								add(name, nil)
							}
						}
					}
				}
			}
		}
	}
	return names
}

func TestTheAliasHasAllNamesOfThePackage(t *testing.T) {
	if ours, all := exported(t, "."), exported(t, ".."); !reflect.DeepEqual(ours, all) {
		t.Errorf("got %v\nwanted %v", ours, all)
	}
}
