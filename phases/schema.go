package phases

import (
	"bytes"
	_ "embed"
)

//go:embed release.schema.json
var schema []byte

// Schema returns the JSON schema (draft 2020-12) of release.yaml, for editors. It is made of the types of [Config] and
// their comments when the program is built, and accepts all that [Load] and [Config.Validate] accept.
func Schema() ([]byte, error) { return bytes.Clone(schema), nil }
