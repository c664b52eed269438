//go:build !(linux || freebsd || openbsd || netbsd || dragonfly)

package tray

import "context"

// New returns a tray that shows nothing: none is written for this system yet.
func New(string, Actions) Tray { return none{} }

type none struct{}

func (none) Run(ctx context.Context) { <-ctx.Done() }
func (none) SetLook(Look)            {}
func (none) SetMenu([]Entry)         {}
func (none) State() string           { return Off }
