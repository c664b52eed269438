package gitd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"
)

// A program is git, found once.
type program struct{ path string }

var findGit = sync.OnceValues(func() (*program, error) {
	path, err := exec.LookPath("git")
	if err != nil {
		return nil, fmt.Errorf("cannot find git: %w; hint: install it", err)
	}
	path, err = filepath.Abs(path)
	return &program{path}, err
})

// environment is all that git sees of the machine: no settings of the user or the system, one language, one time zone.
// The settings given are "name=value".
func (p *program) environment(settings ...string) []string {
	// The owner of a repository does not matter: the caller names it.
	settings = append([]string{"safe.directory=*", "gc.auto=0", "maintenance.auto=false", "core.fsmonitor=false"}, settings...)
	env := []string{
		"PATH=" + filepath.Dir(p.path) + ":/usr/bin:/bin", "HOME=/nonexistent", "XDG_CONFIG_HOME=/nonexistent",
		"LC_ALL=C", "TZ=UTC", "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_SYSTEM=/dev/null", "GIT_CONFIG_GLOBAL=/dev/null",
		"GIT_ATTR_NOSYSTEM=1", "GIT_TERMINAL_PROMPT=0", "GIT_CONFIG_COUNT=" + strconv.Itoa(len(settings)),
	}
	for i, s := range settings {
		key, value, _ := strings.Cut(s, "=")
		env = append(env, fmt.Sprintf("GIT_CONFIG_KEY_%d=%s", i, key), fmt.Sprintf("GIT_CONFIG_VALUE_%d=%s", i, value))
	}
	return env
}

// Git runs the git program in a folder with nothing of the machine's settings. What git says on stderr is in the error,
// which wraps *exec.ExitError.
func Git(ctx context.Context, dir string, stdin io.Reader, stdout io.Writer, args ...string) error {
	p, err := findGit()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, p.path, args...)
	own(cmd)
	cmd.Cancel = func() error { return terminate(cmd) }
	cmd.WaitDelay = 10 * time.Second
	var text bytes.Buffer
	cmd.Dir, cmd.Env, cmd.Stdin, cmd.Stdout, cmd.Stderr = dir, p.environment(), stdin, stdout, &text
	if err := cmd.Run(); err != nil {
		if ctx.Err() != nil {
			err = errors.Join(context.Cause(ctx), err)
		}
		said := strings.TrimSpace(text.String())
		return fmt.Errorf("cannot run git %s: %w: %.500s", args[0], err, said)
	}
	return nil
}

// discardLog is for net/http, which would write of broken connections to the program's stderr.
func discardLog() *log.Logger { return log.New(io.Discard, "", 0) }
