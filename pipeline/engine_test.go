package pipeline_test

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// The engine is standard library only, and small enough to be read in one sitting.
func TestImports(t *testing.T) {
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", ".", "./journal").Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.FieldsSeq(string(out)) {
		if !strings.HasPrefix(p, "github.com/imrightguy/slipway/pipeline") {
			t.Errorf("pipeline may not import %s", p)
		}
	}
}

func TestSize(t *testing.T) {
	sources, err := filepath.Glob("*.go")
	if err != nil {
		t.Fatal(err)
	}
	lines := 0
	for _, name := range sources {
		if strings.HasSuffix(name, "_test.go") {
			continue
		}
		f, err := os.Open(name)
		if err != nil {
			t.Fatal(err)
		}
		for in := bufio.NewScanner(f); in.Scan(); {
			if line := strings.TrimSpace(in.Text()); line != "" && !strings.HasPrefix(line, "//") {
				lines++
			}
		}
		f.Close()
	}
	if lines >= 1000 {
		t.Errorf("package pipeline has %d lines of code, it should stay under 1,000", lines)
	}
}
