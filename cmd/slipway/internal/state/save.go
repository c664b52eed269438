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
)

// Save writes the archive. The journal is given by its path and must not be written meanwhile; plan is the text of
// plan.json. Every artifact is compared with the journal while it is read, and one that is not as it was made is an
// error, since another machine could do nothing with it. Work files may be gone.
func Save(w io.Writer, journal string, plan []byte, artifacts []pipeline.Artifact, dirs pipeline.Dirs) (files int, err error) {
	z, err := zstd.NewWriter(w, zstd.WithEncoderConcurrency(1), zstd.WithEncoderCRC(true))
	if err != nil {
		return 0, err
	}
	t := tar.NewWriter(z)
	if err = saveFile(t, journalName, journal, nil); err == nil {
		err = add(t, planName, int64(len(plan)), strings.NewReader(string(plan)))
	}
	for _, name := range receipts {
		path := filepath.Join(filepath.Dir(journal), name)
		if _, missing := os.Lstat(path); err == nil && missing == nil {
			err = saveFile(t, name, path, nil)
		}
	}
	for _, a := range artifacts {
		if err != nil {
			break
		}
		path := dirs.Path(a.Name)
		if _, missing := os.Lstat(path); errors.Is(missing, fs.ErrNotExist) && strings.HasPrefix(a.Name, "work/") {
			continue
		}
		err = saveFile(t, entry(a.Name), path, &a)
		files++
	}
	return files, errors.Join(err, t.Close(), z.Close())
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
