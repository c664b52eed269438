//go:build unix

package disk

import (
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func TestWriteIsPrivateUnderAnyUmask(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "d")
	for _, mask := range []int{0, 0o022, 0o777} {
		was := syscall.Umask(mask)
		err := Private(dir)
		if err == nil {
			err = Write(filepath.Join(dir, "f"), []byte("x"))
		}
		syscall.Umask(was)
		if err != nil {
			t.Fatal(err)
		}
		for p, want := range map[string]os.FileMode{dir: 0o700, filepath.Join(dir, "f"): 0o600} {
			if fi, _ := os.Stat(p); fi.Mode().Perm() != want {
				t.Errorf("umask %o: %s is %v", mask, p, fi.Mode())
			}
		}
	}
	if left, _ := filepath.Glob(dir + "/.f*"); left != nil {
		t.Errorf("left behind: %v", left)
	}
}

func TestPrivateRefusesWhatIsNotOurs(t *testing.T) {
	dir := t.TempDir()
	link := filepath.Join(dir, "link")
	if err := os.Symlink(dir, link); err != nil {
		t.Fatal(err)
	}
	if err := Private(link); err == nil {
		t.Error("a link was followed")
	}
	file := filepath.Join(dir, "file")
	_ = os.WriteFile(file, nil, 0o600)
	if err := Private(file); err == nil {
		t.Error("a file was taken for a directory")
	}
	if os.Geteuid() == 0 {
		other := filepath.Join(dir, "other")
		_ = os.Mkdir(other, 0o700)
		_ = os.Chown(other, 65534, 65534)
		if err := Private(other); err == nil {
			t.Error("another user's directory was taken")
		}
	}
}

func TestReadSecretRefusesLinksAndOpenFiles(t *testing.T) {
	dir := t.TempDir()
	p := filepath.Join(dir, "s")
	_ = os.WriteFile(p, []byte("x"), 0o600)
	if b, err := ReadSecret(p); string(b) != "x" || err != nil {
		t.Error(err)
	}
	_ = os.Symlink(p, filepath.Join(dir, "l"))
	if _, err := ReadSecret(filepath.Join(dir, "l")); err == nil {
		t.Error("a link was followed")
	}
	_ = os.Chmod(p, 0o640)
	if _, err := ReadSecret(p); err == nil {
		t.Error("a file open to others was trusted")
	}
	_ = syscall.Mkfifo(filepath.Join(dir, "pipe"), 0o600)
	if _, err := ReadSecret(filepath.Join(dir, "pipe")); err == nil {
		t.Error("a pipe was read")
	}
}

func TestLockAndRemoveIf(t *testing.T) {
	p := filepath.Join(t.TempDir(), "lock")
	a, err := Lock(p)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Lock(p); !errors.Is(err, ErrLocked) {
		t.Error(err)
	}
	_ = a.Close()
	b, err := Lock(p)
	if err != nil {
		t.Fatal(err)
	}
	_ = b.Close()
	_ = WriteRun(p, []byte("theirs"))
	RemoveIf(p, []byte("ours"))
	if _, err := os.Stat(p); err != nil {
		t.Error("somebody else's file is gone")
	}
	RemoveIf(p, []byte("theirs"))
	if _, err := os.Stat(p); err == nil {
		t.Error("our file stays")
	}
}
