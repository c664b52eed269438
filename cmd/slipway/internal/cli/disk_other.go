//go:build !linux && !darwin

package cli

import "errors"

// freeBytes does not know how to ask this system.
func freeBytes(string) (int64, error) { return 0, errors.ErrUnsupported }
