package phases

import (
	"encoding"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"
	"github.com/goccy/go-yaml/ast"
	"github.com/goccy/go-yaml/token"
	"github.com/imrightguy/slipway/phases/build"
)

// A decoder fills a configuration from the nodes of a file. It goes on after a fault, so that all are told at once, and
// notes where each value stands, so that what is found wrong later has a place too.
//
// The library's own decoder stops at the first fault, and takes a number for a text and a text for a number.
type decoder struct{ faults }

// maxKey is the length of the longest key, in bytes.
const maxKey = 200

// value decodes a node into v, which is settable, and notes its place under path.
func (d *decoder) value(n ast.Node, v reflect.Value, path string) {
	at := d.start(n)
	if _, noted := d.at[path]; !noted {
		d.at[path] = at
	}
	if isNull(n) {
		d.fail(at, "leave the key out, or give it a value", "%s has no value", path)
		return
	}
	if v.Kind() == reflect.Pointer {
		v.Set(reflect.New(v.Type().Elem()))
		v = v.Elem()
	}
	// A type that reads a single value by itself may have a long form, too, which is read like any other.
	_, scalar := n.(ast.ScalarNode)
	long := !scalar && (v.Kind() == reflect.Struct || v.Kind() == reflect.Slice)
	if u, ok := reflect.TypeAssert[yaml.BytesUnmarshaler](v.Addr()); ok && !long {
		if !scalar {
			d.mismatch(n, "a single value", path)
		} else if err := u.UnmarshalYAML([]byte(n.String())); err != nil {
			d.fail(at, "", "%s: %s", path, message(err.Error()))
		}
		return
	}
	if u, ok := reflect.TypeAssert[encoding.TextUnmarshaler](v.Addr()); ok && !long {
		if text, ok := d.text(n, path); ok {
			if err := u.UnmarshalText([]byte(text)); err != nil {
				d.fail(at, "", "%s: %s", path, message(err.Error()))
			}
		}
		return
	}
	switch v.Kind() {
	case reflect.Struct:
		var only []string
		if v.Type() == packageType {
			var ok bool
			if only, ok = d.format(n, path); !ok {
				return
			}
		}
		d.mapping(n, path, d.field(v, path, only))
	case reflect.Map:
		v.Set(reflect.MakeMap(v.Type()))
		d.mapping(n, path, func(key string, _ place) (func(ast.Node), bool) {
			return func(n ast.Node) {
				e := reflect.New(v.Type().Elem()).Elem()
				d.value(n, e, join(path, key))
				v.SetMapIndex(reflect.ValueOf(key), e)
			}, true
		})
	case reflect.Slice:
		list, ok := n.(*ast.SequenceNode)
		if !ok {
			d.mismatch(n, "a list", path)
			return
		}
		v.Set(reflect.MakeSlice(v.Type(), len(list.Values), len(list.Values)))
		for i, e := range list.Values {
			d.value(e, v.Index(i), fmt.Sprintf("%s[%d]", path, i))
		}
	case reflect.String:
		if text, ok := d.text(n, path); ok {
			v.SetString(text)
		}
	case reflect.Bool:
		b, ok := n.(*ast.BoolNode)
		if !ok {
			d.mismatch(n, "true or false", path)
			return
		}
		v.SetBool(b.Value)
	case reflect.Int, reflect.Int64, reflect.Int32:
		i, ok := integer(n)
		switch {
		case !ok:
			d.mismatch(n, "a whole number", path)
		case v.OverflowInt(i):
			d.fail(at, "", "%s: %d is too large", path, i)
		default:
			v.SetInt(i)
		}
	default:
		panic("release.yaml has a field of a kind that cannot be read: " + v.Type().String()) // a test reads every field
	}
}

