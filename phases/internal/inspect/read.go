package inspect

import (
	"bytes"
	"debug/elf"
	"errors"
	"fmt"
	"io"
	"path"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/needs"
)

// read opens every file once and notes what the checks need to know of its content.
func (l *look) read() error {
	l.scripts = map[string]bool{}
	buf := make([]byte, block+behind+ahead)
	head := make([]byte, headSize)
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		if err := l.ctx.Err(); err != nil {
			return err
		}
		if !e.Mode.IsRegular() || l.ignored(e.Path) {
			continue
		}
		if err := l.readFile(e, head, buf); err != nil {
			return fmt.Errorf("cannot read %s: %w", e.Path, err)
		}
	}
	return nil
}

func (l *look) readFile(e *archive.Entry, head, buf []byte) (err error) {
	f, err := l.tree.Open(*e)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return err
	}
	head = head[:n]
	script := bytes.HasPrefix(head, []byte("#!"))
	if script {
		l.scripts[e.Path] = true
	}
	if strings.HasSuffix(strings.ToLower(e.Path), ".png") {
		l.png(e.Path, head)
	}
	if bytes.HasPrefix(head, []byte(elf.ELFMAG)) {
		o, err := needs.Read(e.Path, f)
		switch {
		case errors.Is(err, needs.ErrDamaged):
			l.fault(Libraries, "%s is damaged: %v", e.Path, err)
		case err != nil:
			return err
		case o.Type == elf.ET_CORE:
			l.fault(Paths, "%s is a core dump and does not belong here", e.Path)
		default:
			l.objects = append(l.objects, o)
		}
	}
	return l.scanText(e.Path, head, f, script, buf)
}

// modes judges permission bits.
func (l *look) modes() error {
	programs := map[string]string{}
	for _, o := range l.objects {
		if o.Program {
			programs[o.Path] = "a program"
		}
	}
	for p := range l.scripts {
		if dir := path.Dir(p); dir == "bin" || dir == "sbin" || strings.HasPrefix(dir, "bin/") || strings.HasPrefix(dir, "sbin/") {
			programs[p] = "a script that is to be started"
		}
	}
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		mode := bits(e.Mode)
		switch what := programs[e.Path]; {
		case e.Mode.IsDir():
			if mode != 0o755 {
				l.fault(Modes, "folder %s has mode %04o, want 0755", e.Path, mode)
			}
		case !e.Mode.IsRegular():
		case mode != 0o644 && mode != 0o755:
			l.fault(Modes, "%s has mode %04o, want 0644 or 0755", e.Path, mode)
		case what != "" && mode != 0o755:
			l.fault(Modes, "%s is %s and has mode %04o, want 0755: say file_info: {mode: 0755} where the bundle takes it", e.Path, what, mode)
		}
	}
	for _, pattern := range l.rules.Executable {
		found := false
		for i := range l.tree.Entries {
			e := &l.tree.Entries[i]
			if e.Mode.IsDir() || !matches([]string{pattern}, e.Path) {
				continue
			}
			target := l.file(e.Path)
			if target == nil {
				l.fault(Modes, "%s leads to no file, want one with mode 0755 (executable: %q)", e.Path, pattern)
				continue
			}
			found = true
			if mode := bits(target.Mode); mode != 0o755 && programs[target.Path] == "" {
				l.fault(Modes, "%s has mode %04o, want 0755 (executable: %q)", target.Path, mode, pattern)
			}
		}
		if !found {
			l.fault(Modes, "nothing matches %q, which must be there and executable", pattern)
		}
	}
	return nil
}
