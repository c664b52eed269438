//go:build !unix

package launch

import (
	"errors"
	"os/exec"
)

func detach(*exec.Cmd) {}

func supervised() bool { return false }

func transient(string, []string) error { return errors.New("no systemd here") }

// Running cannot be told here: only a connected app counts.
func Running() bool { return false }
