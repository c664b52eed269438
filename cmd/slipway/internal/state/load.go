package state

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/files"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// Staged is an archive that was unpacked into a folder of its own and found whole: the journal's chain holds, the plan
// is the journal's, and every artifact is one of the journal's, byte for byte.
type Staged struct {
	Plan      *pipeline.Plan
	Journal   []byte              // its bytes
	artifacts []pipeline.Artifact // those that the archive holds
	receipts  map[string][]byte   // likewise, by name
	dir       string
	dirs      pipeline.Dirs // inside of dir
}

// Unpack reads an archive into the empty folder dir. Anything that does not belong in it is an error: an entry that the
// journal does not name or that is no plain file, one that comes twice or has another size than the journal says.
// Check is asked about the plan before the first artifact is unpacked. Encode makes the text of plan.json.
func Unpack(r io.Reader, dir string, encode func(*pipeline.Plan) ([]byte, error), check func(*pipeline.Plan) error) (*Staged, error) {
	z, err := zstd.NewReader(r, zstd.WithDecoderConcurrency(1), zstd.WithDecoderMaxWindow(maxWindow), zstd.WithDecoderLowmem(true))
	if err != nil {
		return nil, err
	}
	defer z.Close()
	t := tar.NewReader(z)
	s := &Staged{receipts: map[string][]byte{}, dir: dir, dirs: pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}}
	if s.Journal, err = small(t, journalName, maxJournal); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(dir, journal.FileName), s.Journal, 0o666); err != nil {
		return nil, err
	}
	if n := len(s.Journal); n == 0 || s.Journal[n-1] != '\n' {
		return nil, errors.New("the archive's journal is cut off")
	}
	var recorded []pipeline.Artifact
	if s.Plan, recorded, err = Contents(journal.Read(dir)); err != nil {
		return nil, damagedInside(err)
	}
	text, err := small(t, planName, maxPlan)
	if err != nil {
		return nil, err
	}
	if want, err := encode(s.Plan); err != nil || !bytes.Equal(text, want) {
		return nil, errors.Join(errors.New("the archive's plan is not the one of its journal"), err)
	}
	if err := check(s.Plan); err != nil {
		return nil, err
	}
	byName := make(map[string]pipeline.Artifact, len(recorded))
	for _, a := range recorded {
		byName[entry(a.Name)] = a
	}
	for {
		h, err := t.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, fmt.Errorf("the archive is damaged: %w", err)
		}
		if slices.Contains(receipts, h.Name) && h.Typeflag == tar.TypeReg && s.receipts[h.Name] == nil && len(s.artifacts) == 0 {
			b, err := bounded(t, h, maxReceipt)
			if err != nil {
				return nil, err
			}
			s.receipts[h.Name] = b
			continue
		}
		a, known := byName[h.Name]
		if !known {
			return nil, fmt.Errorf("the archive holds %q, which its journal does not name, or holds it twice", h.Name)
		}
		delete(byName, h.Name)
		if err := s.unpack(t, h, a); err != nil {
			return nil, err
		}
		s.artifacts = append(s.artifacts, a)
	}
	if n, err := io.CopyN(io.Discard, z, 1); n > 0 || !errors.Is(err, io.EOF) { // at the end its checksum is read
		return nil, errors.Join(errors.New("the archive is damaged: something follows its end"), err)
	}
	for _, a := range recorded {
		if _, lacking := byName[entry(a.Name)]; lacking && !strings.HasPrefix(a.Name, "work/") {
			return nil, fmt.Errorf("the archive lacks %q", entry(a.Name))
		}
	}
	return s, nil
}

// damagedInside leaves out where the journal was unpacked to.
func damagedInside(err error) error {
	if d, ok := errors.AsType[*journal.DamagedError](err); ok {
		return fmt.Errorf("the archive's journal is damaged: line %d %s", d.Line, d.Why)
	}
	return fmt.Errorf("the archive's journal cannot be used: %w", err)
}

// small reads an entry that has to come next.
func small(t *tar.Reader, name string, most int64) ([]byte, error) {
	h, err := t.Next()
	switch {
	case err != nil:
		return nil, fmt.Errorf("this is not an archive of slipway state save, or it is damaged: %w", err)
	case h.Name != name || h.Typeflag != tar.TypeReg:
		return nil, fmt.Errorf("this is not an archive of slipway state save: it holds %q where %s has to be", h.Name, name)
	}
	return bounded(t, h, most)
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

func (s *Staged) unpack(t *tar.Reader, h *tar.Header, a pipeline.Artifact) error {
	if h.Typeflag != tar.TypeReg || h.Size != a.Size {
		return fmt.Errorf("the archive's %q is not the file that its journal names", h.Name)
	}
	path := s.dirs.Path(a.Name)
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
	return nil
}

// Install moves the artifacts and then plan and journal into place, where the release's lock is held. Where the release
// is further ahead here than in the archive, its journal and plan stay, and so does every artifact that is as its
// journal says; what it lacks is taken. It returns how many artifacts were moved.
func (s *Staged) Install(dir string, dirs pipeline.Dirs) (moved int, ahead bool, err error) {
	here, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return 0, false, err
	}
	if line := journal.Fork(here, s.Journal); line > 0 {
		return 0, false, &ForkError{line}
	}
	ahead = len(here) >= len(s.Journal)
	current := map[string]pipeline.Artifact{}
	if ahead {
		_, recorded, err := Contents(journal.Read(dir))
		if err != nil {
			return 0, false, err
		}
		for _, a := range recorded {
			current[a.Name] = a
		}
	}
	store := files.Open(dirs)
	for _, a := range s.artifacts {
		if now, ok := current[a.Name]; ahead && (!ok || now.SHA256 != a.SHA256) {
			continue
		}
		if ok, _ := store.Intact(a.Name, a.SHA256, a.Size, true); ok {
			continue
		}
		if err := files.Install(s.dirs.Path(a.Name), dirs.Path(a.Name), filepath.Join(s.dir, "old")); err != nil {
			return moved, ahead, fmt.Errorf("cannot put %q in its place: %w", a.Name, err)
		}
		moved++
	}
	return moved, ahead, s.installReceipts(dir, ahead)
}

// installReceipts puts the receipts beside the journal, in the place of others only where the archive is further.
func (s *Staged) installReceipts(dir string, ahead bool) error {
	for name, content := range s.receipts {
		path := filepath.Join(dir, name)
		if _, missing := os.Lstat(path); ahead && missing == nil {
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
func (s *Staged) Adopt(dir string) error {
	path := filepath.Join(s.dir, journal.FileName)
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
type ForkError struct{ Line int }

// Error names the first record that differs.
func (e *ForkError) Error() string {
	return fmt.Sprintf("the journal here and the one in the archive went different ways: record %d is the first that differs", e.Line)
}
