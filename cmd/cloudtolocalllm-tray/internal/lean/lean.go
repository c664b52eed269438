// Package lean gives memory back to the system when the daemon has been busy
// and is no longer.
package lean

import "runtime/debug"

// Trim frees what the collector can free, and lets go of the program's own
// pages: code of the start or of a handshake need not stay resident for weeks.
// What is needed again comes back from the page cache by itself.
func Trim() {
	debug.FreeOSMemory()
	debug.FreeOSMemory() // a pool lets go of what it holds at the second collection
	dropPages()
}
