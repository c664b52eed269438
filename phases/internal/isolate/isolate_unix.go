//go:build unix

package isolate

import (
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
)

// refuse is a program that always fails.
const refuse = "/bin/false"

// merged starts the program that follows it with both its outputs as one. The arguments are no part of the script.
var merged = []string{"/bin/sh", "-c", `exec "$@" 2>&1`, "sh"}

func base(program string) string { return filepath.Base(program) }

// Signal names the signal that an exit status stands for; "" for none. Shells and bwrap report a program that a signal
// ended with the status 128 and its number.
func Signal(status int) string {
	if status <= 128 {
		return ""
	}
	return unix.SignalName(unix.Signal(status - 128))
}

// probeTime is how long finding out about bwrap may take.
const probeTime = 20 * time.Second
