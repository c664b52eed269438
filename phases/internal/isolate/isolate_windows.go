package isolate

import (
	"path/filepath"
	"strings"
)

// refuse is no program at all, which fails as well.
const refuse = "false"

// merged is empty: there is no shell to join the outputs with.
var merged []string

func base(program string) string { return strings.TrimSuffix(filepath.Base(program), ".exe") }

// Signal is "": there are no signals here.
func Signal(int) string { return "" }
