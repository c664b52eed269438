//go:build unix

package build

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"syscall"
	"testing"
)

// childEnv holds, for a process that is to build the fixture and end, how it should.
const childEnv = "SLIPWAY_TEST_BUILD"

type childJob struct {
	Dir      string
	Umask    int
	Prebuilt bool
}

// child builds in this process and tells what went wrong by its exit status.
func child() int {
	var job childJob
	if err := json.Unmarshal([]byte(os.Getenv(childEnv)), &job); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	syscall.Umask(job.Umask)
	cfg := demoConfig()
	if job.Prebuilt {
		cfg = prebuiltConfig()
	}
	p := &project{repo: filepath.Join(job.Dir, "repo"), work: filepath.Join(job.Dir, "out"), cfg: cfg, env: demoEnv()}
	if _, err := p.run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// buildElsewhere builds the fixture in another process.
func buildElsewhere(t *testing.T, job childJob, uid int, env ...string) string {
	t.Helper()
	repository(t, filepath.Join(job.Dir, "repo"), sourceFiles)
	must(t, filepath.WalkDir(job.Dir, func(p string, d fs.DirEntry, err error) error {
		if err == nil && uid != 0 {
			err = os.Lchown(p, uid, uid)
		}
		return err
	}))
	b, err := json.Marshal(job)
	must(t, err)
	program, err := os.Executable()
	must(t, err)
	if uid != 0 { // the test's program lies in a closed folder
		to := filepath.Join(job.Dir, "program")
		data, err := os.ReadFile(program)
		must(t, err)
		must(t, os.WriteFile(to, data, 0o755))
		program = to
	}
	cmd := exec.Command(program)
	cmd.Dir = job.Dir
	cmd.Env = append(append(os.Environ(), childEnv+"="+string(b)), env...)
	if uid != 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uint32(uid), Gid: uint32(uid)}}
	}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return filepath.Join(job.Dir, "out", "dist")
}

// same compares two folders, names and bytes.
func same(t *testing.T, a, b string) {
	t.Helper()
	read := func(dir string) (map[string][]byte, []string) {
		files := map[string][]byte{}
		must(t, filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			if err != nil || d.IsDir() {
				return err
			}
			rel, err := filepath.Rel(dir, p)
			if err == nil {
				files[rel], err = os.ReadFile(p)
			}
			return err
		}))
		var names []string
		for name := range files {
			names = append(names, name)
		}
		slices.Sort(names)
		return files, names
	}
	x, names := read(a)
	y, others := read(b)
	if !slices.Equal(names, others) || len(names) < 5 {
		t.Errorf("one has %q, the other %q", names, others)
	}
	for _, name := range names {
		if !bytes.Equal(x[name], y[name]) {
			t.Errorf("%s differs", name)
		}
	}
}

// TestReproducible builds in another process, in a folder with a name of another kind, with another umask, time zone,
// locale, number of processors and Go settings: every byte of every artifact is the same.
func TestReproducible(t *testing.T) {
	p, _ := demo(t)
	dir := filepath.Join(t.TempDir(), "a [b]* {c} $(d) 'é'")
	must(t, os.Mkdir(dir, 0o755))
	got := buildElsewhere(t, childJob{Dir: dir, Umask: 0o077}, 0,
		"TZ=Pacific/Kiritimati", "LANG=tr_TR.UTF-8", "LC_ALL=tr_TR.UTF-8", "GOMAXPROCS=1", "SOURCE_DATE_EPOCH=1",
		"GOFLAGS=-tags=other -mod=mod", "GOAMD64=v3", "CGO_ENABLED=1", "USER=somebody", "HOSTNAME=elsewhere")
	same(t, p.dirs().Dist, got)
}

// TestReproducible_User builds as another user with another umask.
func TestReproducible_User(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can become another user")
	}
	const nobody = 65534
	dirs := make([]string, 2)
	for i := range dirs {
		dir, err := os.MkdirTemp("", "slipway-user-test-") //nolint:usetesting // t.TempDir is closed to other users
		must(t, err)
		t.Cleanup(func() {
			if err := os.RemoveAll(dir); err != nil {
				t.Error(err)
			}
		})
		must(t, os.Chmod(dir, 0o755))
		dirs[i] = dir
	}
	root := buildElsewhere(t, childJob{Dir: dirs[0], Umask: 0o000, Prebuilt: true}, 0, "GOMAXPROCS=7")
	user := buildElsewhere(t, childJob{Dir: dirs[1], Umask: 0o027, Prebuilt: true}, nobody, "HOME="+dirs[1], "TMPDIR="+dirs[1], "TZ=America/St_Johns")
	same(t, root, user)
}
