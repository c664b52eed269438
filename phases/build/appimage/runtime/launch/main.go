//go:build linux && !386 && !arm

// Program launch is the head of every AppImage made here: a type-2 runtime. It mounts the filesystem image behind
// itself and becomes AppRun; where it cannot mount, it unpacks the image into a private folder instead.
//
// Three processes take part. The one the user started makes a pipe, starts a short-lived second, and that one starts
// the helper, so that the application never finds a child it did not make. The helper mounts (or unpacks), says where
// through the pipe, and serves. The first process then execs AppRun and so keeps its process id, exit code and signals.
// The application and its children hold the pipe's other end: when the last of them is gone, the helper takes everything
// away again.
package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
)

// version is what --appimage-version prints. It changes with the runtime's behaviour, by hand, so that its bytes do
// not depend on where and when it was built.
const version = "slipway 1"

// Exit codes: AppRun's own, or one of these.
const (
	exitFailed = 1   // an option that is unknown or did not work
	exitNoRun  = 127 // AppRun could not be reached
)

const usage = `AppImage options:

  --appimage-extract [PATTERN]    unpack into squashfs-root; with a shell pattern only what matches
  --appimage-extract-and-run ARG  unpack into a private folder, run, remove it again
  --appimage-help                 this text
  --appimage-mount                mount, print where, stay until interrupted
  --appimage-offset               print where the filesystem image begins
  --appimage-portable-home        make a folder beside this file that becomes $HOME
  --appimage-portable-config      make a folder beside this file that becomes $XDG_CONFIG_HOME
  --appimage-signature            print the embedded signature
  --appimage-updateinfo           print the embedded update information
  --appimage-version              print the runtime's version

Environment:

  APPIMAGE_EXTRACT_AND_RUN  any value: as --appimage-extract-and-run
  APPIMAGE_NO_FALLBACK      any value: fail where mounting is impossible instead of unpacking
  FUSERMOUNT_PROG           the fusermount program to use
  NO_CLEANUP                any value: keep what was unpacked to run
  TARGET_APPIMAGE           work on that file instead of this one
  TMPDIR                    where to mount, instead of /tmp
  VERBOSE                   any value: say what is done
`

func main() {
	if len(os.Args) == 0 { // a caller may leave even the name out
		os.Args = []string{"AppImage"}
	}
	if stage := os.Getenv(stageVar); stage != "" {
		runStage(stage)
		return
	}
	if err := run(); err != nil {
		fmt.Fprintf(os.Stderr, "AppImage: %v\n", err)
		code := exitFailed
		if errors.As(err, new(cannotRun)) {
			code = exitNoRun
		}
		os.Exit(code)
	}
}

// cannotRun marks an error that kept AppRun from being reached.
type cannotRun struct{ error }

func (e cannotRun) Unwrap() error { return e.error }

func noRun(format string, args ...any) error { return cannotRun{fmt.Errorf(format, args...)} }

// image is the AppImage worked on.
type image struct {
	file   *os.File
	offset int64
	path   string // real
	arg0   string // as called
}

func openImage() (*image, error) {
	self, arg0 := "/proc/self/exe", os.Args[0]
	if t := os.Getenv("TARGET_APPIMAGE"); t != "" {
		self, arg0 = t, t
	}
	fd, err := syscall.Open(self, syscall.O_RDONLY|syscall.O_CLOEXEC, 0) // os.Open would ask the poller for its opinion first
	if err != nil {
		return nil, noRun("cannot open the AppImage: %w", &os.PathError{Op: "open", Path: self, Err: err})
	}
	f := os.NewFile(uintptr(fd), self)
	offset, err := elfsect.ImageOffset(f)
	if err != nil {
		return nil, noRun("cannot find the filesystem image: %w", err)
	}
	path, err := filepath.EvalSymlinks(self)
	if err == nil {
		path, err = filepath.Abs(path)
	}
	if err != nil {
		// the file may have been removed since the start; it still runs
		if path, err = os.Readlink(fmt.Sprintf("/proc/self/fd/%d", f.Fd())); err != nil {
			return nil, noRun("cannot find the AppImage's real path: %w", err)
		}
	}
	return &image{f, offset, path, arg0}, nil
}

