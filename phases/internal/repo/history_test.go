package repo

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/version"
)

// history makes a repository out of commits, each with its time in seconds, parents by number from 1, and message.
type made struct {
	at      int64
	parents []int
	message string
}

// build imports the commits and returns the folder and their IDs; a branch at each keeps it.
func build(t testing.TB, commits []made) (dir string, ids []string) {
	t.Helper()
	need(t, "git")
	dir = t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	var in strings.Builder
	for i, c := range commits {
		fmt.Fprintf(&in, "commit refs/heads/b%d\nmark :%d\nauthor Ada <ada@example.org> %d +0100\ncommitter C <c@example.org> %[3]d +0100\ndata %d\n%s\n", i+1, i+1, c.at, len(c.message), c.message)
		for k, p := range c.parents {
			fmt.Fprintf(&in, "%s :%d\n", []string{"from", "merge"}[min(k, 1)], p)
		}
		in.WriteString("\n")
	}
	gitIn(t, dir, in.String(), "fast-import", "--quiet", "--export-marks=.git/marks")
	marks, err := os.ReadFile(filepath.Join(dir, ".git/marks"))
	if err != nil {
		t.Fatal(err)
	}
	ids = make([]string, len(commits))
	for line := range strings.Lines(string(marks)) {
		var n int
		var id string
		if _, err := fmt.Sscanf(line, ":%d %s", &n, &id); err != nil {
			t.Fatal(err)
		}
		ids[n-1] = id
	}
	return dir, ids
}

func changes(t testing.TB, r *Repo, in Range) (all []Change) {
	t.Helper()
	for c, err := range r.History(t.Context(), in) {
		if err != nil {
			t.Fatal(err)
		}
		all = append(all, c)
	}
	return all
}

func lines(s string) []string { return strings.FieldsFunc(s, func(r rune) bool { return r == '\n' }) }

// TestHistory_JudgedByGit: git lists the same commits in the same order, in histories with merges of any shape.
func TestHistory_JudgedByGit(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	for range 6 {
		var commits []made
		for i := 1; i <= 60; i++ {
			c := made{at: int64(1_700_000_000 + i*60), message: fmt.Sprintf("commit %d\n\nbody", i)}
			if i > 1 {
				c.parents = []int{max(1, i-1-rnd.IntN(4))}
				for range rnd.IntN(3) {
					if p := 1 + rnd.IntN(i-1); !slices.Contains(c.parents, p) {
						c.parents = append(c.parents, p)
					}
				}
			}
			commits = append(commits, c)
		}
		dir, ids := build(t, commits)
		r := open(t, dir)
		for range 6 {
			in := Range{Since: ids[rnd.IntN(60)], Until: ids[rnd.IntN(60)], FirstParent: rnd.IntN(2) == 0}
			if rnd.IntN(5) == 0 {
				in.Since = ""
			}
			args := []string{"rev-list", "--date-order", in.Until}
			if in.Since != "" {
				args = append(args, "^"+in.Since)
			}
			if in.FirstParent {
				args = append(args, "--first-parent")
			}
			var got []string
			for _, c := range changes(t, r, in) {
				got = append(got, c.ID)
			}
			if want := lines(git(t, dir, args...)); !slices.Equal(got, want) {
				t.Fatalf("%+v: %d commits, git has %d\n%v\n%v", in, len(got), len(want), got, want)
			}
		}
	}
}

