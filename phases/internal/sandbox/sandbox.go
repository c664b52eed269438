// Package sandbox runs the tools of distributions on files that nobody has to trust.
//
// A [Box] is a private temporary folder with everything that a tool may see. The rules:
//
//   - The caller's files are copied into the box, never written to. The box is removed afterwards.
//   - No tool runs as root: root drops to the user nobody first.
//   - The environment is made here and holds nothing of the caller's.
//   - Where bwrap works a tool runs in name spaces of its own, without network and without the host's files; of the host
//     it sees the programs in /usr. Where bwrap does not work, [Isolation] says why, and the caller decides whether the
//     tool may run, and what its answer is worth.
//   - When the context ends the whole process group is killed; in a sandbox nothing can outlive it.
//   - It cannot take the machine along: the time on a processor, the memory and the files of each process have limits, and
//     in a sandbox so have their number and all that they can write where nothing is trusted, see [Command].Scratch. Should
//     memory run short all the same, it is these processes that the kernel ends first. None can make name spaces of its
//     own where bwrap (0.8.0 and later) can keep it from that.
//
// A tool that is not there gives an error matching [ErrMissing]; one that ran and refused gives a [*tool.ExitError]. The
// two must not be confused: the first verdict is unknown, the second is fail. A tool that could not be started, or was
// ended by a signal, gives a [*StartError]: that is unknown too.
package sandbox

import (
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
)

// Path is where tools are looked for, outside and inside of the sandbox. Tests replace it.
var Path = []string{"/usr/bin", "/bin"}

// Debian names the package to install for a tool, or "".
func Debian(tool string) string { return debian[tool] }

var debian = map[string]string{
	"bash":       "bash",
	"bsdtar":     "libarchive-tools",
	"bwrap":      "bubblewrap",
	"dpkg":       "dpkg",
	"dpkg-deb":   "dpkg",
	"dpkg-query": "dpkg",
	"fakeroot":   "fakeroot",
	"file":       "file",
	"find":       "findutils",
	"gzip":       "gzip",
	"makepkg":    "makepkg",
	"pacman":     "pacman-package-manager",
	"setpriv":    "util-linux",
	"tar":        "tar",
	"unshare":    "util-linux",
	"zstd":       "zstd",
}

// Need answers with a [*MissingError] for the first tool that is not there.
func Need(tools ...string) error {
	for _, t := range tools {
		if Look(t) == "" {
			return &MissingError{Tool: t, Package: debian[t]}
		}
	}
	return nil
}

// Look finds a tool in [Path]; "" where it is not there.
func Look(tool string) string {
	for _, dir := range Path {
		path := filepath.Join(dir, tool)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() && info.Mode()&0o111 != 0 {
			return path
		}
	}
	return ""
}

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
	return fmt.Sprintf("cannot find %s: install the Debian package %s", e.Tool, e.Package)
}

// Is makes errors.Is(err, ErrMissing) true.
func (e *MissingError) Is(target error) bool { return target == ErrMissing }

// StartError says that a tool did not come to an answer of its own: what starts it failed, or a signal ended it.
type StartError struct {
	Tool   string
	Why    string
	Status int // its exit status as shells give it, 128 and a signal's number among them; 0 where it was not started
}

// Error says why.
func (e *StartError) Error() string { return fmt.Sprintf("cannot run %s: %s", e.Tool, e.Why) }

// OpenError says that something was not run because there is no sandbox to keep it in.
type OpenError struct{ Reason string }

// Error gives the reason.
func (e *OpenError) Error() string { return "cannot keep it in a sandbox: " + e.Reason }

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

// Err is an [*OpenError] where there is no sandbox.
func (i Isolation) Err() error {
	if i.Sandbox == "" {
		return &OpenError{i.Reason}
	}
	return nil
}

// Command is a program to run in a box.
type Command struct {
	Argv   []string
	Dir    string   // relative to the box
	Env    []string // beside PATH, HOME, TMPDIR and the locale, and in their place
	AsRoot bool     // as root of a user name space, which package managers ask for

	// Scratch is for programs that nobody has to trust. They work on a copy of the box that is held in memory, this many
	// bytes at most, and is gone when they end; of the box itself they can only read. Zero: they work in the box. Where
	// there is no sandbox they do that, too.
	Scratch int64
	// Keep is a folder of the copy whose files replace those that the box has there, when the program succeeds: files
	// only, no more than Scratch bytes together. What the program prints is then told in Output.Tail alone.
	Keep string
	// Root is a folder of the box of which the program sees usr, opt, etc, var and srv in the place of the system's. What
	// the system has beside them is merged in by [Box.Merge]. It needs a sandbox and Scratch.
	Root string
	// Timeout is how long it may take; then the error is a [*StartError]. Zero: as long as the context.
	Timeout time.Duration
}

// Output is what it printed.
type Output struct {
	Stdout string // its standard output, 8 MiB at most
	Tail   string // the end of both its outputs, as they came
}
