// Package journal keeps the records of a release in a file: one JSON line each, durable when Append returns, chained
// by hashes so that damage is found, and locked so that one process writes at a time.
//
// A line is {"sum":S,"record":R}. S is the SHA-256, in hexadecimal, of the line before's S, a newline and the bytes of
// R; the first line has an empty predecessor. A last line without its newline was torn by a crash before anybody could
// rely on it: it is cut off. Any other damage is refused.
package journal

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"iter"
	"os"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/pipeline"
)

// Names of the files in a release's folder.
const (
	FileName = "journal.jsonl"
	LockName = "lock"
)

// maxLine bounds one line: a plan of some hundred thousand steps.
const maxLine = 256 << 20

// ErrLocked says that another process has the journal open for writing.
var ErrLocked = errors.New("another run holds the lock")

// DamagedError says that the journal cannot be used, and where.
type DamagedError struct {
	Path string
	Line int // from 1
	Why  string
}

// Error names file, line and reason.
func (e *DamagedError) Error() string {
	return fmt.Sprintf("cannot use the journal %s: line %d %s", e.Path, e.Line, e.Why)
}

// Journal is a journal open for writing. It is a [pipeline.Journal]; one goroutine at a time may use it.
type Journal struct {
	path   string
	file   *os.File
	lock   *os.File
	size   int64  // bytes of whole lines
	sum    string // of the last line
	broken error  // the first failure to write, after which nothing is appended
	Torn   int64  // bytes of a torn last line that Open cut off
}

var _ pipeline.Journal = (*Journal)(nil)

// Open opens the journal in folder dir for writing, making both where they are missing. The error wraps [ErrLocked]
// where another process has it, and is a *[DamagedError] where it cannot be used.
func Open(dir string) (_ *Journal, err error) {
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return nil, err
	}
	j := &Journal{path: filepath.Join(dir, FileName)}
	defer func() {
		if err != nil {
			j.Close()
		}
	}()
	if j.lock, err = lock(filepath.Join(dir, LockName)); err != nil {
		return nil, err
	}
	if j.file, err = os.OpenFile(j.path, os.O_RDWR|os.O_CREATE, 0o666); err != nil {
		return nil, err
	}
	for rec, err := range records(j.path, j.file) {
		if err != nil {
			return nil, err
		}
		j.size, j.sum = rec.end, rec.sum
	}
	info, err := j.file.Stat()
	if err != nil {
		return nil, err
	}
	if j.Torn = info.Size() - j.size; j.Torn > 0 {
		if err := j.file.Truncate(j.size); err != nil {
			return nil, fmt.Errorf("cannot cut off the journal's torn last line: %w", err)
		}
	}
	if info.Size() == 0 {
		err = syncDir(dir)
	}
	return j, err
}

// Append adds a record; it is on the disk when Append returns. After a failure nothing more is accepted.
func (j *Journal) Append(r pipeline.Record) error {
	if j.broken != nil {
		return j.broken
	}
	line, sum, err := encode(j.sum, r)
	if err != nil {
		return err
	}
	if _, err = j.file.WriteAt(line, j.size); err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		j.broken = fmt.Errorf("cannot write the journal: %w", err)
		return errors.Join(j.broken, j.file.Truncate(j.size))
	}
	j.size, j.sum = j.size+int64(len(line)), sum
	return nil
}

// Records yields the records from the first on.
func (j *Journal) Records() iter.Seq2[pipeline.Record, error] {
	return Read(filepath.Dir(j.path)).Records()
}

// Close releases the lock.
func (j *Journal) Close() error {
	var errs []error
	for _, f := range []*os.File{j.file, j.lock} {
		if f != nil {
			errs = append(errs, f.Close())
		}
	}
	return errors.Join(errs...)
}

// Reader is a journal for reading only; another process may be writing it.
type Reader struct{ dir string }

// Read returns the journal in folder dir for reading. One that is not there has no records.
func Read(dir string) Reader { return Reader{dir} }

