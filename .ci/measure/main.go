//go:build unix

// Command measure runs a program and writes what it took as one line: milliseconds of wall time, milliseconds of
// processor time, and peak memory of the program (or of the largest one it waited for) in KiB, as Linux counts it.
//
//	measure FILE PROGRAM ARGUMENT...
//
// The line goes to FILE, so that the program has its own output. The exit code is the program's.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"
)

func main() {
	if len(os.Args) < 3 {
		fmt.Fprintln(os.Stderr, "usage: measure FILE PROGRAM ARGUMENT...")
		os.Exit(2)
	}
	code, err := measure(os.Args[1], os.Args[2:])
	if err != nil {
		fmt.Fprintln(os.Stderr, "measure:", err)
		os.Exit(1)
	}
	os.Exit(code)
}

func measure(file string, args []string) (code int, err error) {
	cmd := exec.CommandContext(context.Background(), args[0], args[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	begin := time.Now()
	err = cmd.Run()
	wall := time.Since(begin)
	if err != nil && !errors.As(err, new(*exec.ExitError)) {
		return 0, err
	}
	st := cmd.ProcessState
	usage, ok := st.SysUsage().(*syscall.Rusage)
	if !ok {
		return 0, errors.New("the system does not say what the program used")
	}
	line := fmt.Sprintln(wall.Milliseconds(), (st.UserTime() + st.SystemTime()).Milliseconds(), usage.Maxrss)
	return st.ExitCode(), os.WriteFile(file, []byte(line), 0o666)
}
