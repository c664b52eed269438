package makepkg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"regexp"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// startTime is how long a program may take that is started to see whether it starts.
const startTime = 30 * time.Second

// noLibrary is what the dynamic loader says (ld.so(8) of glibc), ending the program with 127.
var noLibrary = regexp.MustCompile(`error while loading shared libraries: ([^:\s]+): cannot open shared object file`)

// Start starts programs of a finished package, each by its absolute path and with arguments, one after the other. They see
// the package's files where they are installed, those of /usr among links to the system's own, and can write only to a
// home that vanishes. Space is how much they and their copies of the box may take, in bytes. Libraries of other packages
// that the system does not have are a reason not to have seen it, not a failure.
func Start(ctx context.Context, pkgfile string, space int64, programs ...[]string) (_ []Started, err error) {
	if err := sandbox.Need("bash"); err != nil {
		return nil, err
	}
	b, err := sandbox.New(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, b.Close()) }()
	if err := b.Isolation.Err(); err != nil {
		return nil, err
	}
	if err := os.Mkdir(b.Outside("root"), 0o755); err != nil {
		return nil, err
	}
	p, err := Unpack(ctx, pkgfile, b.Outside("root"), archive.Limits{Entries: maxEntries, Bytes: space})
	if err != nil {
		return nil, err
	}
	have := map[string]bool{}
	for _, e := range p.Entries {
		have["/"+e.Path] = true
	}
	if err := b.Merge("root"); err != nil {
		return nil, err
	}
	if err := b.HandOver(); err != nil {
		return nil, err
	}
	var all []Started
	for _, argv := range programs {
		s := Started{Argv: argv}
		if len(argv) == 0 || !have[argv[0]] {
			s.Status, s.Output = 127, "the package does not have it"
			all = append(all, s)
			continue
		}
		out, err := b.Run(ctx, sandbox.Command{Argv: argv, Dir: "home", Scratch: 1 << 28, Root: "root", Timeout: startTime})
		s.Output = out.Tail
		exit, ended := errors.AsType[*tool.ExitError](err)
		lost, _ := errors.AsType[*sandbox.StartError](err)
		m := noLibrary.FindStringSubmatch(out.Tail)
		switch {
		case m != nil && err != nil:
			s.Why = fmt.Sprintf("the library %.100s of another package is not on this system", m[1])
		case ended:
			s.Status = exit.Code
		case lost != nil && (lost.Status == 126 && !strings.Contains(lost.Why, "Exec format error") || crashed[lost.Status-128]):
			s.Status = lost.Status
		case lost != nil:
			s.Why = strings.TrimSpace(lost.Why)
		case err != nil:
			return nil, err
		}
		all = append(all, s)
	}
	return all, nil
}

// crashed are the signals with which programs end by their own fault. Others come from outside, like those of a limit.
var crashed = map[int]bool{
	int(unix.SIGSEGV): true, int(unix.SIGABRT): true, int(unix.SIGBUS): true, int(unix.SIGILL): true, int(unix.SIGFPE): true,
	int(unix.SIGTRAP): true, int(unix.SIGSYS): true,
}

// maxEntries is how many files, folders and links a package may have.
const maxEntries = 500000
