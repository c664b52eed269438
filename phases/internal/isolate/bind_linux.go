package isolate

import (
	"os/exec"
	"syscall"
)

// bind puts the program into a process group of its own, out of reach of a terminal's keys, and lets the kernel kill it
// when the thread that starts it ends, which this process's end includes (prctl(2), PR_SET_PDEATHSIG).
func bind(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
}
