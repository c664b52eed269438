package state

import (
	"archive/tar"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

func encode(p *pipeline.Plan) ([]byte, error) { return json.Marshal(p) }

func anything(*Part) error { return nil }

// only is the place of a release without anything beside it.
func only(dir string, dirs pipeline.Dirs) Place {
	return func(string) (string, pipeline.Dirs) { return dir, dirs }
}

// release writes a journal of one step that has made these artifacts, and the artifacts.
func release(t testing.TB, contents map[string]string) (dir string, dirs pipeline.Dirs) {
	t.Helper()
	dir = t.TempDir()
	dirs = pipeline.Dirs{Dist: filepath.Join(dir, "dist"), Work: filepath.Join(dir, "work")}
	write(t, dir, dirs, "build/x", contents)
	return dir, dirs
}

// write writes a journal of one step that has made these artifacts, and the artifacts.
func write(t testing.TB, dir string, dirs pipeline.Dirs, step string, contents map[string]string) {
	t.Helper()
	j, err := journal.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close()
	plan := &pipeline.Plan{Env: pipeline.Env{Project: "p", Version: "1.0.0"}, Specs: []pipeline.Spec{{ID: step, Effect: pipeline.Local}}}
	plan.Digest = gate.Sum(plan.Env, plan.Specs)
	done := pipeline.Record{Event: pipeline.Done, Run: "r", Plan: plan.Digest, Step: step}
	for _, name := range slices.Sorted(maps.Keys(contents)) {
		text := contents[name]
		sum := sha256.Sum256([]byte(text))
		done.Artifacts = append(done.Artifacts, pipeline.Artifact{Name: name, SHA256: hex.EncodeToString(sum[:]), Size: int64(len(text))})
		if strings.Contains(name, "..") {
			continue
		}
		path := dirs.Path(name)
		if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o777), os.WriteFile(path, []byte(text), 0o666)); err != nil {
			t.Fatal(err)
		}
	}
	done.Artifacts = append(done.Artifacts, pipeline.Artifact{Name: "work/tree", Kind: pipeline.KindTree, SHA256: "x"})
	for _, r := range []pipeline.Record{{Event: pipeline.Begin, Run: "r", Plan: plan.Digest, Planned: plan}, done} {
		if err := j.Append(r); err != nil {
			t.Fatal(err)
		}
	}
}

