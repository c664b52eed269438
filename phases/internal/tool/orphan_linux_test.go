package tool

import (
	"bufio"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestRun_Orphan kills the process that runs a program: the program does not outlive it.
func TestRun_Orphan(t *testing.T) {
	const variable = "TOOL_TEST_PARENT"
	if os.Getenv(variable) != "" {
		c := sh(t, "echo $$; exec sleep 120")
		c.Stdout = os.Stdout
		_, _ = Run(t.Context(), c)
		return
	}
	parent := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestRun_Orphan$")
	parent.Env = append(os.Environ(), variable+"=1")
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	pid, bad := strconv.Atoi(strings.TrimSpace(line))
	if err != nil || bad != nil {
		t.Fatal(line, err, bad)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait() // killed
	for range 200 {
		state, err := os.ReadFile("/proc/" + strconv.Itoa(pid) + "/stat")
		if err != nil || strings.Contains(string(state), ") Z ") { // gone, or dead and not yet collected by init
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	_ = syscall.Kill(pid, syscall.SIGKILL)
	t.Error("the program outlived the process that ran it")
}
