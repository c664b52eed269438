package carrier

import (
	"bytes"
	"encoding/json"
	"errors"
	"strings"
	"unicode/utf8"
)

var jsonFields = map[string]kind{"version": plain, "build_number": build, "build_date": date, "git_commit": commit}

// jsonObject reads the top level of a JSON object (RFC 8259). It is strict: one value, UTF-8, no raw control characters
// in strings, no name twice; the error names the byte.
func jsonObject(content []byte) (slots []slot, err error) {
	for i := 0; i < len(content); {
		r, n := utf8.DecodeRune(content[i:])
		if r == utf8.RuneError && n == 1 {
			return nil, faultf(i, "byte %d (0x%02x) is not UTF-8", i+1, content[i])
		}
		i += n
	}
	var syntax *json.SyntaxError
	if err := json.Unmarshal(content, new(any)); errors.As(err, &syntax) {
		return nil, faultf(int(syntax.Offset)-1, "it is not JSON: byte %d: %s", syntax.Offset, syntax)
	} else if err != nil {
		return nil, err
	}
	dec := json.NewDecoder(bytes.NewReader(content))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return nil, errors.New("it is not a JSON object")
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return nil, err
		}
		key, at := token.(string), int(dec.InputOffset())
		if seen[key] {
			return nil, faultf(at, "the name %q stands there a second time", key)
		}
		seen[key] = true
		var raw json.RawMessage
		if err := dec.Decode(&raw); err != nil {
			return nil, err
		}
		k, known := jsonFields[key]
		if !known {
			continue
		}
		end := int(dec.InputOffset())
		start := end - len(raw)
		if raw[0] != '"' {
			return nil, faultf(start, "%q is %.40s, not a string", key, raw)
		}
		if strings.ContainsRune(string(raw), '\\') {
			return nil, faultf(start, "%q is written with escapes: %.40s", key, raw)
		}
		slots = append(slots, slot{kind: k, start: start + 1, end: end - 1})
	}
	return slots, nil
}
