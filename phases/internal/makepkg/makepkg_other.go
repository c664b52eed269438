//go:build !linux

package makepkg

import "context"

// Run needs Linux.
func Run(context.Context, Options) (Result, error) {
	return Result{}, &MissingError{Tool: "makepkg"}
}

// PrintSRCINFO needs Linux.
func PrintSRCINFO(context.Context, string) (Result, error) {
	return Result{}, &MissingError{Tool: "makepkg"}
}

// Build needs Linux.
func Build(context.Context, Options) (Result, error) {
	return Result{}, &MissingError{Tool: "makepkg"}
}

// Script needs Linux.
func Script(context.Context, Options, string, ...string) (Result, error) {
	return Result{}, &MissingError{Tool: "bash"}
}

// InstallRemove needs Linux.
func InstallRemove(context.Context, string) (Report, error) {
	return Report{}, &MissingError{Tool: "pacman"}
}
