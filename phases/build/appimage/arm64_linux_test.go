package appimage_test

import (
	"bytes"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

// TestArm64 has an emulated processor run what needs no other program: an AppImage's options. Mounting and starting are
// for the real machine.
func TestArm64(t *testing.T) {
	qemu := need(t, "qemu-aarch64-static", "qemu-user-static")
	path, res := build(t, "app", appimage.Options{Arch: "arm64", AppDir: testAppDir(), UpdateInformation: updateInformation})
	work := t.TempDir()
	do := func(args ...string) (string, string) {
		t.Helper()
		c := exec.Command(qemu, append([]string{path}, args...)...)
		c.Dir = work
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil {
			t.Errorf("%q: %v\n%s", args, err, errs.String())
		}
		return out.String(), errs.String()
	}
	if _, errs := do("--appimage-version"); !strings.HasPrefix(errs, "AppImage runtime version: slipway ") {
		t.Error(errs)
	}
	if out, _ := do("--appimage-offset"); out != strconv.FormatInt(res.ImageOffset, 10)+"\n" {
		t.Error(out)
	}
	if out, _ := do("--appimage-updateinfo"); out != updateInformation+"\n" {
		t.Error(out)
	}
	do("--appimage-extract")
	entries, err := squashfs.ScanDir(filepath.Join(work, "squashfs-root"))
	if err != nil || len(entries) != len(testAppDir())+3 { // the folders ., usr and usr/share
		t.Errorf("%d entries, %v", len(entries), err)
	}
	if b := read(t, filepath.Join(work, "squashfs-root/usr/share/big")); !bytes.Equal(b, bytes.Repeat([]byte("0123456789abcdef"), 100_000)) {
		t.Errorf("%d other bytes", len(b))
	}
}
