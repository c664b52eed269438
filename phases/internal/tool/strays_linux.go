package tool

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// EndStrays kills the programs that were left behind in a folder which nobody else uses: those that work in it or below
// it, and those whose TMPDIR lies there (proc(5), /proc/PID/cwd and /proc/PID/environ). A program that made itself a
// session of its own outlives its group, and what a killed run had started outlives that run, but for the program that it
// started itself. Programs of other users, and such that hide both, are not found.
func EndStrays(dir string) {
	for range 100 { // what is being killed may start others
		found := strays(dir)
		if len(found) == 0 {
			return
		}
		for _, pid := range found {
			_ = syscall.Kill(pid, syscall.SIGKILL) // gone already is as good
		}
		time.Sleep(time.Millisecond)
	}
}

func strays(dir string) (out []int) {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return nil
	}
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil || pid == os.Getpid() {
			continue
		}
		place := filepath.Join("/proc", e.Name())
		cwd, err := os.Readlink(filepath.Join(place, "cwd"))
		if err != nil { // of another user, or ended
			continue
		}
		env, _ := os.ReadFile(filepath.Join(place, "environ"))
		if within(strings.TrimSuffix(cwd, " (deleted)"), dir) || bytes.Contains(append([]byte{0}, env...), []byte("\x00TMPDIR="+dir+"/")) {
			out = append(out, pid)
		}
	}
	return out
}

func within(path, dir string) bool { return path == dir || strings.HasPrefix(path, dir+"/") }
