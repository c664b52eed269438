package appimage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	goruntime "runtime"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/appdir"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

var fixedTime = time.Unix(1_700_000_000, 0)

// need returns the path of a real tool. Without it a test is skipped on a developer's machine and fails in CI.
func need(t testing.TB, tool, debian string) string {
	t.Helper()
	p, err := exec.LookPath(tool)
	if err != nil {
		unavailable(t, "%s is not installed: apt-get install %s", tool, debian)
	}
	return p
}

// unavailable says why a proof cannot be given here.
func unavailable(t testing.TB, format string, args ...any) {
	t.Helper()
	if os.Getenv("CI") == "true" {
		t.Fatalf(format, args...)
	}
	t.Skipf(format, args...)
}

func dir(path string) squashfs.Entry { return squashfs.Entry{Path: path, Mode: fs.ModeDir | 0o755} }

func file(path string, mode fs.FileMode, content []byte) squashfs.Entry {
	return squashfs.Entry{Path: path, Mode: mode, Size: int64(len(content)), Open: func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(content)), nil
	}}
}

func link(path, target string) squashfs.Entry {
	return squashfs.Entry{Path: path, Mode: fs.ModeSymlink | 0o777, Target: target}
}

// build writes an AppImage and returns its path.
func build(t testing.TB, name string, o appimage.Options) (string, appimage.Result) {
	t.Helper()
	path := filepath.Join(publicDir(t), name)
	// No other test may start a program meanwhile: it would inherit the descriptor, and a file that is open for writing
	// cannot be run.
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o755)
	if err != nil {
		t.Fatal(err)
	}
	if o.Arch == "" {
		o.Arch = "amd64"
	}
	if o.Time.IsZero() {
		o.Time = fixedTime
	}
	res, err := appimage.Build(context.Background(), f, o)
	if err != nil {
		t.Fatal(err)
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	return path, res
}

// publicDir is a temporary folder that other users can enter.
func publicDir(t testing.TB) string {
	t.Helper()
	d, err := os.MkdirTemp("", "appimage-test") //nolint:usetesting // t.TempDir is closed to other users
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(d) })
	if err := os.Chmod(d, 0o755); err != nil {
		t.Fatal(err)
	}
	return d
}

// writeProgram writes a file that is to be run, while no other test starts one (see build).
func writeProgram(t testing.TB, path string, b []byte) {
	t.Helper()
	syscall.ForkLock.RLock()
	defer syscall.ForkLock.RUnlock()
	if err := os.WriteFile(path, b, 0o755); err != nil {
		t.Fatal(err)
	}
}

func plainIcon() ([]byte, error) { return appdir.PlainIcon() }

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func hexSHA256(b []byte) string {
	sum := sha256.Sum256(b)
	return hexOf(sum[:])
}

// needRuntime leaves out what runs an AppImage where it cannot run.
func needRuntime(t testing.TB) {
	t.Helper()
	if goruntime.GOOS != "linux" || goruntime.GOARCH != "amd64" {
		unavailable(t, "the AppImage made here is for linux and amd64")
	}
}
