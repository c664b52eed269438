package state

import (
	"archive/tar"
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// rolledBack is a release with a republication, two rollbacks of which the second has not begun, and a hold beside it.
func rolledBack(t testing.TB) (dir string, dirs pipeline.Dirs) {
	t.Helper()
	dir, dirs = release(t, map[string]string{"a": "one", "work/pack": "three"})
	for name, contents := range map[string]map[string]string{
		"aur-1":      {"aur/x/PKGBUILD": "again"},
		"rollback-1": {"old.tar.gz": "older", "aur/x/PKGBUILD": "back", "work/note": "n"},
		"hold-1":     {},
	} {
		d, ds := at(dir, dirs, name)
		write(t, d, ds, name[:len(name)-2]+"/x", contents)
	}
	d, _ := at(dir, dirs, "rollback-2")
	j, err := journal.Open(d)
	if err == nil {
		err = j.Close()
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir, dirs
}

func names(s *Staged) (out []string) {
	for _, p := range s.Parts() {
		out = append(out, p.Name)
	}
	return out
}

// TestBeside: what lies beside a release travels with it, whole, to its own place; what has not begun stays.
func TestBeside(t *testing.T) {
	dir, dirs := rolledBack(t)
	archive := save(t, dir, dirs)
	s, err := Unpack(bytes.NewReader(archive), t.TempDir(), encode, anything)
	if err != nil {
		t.Fatal(err)
	}
	if got := names(s); !slices.Equal(got, []string{"aur-1", "hold-1", "rollback-1", ""}) {
		t.Fatalf("the archive holds %q", got)
	}
	there := t.TempDir()
	dirsThere := pipeline.Dirs{Dist: filepath.Join(there, "d"), Work: filepath.Join(there, "w")}
	place := func(name string) (string, pipeline.Dirs) { return at(there, dirsThere, name) }
	for _, name := range names(s) {
		d, _ := place(name)
		if err := os.MkdirAll(d, 0o777); err != nil {
			t.Fatal(err)
		}
	}
	moved, err := s.Install(place)
	if err != nil || moved != 6 {
		t.Fatalf("installed %d: %v", moved, err)
	}
	for _, p := range s.Parts() {
		if p.Ahead {
			t.Errorf("%q is said to be further here", p.Name)
		}
		d, _ := place(p.Name)
		if err := p.Adopt(d); err != nil {
			t.Fatal(err)
		}
	}
	for file, want := range map[string]string{
		"d/a": "one", "w/pack": "three", "d/aur-1/aur/x/PKGBUILD": "again", "d/rollback-1/aur/x/PKGBUILD": "back", "d/rollback-1/old.tar.gz": "older",
		"rollback-1/work/note": "n",
	} {
		if b, err := os.ReadFile(filepath.Join(there, file)); err != nil || string(b) != want {
			t.Errorf("%s is %q: %v", file, b, err)
		}
	}
	if !bytes.Equal(save(t, there, dirsThere), archive) {
		t.Error("what was loaded is not what was saved")
	}
}

// TestBeside_Further: each journal is compared by itself: a rollback that is further here stays while the archive's hold
// is taken, and one that went another way refuses all of it before anything is moved.
func TestBeside_Further(t *testing.T) {
	dir, dirs := rolledBack(t)
	archive := save(t, dir, dirs)
	place := func(name string) (string, pipeline.Dirs) { return at(dir, dirs, name) }
	d, _ := place("rollback-1")
	j, err := journal.Open(d)
	if err != nil {
		t.Fatal(err)
	}
	first := slices.Collect(func(yield func(pipeline.Record) bool) {
		for r := range j.Records() {
			if !yield(r) {
				return
			}
		}
	})[0]
	if err := errors.Join(j.Append(pipeline.Record{Event: pipeline.Failed, Run: first.Run, Plan: first.Plan, Step: "rollback/x"}), j.Close()); err != nil {
		t.Fatal(err)
	}
	hold, _ := place("hold-1")
	if err := os.Remove(filepath.Join(hold, journal.FileName)); err != nil {
		t.Fatal(err)
	}
	s, err := Unpack(bytes.NewReader(archive), t.TempDir(), encode, anything)
	if err != nil {
		t.Fatal(err)
	}
	if moved, err := s.Install(place); err != nil || moved != 0 {
		t.Errorf("installed %d: %v", moved, err)
	}
	for _, p := range s.Parts() {
		if want := p.Name != "hold-1"; p.Ahead != want {
			t.Errorf("%q: ahead %v, want %v", p.Name, p.Ahead, want)
		}
	}

	// Another rollback of the same number.
	if err := os.RemoveAll(d); err != nil {
		t.Fatal(err)
	}
	_, ds := place("rollback-1")
	write(t, d, ds, "rollback/other", map[string]string{"z": "z"})
	if err := os.Remove(filepath.Join(dirs.Dist, "a")); err != nil {
		t.Fatal(err)
	}
	if s, err = Unpack(bytes.NewReader(archive), t.TempDir(), encode, anything); err != nil {
		t.Fatal(err)
	}
	_, err = s.Install(place)
	fork, is := errors.AsType[*ForkError](err)
	if !is || fork.Part != "rollback-1" || fork.Line != 1 || !strings.Contains(err.Error(), "the journal of rollback-1 here") {
		t.Errorf("a fork led to %v", err)
	}
	if _, err := os.Stat(filepath.Join(dirs.Dist, "a")); err == nil {
		t.Error("an artifact was moved although a journal went another way")
	}
}

// TestBeside_Refused: nothing but what belongs to a plan of that name is taken, and nothing gets out of its folder.
func TestBeside_Refused(t *testing.T) {
	dir, dirs := rolledBack(t)
	read := func(path string) string {
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	plan := func(dir string) string {
		p, _, err := Contents(journal.Read(dir))
		if err != nil {
			t.Fatal(err)
		}
		b, err := encode(p)
		if err != nil {
			t.Fatal(err)
		}
		return string(b)
	}
	d, _ := at(dir, dirs, "rollback-1")
	mine, planned := read(filepath.Join(d, journal.FileName)), plan(d)
	hostile, hostileDirs := release(t, map[string]string{"a": "one"})
	hd, hds := at(hostile, hostileDirs, "rollback-1")
	write(t, hd, hds, "rollback/x", map[string]string{"../../../escaped": "x"})
	inside, insideDirs := release(t, map[string]string{"rollback-1/aur/x/PKGBUILD": "x"})
	_ = insideDirs
	begin := []string{journalName, read(filepath.Join(dir, journal.FileName)), planName, plan(dir), "dist/a", "one", "work/pack", "three"}
	good := []string{
		"rollback-1/" + journalName, mine, "rollback-1/" + planName, planned, "rollback-1/dist/aur/x/PKGBUILD", "back", "rollback-1/dist/old.tar.gz", "older",
		"rollback-1/work/note", "n",
	}
	archive := func(more ...string) []byte {
		var headers []tar.Header
		var texts []string
		for i, all := 0, append(slices.Clone(begin), more...); i < len(all); i += 2 {
			headers, texts = append(headers, tar.Header{Name: all[i], Typeflag: tar.TypeReg, Mode: 0o644}), append(texts, all[i+1])
		}
		return entries(t, headers, texts)
	}
	if _, err := Unpack(bytes.NewReader(archive(good...)), t.TempDir(), encode, anything); err != nil {
		t.Fatal(err)
	}
	renamed := func(name string) []string {
		out := slices.Clone(good)
		for i := 0; i < len(out); i += 2 {
			out[i] = name + strings.TrimPrefix(out[i], "rollback-1")
		}
		return out
	}
	for name, c := range map[string]struct {
		more []string
		want string
	}{
		"another kind":          {renamed("work-1"), `holds "work-1/journal.jsonl"`},
		"no number":             {renamed("rollback-"), "does not name"},
		"leading zero":          {renamed("rollback-01"), "does not name"},
		"a very large number":   {renamed("rollback-10000000"), "does not name"},
		"deeper":                {renamed("rollback-1/rollback-2"), "does not name"},
		"out of the folder":     {renamed("../rollback-1"), "does not name"},
		"with a dot":            {renamed("./rollback-1"), "does not name"},
		"absolute":              {renamed("/rollback-1"), "does not name"},
		"the same again":        {append(slices.Clone(good), good...), "holds it twice"},
		"empty journal":         {[]string{good[0], ""}, "journal of rollback-1 is cut off"},
		"torn journal":          {[]string{good[0], mine[:len(mine)-4]}, "journal of rollback-1 is cut off"},
		"edited journal":        {[]string{good[0], strings.Replace(mine, "1.0.0", "2.0.0", 1)}, "journal of rollback-1 is damaged: line 1"},
		"no plan":               {good[:2], "damaged"},
		"another's plan":        {[]string{good[0], mine, "hold-1/" + planName, planned}, `holds "hold-1/plan.json" where rollback-1/plan.json has to be`},
		"another plan":          {[]string{good[0], mine, good[2], "{}"}, "not the one of its journal of rollback-1"},
		"lacking":               {good[:4], `lacks "rollback-1/dist/aur/x/PKGBUILD"`},
		"lacking before a hold": {append(slices.Clone(good[:4]), "hold-1/"+journalName, mine), `lacks "rollback-1/dist/aur/x/PKGBUILD"`},
		"the release's own":     {append(slices.Clone(good), "dist/a", "one"), "does not name"},
		"another content":       {append(slices.Clone(good[:4]), good[4], "bacq"), "damaged or changed"},
		"a receipt":             {append(slices.Clone(good[:4]), "rollback-1/rehearsal.json", "{}"), "does not name"},
		"a receipt late":        {append(slices.Clone(good), "rehearsal.json", "{}"), "does not name"},
		"a report":              {append(slices.Clone(good[:4]), "rollback-1/postmortem.md", "# "), "does not name"},
		"escaping artifact":     {[]string{good[0], read(filepath.Join(hd, journal.FileName))}, "cannot be trusted"},
	} {
		t.Run(name, func(t *testing.T) {
			stage := filepath.Join(t.TempDir(), "a", "b", "c", "d", "stage")
			if err := os.MkdirAll(stage, 0o777); err != nil {
				t.Fatal(err)
			}
			_, err := Unpack(bytes.NewReader(archive(c.more...)), stage, encode, anything)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("it was answered with %v, want something with %q", err, c.want)
			}
			if left, err := os.ReadDir(filepath.Dir(stage)); err != nil || len(left) != 1 {
				t.Errorf("something was written outside: %v, %v", left, err)
			}
		})
	}
	// A release's own artifact in a rollback's folder would take the place of what is pushed to users.
	_, err := Unpack(bytes.NewReader(entries(t, []tar.Header{{Name: journalName, Typeflag: tar.TypeReg}}, []string{read(filepath.Join(inside, journal.FileName))})), t.TempDir(), encode, anything)
	if err == nil || !strings.Contains(err.Error(), "cannot be trusted") {
		t.Errorf("got %v", err)
	}
	// Whoever loads it is asked about each plan before anything of it is unpacked.
	for _, refuse := range []string{"", "rollback-1"} {
		stage := t.TempDir()
		_, err := Unpack(bytes.NewReader(archive(good...)), stage, encode, func(p *Part) error {
			if p.Name == refuse {
				return os.ErrPermission
			}
			return nil
		})
		if _, there := os.Lstat(filepath.Join(stage, "beside", "rollback-1", "dist")); !errors.Is(err, os.ErrPermission) || there == nil {
			t.Errorf("%q: %v", refuse, err)
		}
	}
	if _, _, err := Save(new(bytes.Buffer), encode, Source{Dir: dir, Dirs: dirs}, Source{Name: "../x", Dir: d, Dirs: dirs}); err == nil {
		t.Error("a folder of another name was saved")
	}
}

// TestBeside_Many: an archive cannot make folders without end.
func TestBeside_Many(t *testing.T) {
	s := &Staged{}
	for i := range maxBeside {
		if !s.next(fmt.Sprint("hold-", i+1)) {
			t.Fatalf("%d are too many", i+1)
		}
		s.Beside = append(s.Beside, &Part{Name: fmt.Sprint("hold-", i+1)})
	}
	if s.next("rollback-1") {
		t.Error("one more is taken")
	}
}
