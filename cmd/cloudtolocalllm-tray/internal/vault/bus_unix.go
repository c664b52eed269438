//go:build unix && !darwin

package vault

import "github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/bus"

// busKnown guards the keyring library, which would run dbus-launch where it
// finds no address and leave a bus behind.
func busKnown() bool { return bus.Address() != "" }