// field returns how the keys of a mapping become fields of the struct v; only these keys, where there are any.
func (d *decoder) field(v reflect.Value, path string, only []string) func(string, place) (func(ast.Node), bool) {
	fields := fieldsOf(v.Type())
	names := slices.Sorted(maps.Keys(fields))
	if only != nil {
		names = only
	}
	return func(key string, at place) (func(ast.Node), bool) {
		f, known := fields[key]
		if !slices.Contains(names, key) {
			if d.full() {
				return nil, false
			}
			hint := didYouMean(key, names)
			switch {
			case known:
				hint = "it belongs to another format"
			case hint == "":
				hint = "known here: " + strings.Join(names, ", ")
			}
			d.fail(at, hint, "unknown key %s", quote(key))
			return nil, false
		}
		return func(n ast.Node) {
			if number, ok := n.(*ast.IntegerNode); ok && strings.Contains(f.Tag.Get("jsonschema"), "oneof_type=string;integer") && f.Type.Kind() == reflect.String {
				v.FieldByIndex(f.Index).SetString(number.Token.Value) // 1 is as good as "1"
				return
			}
			d.value(n, v.FieldByIndex(f.Index), join(path, key))
		}, true
	}
}

// fieldsOf are the fields of a struct by their keys, those of inlined structs among them.
func fieldsOf(t reflect.Type) map[string]reflect.StructField {
	fields := map[string]reflect.StructField{}
	for _, f := range reflect.VisibleFields(t) {
		name, options, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		if f.IsExported() && name != "" && name != "-" {
			fields[name] = f
		}
		if options == "inline" {
			for name, inner := range fieldsOf(f.Type) {
				inner.Index = append(slices.Clone(f.Index), inner.Index...)
				fields[name] = inner
			}
		}
	}
	return fields
}

// format finds out which keys a package can have, by its format.
func (d *decoder) format(n ast.Node, path string) (keys []string, ok bool) {
	var formats []string
	for name := range packageKeys {
		formats = append(formats, name)
	}
	slices.Sort(formats)
	for _, pair := range pairs(n) {
		if key, isText := pair.Key.(*ast.StringNode); !isText || key.Value != "format" || isNull(pair.Value) {
			if hint := didYouMean(pair.Key.String(), []string{"format"}); isText && key.Value != "format" && hint != "" {
				d.fail(d.place(pair.Key.GetToken()), hint, "unknown key %s", quote(key.Value))
			}
			continue
		}
		text, ok := d.text(pair.Value, path+".format")
		if !ok {
			return nil, false
		}
		if keys, ok = packageKeys[text]; !ok {
			d.fail(d.start(pair.Value), didYouMean(text, formats), "%s.format: want one of %s, found %s", path, strings.Join(formats, ", "), quote(text))
		}
		return keys, ok
	}
	if _, isMap := n.(*ast.MappingNode); !isMap {
		d.mismatch(n, "keys with values", path)
	} else {
		d.fail(d.start(n), "", "%s: want a format, one of %s", path, strings.Join(formats, ", "))
	}
	return nil, false
}

var packageType = reflect.TypeFor[build.Package]()

// packageKeys are the keys that a package has, by its format. Validation of package build refuses the others too, where
// they have a value.
var packageKeys = map[string][]string{
	build.FormatTarball: {"name", "format", "bundle", "size"},
	build.FormatAppImage: {
		"name", "format", "bundle", "size", "description", "compression", "update_information", "runtime", "sign", "desktop", "icon", "program",
		"categories",
	},
	build.FormatDeb: {
		"name", "format", "bundle", "size", "maintainer", "description", "homepage", "license", "copyright", "section", "priority", "compression",
		"revision", "epoch", "depends", "recommends", "suggests", "conflicts", "breaks", "replaces", "provides",
	},
	build.FormatAUR: {
		"name", "format", "from", "maintainer", "description", "homepage", "license", "pkgrel", "epoch", "url", "depends", "optdepends",
		"conflicts", "replaces", "provides", "makedepends", "checkdepends", "arches", "groups", "install", "keep_build",
	},
}

