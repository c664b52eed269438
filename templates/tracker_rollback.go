package templates

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// TrackerRollback is how a release was taken back from its users, and whether it is held.
type TrackerRollback struct {
	Title   string // which rollback, since when, how long it took; empty where there is none
	To      string // version that users are brought back to; empty: none
	Reason  string
	Summary string // how it stands: rolled back, withdrawn, held, or how far it has come
	Over    bool
	Levels  []TrackerTask // Evidence says what was done, and which journal has it
	Earlier []string      // rollbacks before this one, oldest first
	Horizon string        // where the recovery clock stands: the beginning of one of Clock
	Clock   []string      // the clock's horizons, each with what it is for
	Hold    string        // since when and why the version is held, or since when it is not any more; empty: never was
}

// Status sums up the rollback; empty where there is none.
func (r *TrackerRollback) Status() string {
	switch {
	case r == nil || r.Title == "":
		return ""
	case !r.Over || line(r.Summary) == "":
		return "🔴 Rolling back"
	}
	first, n := utf8.DecodeRuneInString(r.Summary)
	return "🔴 " + string(unicode.ToUpper(first)) + r.Summary[n:]
}

// Now reports whether the recovery clock stands at one of its horizons.
func (r *TrackerRollback) Now(horizon string) bool {
	return r.Horizon != "" && strings.HasPrefix(horizon, r.Horizon)
}
