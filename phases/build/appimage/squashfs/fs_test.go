package squashfs

import (
	"bytes"
	"errors"
	"io/fs"
	"testing"
	"testing/fstest"
)

// TestFS has the standard library's own judge look at an image as a file system.
func TestFS(t *testing.T) {
	b := write(t, []Entry{
		fileEntry("a", 0o644, []byte("hello")), fileEntry("d/big", 0o600, text(1, 300_000)), fileEntry("d/empty", 0o644, nil),
		dirEntry("d/none", 0o700), linkEntry("l", "d"), linkEntry("d/dangling", "/nowhere"),
	}, Options{})
	r, err := NewReader(bytes.NewReader(b), 0)
	if err != nil {
		t.Fatal(err)
	}
	// fstest opens every path that it lists, and cannot open links: it looks at a tree without.
	plain := write(t, []Entry{
		fileEntry("a", 0o644, []byte("hello")), fileEntry("d/big", 0o600, text(1, 300_000)), fileEntry("d/empty", 0o644, nil), dirEntry("d/none", 0o700),
	}, Options{})
	pr, err := NewReader(bytes.NewReader(plain), 0)
	if err != nil {
		t.Fatal(err)
	}
	if err := fstest.TestFS(pr.FS(), "a", "d/big", "d/empty", "d/none"); err != nil {
		t.Error(err)
	}
	f := r.FS()
	if to, err := fs.ReadLink(f, "l"); err != nil || to != "d" {
		t.Errorf("%q %v", to, err)
	}
	for name, want := range map[string]error{
		"l": ErrLink, "l/big": ErrLink, "d/dangling": ErrLink, "nothing": fs.ErrNotExist, "a/b": fs.ErrNotExist, "../a": fs.ErrInvalid, "": fs.ErrInvalid, "/a": fs.ErrInvalid,
	} {
		if _, err := f.Open(name); !errors.Is(err, want) {
			t.Errorf("%q: %v", name, err)
		}
	}
	if _, err := f.ReadLink("a"); !errors.Is(err, fs.ErrInvalid) {
		t.Error(err)
	}
	n, err := f.Lstat("d/big")
	if err != nil || n.Size() != 300_000 || n.Mode() != 0o600 {
		t.Errorf("%v %v", n, err)
	}
	uid, gid, err := r.Owner(n.Sys().(*Inode))
	if err != nil || uid != 0 || gid != 0 || r.HasAttributes() {
		t.Errorf("%d %d %v", uid, gid, err)
	}
}