// mapping decodes each value of a mapping by what take returns for its key. Keys are texts and stand once.
func (d *decoder) mapping(n ast.Node, path string, take func(string, place) (func(ast.Node), bool)) {
	switch n.(type) {
	case *ast.MappingNode, *ast.MappingValueNode:
	default:
		d.mismatch(n, "keys with values", path)
		return
	}
	seen := map[string]place{}
	for _, pair := range pairs(n) {
		at := d.place(pair.Key.GetToken())
		name, ok := pair.Key.(*ast.StringNode)
		if !ok {
			d.fail(at, "put it in quotes", "a key is a text, found %s", kind(pair.Key))
			continue
		}
		if _, what := badRune(name.Value); what != "" || len(name.Value) > maxKey || strings.Contains(name.Value, "\n") {
			d.fail(at, "", "key %s is too long, or holds what no name does", quote(name.Value))
			continue
		}
		if first, double := seen[name.Value]; double {
			d.fail(at, fmt.Sprintf("the first is in line %d", first.line), "key %s stands twice", quote(name.Value))
			continue
		}
		seen[name.Value] = at
		if decode, ok := take(name.Value, at); ok {
			d.at[join(path, name.Value)] = at
			decode(pair.Value)
		}
	}
}

// pairs are those of a mapping.
func pairs(n ast.Node) []*ast.MappingValueNode {
	switch n := n.(type) {
	case *ast.MappingNode:
		return n.Values
	case *ast.MappingValueNode:
		return []*ast.MappingValueNode{n}
	}
	return nil
}

// text is the text of a node, which may not be something else that looks like one.
func (d *decoder) text(n ast.Node, path string) (string, bool) {
	var text string
	switch n := n.(type) {
	case *ast.StringNode:
		text = n.Value
	case *ast.LiteralNode:
		text = n.Value.Value
	case ast.ScalarNode:
		d.fail(d.start(n), fmt.Sprintf("put it in quotes: \"%s\"", message(n.GetToken().Value)), "%s: want a text, found %s", path, kind(n))
		return "", false
	default:
		d.mismatch(n, "a text", path)
		return "", false
	}
	if _, what := badRune(text); what != "" { // by an escape in double quotes
		d.fail(d.start(n), "", "%s: %s", path, what)
		return "", false
	}
	return text, true
}

func (d *decoder) mismatch(n ast.Node, want, path string) {
	if path == "" {
		path = "the file"
	}
	d.fail(d.start(n), "", "%s: want %s, found %s", path, want, kind(n))
}

// start is where a node begins: a mapping begins at its first key and not at its first colon.
func (d *decoder) start(n ast.Node) place {
	switch n := n.(type) {
	case *ast.MappingNode:
		if !n.IsFlowStyle && len(n.Values) > 0 {
			return d.start(n.Values[0])
		}
	case *ast.MappingValueNode:
		return d.place(n.Key.GetToken())
	}
	return d.place(n.GetToken())
}

func isNull(n ast.Node) bool {
	_, null := n.(*ast.NullNode)
	return null || n == nil
}

// integer reads a number that is written in digits only: 010 is no number that everybody reads alike.
func integer(n ast.Node) (int64, bool) {
	number, ok := n.(*ast.IntegerNode)
	if !ok || number.Token.Type != token.IntegerType {
		return 0, false
	}
	i, err := strconv.ParseInt(number.Token.Value, 10, 64)
	return i, err == nil
}

// kind says what a node is, for people.
func kind(n ast.Node) string {
	switch n := n.(type) {
	case *ast.StringNode:
		return "text " + quote(n.Value)
	case *ast.LiteralNode:
		return "a text of several lines"
	case *ast.IntegerNode, *ast.FloatNode, *ast.InfinityNode, *ast.NanNode:
		return "number " + message(n.GetToken().Value)
	case *ast.BoolNode:
		return fmt.Sprint(n.Value)
	case *ast.NullNode:
		return "nothing"
	case *ast.SequenceNode:
		return "a list"
	case *ast.MappingNode, *ast.MappingValueNode:
		return "keys with values"
	}
	return "something else"
}

func join(path, key string) string {
	if path == "" {
		return key
	}
	return path + "." + key
}
