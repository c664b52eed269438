package daemon

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestLogTurnsOver(t *testing.T) {
	dir := t.TempDir()
	l := openLog(filepath.Join(dir, "tray.log"))
	line := []byte(strings.Repeat("x", 999) + "\n")
	for range 5 * logSize / len(line) {
		if _, err := l.Write(line); err != nil {
			t.Fatal(err)
		}
	}
	files, _ := filepath.Glob(dir + "/*")
	if len(files) != 1+logKept {
		t.Errorf("%v", files)
	}
	for _, f := range files {
		fi, _ := os.Stat(f)
		if fi.Size() > logSize || fi.Mode().Perm() != 0o600 {
			t.Errorf("%s: %d bytes, %v", f, fi.Size(), fi.Mode())
		}
	}
	_ = os.Rename(filepath.Join(dir, "tray.log"), filepath.Join(dir, "moved"))
	l.Reopen()
	_, _ = l.Write([]byte("new\n"))
	if b, _ := os.ReadFile(filepath.Join(dir, "tray.log")); string(b) != "new\n" {
		t.Errorf("%q", b)
	}
}
