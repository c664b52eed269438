package gitd

import "os/exec"

// own does nothing here: there are no process groups.
func own(*exec.Cmd) {}

// terminate ends a started command.
func terminate(cmd *exec.Cmd) error { return cmd.Process.Kill() }