func run() error {
	img, err := openImage()
	if err != nil {
		return err
	}
	args := os.Args[1:]
	option := ""
	if len(args) > 0 {
		option, _ = strings.CutPrefix(args[0], "--appimage-")
		if option == args[0] {
			option = ""
		}
	}
	switch option {
	case "help":
		_, err = os.Stderr.WriteString(usage)
	case "version":
		_, err = fmt.Fprintln(os.Stderr, "AppImage runtime version:", version)
	case "offset":
		_, err = fmt.Println(img.offset)
	case "updateinfo", "updateinformation":
		err = img.printSection(elfsect.UpdateInfo)
	case "signature":
		err = img.printSection(elfsect.Signature)
	case "portable-home", "portable-config":
		err = img.makePortable(strings.TrimPrefix(option, "portable-"))
	case "extract":
		if len(args) > 2 {
			return errors.New("--appimage-extract takes one pattern at most")
		}
		err = img.extractHere(args[1:])
	case "mount":
		err = img.mount()
	case "extract-and-run":
		err = img.run(args[1:], true)
	case "":
		err = img.run(args, isSet("APPIMAGE_EXTRACT_AND_RUN"))
	default:
		err = fmt.Errorf("unknown option %s; --appimage-help lists them", args[0])
	}
	return err
}

func (img *image) printSection(name string) error {
	s, err := elfsect.Text(img.file, name)
	if err == nil {
		_, err = fmt.Println(s)
	}
	return err
}

func (img *image) makePortable(kind string) error {
	dir := img.path + "." + kind
	if err := os.Mkdir(dir, 0o700); err != nil {
		return fmt.Errorf("cannot make the portable folder: %w", err)
	}
	_, err := fmt.Fprintln(os.Stderr, "Portable folder made:", dir)
	return err
}

// mount is --appimage-mount.
func (img *image) mount() error {
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM, syscall.SIGHUP)
	h, err := img.startHelper(wantMount)
	if err != nil {
		return cannotRun{err}
	}
	if _, err := fmt.Println(h.dir); err != nil {
		return err
	}
	<-signals
	return h.end()
}

// run becomes AppRun.
func (img *image) run(args []string, extract bool) error {
	want := wantAny
	switch {
	case extract:
		want = wantExtract
	case isSet("APPIMAGE_NO_FALLBACK"):
		want = wantMount
	}
	h, err := img.startHelper(want)
	if err != nil {
		return cannotRun{err}
	}
	if h.reason != "" {
		fmt.Fprintf(os.Stderr, "AppImage: cannot mount (%s): running an unpacked copy in %s\n", h.reason, h.dir)
	}
	verbose("AppDir is %s", h.dir)
	env := img.environment(h.dir)
	if err := h.keep(); err != nil {
		return cannotRun{err}
	}
	app := filepath.Join(h.dir, "AppRun")
	err = syscall.Exec(app, append([]string{os.Args[0]}, args...), env)
	return noRun("cannot run AppRun: %w", err)
}

// environment is what AppRun gets to see.
func (img *image) environment(dir string) []string {
	var set, names []string
	add := func(k, v string) { set, names = append(set, k+"="+v), append(names, k) }
	add("APPIMAGE", img.path)
	add("APPDIR", dir)
	add("ARGV0", img.arg0)
	wd, err := os.Getwd()
	if err != nil {
		wd = "/"
	}
	add("OWD", wd)
	for _, p := range [][2]string{{".home", "HOME"}, {".config", "XDG_CONFIG_HOME"}} {
		if fi, err := os.Stat(img.path + p[0]); err == nil && fi.IsDir() {
			verbose("%s is %s", p[1], img.path+p[0])
			add(p[1], img.path+p[0])
		}
	}
	var env []string
	for _, kv := range os.Environ() {
		if k, _, _ := strings.Cut(kv, "="); !slices.Contains(names, k) {
			env = append(env, kv)
		}
	}
	return append(env, set...)
}

// isSet tells whether a switch is in the environment; any value counts, the empty one too.
func isSet(name string) bool {
	_, ok := os.LookupEnv(name)
	return ok
}

func verbose(format string, args ...any) {
	if isSet("VERBOSE") {
		fmt.Fprintf(os.Stderr, "AppImage: "+format+"\n", args...)
	}
}

// reasonOf makes one line of an error, without the path that a *fs.PathError repeats.
func reasonOf(err error) string {
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) && errors.Is(pe.Err, syscall.ENOENT) {
		return "no " + pe.Path
	}
	return string(bytes.ReplaceAll([]byte(err.Error()), []byte("\n"), []byte("; ")))
}
