//go:build unix && !linux

package isolate

import (
	"os/exec"
	"syscall"
)

// bind puts the program into a process group of its own, out of reach of a terminal's keys.
func bind(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }
