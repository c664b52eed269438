package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// The workflows of CI are ones that GitHub takes: the one of docs/ci.md is an example that people copy.
func TestWorkflows(t *testing.T) {
	root := filepath.Join("..", "..")
	tool, err := filepath.Abs(filepath.Join(root, "bin", "tools", "actionlint"))
	if err == nil {
		_, err = os.Stat(tool)
	}
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("make lint puts actionlint in place: %v", err)
		}
		t.Skipf("make lint puts actionlint in place: %v", err)
	}
	files, err := filepath.Glob(filepath.Join(root, ".github", "workflows", "*.yml"))
	if err != nil || len(files) < 2 {
		t.Fatalf("found %q, %v", files, err)
	}
	if out, err := exec.CommandContext(t.Context(), tool, append([]string{"-no-color"}, files...)...).CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	bad := filepath.Join(t.TempDir(), "bad.yml")
	if err := os.WriteFile(bad, []byte("on: push\njobs: {x: {runs-on: ubuntu-latest, steps: [{run: 'echo ${{ nothing.at.all }}'}]}}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if exec.CommandContext(t.Context(), tool, bad).Run() == nil {
		t.Error("a workflow with a fault is taken")
	}
}
