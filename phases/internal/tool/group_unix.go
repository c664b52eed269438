//go:build unix

package tool

import (
	"os/exec"
	"syscall"
)

// group puts the program into a session and so into a process group of its own, where it has no terminal to ask
// anything on, and makes the end of its context kill the whole group.
func group(cmd *exec.Cmd) {
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
}

// sweep kills what the program left running in its group. That there is nothing left is the usual case.
func sweep(cmd *exec.Cmd) {
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // nobody is left: ESRCH
	}
}
