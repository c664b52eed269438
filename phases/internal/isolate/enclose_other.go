//go:build !linux

package isolate

import "context"

func enclose(context.Context, Command) ([]string, error) {
	return nil, &UnavailableError{"programs can be cut off from the network on Linux only"}
}
