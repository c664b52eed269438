//go:build unix

package gitd

import (
	"os/exec"
	"syscall"
)

// own makes the command the head of a process group, so that its children end with it.
func own(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true} }

// terminate ends a started command and its children in a way that lets git remove its lock files.
func terminate(cmd *exec.Cmd) error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGTERM) }
