package phases

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/invopop/jsonschema"
)

var update = flag.Bool("update", false, "write release.schema.json and the golden files")

const modulePath = "github.com/imrightguy/slipway"

// needed are the keys that a package cannot be without, by its format.
var needed = map[string][]string{
	build.FormatTarball:  {"name", "format", "bundle"},
	build.FormatDeb:      {"name", "format", "bundle", "section", "maintainer", "description", "homepage", "license"},
	build.FormatAppImage: {"name", "format", "bundle"},
	build.FormatAUR:      {"name", "format", "from", "maintainer", "description", "homepage", "license", "url"},
}

// generate makes the schema of the types and the comments in the sources.
func generate(t *testing.T) []byte {
	t.Helper()
	r := &jsonschema.Reflector{
		FieldNameTag: "yaml", RequiredFromJSONSchemaTags: true, ExpandedStruct: true, Anonymous: true,
		Namer: func(t reflect.Type) string {
			if t.Name() == "Config" { // of a step's package, which says what it is the configuration of
				name := path.Base(t.PkgPath())
				return strings.ToUpper(name[:1]) + name[1:]
			}
			return t.Name()
		},
	}
	t.Chdir("..")
	if err := r.AddGoComments(modulePath, "phases"); err != nil {
		t.Fatal(err)
	}
	comments := r.CommentMap
	r.CommentMap = nil
	r.LookupComment = func(t reflect.Type, field string) string { // which calls things as Go does
		if field == "" {
			text := strings.TrimPrefix(comments[t.PkgPath()+"."+t.Name()], "Config is ")
			return strings.ToUpper(text[:min(1, len(text))]) + text[min(1, len(text)):]
		}
		f, _ := t.FieldByName(field)
		key, _, _ := strings.Cut(f.Tag.Get("yaml"), ",")
		text := strings.Join(strings.Fields(comments[t.PkgPath()+"."+t.Name()+"."+field]), " ")
		return key + strings.TrimPrefix(text, field)
	}
	s := r.Reflect(&Config{})
	s.Title = "release.yaml"
	s.Description = "How a project is released by slipway."
	whole := s.Definitions["Package"]
	delete(s.Definitions, "Package")
	union := &jsonschema.Schema{}
	for _, format := range slices.Sorted(maps.Keys(packageKeys)) {
		one := &jsonschema.Schema{Type: "object", Description: "A package of format " + format + ".", Properties: jsonschema.NewProperties(), Required: needed[format], AdditionalProperties: jsonschema.FalseSchema}
		for _, key := range packageKeys[format] {
			p, ok := whole.Properties.Get(key)
			if !ok {
				t.Fatalf("packages have no key %q", key)
			}
			if key == "format" {
				p = &jsonschema.Schema{Const: format, Description: p.Description}
			}
			one.Properties.Set(key, p)
		}
		name := "Package-" + format
		s.Definitions[name] = one
		union.OneOf = append(union.OneOf, &jsonschema.Schema{Ref: "#/$defs/" + name})
	}
	for name, shorter := range map[string]string{"Requirement": "A range of versions.", "Host": "The name of a profile."} {
		object := *s.Definitions[name]
		s.Definitions[name] = &jsonschema.Schema{Description: object.Description, OneOf: []*jsonschema.Schema{{Type: "string", Description: shorter}, &object}}
		object.Description = ""
	}
	packages, _ := s.Properties.Get("packages")
	packages.Items = union
	packages.MinItems = new(uint64(1))
	var b bytes.Buffer
	enc := json.NewEncoder(&b)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	if err := enc.Encode(s); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestSchema_Fresh(t *testing.T) {
	file, err := filepath.Abs("release.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	want := generate(t)
	if *update {
		if err := os.WriteFile(file, want, 0o666); err != nil {
			t.Fatal(err)
		}
		schema = want
	}
	if got, err := Schema(); err != nil || !bytes.Equal(got, want) {
		t.Errorf("release.schema.json is stale: go test ./phases -run Schema -update (%v)", err)
	}
}

// parsedSchema is the committed schema as data.
func parsedSchema(t *testing.T) map[string]any {
	t.Helper()
	b, err := Schema()
	if err != nil {
		t.Fatal(err)
	}
	var s map[string]any
	if err := json.Unmarshal(b, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// TestSchema_Documented looks at every object: nothing else is allowed in it, and every key says what it is.
func TestSchema_Documented(t *testing.T) {
	s := parsedSchema(t)
	objects := 0
	var walk func(where string, v any)
	walk = func(where string, v any) {
		switch v := v.(type) {
		case []any:
			for _, e := range v {
				walk(where, e)
			}
		case map[string]any:
			if props, ok := v["properties"].(map[string]any); ok {
				objects++
				if v["additionalProperties"] != false {
					t.Errorf("%s accepts any key", where)
				}
				for key, p := range props {
					if d, _ := p.(map[string]any)["description"].(string); len(d) < 10 {
						t.Errorf("%s.%s is not documented", where, key)
					}
				}
			}
			for key, e := range v {
				walk(where+"."+key, e)
			}
		}
	}
	walk("", s)
	if objects < 12 {
		t.Errorf("only %d objects", objects)
	}
}

// TestSchema_Keys compares the keys of the schema with those that Load knows, over all types.
func TestSchema_Keys(t *testing.T) {
	s := parsedSchema(t)
	keys := map[string]bool{}
	var collect func(t reflect.Type)
	seen := map[reflect.Type]bool{}
	collect = func(t reflect.Type) {
		switch t.Kind() {
		case reflect.Pointer, reflect.Slice, reflect.Map:
			collect(t.Elem())
		case reflect.Struct:
			if seen[t] {
				return
			}
			seen[t] = true
			for name, f := range fieldsOf(t) {
				keys[name] = true
				collect(f.Type)
			}
		}
	}
	collect(reflect.TypeFor[Config]())
	b, _ := json.Marshal(s)
	for key := range keys {
		if !strings.Contains(string(b), `"`+key+`":{`) {
			t.Errorf("the schema lacks key %q", key)
		}
	}
	for format, list := range packageKeys {
		for _, key := range list {
			if _, ok := fieldsOf(packageType)[key]; !ok {
				t.Errorf("format %s has key %q, which a package lacks", format, key)
			}
		}
		for key, f := range fieldsOf(packageType) {
			p := reflect.ValueOf(&build.Package{Name: "x", Format: format}).Elem()
			switch v := p.FieldByIndex(f.Index); v.Kind() {
			case reflect.String:
				if key != "format" {
					v.SetString("x")
				}
			case reflect.Int:
				v.SetInt(1)
			case reflect.Slice:
				v.Set(reflect.ValueOf([]string{"x"}))
			case reflect.Bool:
				v.SetBool(true)
			case reflect.Map:
				v.Set(reflect.MakeMap(v.Type()))
				v.SetMapIndex(reflect.ValueOf("x"), reflect.New(v.Type().Elem()).Elem())
			case reflect.Pointer:
				v.Set(reflect.New(v.Type().Elem()))
			case reflect.Struct:
				v.Set(reflect.ValueOf(size.Band{Min: 1}))
			}
			err := build.Config{Packages: []build.Package{p.Interface().(build.Package)}}.Validate()
			if foreign := strings.Contains(err.Error(), key+" is not a key of format"); foreign == slices.Contains(list, key) {
				t.Errorf("format %s, key %q: package build says otherwise: %v", format, key, err)
			}
		}
	}
}

// accepts is as much of a JSON schema validator (draft 2020-12) as our schema needs; what it does not know it refuses.
func accepts(root map[string]any, s any, v any, at string) error {
	m, ok := s.(map[string]any)
	if !ok {
		if s == false {
			return fmt.Errorf("%s: not allowed", at)
		}
		return nil
	}
	for _, word := range slices.Sorted(maps.Keys(m)) {
		arg := m[word]
		switch word {
		case "$schema", "$defs", "title", "description":
		case "$ref":
			def := root["$defs"].(map[string]any)[strings.TrimPrefix(arg.(string), "#/$defs/")]
			if def == nil {
				return fmt.Errorf("%s: no definition %s", at, arg)
			}
			if err := accepts(root, def, v, at); err != nil {
				return err
			}
		case "type":
			if !isType(arg.(string), v) {
				return fmt.Errorf("%s: want %s, found %T", at, arg, v)
			}
		case "enum":
			if !slices.Contains(arg.([]any), v) {
				return fmt.Errorf("%s: %v is not one of %v", at, v, arg)
			}
		case "const":
			if arg != v {
				return fmt.Errorf("%s: want %v, found %v", at, arg, v)
			}
		case "pattern":
			if text, ok := v.(string); ok && !regexp.MustCompile(arg.(string)).MatchString(text) {
				return fmt.Errorf("%s: %q does not match %s", at, text, arg)
			}
		case "minimum":
			if n, ok := v.(float64); ok && n < arg.(float64) {
				return fmt.Errorf("%s: %v is too small", at, n)
			}
		case "minItems":
			if list, ok := v.([]any); ok && float64(len(list)) < arg.(float64) {
				return fmt.Errorf("%s: too short", at)
			}
		case "items":
			list, _ := v.([]any)
			for i, e := range list {
				if err := accepts(root, arg, e, fmt.Sprintf("%s[%d]", at, i)); err != nil {
					return err
				}
			}
		case "oneOf":
			var errs []string
			for _, one := range arg.([]any) {
				if err := accepts(root, one, v, at); err != nil {
					errs = append(errs, err.Error())
				}
			}
			if len(errs) != len(arg.([]any))-1 {
				return fmt.Errorf("%s: not exactly one of: %s", at, strings.Join(errs, "; "))
			}
		case "required":
			object, _ := v.(map[string]any)
			for _, key := range arg.([]any) {
				if _, ok := object[key.(string)]; !ok && object != nil {
					return fmt.Errorf("%s: no key %s", at, key)
				}
			}
		case "properties", "additionalProperties":
			object, _ := v.(map[string]any)
			props, _ := m["properties"].(map[string]any)
			for key, value := range object {
				sub, known := props[key]
				if known != (word == "properties") {
					continue
				}
				if !known {
					sub = arg
				}
				if err := accepts(root, sub, value, at+"."+key); err != nil {
					return err
				}
			}
		default:
			return fmt.Errorf("%s: schema has %q, which this test does not know", at, word)
		}
	}
	return nil
}

func isType(name string, v any) bool {
	switch v := v.(type) {
	case string:
		return name == "string"
	case bool:
		return name == "boolean"
	case float64:
		return name == "number" || name == "integer" && v == math.Trunc(v)
	case []any:
		return name == "array"
	case map[string]any:
		return name == "object"
	}
	return false
}

// asJSON is a YAML text as JSON data.
func asJSON(t *testing.T, text []byte) any {
	t.Helper()
	j, err := yaml.YAMLToJSON(text)
	if err != nil {
		t.Fatal(err)
	}
	var v any
	if err := json.Unmarshal(j, &v); err != nil {
		t.Fatal(err)
	}
	return v
}

// TestSchema_AgreesWithLoad: what Load and Validate accept, the schema accepts; keys that they want, it wants.
func TestSchema_AgreesWithLoad(t *testing.T) {
	s := parsedSchema(t)
	files, err := filepath.Glob("testdata/*.yaml")
	if err != nil || len(files) < 2 {
		t.Fatal(files, err)
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := loaded(text); err != nil {
			t.Errorf("%s: %v", file, err)
		}
		if err := accepts(s, s, asJSON(t, text), ""); err != nil {
			t.Errorf("%s: %v", file, err)
		}
	}
	// Each key of a package taken away: the schema wants it if and only if validation does.
	example, err := os.ReadFile("testdata/slipway.yaml")
	if err != nil {
		t.Fatal(err)
	}
	// As texts, since JSON has no octal numbers and its writer here no whole ones.
	example = []byte(strings.NewReplacer("mode: 0755", `mode: "0755"`, "mode: 0o644", `mode: "0644"`, "pkgrel: 1", `pkgrel: "1"`).Replace(string(example)))
	tried := 0
	for i := range 3 {
		root := asJSON(t, example).(map[string]any)
		for _, key := range slices.Sorted(maps.Keys(root["packages"].([]any)[i].(map[string]any))) {
			root := asJSON(t, example).(map[string]any)
			delete(root["packages"].([]any)[i].(map[string]any), key)
			text, err := yaml.Marshal(root)
			if err != nil {
				t.Fatal(err)
			}
			_, ours := loaded(text)
			theirs := accepts(s, s, root, "")
			if tried++; (ours == nil) != (theirs == nil) {
				t.Errorf("package %d without %s: we say %v, the schema says %v", i, key, ours, theirs)
			}
		}
	}
	if tried < 15 {
		t.Errorf("only %d keys", tried)
	}
	for _, key := range []string{"project", "version", "bundles", "packages", "about", "gates", "requires"} {
		root := asJSON(t, example).(map[string]any)
		delete(root, key)
		text, err := yaml.Marshal(root)
		if err != nil {
			t.Fatal(err)
		}
		_, ours := loaded(text)
		if theirs := accepts(s, s, root, ""); (ours == nil) != (theirs == nil) {
			t.Errorf("without %s: we say %v, the schema says %v", key, ours, theirs)
		}
	}
}

func loaded(text []byte) (*Config, error) {
	c, err := Load("release.yaml", text)
	if err == nil {
		err = c.Validate()
	}
	return c, err
}
