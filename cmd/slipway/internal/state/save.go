package state

import (
	"archive/tar"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// Source is where a release lies, or a plan beside it.
type Source struct {
	Name string // "" for the release's own, else the folder's, such as rollback-1
	Dir  string // of the journal, which must not be written meanwhile
	Dirs pipeline.Dirs
}

// Save writes the archive of a release and of the plans beside it, of which those that have not begun are left out.
// Encode makes the text of plan.json. Every artifact is compared with its journal while it is read, and one that is not as
// it was made is an error, since another machine could do nothing with it. Work files may be gone. It returns the
// release's plan, and how many artifacts there are.
func Save(w io.Writer, encode func(*pipeline.Plan) ([]byte, error), main Source, beside ...Source) (plan *pipeline.Plan, files int, err error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return nil, 0, err
	}
	t := tar.NewWriter(z)
	main.Name = ""
	plan, files, err = main.save(t, encode)
	for _, s := range beside {
		if err != nil {
			break
		}
		if !besideName.MatchString(s.Name) {
			err = fmt.Errorf("cannot save %q: no plan beside a release is called so", s.Name)
			break
		}
		var n int
		if _, n, err = s.save(t, encode); errors.Is(err, errNoPlan) {
			err = nil
		}
		files += n
	}
	return plan, files, errors.Join(err, t.Close(), z.Close())
}

func (s Source) save(t *tar.Writer, encode func(*pipeline.Plan) ([]byte, error)) (plan *pipeline.Plan, files int, err error) {
	plan, artifacts, err := Contents(journal.Read(s.Dir))
	if err != nil {
		return nil, 0, err
	}
	text, err := encode(plan)
	if err != nil {
		return nil, 0, err
	}
	if err = saveFile(t, below(s.Name, journalName), filepath.Join(s.Dir, journal.FileName), nil); err == nil {
		err = add(t, below(s.Name, planName), int64(len(text)), strings.NewReader(string(text)))
	}
	for _, name := range receipts {
		path := filepath.Join(s.Dir, name)
		if _, missing := os.Lstat(path); err == nil && missing == nil && s.Name == "" {
			err = saveFile(t, name, path, nil)
		}
	}
	for _, a := range artifacts {
		if err != nil {
			break
		}
		path := s.Dirs.Path(a.Name)
		if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) && strings.HasPrefix(a.Name, "work/") {
			continue
		}
		err = saveFile(t, below(s.Name, entry(a.Name)), path, &a)
		files++
	}
	return plan, files, err
}

func saveFile(t *tar.Writer, name, path string, want *pipeline.Artifact) error {
	info, err := os.Lstat(path)
	if err != nil {
		return fmt.Errorf("cannot save %s: %w", name, err)
	}
	if !info.Mode().IsRegular() {
		return fmt.Errorf("cannot save %s: it is not a regular file", name)
	}
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("cannot save %s: %w", name, err)
	}
	defer f.Close()
	hash := sha256.New()
	if err := add(t, name, info.Size(), io.TeeReader(f, hash)); err != nil {
		return err
	}
	if want != nil && (hex.EncodeToString(hash.Sum(nil)) != want.SHA256 || info.Size() != want.Size) {
		return fmt.Errorf("cannot save %s: it is not as it was made", name)
	}
	return nil
}

func add(t *tar.Writer, name string, size int64, from io.Reader) error {
	h := &tar.Header{Typeflag: tar.TypeReg, Name: name, Size: size, Mode: 0o644, ModTime: time.Unix(0, 0).UTC()}
	if err := t.WriteHeader(h); err != nil {
		return fmt.Errorf("cannot save %s: %w", name, err)
	}
	if n, err := io.Copy(t, io.LimitReader(from, size)); err != nil {
		return fmt.Errorf("cannot save %s: %w", name, err)
	} else if n != size {
		return fmt.Errorf("cannot save %s: it became shorter while it was read", name)
	}
	return nil
}