// Append refuses.
func (Reader) Append(pipeline.Record) error {
	return errors.New("the journal is open for reading only")
}

// Records yields the records from the first on. A torn last line is passed over.
func (r Reader) Records() iter.Seq2[pipeline.Record, error] {
	return func(yield func(pipeline.Record, error) bool) {
		path := filepath.Join(r.dir, FileName)
		f, err := os.Open(path)
		if errors.Is(err, fs.ErrNotExist) {
			return
		}
		if err != nil {
			yield(pipeline.Record{}, err)
			return
		}
		defer f.Close()
		for e, err := range records(path, f) {
			if !yield(e.record, err) || err != nil {
				return
			}
		}
	}
}

// Fork compares two journals' bytes. Where one continues the other, or both are the same, it returns 0, else the
// number of the first line that differs.
func Fork(a, b []byte) (line int) {
	for line = 1; len(a) > 0 && len(b) > 0; line++ {
		la, restA, wholeA := bytes.Cut(a, []byte{'\n'})
		lb, restB, wholeB := bytes.Cut(b, []byte{'\n'})
		if !wholeA || !wholeB {
			return 0 // a torn last line is nothing
		}
		if !bytes.Equal(la, lb) {
			return line
		}
		a, b = restA, restB
	}
	return 0
}

type entry struct {
	record pipeline.Record
	sum    string
	end    int64 // offset behind the line
}

type line struct {
	Sum    string          `json:"sum"`
	Record json.RawMessage `json:"record"`
}

func encode(prev string, r pipeline.Record) (text []byte, sum string, err error) {
	raw, err := json.Marshal(r)
	if err != nil {
		return nil, "", fmt.Errorf("cannot encode a record: %w", err)
	}
	sum = chain(prev, raw)
	text, err = json.Marshal(line{sum, raw})
	return append(text, '\n'), sum, err
}

func chain(prev string, raw []byte) string {
	h := sha256.New()
	io.WriteString(h, prev+"\n")
	h.Write(raw)
	return hex.EncodeToString(h.Sum(nil))
}

// records yields whole lines. A last one without newline ends the sequence.
func records(path string, f io.Reader) iter.Seq2[entry, error] {
	return func(yield func(entry, error) bool) {
		in := bufio.NewReaderSize(f, 1<<16)
		var e entry
		for n := 1; ; n++ {
			text, err := readLine(in)
			if errors.Is(err, io.EOF) {
				return
			}
			fail := func(why string) { yield(entry{}, &DamagedError{path, n, why}) }
			if err != nil {
				fail(err.Error())
				return
			}
			var l line
			if err := strict(text, &l); err != nil || l.Record == nil {
				fail("is not a journal record")
				return
			}
			if chain(e.sum, l.Record) != l.Sum {
				fail("does not follow the line before: the journal was changed, cut or put together by hand")
				return
			}
			e = entry{sum: l.Sum, end: e.end + int64(len(text)) + 1}
			if err := strict(l.Record, &e.record); err != nil {
				fail("holds a record of another program version: " + err.Error())
				return
			}
			if !yield(e, nil) {
				return
			}
		}
	}
}

// readLine returns a line without its newline, and io.EOF at the end or for a line without one.
func readLine(in *bufio.Reader) ([]byte, error) {
	var line []byte
	for {
		part, err := in.ReadSlice('\n')
		line = append(line, part...)
		if len(line) > maxLine {
			return nil, errors.New("is too long")
		}
		if !errors.Is(err, bufio.ErrBufferFull) {
			return bytes.TrimSuffix(line, []byte{'\n'}), err
		}
	}
}

func strict(b []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if strings.TrimSpace(string(b[dec.InputOffset():])) != "" {
		return errors.New("something follows the record")
	}
	return nil
}

// syncDir makes a new file's name durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	if err := d.Sync(); err != nil && !errors.Is(err, errors.ErrUnsupported) {
		return err
	}
	return nil
}
