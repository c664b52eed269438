//go:build unix

package rehearsal

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// TestFolder_Swept: the folder of a process that was killed is removed by the next one; that of a process which lives
// stays, and so does what is none of ours.
func TestFolder_Swept(t *testing.T) {
	if os.Getenv("REHEARSAL_FOLDER") != "" { // one that lives until it is killed
		dir, _, err := Folder()
		if err == nil {
			err = os.WriteFile(filepath.Join(dir, "key"), []byte("secret\n"), 0o600)
		}
		if err != nil {
			t.Fatal(err)
		}
		os.Stdout.WriteString("in " + dir + "\n")
		select {}
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	start := func() (*exec.Cmd, string) {
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^TestFolder_Swept$")
		cmd.Env = append(os.Environ(), "REHEARSAL_FOLDER=1")
		out, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			t.Fatal(err)
		}
		for lines := bufio.NewScanner(out); lines.Scan(); {
			if dir, ok := strings.CutPrefix(lines.Text(), "in "); ok {
				return cmd, dir
			}
		}
		t.Fatal("it made no folder")
		return nil, ""
	}
	killed, gone := start()
	living, there := start()
	if err := killed.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = killed.Wait()

	kept := filepath.Join(tmp, folderPrefix+"kept") // somebody's --keep, by accident of that name
	elsewhere := t.TempDir()
	planted := filepath.Join(tmp, folderPrefix+"link"+lockSuffix)
	pipe := filepath.Join(tmp, folderPrefix+"pipe"+lockSuffix)
	for _, err := range []error{
		os.Mkdir(kept, 0o700), os.Symlink(filepath.Join(elsewhere, "x"), planted), os.Mkdir(strings.TrimSuffix(planted, lockSuffix), 0o700),
		syscall.Mkfifo(pipe, 0o600), os.Mkdir(strings.TrimSuffix(pipe, lockSuffix), 0o700),
	} {
		if err != nil {
			t.Fatal(err)
		}
	}
	dir, remove, err := Folder()
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{gone, gone + lockSuffix} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	for _, name := range []string{filepath.Join(there, "key"), there + lockSuffix, kept, planted, strings.TrimSuffix(planted, lockSuffix), pipe, strings.TrimSuffix(pipe, lockSuffix), dir} {
		if _, err := os.Lstat(name); err != nil {
			t.Error(err)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v, %v", entries, err)
	}
	if info, err := os.Stat(dir); err != nil || info.Mode().Perm() != 0o700 {
		t.Errorf("%v, %v", info, err)
	}
	if err := remove(); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{dir, dir + lockSuffix} {
		if _, err := os.Lstat(name); !os.IsNotExist(err) {
			t.Errorf("%s is left: %v", name, err)
		}
	}
	if err := living.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = living.Wait()
}

// TestFolder_Others: what another user has left is not touched, even by root.
func TestFolder_Others(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root could")
	}
	tmp := t.TempDir()
	t.Setenv("TMPDIR", tmp)
	name := filepath.Join(tmp, folderPrefix+"1")
	if err := os.Mkdir(name, 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(name+lockSuffix, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chown(name+lockSuffix, 65534, 65534); err != nil {
		t.Fatal(err)
	}
	_, remove, err := Folder()
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := remove(); err != nil {
			t.Error(err)
		}
	}()
	if _, err := os.Stat(name); err != nil {
		t.Error(err)
	}
}

// TestFolder_Fails: without a folder for temporary files it says so.
func TestFolder_Fails(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "none"))
	if _, _, err := Folder(); err == nil || !strings.Contains(err.Error(), "cannot make a folder for the rehearsal") {
		t.Error(err)
	}
}