func save(t testing.TB, dir string, dirs pipeline.Dirs) []byte {
	t.Helper()
	var b bytes.Buffer
	if _, _, err := Save(&b, encode, Source{Dir: dir, Dirs: dirs}, besides(t, dir, dirs)...); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// at is where a plan beside the release lies.
func at(dir string, dirs pipeline.Dirs, name string) (string, pipeline.Dirs) {
	if name == "" {
		return dir, dirs
	}
	return filepath.Join(dir, name), pipeline.Dirs{Dist: filepath.Join(dirs.Dist, name), Work: filepath.Join(dir, name, "work")}
}

// besides are the plans beside a release that there are.
func besides(t testing.TB, dir string, dirs pipeline.Dirs) (out []Source) {
	t.Helper()
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range list {
		if besideName.MatchString(e.Name()) {
			d, ds := at(dir, dirs, e.Name())
			out = append(out, Source{Name: e.Name(), Dir: d, Dirs: ds})
		}
	}
	return out
}

func TestSave_Deterministic(t *testing.T) {
	dir, dirs := release(t, map[string]string{"b.tar.gz": "one", "aur/x/PKGBUILD": "two", "work/pack": "three"})
	first := save(t, dir, dirs)
	old := filepath.Join(dirs.Dist, "b.tar.gz")
	if err := errors.Join(os.Chmod(old, 0o600), os.Chtimes(old, time.Unix(1, 0), time.Unix(1, 0))); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(first, save(t, dir, dirs)) {
		t.Error("times or modes have reached the archive")
	}
	z, err := zstd.NewReader(bytes.NewReader(first))
	if err != nil {
		t.Fatal(err)
	}
	defer z.Close()
	var names []string
	for tr := tar.NewReader(z); ; {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		names = append(names, h.Name)
	}
	if got, want := strings.Join(names, " "), "journal.jsonl plan.json dist/aur/x/PKGBUILD dist/b.tar.gz work/pack"; got != want {
		t.Errorf("the archive holds %s, want %s", got, want)
	}
}

func TestLoad(t *testing.T) {
	dir, dirs := release(t, map[string]string{"b.tar.gz": "one", "work/pack": "three"})
	archive := save(t, dir, dirs)
	there := t.TempDir()
	dirsThere := pipeline.Dirs{Dist: filepath.Join(there, "d"), Work: filepath.Join(there, "w")}
	s, err := Unpack(bytes.NewReader(archive), t.TempDir(), encode, anything)
	if err != nil {
		t.Fatal(err)
	}
	moved, err := s.Install(only(there, dirsThere))
	if err != nil || moved != 2 || s.Ahead {
		t.Fatalf("installed %d, ahead %v: %v", moved, s.Ahead, err)
	}
	if err := s.Adopt(there); err != nil {
		t.Fatal(err)
	}
	if b, err := os.ReadFile(filepath.Join(there, "d", "b.tar.gz")); err != nil || string(b) != "one" {
		t.Errorf("the artifact is %q: %v", b, err)
	}
	if !bytes.Equal(save(t, there, dirsThere), archive) {
		t.Error("what was loaded is not what was saved")
	}

	// The receipt of a rehearsal travels too, and does not replace that of a release that is as far here.
	receipt := "rehearsal.json"
	if err := os.WriteFile(filepath.Join(dir, receipt), []byte("{}\n"), 0o666); err != nil {
		t.Fatal(err)
	}
	archive = save(t, dir, dirs)
	for _, want := range []string{"{}\n", "mine"} {
		if s, err = Unpack(bytes.NewReader(archive), t.TempDir(), encode, anything); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Install(only(there, dirsThere)); err != nil {
			t.Fatal(err)
		}
		if b, err := os.ReadFile(filepath.Join(there, receipt)); err != nil || string(b) != want {
			t.Errorf("the receipt is %q, want %q: %v", b, want, err)
		}
		if err := os.WriteFile(filepath.Join(there, receipt), []byte("mine"), 0o666); err != nil {
			t.Fatal(err)
		}
	}
	// Again: nothing to do; and with a file lost here, that one only.
	if err := os.Remove(filepath.Join(there, "d", "b.tar.gz")); err != nil {
		t.Fatal(err)
	}
	s, err = Unpack(bytes.NewReader(archive), t.TempDir(), encode, anything)
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := s.Install(only(there, dirsThere)); err != nil || moved != 1 || !s.Ahead {
		t.Errorf("installed %d, ahead %v: %v", moved, s.Ahead, err)
	}
	// Another run's journal is another way.
	other, otherDirs := release(t, map[string]string{"b.tar.gz": "two"})
	_, err = s.Install(only(other, otherDirs))
	var fork *ForkError
	if !errors.As(err, &fork) || fork.Line != 2 {
		t.Errorf("a fork led to %v", err)
	}
}

// entries makes an archive by hand.
func entries(t testing.TB, headers []tar.Header, texts []string) []byte {
	t.Helper()
	var b bytes.Buffer
	z, err := zstd.NewWriter(&b)
	if err != nil {
		t.Fatal(err)
	}
	w := tar.NewWriter(z)
	for i, h := range headers {
		h.Size = int64(len(texts[i]))
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := io.WriteString(w, texts[i]); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(w.Close(), z.Close()); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestLoad_Refused(t *testing.T) {
	dir, dirs := release(t, map[string]string{"a": "one"})
	lines, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	plan, _, err := Contents(journal.Read(dir))
	if err != nil {
		t.Fatal(err)
	}
	planText, err := encode(plan)
	if err != nil {
		t.Fatal(err)
	}
	file := func(name string) tar.Header { return tar.Header{Name: name, Typeflag: tar.TypeReg, Mode: 0o644} }
	with := func(more ...any) []byte { // name, text, or header, text
		headers, texts := []tar.Header{file(journalName), file(planName)}, []string{string(lines), string(planText)}
		for i := 0; i < len(more); i += 2 {
			h, ok := more[i].(tar.Header)
			if !ok {
				h = file(more[i].(string))
			}
			headers, texts = append(headers, h), append(texts, more[i+1].(string))
		}
		return entries(t, headers, texts)
	}
	hostile, hostileDirs := release(t, map[string]string{"../../../escaped": "x"})
	_ = hostileDirs
	hostileLines, err := os.ReadFile(filepath.Join(hostile, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	cacheDir, _ := release(t, map[string]string{"work/.digests.json": "{}"})
	cacheLines, err := os.ReadFile(filepath.Join(cacheDir, journal.FileName))
	if err != nil {
		t.Fatal(err)
	}
	good := save(t, dir, dirs)
	for name, c := range map[string]struct {
		archive []byte
		want    string
	}{
		"empty":             {nil, "is not an archive"},
		"not zstd":          {[]byte("hello"), "is not an archive"},
		"cut":               {good[:len(good)/2], "damaged"},
		"bit flipped":       {flip(good), "damaged"},
		"something behind":  {append(bytes.Clone(good), entries(t, nil, nil)...), "something follows its end"},
		"no journal":        {entries(t, []tar.Header{file(planName)}, []string{"{}"}), `holds "plan.json" where journal.jsonl has to be`},
		"journal is a link": {entries(t, []tar.Header{{Name: journalName, Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}}, []string{""}), "has to be"},
		"empty journal":     {entries(t, []tar.Header{file(journalName)}, []string{""}), "cut off"},
		"torn journal":      {entries(t, []tar.Header{file(journalName)}, []string{string(lines[:len(lines)-5])}), "cut off"},
		"edited journal":    {entries(t, []tar.Header{file(journalName)}, []string{strings.Replace(string(lines), "1.0.0", "2.0.0", 1)}), "line 1 does not follow"},
		"another plan":      {entries(t, []tar.Header{file(journalName), file(planName)}, []string{string(lines), "{}"}), "not the one of its journal"},
		"escaping artifact": {entries(t, []tar.Header{file(journalName)}, []string{string(hostileLines)}), "cannot be trusted"},
		"digest cache":      {entries(t, []tar.Header{file(journalName)}, []string{string(cacheLines)}), "cannot be trusted"},
		"unknown name":      {with("dist/a", "one", "dist/b", "x"), `holds "dist/b"`},
		"escaping entry":    {with("../../etc/passwd", "x"), `holds "../../etc/passwd"`},
		"absolute entry":    {with("/etc/passwd", "x"), "does not name"},
		"twice":             {with("dist/a", "one", "dist/a", "one"), "holds it twice"},
		"link":              {with(tar.Header{Name: "dist/a", Typeflag: tar.TypeSymlink, Linkname: "/etc/passwd"}, ""), "is not the file"},
		"folder":            {with(tar.Header{Name: "dist/a", Typeflag: tar.TypeDir}, ""), "is not the file"},
		"another size":      {with("dist/a", "longer"), "is not the file"},
		"another content":   {with("dist/a", "eno"), "damaged or changed"},
		"lacking":           {with(), `lacks "dist/a"`},
	} {
		t.Run(name, func(t *testing.T) {
			stage := filepath.Join(t.TempDir(), "a", "b", "stage")
			if err := os.MkdirAll(stage, 0o777); err != nil {
				t.Fatal(err)
			}
			_, err := Unpack(bytes.NewReader(c.archive), stage, encode, anything)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it was answered with %v, want something with %q", err, c.want)
			}
			if _, err := os.Lstat(filepath.Join(filepath.Dir(stage), "escaped")); err == nil {
				t.Error("a file was written outside")
			}
		})
	}
	if _, err := Unpack(bytes.NewReader(good), t.TempDir(), encode, func(*Part) error { return os.ErrPermission }); !errors.Is(err, os.ErrPermission) {
		t.Errorf("a plan that is not wanted led to %v", err)
	}
}

func flip(b []byte) []byte {
	b = bytes.Clone(b)
	b[len(b)-3] ^= 1
	return b
}

// Whatever an archive holds, it is refused or whole, and nothing is written outside of the stage. What is mutated is
// the tar inside, since zstd's checksum would refuse everything else.
func FuzzUnpack(f *testing.F) {
	dir, dirs := release(f, map[string]string{"a": "one"})
	lines, err := os.ReadFile(filepath.Join(dir, journal.FileName))
	if err != nil {
		f.Fatal(err)
	}
	z, err := zstd.NewReader(nil)
	if err != nil {
		f.Fatal(err)
	}
	defer z.Close()
	for _, archive := range [][]byte{
		save(f, dir, dirs),
		entries(f, []tar.Header{{Name: journalName, Typeflag: tar.TypeReg}, {Name: "x", Typeflag: tar.TypeLink, Linkname: "y"}}, []string{string(lines), ""}),
	} {
		text, err := z.DecodeAll(archive, nil)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(text)
	}
	rolled, rolledDirs := release(f, map[string]string{"a": "one"})
	d, ds := at(rolled, rolledDirs, "rollback-1")
	write(f, d, ds, "rollback/x", map[string]string{"b": "two"})
	text, err := z.DecodeAll(save(f, rolled, rolledDirs), nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Add(text)
	enc, err := zstd.NewWriter(nil)
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		top := t.TempDir()
		stage := filepath.Join(top, "stage")
		if err := os.Mkdir(stage, 0o777); err != nil {
			t.Fatal(err)
		}
		s, err := Unpack(bytes.NewReader(enc.EncodeAll(text, nil)), stage, encode, anything)
		if err == nil && s.Plan == nil {
			t.Error("an archive without a plan was taken")
		}
		if left, err := os.ReadDir(top); err != nil || len(left) != 1 {
			t.Errorf("something was written outside of the stage: %v, %v", left, err)
		}
	})
}
