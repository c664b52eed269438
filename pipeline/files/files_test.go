package files_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline/files"
)

func write(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o777); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func tree(t *testing.T) string {
	dir := t.TempDir()
	write(t, dir+"/a", "hello", 0o644)
	write(t, dir+"/bin/run \"$(x)\"\n", "#!", 0o755)
	if err := os.Symlink("../a", dir+"/bin/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(dir+"/empty", 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

func sum(t *testing.T, path string) files.Sum {
	t.Helper()
	s, err := files.Path(path)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestPath(t *testing.T) {
	dir := tree(t)
	if s := sum(t, dir+"/a"); s.SHA256 != "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824" || s.Size != 5 || s.Tree {
		t.Errorf("file: %+v", s)
	}
	base := sum(t, dir)
	if !base.Tree || base.Size != 7 || sum(t, tree(t)) != base {
		t.Errorf("the same tree elsewhere has another digest: %+v", base)
	}
	same := map[string]func(){
		"time":  func() { os.Chtimes(dir+"/a", time.Now(), time.Unix(1, 0)) },
		"umask": func() { os.Chmod(dir+"/a", 0o664); os.Chmod(dir+"/empty", 0o775) },
	}
	for name, change := range same {
		if change(); sum(t, dir) != base {
			t.Errorf("the digest depends on the %s", name)
		}
	}
	last := base
	for _, tt := range []struct {
		name   string
		change func()
	}{
		{"contents", func() { write(t, dir+"/a", "hellO", 0o644) }},
		{"executable bit", func() { os.Chmod(dir+"/a", 0o755) }},
		{"name", func() { os.Rename(dir+"/a", dir+"/b") }},
		{"link target", func() { os.Remove(dir + "/bin/link"); os.Symlink("../b", dir+"/bin/link") }},
		{"empty folder", func() { os.Remove(dir + "/empty") }},
		{"file for a link", func() { os.Remove(dir + "/bin/link"); write(t, dir+"/bin/link", "../b", 0o644) }},
	} {
		if tt.change(); sum(t, dir) == last {
			t.Errorf("the digest does not depend on the %s", tt.name)
		}
		last = sum(t, dir)
	}
	if _, err := files.Path(dir + "/nothing"); !os.IsNotExist(err) {
		t.Error(err)
	}
	if _, err := files.Path("/dev/null"); err == nil {
		t.Error("a device was read")
	}
	write(t, dir+"/\xff", "", 0o644)
	if _, err := files.Path(dir); err == nil || !strings.Contains(err.Error(), "not valid UTF-8") {
		t.Error(err)
	}
}

func TestCache(t *testing.T) {
	dir, file := tree(t), filepath.Join(t.TempDir(), "sub", "cache")
	c := files.OpenCache(file)
	first, err := c.Path(dir)
	if err != nil || first != sum(t, dir) {
		t.Fatal(first, err)
	}
	if err := c.Save(); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(file)
	if err != nil {
		t.Fatal(err)
	}
	c = files.OpenCache(file)
	if again, err := c.Path(dir); err != nil || again != first {
		t.Error(again, err)
	}
	if err := c.Save(); err != nil {
		t.Error(err)
	}
	if now, _ := os.Stat(file); !now.ModTime().Equal(info.ModTime()) {
		t.Error("an unchanged cache was written")
	}
	write(t, dir+"/a", "HELLO", 0o644)
	os.Chtimes(dir+"/a", time.Unix(1, 0), time.Unix(1, 0))
	if again, err := c.Path(dir); err != nil || again == first {
		t.Error("a change of the same size was not seen", err)
	}
	for _, damage := range []string{"", "null", "[", `{"x":1}`, "\xff"} {
		write(t, file, damage, 0o644)
		if got, err := files.OpenCache(file).Path(dir); err != nil || got != sum(t, dir) {
			t.Errorf("damaged cache %q: %v", damage, err)
		}
	}
	if _, err := c.Path(dir + "/nothing"); !os.IsNotExist(err) {
		t.Error(err)
	}
}

func TestStore(t *testing.T) {
	dir := t.TempDir()
	s := files.Open(files.Dirs{Dist: dir + "/dist", Work: dir + "/work"})
	if got := s.Path("a/b"); got != dir+"/dist/a/b" {
		t.Error(got)
	}
	if got := s.Path("work/a/b"); got != dir+"/work/a/b" {
		t.Error(got)
	}
	temp := s.Temp("build/x")
	if filepath.Dir(temp) != dir+"/work/.tmp" {
		t.Error(temp)
	}
	for _, text := range []string{"one", "two"} {
		write(t, temp+"/f", text, 0o644)
		got, err := s.Put("sub/f", temp+"/f", temp+"/old")
		if err != nil || got != sum(t, dir+"/dist/sub/f") {
			t.Fatal(got, err)
		}
		write(t, temp+"/t/f", text, 0o644)
		if _, err := s.Put("work/t", temp+"/t", temp+"/old"); err != nil { // onto a folder that is not empty
			t.Fatal(err)
		}
		if ok, there := s.Intact("sub/f", got.SHA256, got.Size, true); !ok || !there {
			t.Error("what was put there is not intact")
		}
		if ok, _ := s.Intact("sub/f", got.SHA256, got.Size+1, false); ok {
			t.Error("intact with another size")
		}
	}
	if ok, there := s.Intact("nothing", "", 0, false); ok || there {
		t.Error("nothing is intact")
	}
	if _, err := s.Put("x", temp+"/nothing", temp+"/old"); err == nil {
		t.Error("put nothing")
	}
	if err := s.Sweep(); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(temp); !os.IsNotExist(err) {
		t.Error("temporary files are left")
	}
	if err := s.Save(); err != nil {
		t.Error(err)
	}
}
