package release

import "github.com/imrightguy/slipway/phases/release/notes"

// NotesOptions are what the notes of a release say besides their text, for whoever shows them before they are made.
func (c Config) NotesOptions(o Options, project string) notes.Options {
	return (&phase{c, o}).notes(project)
}
