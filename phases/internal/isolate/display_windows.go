package isolate

import (
	"context"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// A Display is an X server, of which there is none here.
type Display struct{}

// NewDisplay answers with a [*tool.MissingError].
func NewDisplay(context.Context, string) (*Display, error) {
	return nil, &tool.MissingError{Program: "Xvfb"}
}

// Env is empty.
func (*Display) Env() []string { return nil }

// Close has nothing to end.
func (*Display) Close() {}
