// Package makepkg runs the Arch tools makepkg and pacman as judges of a package.
//
// A PKGBUILD is a program, so nothing here trusts one: it runs in a box of package sandbox. makepkg.conf and pacman.conf
// are made here, for Debian's and Arch's defaults differ. Finished packages are copied to [Options].PkgDest. Nothing is
// downloaded: what a PKGBUILD wants from the network must lie in [Options].SrcDest under its local name, and makepkg then
// only verifies it. Where there is no sandbox, [Isolation] says so, and the caller decides what the answer is worth; with
// [Options].Contained nothing is run there.
//
// A tool that is not there gives an error matching [ErrMissing]; a tool that was run and
// refused gives a *tool.ExitError. The two must not be confused: the first verdict is
// unknown, the second is fail.
//
// What is said here of the tools holds for makepkg and pacman 6.0.2.
package makepkg

import (
	"time"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
)

// ErrMissing is matched, with errors.Is, by every [*MissingError].
var ErrMissing = sandbox.ErrMissing

// MissingError says which tool is not installed and what would bring it.
type MissingError = sandbox.MissingError

// Isolation says what a tool was kept from.
type Isolation = sandbox.Isolation

// Tools lists the programs that [Build] needs, and those that [InstallRemove] needs.
var (
	BuildTools   = []string{"makepkg", "bash", "fakeroot", "bsdtar", "zstd", "gzip", "file", "find"}
	InstallTools = []string{"pacman", "bash"}
)

// Options says what to run makepkg on. The zero value of each field but Dir has a meaning.
type Options struct {
	Dir        string        // the folder with the PKGBUILD; copied, sub-folder .git left out
	SrcDest    string        // a folder with sources already downloaded, by local name; copied
	PkgDest    string        // an existing folder that receives the finished packages; empty: they are dropped
	Args       []string      // makepkg's arguments
	Arch       string        // architecture to build for; empty: x86_64
	Contained  bool          // where there is no sandbox: run nothing, answer with a *sandbox.OpenError
	SourceDate time.Time     // SOURCE_DATE_EPOCH; zero: a fixed day, so that two runs agree
	Env        []string      // more variables, or others
	Timeout    time.Duration // zero: as long as the context
}

// Result is what a tool answered.
type Result struct {
	Stdout    string   // its standard output alone; where there is a sandbox and a PkgDest, empty
	Output    string   // the end of both its outputs, as they came
	Packages  []string // packages copied to PkgDest, sorted
	Isolation Isolation
}

// Report is what an installation into an empty root and its removal showed.
type Report struct {
	Name      string
	Version   string   // [epoch:]pkgver-pkgrel
	Scriptlet bool     // the package has an install scriptlet or hooks for pacman; then nothing was installed
	Files     []string // the package's files and folders, folders with a trailing slash, sorted
	Total     int      // files and folders that pacman checked after the installation
	Altered   int      // those of them that differ from the package
	Leftovers []string // what the removal left behind, sorted
	Output    string   // every command and its output
	Isolation Isolation
}

// Clean says whether the installation was exact and the removal complete. A package with an install scriptlet is not
// clean: what such a program does cannot be seen in an empty root, which has no shell for it.
func (r Report) Clean() bool {
	return !r.Scriptlet && r.Total > 0 && r.Altered == 0 && len(r.Leftovers) == 0
}

// Upgraded is what `pacman -Syu` did where an older package was installed from a repository and the repository has a
// newer one now.
type Upgraded struct {
	Name      string
	From      string // the version that was installed before
	Offered   string // the version that the repository has now
	To        string // the version that is installed now
	Scriptlet bool   // one of the packages has an install scriptlet or hooks for pacman; then nothing was installed
	Total     int    // files and folders that pacman checked
	Altered   int    // those of them that differ from the package
	Said      string // what pacman said of the upgrade
	Isolation Isolation
}
