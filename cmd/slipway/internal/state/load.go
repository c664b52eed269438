package state

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// Staged is an archive that was unpacked into a folder of its own and found whole: the journals' chains hold, the plans
// are the journals', and every artifact is one of its journal's, byte for byte.
type Staged struct {
	Part                       // the release's own
	Beside   []*Part           // in the order of the archive
	receipts map[string][]byte // by name
	journals int64             // bytes of all journals so far
}

// Part is a journal of an archive, with its plan and its artifacts.
type Part struct {
	Name    string // "" for the release's own, else that of the plan beside it, such as rollback-1
	Plan    *pipeline.Plan
	Journal []byte // its bytes
	Ahead   bool   // the journal here is as far, or further: see [Staged.Compare]

	artifacts []pipeline.Artifact // those that the archive holds
	lacking   map[string]pipeline.Artifact
	dir       string        // where it was unpacked
	dirs      pipeline.Dirs // inside of dir
}

// Place says where the journal, the artifacts and the work files of a part belong.
type Place func(name string) (dir string, dirs pipeline.Dirs)

// Unpack reads an archive into the empty folder dir. Anything that does not belong in it is an error: an entry that the
// journal does not name or that is no plain file, one that comes twice or has another size than the journal says.
// Check is asked about each part before the first artifact of it is unpacked. Encode makes the text of plan.json.
func Unpack(r io.Reader, dir string, encode func(*pipeline.Plan) ([]byte, error), check func(*Part) error) (*Staged, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	t := tar.NewReader(z)
	s := &Staged{receipts: map[string][]byte{}}
	h, err := t.Next()
	switch {
	case err != nil:
		return nil, fmt.Errorf("this is not an archive of slipway state save, or it is damaged: %w", err)
	case h.Name != journalName || h.Typeflag != tar.TypeReg:
		return nil, strangeEntry(h, journalName)
	}
	if err := s.begin(t, h, &s.Part, dir, encode, check); err != nil {
		return nil, err
	}
	now := &s.Part
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the archive is damaged: %w", err)
		}
		if slices.Contains(receipts, h.Name) && h.Typeflag == tar.TypeReg && s.receipts[h.Name] == nil && len(s.artifacts) == 0 && len(s.Beside) == 0 {
			if s.receipts[h.Name], err = bounded(t, h, maxReceipt); err != nil {
				return nil, err
			}
			continue
		}
		if name, file := path.Split(h.Name); file == journalName && h.Typeflag == tar.TypeReg && s.next(strings.TrimSuffix(name, "/")) {
			if err := now.whole(); err != nil {
				return nil, err
			}
			now = &Part{Name: strings.TrimSuffix(name, "/")}
			if err := s.begin(t, h, now, filepath.Join(dir, "beside", now.Name), encode, check); err != nil {
				return nil, err
			}
			s.Beside = append(s.Beside, now)
			continue
		}
		if err := now.unpack(t, h); err != nil {
			return nil, err
		}
	}
	if n, err := io.CopyN(io.Discard, z, 1); n > 0 || !errors.Is(err, io.EOF) { // at the end its checksum is read
		return nil, errors.Join(errors.New("the archive is damaged: something follows its end"), err)
	}
	return s, now.whole()
}

// next reports whether a plan beside the release's may come next: each once, and not too many.
func (s *Staged) next(name string) bool {
	return besideName.MatchString(name) && len(s.Beside) < maxBeside && !slices.ContainsFunc(s.Beside, func(p *Part) bool { return p.Name == name })
}

// begin reads a part's journal, of which h is the header, and its plan.
func (s *Staged) begin(t *tar.Reader, h *tar.Header, p *Part, dir string, encode func(*pipeline.Plan) ([]byte, error), check func(*Part) error) (err error) {
	p.dir, p.dirs = dir, pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}
	if p.Journal, err = bounded(t, h, maxJournal-s.journals); err != nil {
		return err
	}
	s.journals += int64(len(p.Journal))
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return err
	}
	if err := os.WriteFile(filepath.Join(dir, journal.FileName), p.Journal, 0o666); err != nil {
		return err
	}
	if n := len(p.Journal); n == 0 || p.Journal[n-1] != '\n' {
		return fmt.Errorf("the archive's %s is cut off", p.called())
	}
	var recorded []pipeline.Artifact
	if p.Plan, recorded, err = Contents(journal.Read(dir)); err != nil {
		return p.damaged(err)
	}
	if h, err = t.Next(); err != nil {
		return fmt.Errorf("this is not an archive of slipway state save, or it is damaged: %w", err)
	} else if want := below(p.Name, planName); h.Name != want || h.Typeflag != tar.TypeReg {
		return strangeEntry(h, want)
	}
	text, err := bounded(t, h, maxPlan)
	if err != nil {
		return err
	}
	if want, err := encode(p.Plan); err != nil || !bytes.Equal(text, want) {
		return errors.Join(fmt.Errorf("the archive's plan is not the one of its %s", p.called()), err)
	}
	p.lacking = make(map[string]pipeline.Artifact, len(recorded))
	for _, a := range recorded {
		p.lacking[below(p.Name, entry(a.Name))] = a
	}
	return check(p)
}

func strangeEntry(h *tar.Header, want string) error {
	return fmt.Errorf("this is not an archive of slipway state save: it holds %q where %s has to be", h.Name, want)
}

// called is what the part's journal is called.
func (p *Part) called() string {
	if p.Name == "" {
		return "journal"
	}
	return "journal of " + p.Name
}

