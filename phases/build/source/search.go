package source

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/glob"
	"github.com/imrightguy/slipway/phases/internal/size"
)

// search goes along the tree once.
type search struct {
	Config
	faults   []Fault
	required []bool // which of the patterns have matched
	scripts  []bool
	chunk    int    // bytes read at a time
	seen     []bool // which of the required texts have been found
}

func newSearch(c Config) *search {
	return &search{Config: c, chunk: chunk, required: make([]bool, len(c.Required)), scripts: make([]bool, len(c.Executable)), seen: make([]bool, len(c.RequiredText))}
}

func (s *search) fault(path string, line int, format string, args ...any) {
	s.faults = append(s.faults, Fault{path, line, fmt.Sprintf(format, args...)})
}

// entry looks at one file, link or folder.
func (s *search) entry(root *os.Root, path string, d fs.DirEntry) error {
	if d.IsDir() {
		inside, err := fs.ReadDir(root.FS(), path)
		if err != nil {
			return err
		}
		if len(inside) == 0 {
			s.fault(path, 0, "it is a submodule without its files: git rm --cached %s, and add the files themselves", quote(path))
		}
	}
	for i, p := range s.Required {
		s.required[i] = s.required[i] || glob.Match(p, path)
	}
	for _, p := range s.Forbidden {
		if glob.Match(p, path) {
			s.fault(path, 0, "it is in the commit, and %q is forbidden", p)
			break
		}
	}
	if !d.Type().IsRegular() {
		return nil // a link's target is looked at where it lies
	}
	return s.file(root, path)
}

func (s *search) file(root *os.Root, path string) error {
	var scripts []int
	for i, p := range s.Executable {
		if glob.Match(p, path) {
			scripts = append(scripts, i)
		}
	}
	reads := s.reads() && (len(s.Source) == 0 || slices.ContainsFunc(s.Source, func(p string) bool { return glob.Match(p, path) }))
	if len(scripts) == 0 && !reads {
		return nil
	}
	f, err := root.Open(path)
	if err != nil {
		return err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if len(scripts) > 0 {
		program, err := s.program(f, path, info.Mode())
		if err != nil {
			return err
		}
		for _, i := range scripts {
			s.scripts[i] = s.scripts[i] || program
		}
	}
	if !reads {
		return nil
	}
	if s.MaxFile > 0 && info.Size() > int64(s.MaxFile) {
		s.fault(path, 0, "it has %s bytes, more than %s", size.Bytes(info.Size()), s.MaxFile)
	}
	if len(s.RequiredText)+len(s.ForbiddenText) == 0 {
		return nil
	}
	if _, err := f.Seek(0, io.SeekStart); err != nil {
		return err
	}
	return s.texts(f, path)
}

// program looks at the beginning of a file: whether the kernel could start it, and whether it may (execve(2)).
func (s *search) program(f io.Reader, path string, mode fs.FileMode) (bool, error) {
	head := make([]byte, 256) // what the kernel reads of a #! line
	n, err := io.ReadFull(f, head)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return false, err
	}
	head = head[:n]
	bare, marked := bytes.CutPrefix(head, []byte("\xef\xbb\xbf"))
	first, _, _ := bytes.Cut(bare, []byte("\n"))
	script := bytes.HasPrefix(bare, []byte("#!"))
	switch {
	case !script && !bytes.HasPrefix(head, []byte("\x7fELF")):
		return false, nil
	case script && marked:
		s.fault(path, 1, "a byte order mark stands before #!, so it cannot be started")
	case script && bytes.HasSuffix(first, []byte("\r")):
		s.fault(path, 1, "the #! line ends with a carriage return, so its interpreter is not found")
	}
	if mode.Perm() != 0o755 {
		s.fault(path, 0, "it is not executable (mode %04o in the commit): git update-index --chmod=+x %s", mode.Perm(), quote(path))
	}
	return true, nil
}

const (
	chunk    = 256 << 10
	maxLines = 3 // faults of one text in one file
)

// texts streams a file and finds the texts in it, those too that lie across two chunks.
func (s *search) texts(r io.Reader, path string) error {
	longest := 1
	for _, text := range slices.Concat(s.RequiredText, s.ForbiddenText) {
		longest = max(longest, len(text))
	}
	found := make([]int, len(s.ForbiddenText))
	buf := make([]byte, s.chunk+longest)
	kept, line := 0, 1 // bytes of the chunk before at the beginning of buf; the line that buf begins in
	for {
		n, err := io.ReadFull(r, buf[kept:])
		b := buf[:kept+n]
		last := err != nil
		if last && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return err
		}
		next := len(b) // where the next chunk begins: what starts from there on is found then
		if !last {
			next -= longest - 1
		}
		for i, text := range s.RequiredText {
			s.seen[i] = s.seen[i] || bytes.Contains(b, []byte(text))
		}
		for i, text := range s.ForbiddenText {
			for at := 0; ; at += len(text) {
				k := bytes.Index(b[at:], []byte(text))
				if at += max(k, 0); k < 0 || at >= next {
					break
				}
				if found[i]++; found[i] <= maxLines {
					s.fault(path, line+bytes.Count(b[:at], []byte("\n")), "%q is forbidden", text)
				}
			}
		}
		if last {
			break
		}
		line += bytes.Count(b[:next], []byte("\n"))
		kept = copy(buf, b[next:])
	}
	for i, n := range found {
		if n > maxLines {
			s.fault(path, 0, "%q is forbidden, and stands there %d times more", s.ForbiddenText[i], n-maxLines)
		}
	}
	return nil
}

// missing tells what was not found anywhere.
func (s *search) missing() {
	for i, p := range s.Required {
		if s.required[i] {
			continue
		}
		if strings.ContainsAny(p, "*?[") {
			s.fault("", 0, "nothing in the commit matches %q: files that are there without being tracked may be hidden by .gitignore", p)
		} else {
			s.fault(p, 0, "it is not in the commit: where you have it, add it, and git check-ignore -v %s tells whether .gitignore hides it", quote(p))
		}
	}
	for i, p := range s.Executable {
		if !s.scripts[i] {
			s.fault("", 0, "no script or program in the commit matches %q", p)
		}
	}
	where := ""
	if len(s.Source) > 0 {
		where = fmt.Sprintf(" that matches %q", s.Source)
	}
	for i, text := range s.RequiredText {
		if !s.seen[i] {
			s.fault("", 0, "%q stands in no file%s", text, where)
		}
	}
}

// quote writes a path so that a POSIX shell takes it for one word, and git for no option.
func quote(p string) string {
	if strings.HasPrefix(path.Clean(p), "-") {
		p = "./" + p
	}
	if strings.IndexFunc(p, func(r rune) bool {
		return r != '/' && r != '.' && r != '_' && r != '-' && (r < '0' || r > '9') && (r < 'A' || r > 'Z') && (r < 'a' || r > 'z')
	}) < 0 {
		return p
	}
	return "'" + strings.ReplaceAll(p, "'", `'\''`) + "'"
}
