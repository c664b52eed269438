// Package files is what the engine does with the file system: SHA-256 of files and trees, remembered by a stamp of
// what the file system says of them so that an untouched file is not read again, and installation by renaming.
package files

import (
	"bufio"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"unicode/utf8"
)

// Sum is the digest of a file or a tree.
type Sum struct {
	SHA256 string `json:"sha256"` // hexadecimal; of a tree, that of its manifest
	Size   int64  `json:"size"`   // bytes; of a tree, the sum of its files
	Tree   bool   `json:"tree,omitempty"`
}

// Path reads a file or tree in full. The manifest of a tree has one line for each entry, in lexical order of paths:
// a JSON array of type and mode ("d", "l", "-", or "x" where the owner may execute), path, size in bytes and SHA-256
// (of a link, its target). Other permission bits, owners and times are left out, since a umask decides them.
// Sockets, devices and names that are not UTF-8 are errors.
func Path(path string) (Sum, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return Sum{}, err
	}
	if info.Mode().IsRegular() {
		sum, size, err := file(path)
		return Sum{SHA256: sum, Size: size}, err
	}
	if !info.IsDir() {
		return Sum{}, fmt.Errorf("%q is neither a file nor a folder", path)
	}
	hash, total := sha256.New(), int64(0)
	out := bufio.NewWriter(hash)
	enc := json.NewEncoder(out)
	err = walk(path, func(rel string, info fs.FileInfo) error {
		kind, size, sum := "d", int64(0), ""
		var err error
		switch mode := info.Mode(); {
		case mode.IsRegular():
			kind = "-"
			if mode&0o100 != 0 {
				kind = "x"
			}
			sum, size, err = file(filepath.Join(path, rel))
		case mode&fs.ModeSymlink != 0:
			kind = "l"
			sum, err = os.Readlink(filepath.Join(path, rel))
		case !mode.IsDir():
			err = fmt.Errorf("%q is neither file, folder nor link", rel)
		}
		if err != nil {
			return err
		}
		if !utf8.ValidString(rel) || !utf8.ValidString(sum) {
			return fmt.Errorf("name %q is not valid UTF-8", rel)
		}
		total += size
		return enc.Encode([]any{kind, filepath.ToSlash(rel), size, sum})
	})
	if err != nil {
		return Sum{}, err
	}
	if err := out.Flush(); err != nil {
		return Sum{}, err
	}
	return Sum{SHA256: hex.EncodeToString(hash.Sum(nil)), Size: total, Tree: true}, nil
}

func file(path string) (string, int64, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", 0, err
	}
	defer f.Close()
	hash := sha256.New()
	n, err := io.Copy(hash, f)
	return hex.EncodeToString(hash.Sum(nil)), n, err
}

// walk calls do for every entry below root, in lexical order, root left out.
func walk(root string, do func(rel string, info fs.FileInfo) error) error {
	return walkFolder(root, "", do)
}

func walkFolder(root, at string, do func(rel string, info fs.FileInfo) error) error {
	entries, err := os.ReadDir(root + string(filepath.Separator) + at)
	if err != nil {
		return err
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			return err
		}
		rel := at + e.Name()
		if err := do(rel, info); err != nil {
			return err
		}
		if e.IsDir() {
			if err := walkFolder(root, rel+string(filepath.Separator), do); err != nil {
				return err
			}
		}
	}
	return nil
}

// Cache remembers sums by path. It is a convenience: losing its file costs time only. It is safe for concurrent use.
type Cache struct {
	mu      sync.Mutex
	file    string
	entries map[string]entry
	once    map[string]bool // see [Cache.Once]
	dirty   bool
}

type entry struct {
	Stamp string `json:"stamp"`
	Sum   Sum    `json:"sum"`
}

// OpenCache reads the cache in file. A missing or damaged one is empty.
func OpenCache(file string) *Cache {
	c := &Cache{file: file, entries: map[string]entry{}, once: map[string]bool{}}
	if b, err := os.ReadFile(file); err == nil && json.Unmarshal(b, &c.entries) != nil || c.entries == nil {
		c.entries = map[string]entry{}
	}
	return c
}

