package tool

import (
	"bytes"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"time"
)

// EndStrays kills the programs that were left behind by what was run with its TMPDIR in a folder which nobody else uses:
// they have that variable, too (proc(5), /proc/PID/environ). A program that made itself a session of its own outlives its
// group, and what a killed run had started outlives that run, but for the program that it started itself. Programs of
// other users, and such as were given another environment, are not found: a person who only looks into the folder must
// not lose their shell.
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
		env, err := os.ReadFile(filepath.Join("/proc", e.Name(), "environ"))
		if err == nil && bytes.Contains(append([]byte{0}, env...), []byte("\x00TMPDIR="+dir+"/")) { // else of another user, or ended
			out = append(out, pid)
		}
	}
	return out
}
