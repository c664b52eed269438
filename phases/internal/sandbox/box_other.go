//go:build !linux

package sandbox

import (
	"context"
	"os"
)

// A Box needs Linux: there is none here.
type Box struct{ Isolation Isolation }

// New answers with a [*MissingError].
func New(context.Context) (*Box, error) { return nil, &MissingError{Tool: "bwrap"} }

// Close has nothing to remove.
func (*Box) Close() error { return nil }

// Outside is the path itself.
func (*Box) Outside(...string) string { return "" }

// Inside is the path itself.
func (*Box) Inside(name string) string { return name }

// HandOver has nothing to hand over.
func (*Box) HandOver() error { return nil }

// Merge answers with a [*MissingError].
func (*Box) Merge(string) error { return &MissingError{Tool: "bwrap"} }

// Run answers with a [*MissingError].
func (*Box) Run(_ context.Context, c Command) (Output, error) {
	return Output{}, &MissingError{Tool: c.Argv[0]}
}

// CopyFile needs Linux.
func CopyFile(string, string, os.FileMode) error { return &MissingError{Tool: "bwrap"} }
