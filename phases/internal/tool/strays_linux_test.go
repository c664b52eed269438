package tool

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// TestEndStrays: a program that hid from its group is ended, by the folder for its temporary files. Others are left alone,
// those that only stand in that folder among them.
func TestEndStrays(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	inside, outside := filepath.Join(dir, "step"), filepath.Join(dir, "step-2")
	for _, d := range []string{inside, outside} {
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	start := func(cwd string, env ...string) (ended chan error) {
		script := "setsid sh -c 'echo ready; exec sleep 60' & wait"
		cmd := exec.Command("sh", "-c", script)
		cmd.Dir, cmd.Env = cwd, append(os.Environ(), env...)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		ready := make([]byte, 6)
		if _, err := out.Read(ready); err != nil || !strings.HasPrefix(string(ready), "ready") {
			t.Fatalf("got %q, %v", ready, err)
		}
		t.Cleanup(func() { _ = cmd.Process.Kill() })
		ended = make(chan error, 1)
		go func() { ended <- cmd.Wait() }()
		return ended
	}
	hides, looks, other := start("/", "TMPDIR="+inside+"/tmp"), start(inside, "TMPDIR="+outside+"/tmp"), start(outside, "TMPDIR="+outside+"/tmp")
	EndStrays(inside)
	select {
	case <-hides:
	case <-time.After(10 * time.Second):
		t.Error("a program goes on")
	}
	select {
	case err := <-looks:
		t.Error("a program that only stands there was ended:", err)
	case err := <-other:
		t.Error("a program elsewhere was ended:", err)
	default:
	}
	EndStrays(outside)
}