// Save writes the cache back, if anything changed.
func (c *Cache) Save() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.dirty {
		return nil
	}
	b, err := json.MarshalIndent(c.entries, "", " ")
	if err != nil {
		return err
	}
	tmp := c.file + ".tmp"
	if err := errors.Join(os.MkdirAll(filepath.Dir(c.file), 0o777), os.WriteFile(tmp, b, 0o666)); err != nil {
		return err
	}
	c.dirty = false
	return os.Rename(tmp, c.file)
}

// Path returns the sum of a file or tree: the remembered one while its stamp is unchanged, else that of reading it.
func (c *Cache) Path(path string) (Sum, error) {
	before, err := stamp(path)
	if err != nil {
		return Sum{}, err
	}
	c.mu.Lock()
	e, ok := c.entries[path]
	c.mu.Unlock()
	if ok && e.Stamp == before {
		return e.Sum, nil
	}
	return c.Read(path)
}

// Read reads a file or tree in full, whatever is remembered, and remembers the outcome.
func (c *Cache) Read(path string) (Sum, error) {
	before, err := stamp(path)
	if err != nil {
		return Sum{}, err
	}
	sum, err := Path(path)
	if err != nil {
		return Sum{}, err
	}
	after, err := stamp(path)
	if err != nil {
		return Sum{}, err
	}
	if before != after {
		return Sum{}, fmt.Errorf("%q changed while it was read", path)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if e := (entry{after, sum}); c.entries[path] != e {
		c.entries[path], c.dirty = e, true
	}
	return sum, nil
}

// Once is [Cache.Read] where it is called first for a path, and [Cache.Path] from then on: for gates that follow each
// other in one process, a stamp is as good as the bytes.
func (c *Cache) Once(path string) (Sum, error) {
	c.mu.Lock()
	again := c.once[path]
	c.once[path] = true
	c.mu.Unlock()
	if again {
		return c.Path(path)
	}
	return c.Read(path)
}

// stamp digests what the file system says of a file or of every entry of a tree, without reading contents. The folders of
// a tree are looked at side by side.
func stamp(path string) (string, error) {
	info, err := os.Lstat(path)
	if err != nil {
		return "", err
	}
	s := stamper{root: path, free: make(chan struct{}, runtime.GOMAXPROCS(0)-1)}
	s.folders = append(s.folders, folder{"", appendStamp(nil, "", info)})
	if info.IsDir() {
		s.visit("")
		s.wait.Wait()
	}
	slices.SortFunc(s.folders, func(a, b folder) int { return strings.Compare(a.rel, b.rel) })
	hash := sha256.New()
	for _, f := range s.folders {
		hash.Write(f.lines) // never fails
	}
	return hex.EncodeToString(hash.Sum(nil)), errors.Join(s.errs...)
}

type stamper struct {
	root    string
	free    chan struct{} // places for more goroutines
	wait    sync.WaitGroup
	mu      sync.Mutex
	folders []folder
	errs    []error
}

// folder is one folder of a tree, with a line for each of its entries.
type folder struct {
	rel   string // with a separator at the end
	lines []byte
}

func (s *stamper) visit(rel string) {
	var lines []byte
	entries, err := os.ReadDir(s.root + string(filepath.Separator) + rel)
	for _, e := range entries {
		info, infoErr := e.Info()
		if infoErr != nil {
			err = infoErr
			break
		}
		name := rel + e.Name()
		lines = appendStamp(lines, name, info)
		if !e.IsDir() {
			continue
		}
		name += string(filepath.Separator)
		select {
		case s.free <- struct{}{}:
			s.wait.Go(func() {
				s.visit(name)
				<-s.free
			})
		default:
			s.visit(name)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.folders = append(s.folders, folder{rel + string(filepath.Separator), lines}); err != nil {
		s.errs = append(s.errs, err)
	}
}

func appendStamp(line []byte, rel string, info fs.FileInfo) []byte {
	line = strconv.AppendQuote(line, rel)
	for _, n := range []int64{int64(info.Mode()), info.Size(), info.ModTime().UnixNano()} {
		line = strconv.AppendInt(append(line, ' '), n, 10)
	}
	return append(appendIdentity(line, info), '\n')
}
