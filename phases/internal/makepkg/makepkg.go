// Package makepkg runs the Arch tools makepkg and pacman as judges of a package.
//
// A PKGBUILD is a program, so nothing here trusts one. The rules:
//
//   - The caller's folders are copied, never written to. The tools work in a private
//     temporary folder that is removed afterwards; finished packages are copied to
//     [Options].PkgDest.
//   - The tools never run as root: root drops to the user nobody first.
//   - The environment is made here and holds nothing of the caller's. makepkg.conf and
//     pacman.conf are made here too, for Debian's and Arch's defaults differ.
//   - Nothing is downloaded. What a PKGBUILD wants from the network must lie in
//     [Options].SrcDest under its local name; makepkg then only verifies it.
//   - Where bwrap works the tools run in name spaces of their own, without network and
//     without the host's files. Where it does not, [Isolation] says why, and the caller
//     decides what the answer is worth.
//   - When the context ends the whole process group is killed.
//
// A tool that is not there gives an error matching [ErrMissing]; a tool that was run and
// refused gives a [*tool.ExitError]. The two must not be confused: the first verdict is
// unknown, the second is fail.
//
// What is said here of the tools holds for makepkg and pacman 6.0.2.
package makepkg

import (
	"fmt"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// ErrMissing is matched, with errors.Is, by every [*MissingError].
var ErrMissing = tool.ErrMissing

// MissingError says which tool is not installed and what would bring it.
type MissingError struct {
	Tool    string // the program's name
	Package string // the Debian package that holds it; empty where the system is not Linux
}

// Error names the tool and what to install.
func (e *MissingError) Error() string {
	if e.Package == "" {
		return fmt.Sprintf("cannot run %s on this system: it needs Linux", e.Tool)
	}
	return fmt.Sprintf("cannot find %s: install %s", e.Tool, e.Package)
}

// Is makes errors.Is(err, ErrMissing) true.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// Options says what to run makepkg on. The zero value of each field but Dir has a meaning.
type Options struct {
	Dir        string    // the folder with the PKGBUILD; copied, sub-folder .git left out
	SrcDest    string    // a folder with sources already downloaded, by local name; copied
	PkgDest    string    // an existing folder that receives the finished packages; empty: they are dropped
	Args       []string  // makepkg's arguments
	Arch       string    // architecture to build for; empty: x86_64
	SourceDate time.Time // SOURCE_DATE_EPOCH; zero: a fixed day, so that two runs agree
}

// Result is what a tool answered.
type Result struct {
	Stdout    string   // its standard output alone
	Output    string   // the end of both its outputs, as they came
	Packages  []string // packages copied to PkgDest, sorted
	Isolation Isolation
}

// Isolation says what a tool was kept from, so that evidence can state it.
type Isolation struct {
	Sandbox string // "bwrap", or empty when the tool ran on the bare system
	Reason  string // why there is no sandbox
	UID     int    // the user it ran as, outside of the sandbox
}

// String describes the isolation in a few words for a line of evidence.
func (i Isolation) String() string {
	if i.Sandbox == "" {
		return fmt.Sprintf("no sandbox, network not cut off, uid %d: %s", i.UID, i.Reason)
	}
	return fmt.Sprintf("%s without network, uid %d", i.Sandbox, i.UID)
}

// Report is what an installation into an empty root and its removal showed.
type Report struct {
	Name      string
	Version   string   // [epoch:]pkgver-pkgrel
	Files     []string // the package's files and folders, folders with a trailing slash, sorted
	Total     int      // files and folders that pacman checked after the installation
	Altered   int      // those of them that differ from the package
	Leftovers []string // what the removal left behind, sorted
	Output    string   // every command and its output
	Isolation Isolation
}

// Clean says whether the installation was exact and the removal complete. Install
// scriptlets are never run here: an empty root has no shell for them.
func (r Report) Clean() bool { return r.Total > 0 && r.Altered == 0 && len(r.Leftovers) == 0 }