// TestHistory_Clocks: commits with times that run backwards, or that are all the same, belong where their parents say.
func TestHistory_Clocks(t *testing.T) {
	dir, ids := build(t, []made{
		{900, nil, "1"}, {100, []int{1}, "2"}, {800, []int{2}, "3"}, {5, []int{3}, "4"}, {700, []int{2}, "5"}, {5, []int{4, 5}, "6"}, {5, []int{6}, "7"},
	})
	r := open(t, dir)
	subjects := func(in Range) string {
		var s []string
		for _, c := range changes(t, r, in) {
			s = append(s, c.Subject)
		}
		return strings.Join(s, " ")
	}
	for want, in := range map[string]Range{
		"7 6 5 4 3 2 1": {Until: ids[6]},
		"7 6 4 3":       {Until: ids[6], Since: ids[4]},
		"7 6 5":         {Until: ids[6], Since: ids[3]},
		"":              {Until: ids[2], Since: ids[6]},
		"7 6 4 3 2 1":   {Until: ids[6], FirstParent: true},
	} {
		if got := subjects(in); got != want {
			t.Errorf("%+v: %q, want %q", in, got, want)
		}
	}
}

func TestHistory_Texts(t *testing.T) {
	long := strings.Repeat("x", 2<<20)
	dir, ids := build(t, []made{
		{10, nil, "feat: one\nline two\n\nbody\r\nmore\n\nBREAKING CHANGE: y\n"},
		{20, []int{1}, ""},
		{30, []int{2}, "\n\n  spaced \n \nbody"},
		{40, []int{3}, "l\xe4tin \x1b[31m\x00nul"},
		{50, []int{4}, "large\n\n" + long},
	})
	got := changes(t, open(t, dir), Range{Until: ids[4]})
	slices.Reverse(got)
	if n := len(got[4].Body); n < startSize-1000 || n > startSize {
		t.Errorf("the body of a large message has %d bytes", n)
	}
	got[4].Body = ""
	want := []Change{
		{Subject: "feat: one line two", Body: "body\nmore\n\nBREAKING CHANGE: y"},
		{Subject: ""},
		{Subject: "spaced", Body: "body"},
		{Subject: "l\ufffdtin \x1b[31m\x00nul"},
		{Subject: "large"},
	}
	for i := range want {
		want[i].ID, want[i].Parents, want[i].Time, want[i].Author = ids[i], min(i, 1), time.Unix(int64(10*i+10), 0).UTC(), Person{"Ada", "ada@example.org"}
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestHistory_Errors(t *testing.T) {
	dir, ids := build(t, []made{{10, nil, "1"}, {20, []int{1}, "2"}})
	r := open(t, dir)
	missing := strings.Repeat("1", 40)
	for _, in := range []Range{{}, {Until: "HEAD"}, {Until: ids[1][:12]}, {Until: missing}, {Until: ids[1], Since: missing}, {Until: ids[1], Since: "--all"}} {
		n := 0
		for c, err := range r.History(t.Context(), in) {
			if n++; err == nil || c.ID != "" {
				t.Errorf("%+v: no error", in)
			}
		}
		if n != 1 {
			t.Errorf("%+v: %d answers", in, n)
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	stop()
	for _, err := range r.History(ctx, Range{Until: ids[1]}) {
		if !errors.Is(err, context.Canceled) {
			t.Errorf("stopped: %v", err)
		}
	}
}

func ver(t testing.TB, s string) version.Version {
	t.Helper()
	v, err := version.Parse(s)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func TestVersionTags(t *testing.T) {
	dir, ids := build(t, []made{{10, nil, "1"}, {20, []int{1}, "2"}, {30, []int{2}, "3"}})
	for name, to := range map[string]string{"v1.0.0": ids[0], "1.0.0": ids[0], "v1.1.0-rc.1": ids[1], "nightly": ids[1], "v1": ids[0], "v01.2.3": ids[0], "app-v9.0.0": ids[0], "v1.1.0": ids[1], "v1.10.0": ids[1]} {
		git(t, dir, "tag", name, to)
	}
	git(t, dir, "tag", "-a", "-m", "x", "v1.2.0", ids[2])
	git(t, dir, "tag", "-a", "-m", "x", "v1.3.0", "v1.2.0") // a tag of a tag
	git(t, dir, "tag", "v7.0.0", ids[2]+"^{tree}")
	git(t, dir, "pack-refs", "--all")
	r := open(t, dir)
	names := func(form, own string) (s string) {
		t.Helper()
		f, err := ParseTagForm(form)
		if err != nil {
			t.Fatal(err)
		}
		tags, err := r.VersionTags(f, ver(t, own))
		if err != nil {
			t.Fatal(err)
		}
		for _, tag := range tags {
			s += fmt.Sprintf("%s=%d ", tag.Name, slices.Index(ids, tag.Commit)+1)
			if tag.Annotated != (tag.Name == "v1.2.0" || tag.Name == "v1.3.0") {
				t.Errorf("%s: annotated is %v", tag.Name, tag.Annotated)
			}
		}
		return strings.TrimSpace(s)
	}
	all := "v1.3.0=3 v1.2.0=3 v1.10.0=2 v1.1.0=2 v1.1.0-rc.1=2 1.0.0=1 v1.0.0=1"
	all = "v1.10.0=2 " + strings.Replace(all, "v1.10.0=2 ", "", 1)
	for _, c := range [][3]string{
		{"", "2.0.0", all},
		{"v{{ .Version }}", "2.0.0", all},
		{"", "1.3.0+4", strings.Replace(all, "v1.3.0=3 ", "", 1)},
		{"app-v{{.Version}}", "2.0.0", "app-v9.0.0=1"},
		{"{{ .Version }}", "2.0.0", "1.0.0=1"},
		{"x{{ .Version }}", "2.0.0", ""},
	} {
		if got := names(c[0], c[1]); got != c[2] {
			t.Errorf("form %q, own %s: %s; want %s", c[0], c[1], got, c[2])
		}
	}
	for _, form := range []string{"v", "{{ .Version }}{{ .Version }}", "v{{ .Arch }}"} {
		if _, err := ParseTagForm(form); err == nil {
			t.Errorf("form %q is accepted", form)
		}
	}
	for form, want := range map[string]string{"": "v1.2.3-rc.1", "app-{{ .Version }}-x": "app-1.2.3-rc.1-x", "{{ .Version }}": "1.2.3-rc.1"} {
		if f, err := ParseTagForm(form); err != nil || f.Name(ver(t, "1.2.3-rc.1+5")) != want {
			t.Errorf("form %q: %+v, %v", form, f, err)
		}
	}
}

// TestReached: the newest tag of the history counts, not that of another branch; and the tag of a release commit that
// was made beside the branch and never merged.
func TestReached(t *testing.T) {
	dir, ids := build(t, []made{
		{10, nil, "1"}, {20, []int{1}, "2"}, {30, []int{2}, "3"}, {40, []int{3}, "4"}, // main
		{25, []int{2}, "Release v1.1.0"},           // 5, beside main
		{26, []int{5}, "fix"}, {27, []int{6}, "x"}, // 6, 7: a branch of its own
	})
	for name, i := range map[string]int{"v1.0.0": 0, "v1.1.0": 4, "v1.1.1": 5, "v1.1.2": 6} {
		git(t, dir, "tag", "-a", "-m", "x", name, ids[i])
	}
	r := open(t, dir)
	for _, c := range []struct{ at, own, want string }{
		{ids[3], "1.2.0", "v1.1.0"}, {ids[6], "1.2.0", "v1.1.2"}, {ids[6], "1.1.2", "v1.1.1"}, {ids[0], "2.0.0", "v1.0.0"}, {ids[1], "2.0.0", "v1.1.0"}, {ids[1], "1.1.0", "v1.0.0"},
	} {
		tags, err := r.VersionTags(TagForm{}, ver(t, c.own))
		if err != nil {
			t.Fatal(err)
		}
		if tag, ok, err := r.Reached(t.Context(), c.at, tags); err != nil || !ok || tag.Name != c.want {
			t.Errorf("from %s for %s: %+v, %v, %v; want %s", c.at, c.own, tag, ok, err, c.want)
		}
	}
	if tag, ok, err := r.Reached(t.Context(), ids[0], []VersionTag{{Name: "v1.1.2", Commit: ids[6]}}); ok || err != nil {
		t.Errorf("a tag of the future is reached: %+v, %v", tag, err)
	}
}

// TestShared: a commit that the other one contains is it; of one beside it the place where it left is.
func TestShared(t *testing.T) {
	dir, ids := build(t, []made{
		{10, nil, "1"}, {20, []int{1}, "2"}, {30, []int{2}, "3"}, {40, []int{3}, "4"}, // main
		{25, []int{2}, "Release v1.1.0"}, {26, []int{5}, "fix"}, // 5, 6: beside it
		{27, nil, "somebody's own"}, {28, []int{7, 1}, "with a bit of the history"}, // 7, 8
	})
	r := open(t, dir)
	for _, c := range []struct {
		commit, with int
		want         string
	}{{2, 4, ids[1]}, {4, 4, ids[3]}, {5, 4, ids[1]}, {6, 4, ids[1]}, {4, 6, ids[1]}, {7, 4, ""}, {8, 4, ids[0]}} {
		if got, err := r.Shared(t.Context(), ids[c.commit-1], ids[c.with-1]); err != nil || got != c.want {
			t.Errorf("%d and %d share %q, want %q: %v", c.commit, c.with, got, c.want, err)
		}
	}
	if _, err := r.Shared(t.Context(), ids[0], "main"); err == nil {
		t.Error("a name counts as a commit")
	}
}

// TestShallow: a clone that lacks what is asked for says what to do, and one that has it answers.
func TestShallow(t *testing.T) {
	dir, ids := build(t, []made{{10, nil, "1"}, {20, []int{1}, "2"}, {30, []int{2}, "3"}, {40, []int{3}, "4"}, {50, []int{4}, "5"}})
	git(t, dir, "tag", "v1.0.0", ids[2])
	git(t, dir, "branch", "-f", "main", ids[4])
	clone := func(args ...string) *Repo {
		to := filepath.Join(t.TempDir(), "clone")
		git(t, dir, append(append([]string{"clone", "-q", "--no-local", "--branch", "main"}, args...), "file://"+dir, to)...)
		return open(t, to)
	}
	hint := func(err error) bool {
		return errors.Is(err, ErrShallow) && strings.Contains(err.Error(), "git fetch --tags --unshallow")
	}
	r := clone("--depth=1")
	if tags, err := r.VersionTags(TagForm{}, ver(t, "2.0.0")); !hint(err) {
		t.Errorf("no tags in a shallow clone: %v, %v", tags, err)
	}
	for _, err := range r.History(t.Context(), Range{Until: ids[4]}) {
		if !hint(err) {
			t.Errorf("all of a shallow clone: %v", err)
		}
	}
	git(t, r.root, "tag", "v2.0.0") // as when a job is started by the release's own tag
	if tags, err := r.VersionTags(TagForm{}, ver(t, "2.0.0")); !hint(err) {
		t.Errorf("only the own tag in a shallow clone: %v, %v", tags, err)
	}
	// The history goes back beyond the tag, which is enough.
	r = clone("--depth=4")
	tags, err := r.VersionTags(TagForm{}, ver(t, "2.0.0"))
	if err != nil || len(tags) != 1 {
		t.Fatal(tags, err)
	}
	if tag, ok, err := r.Reached(t.Context(), ids[4], tags); err != nil || !ok || tag.Name != "v1.0.0" {
		t.Errorf("%+v, %v, %v", tag, ok, err)
	}
	if got := changes(t, r, Range{Until: ids[4], Since: ids[2]}); len(got) != 2 {
		t.Errorf("%d commits since v1.0.0", len(got))
	}
	// The clone ends before the tag that is looked for.
	r = clone("--depth=2", "--no-tags")
	git(t, r.root, "fetch", "-q", "--depth=1", "origin", "refs/tags/v1.0.0:refs/tags/v1.0.0")
	if tags, err = r.VersionTags(TagForm{}, ver(t, "2.0.0")); err != nil || len(tags) != 1 {
		t.Fatal(tags, err)
	}
	if tag, ok, err := r.Reached(t.Context(), ids[4], tags); !hint(err) {
		t.Errorf("the history of a shallow clone is taken for whole: %+v, %v, %v", tag, ok, err)
	}
	git(t, dir, "tag", "-d", "v1.0.0")
	full := clone()
	if tags, err := full.VersionTags(TagForm{}, ver(t, "2.0.0")); err != nil || len(tags) != 0 {
		t.Errorf("a whole clone without tags: %v, %v", tags, err)
	}
}

// TestHistory_Large: 20,000 commits with merges and a thousand tags take little time and memory.
func TestHistory_Large(t *testing.T) {
	need(t, "git")
	dir := t.TempDir()
	git(t, dir, "init", "-q", "-b", "main")
	var in strings.Builder
	// Alone it takes less than a second of a processor's time. The limit is for what would grow with the square, and
	// leaves room for all that runs beside it.
	n, limit := 20_000, time.Minute
	if raceEnabled {
		n, limit = 2_000, time.Minute
	}
	body := strings.Repeat("text ", 200)
	for i := 1; i <= n; i++ {
		message := fmt.Sprintf("feat: change %d\n\n%s", i, body)
		fmt.Fprintf(&in, "commit refs/heads/main\nmark :%d\ncommitter C <c@example.org> %d +0000\ndata %d\n%s\n", i, 1_600_000_000+i*60, len(message), message)
		if i > 5 && i%7 == 0 {
			fmt.Fprintf(&in, "from :%d\nmerge :%d\n", i-1, i-4)
		}
		in.WriteString("\n")
		if i%20 == 0 {
			fmt.Fprintf(&in, "tag v1.%d.0\nfrom :%d\ntagger C <c@example.org> 0 +0000\ndata 1\nx\n", i/20, i)
		}
	}
	gitIn(t, dir, in.String(), "fast-import", "--quiet")
	in.Reset()
	r := open(t, dir)
	until := git(t, dir, "rev-parse", "main")
	since, all, peak := measure(t, r, until, n)
	t.Logf("since the last tag %v, all %v, %d KiB held", since, all, peak>>10)
	if since > limit || all > limit {
		t.Errorf("it takes more than %v", limit)
	}
	if peak > 80<<20 {
		t.Error("it holds too much")
	}
}

// measure looks for the last of the tags, lists the commits since then, and all.
func measure(t *testing.T, r *Repo, until string, n int) (since, all time.Duration, peak uint64) {
	t.Helper()
	var before, after runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&before)
	start := time.Now()
	tags, err := r.VersionTags(TagForm{}, ver(t, fmt.Sprintf("1.%d.0", n/20)))
	if err != nil || len(tags) != n/20-1 {
		t.Fatal(len(tags), err)
	}
	tag, ok, err := r.Reached(t.Context(), until, tags)
	if err != nil || !ok || tag.Name != fmt.Sprintf("v1.%d.0", n/20-1) {
		t.Fatal(tag, ok, err)
	}
	if got := changes(t, r, Range{Since: tag.Commit, Until: until}); len(got) != 20 {
		t.Fatal(len(got))
	}
	since = time.Since(start)
	count := 0
	for _, err := range r.History(t.Context(), Range{Until: until}) {
		if err != nil {
			t.Fatal(err)
		}
		if count++; count%5000 == 0 {
			runtime.GC()
			runtime.ReadMemStats(&after)
			peak = max(peak, after.HeapAlloc-min(after.HeapAlloc, before.HeapAlloc))
		}
	}
	if count != n {
		t.Errorf("%d commits, want %d", count, n)
	}
	return since, time.Since(start) - since, peak
}