// damaged leaves out where the journal was unpacked to.
func (p *Part) damaged(err error) error {
	if d, ok := errors.AsType[*journal.DamagedError](err); ok {
		return fmt.Errorf("the archive's %s is damaged: line %d %s", p.called(), d.Line, d.Why)
	}
	return fmt.Errorf("the archive's %s cannot be used: %w", p.called(), err)
}

// whole demands that nothing is lacking that cannot be made again.
func (p *Part) whole() error {
	for _, name := range slices.Sorted(maps.Keys(p.lacking)) {
		if !strings.HasPrefix(p.lacking[name].Name, "work/") {
			return fmt.Errorf("the archive lacks %q", name)
		}
	}
	return nil
}

// bounded reads the entry of a header.
func bounded(t *tar.Reader, h *tar.Header, most int64) ([]byte, error) {
	if h.Size > most {
		return nil, fmt.Errorf("the archive's %s has %d bytes, more than any release's", h.Name, h.Size)
	}
	b, err := io.ReadAll(t)
	if err != nil {
		return nil, fmt.Errorf("the archive is damaged: %w", err)
	}
	return b, nil
}

// unpack reads an artifact.
func (p *Part) unpack(t *tar.Reader, h *tar.Header) error {
	a, known := p.lacking[h.Name]
	if !known {
		return fmt.Errorf("the archive holds %q, which its %s does not name, or holds it twice", h.Name, p.called())
	}
	delete(p.lacking, h.Name)
	if h.Typeflag != tar.TypeReg || h.Size != a.Size {
		return fmt.Errorf("the archive's %q is not the file that its journal names", h.Name)
	}
	path := p.dirs.Path(a.Name)
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o666)
	if err != nil {
		return err
	}
	hash := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, hash), t)
	if err := errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("cannot unpack %q: %w", h.Name, err)
	}
	if hex.EncodeToString(hash.Sum(nil)) != a.SHA256 {
		return fmt.Errorf("the archive's %q is not as the journal says: it was damaged or changed", h.Name)
	}
	p.artifacts = append(p.artifacts, a)
	return nil
}

// Parts lists all journals in the order in which they have to be put in place: those of the plans beside the release's
// first, so that a release is never there without what followed it.
func (s *Staged) Parts() []*Part { return append(slices.Clone(s.Beside), &s.Part) }

// Compare finds out how the journals here and in the archive go together, and sets each part's Ahead. The error is a
// *[ForkError] where they went different ways.
func (s *Staged) Compare(place Place) error {
	for _, p := range s.Parts() {
		dir, _ := place(p.Name)
		here, err := os.ReadFile(filepath.Join(dir, journal.FileName))
		if err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		if line := journal.Fork(here, p.Journal); line > 0 {
			return &ForkError{p.Name, line}
		}
		p.Ahead = len(here) >= len(p.Journal)
	}
	return nil
}

// Install compares, and moves the artifacts into place, where the locks of all journals are held. Where a journal is
// further ahead here than in the archive, it stays, and so does every artifact that is as it says; what it lacks is taken.
// It returns how many artifacts were moved.
func (s *Staged) Install(place Place) (moved int, err error) {
	if err := s.Compare(place); err != nil {
		return 0, err
	}
	for _, p := range s.Parts() {
		dir, dirs := place(p.Name)
		n, err := p.install(dir, dirs)
		if moved += n; err != nil {
			return moved, err
		}
	}
	dir, _ := place("")
	return moved, s.installReceipts(dir)
}

func (p *Part) install(dir string, dirs pipeline.Dirs) (moved int, err error) {
	current := map[string]pipeline.Artifact{}
	if p.Ahead {
		_, recorded, err := Contents(journal.Read(dir))
		if err != nil {
			return 0, err
		}
		for _, a := range recorded {
			current[a.Name] = a
		}
	}
	store := files.Open(dirs)
	for _, a := range p.artifacts {
		if now, ok := current[a.Name]; p.Ahead && (!ok || now.SHA256 != a.SHA256) {
			continue
		}
		if ok, _ := store.Intact(a.Name, a.SHA256, a.Size, true); ok {
			continue
		}
		if err := files.Install(p.dirs.Path(a.Name), dirs.Path(a.Name), filepath.Join(p.dir, "old")); err != nil {
			return moved, fmt.Errorf("cannot put %q in its place: %w", a.Name, err)
		}
		moved++
	}
	return moved, nil
}

// installReceipts puts the receipts beside the journal, in the place of others only where the archive is further.
func (s *Staged) installReceipts(dir string) error {
	for name, content := range s.receipts {
		path := filepath.Join(dir, name)
		if _, missing := os.Lstat(path); s.Ahead && missing == nil {
			continue
		}
		if err := os.WriteFile(filepath.Join(s.dir, name), content, 0o644); err != nil {
			return err
		}
		if err := os.Rename(filepath.Join(s.dir, name), path); err != nil {
			return fmt.Errorf("cannot put %s in its place: %w", name, err)
		}
	}
	return nil
}

// Adopt puts the journal in place: the last thing to be done, since it says that all else is there.
func (p *Part) Adopt(dir string) error {
	path := filepath.Join(p.dir, journal.FileName)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(path, filepath.Join(dir, journal.FileName))
}

// ForkError says that two journals went different ways.
type ForkError struct {
	Part string // "" for the release's own
	Line int
}

// Error names the first record that differs.
func (e *ForkError) Error() string {
	what := "the journal here and the one"
	if e.Part != "" {
		what = "the journal of " + e.Part + " here and the one"
	}
	return fmt.Sprintf("%s in the archive went different ways: record %d is the first that differs", what, e.Line)
}
