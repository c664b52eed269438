// Package tray shows the daemon in the desktop's tray.
//
// On Linux and the BSDs it is a StatusNotifierItem with a menu, spoken over
// D-Bus without any library of a desktop. Elsewhere there is none yet: the
// interface is what another system has to fill.
package tray

import "context"

// Where the tray stands, in the words of the daemon's status.
const (
	Registered = "registered" // a panel shows it
	Waiting    = "waiting"    // there is a bus and no panel that takes items
	NoBus      = "no_bus"
	Off        = "off"
)

// Look is what the item shows.
type Look struct {
	Icon    string // idle, connected or error
	Tooltip string
	Colour  string // auto, light or dark
}

// Entry is one line of the menu; one without label is a separator.
type Entry struct {
	ID       int32
	Label    string
	Disabled bool
	Click    func()
}

// Tray is an item in the tray. Its methods may be called at any time, whether
// or not there is a panel, and never wait for one.
type Tray interface {
	Run(ctx context.Context) // shows the item until ctx ends; returns when it is gone
	SetLook(Look)
	SetMenu([]Entry)
	State() string
}

// Actions are what a person's hand sets off. They run one after the other,
// never on the bus's own goroutine.
type Actions struct {
	Click   func()    // on the icon
	Opening func()    // the menu is about to be shown: last chance to set it
	Changed func()    // State is another
	Panic   func(any) // an action failed badly
	Log     func(string, ...any)
}
