package files

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Dirs says where a release keeps its files; both are absolute paths on one file system.
type Dirs struct {
	Dist string // finished artifacts
	Work string // artifacts named "work/...", temporary files, the digest cache
}

// Path returns where the artifact of that name lies.
func (d Dirs) Path(name string) string {
	if rest, ok := strings.CutPrefix(name, "work/"); ok {
		return filepath.Join(d.Work, filepath.FromSlash(rest))
	}
	return filepath.Join(d.Dist, filepath.FromSlash(name))
}

// Store keeps the artifacts of a release. It is safe for concurrent use.
type Store struct {
	Dirs
	cache *Cache
}

// Open returns the store in dirs.
func Open(dirs Dirs) *Store {
	return &Store{dirs, OpenCache(filepath.Join(dirs.Work, ".digests.json"))}
}

// Sweep removes all temporary files. Nobody else may be using the store.
func (s *Store) Sweep() error { return os.RemoveAll(s.temp()) }

func (s *Store) temp() string { return filepath.Join(s.Work, ".tmp") }

// Temp returns the temporary folder of a step; it need not exist. Its name is a digest: programs run in it, and some
// take other characters for their own (LLVM puts random digits in the place of each % of an output's path).
func (s *Store) Temp(step string) string {
	sum := sha256.Sum256([]byte(step))
	return filepath.Join(s.temp(), hex.EncodeToString(sum[:8]))
}

// Save writes the digest cache.
func (s *Store) Save() error { return s.cache.Save() }

// Intact reports whether an artifact lies where it should, with that digest and size: by its stamp, or, the first time
// that it is asked for, by reading it in full. There is false where nothing lies there at all.
func (s *Store) Intact(name, sha256 string, size int64, full bool) (ok, there bool) {
	read := s.cache.Path
	if full {
		read = s.cache.Once
	}
	got, err := read(s.Path(name))
	return err == nil && got.SHA256 == sha256 && got.Size == size, !errors.Is(err, fs.ErrNotExist)
}

// Damaged reads artifacts in full, several side by side, and returns the first that is not intact, or "".
func (s *Store) Damaged(names []string, wanted func(name string) (sha256 string, size int64)) string {
	var wait sync.WaitGroup
	ok := make([]bool, len(names))
	next := atomic.Int64{}
	for range min(runtime.GOMAXPROCS(0), len(names)) {
		wait.Go(func() {
			for i := int(next.Add(1)) - 1; i < len(names); i = int(next.Add(1)) - 1 {
				sum, size := wanted(names[i])
				ok[i], _ = s.Intact(names[i], sum, size, true)
			}
		})
	}
	wait.Wait()
	if i := slices.Index(ok, false); i >= 0 {
		return names[i]
	}
	return ""
}

// Put moves a finished file or folder to where the artifact of that name lies, and reads it. Trash is an unused path
// on the same file system.
func (s *Store) Put(name, from, trash string) (Sum, error) {
	if err := Install(from, s.Path(name), trash); err != nil {
		return Sum{}, err
	}
	return s.cache.Read(s.Path(name))
}
