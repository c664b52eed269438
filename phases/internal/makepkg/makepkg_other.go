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

// Upgrade needs Linux.
func Upgrade(context.Context, string, string) (Upgraded, error) {
	return Upgraded{}, &MissingError{Tool: "pacman"}
}

// Start needs Linux.
func Start(context.Context, string, int64, ...[]string) ([]Started, error) {
	return nil, &MissingError{Tool: "bwrap"}
}
