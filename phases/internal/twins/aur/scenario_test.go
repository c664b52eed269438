package aur

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// TestScenario runs one story with the git program and with go-git on two servers of their own: everything observable must
// be equal in the end. It holds whatever a client of the AUR does over its life: a first push, an upgrade, refusals, a
// race lost, a report lost, an unchanged .SRCINFO, a deleted package that comes back.
func TestScenario(t *testing.T) {
	need(t, "git")
	var told, seen [2][]string
	for i, client := range clients {
		key := newKey(t)
		clock := newClock()
		s := start(t, Options{Clock: clock, Blacklist: []string{"bad"}}, key)
		c := newClone(t)
		tip := ""
		push := func(step string, want bool, commit string) {
			t.Helper()
			o := client.push(t, s, key, c, "pkg", commit, master)
			told[i] = append(told[i], fmt.Sprintf("%s: %v %s", step, o.accepted, strings.Join(o.lines, " / ")))
			if o.accepted != want {
				t.Errorf("%s: %s: accepted is %v: %s", client.name, step, o.accepted, o.text)
			}
			seen[i] = append(seen[i], step+": RPC "+version(t, s, "pkg")+" master "+client.tip(t, s, key, "pkg"))
		}
		next := func(edit ...string) string { return c.commit(tip, "next", files("pkg", edit...)) }
		plan := func(lines string) {
			t.Helper()
			if err := s.SetFaults(faults(t, lines)); err != nil {
				t.Fatal(err)
			}
		}

		push("refused name", false, next("pkgname = NAME", "pkgname = bad"))
		tip = next()
		push("first", true, tip)
		bad := c.commit(tip, "bad", with(files("pkg", "pkgrel = 1", "pkgrel = 2"), "dir/x", ""))
		push("bad commit below", false, c.commit(bad, "good", files("pkg", "pkgrel = 1", "pkgrel = 3")))
		tip = next("pkgrel = 1", "pkgrel = 2")
		push("upgrade", true, tip)
		push("again", true, tip)
		tip = c.commit(tip, "readme", with(files("pkg", "pkgrel = 1", "pkgrel = 2"), "README", "x"))
		push("unchanged", true, tip)

		plan("receive-pack pkg #1: cut though done")
		lost := next("pkgrel = 1", "pkgrel = 3")
		push("report lost", false, lost)
		push("after it", true, lost)
		tip = lost
		plan("receive-pack pkg #1: late 2 calls")
		tip = next("pkgrel = 1", "pkgrel = 4")
		push("late", true, tip)
		plan("receive-pack pkg #1: rival")
		push("race lost", false, next("pkgrel = 1", "pkgrel = 5"))
		if err := c.fetch(s, "pkg"); err != nil {
			t.Fatal(err)
		}
		hash, _ := s.tip("pkg")
		tip = hash.String()
		push("after the race", true, next("pkgrel = 1", "pkgrel = 6"))
		hash, _ = s.tip("pkg")
		tip = hash.String()
		if err := s.Delete("pkg"); err != nil {
			t.Fatal(err)
		}
		push("back", true, next("pkgrel = 1", "pkgrel = 7"))

		h, err := s.History("pkg")
		if err != nil {
			t.Fatal(err)
		}
		for _, state := range h {
			seen[i] = append(seen[i], fmt.Sprintf("%d %s %s %s", state.Seq, state.Commit, state.Tree, state.Version))
		}
		_, body := ask(t, s, "rpc/v5/info/pkg")
		seen[i] = append(seen[i], body)
		var versions []string
		for _, state := range h {
			versions = append(versions, state.Version)
		}
		if want := []string{"1.2.3-1", "1.2.3-2", "1.2.3-2", "1.2.3-3", "1.2.3-4", "1.2.3-5", "1.2.3-6", "1.2.3-7"}; !slices.Equal(versions, want) {
			t.Errorf("%s: the versions were %q", client.name, versions)
		}
	}
	// What a client says beside the server's lines is its own; the lines are not.
	if !slices.Equal(told[0], told[1]) {
		t.Errorf("the clients were told\n%s\nand\n%s", strings.Join(told[0], "\n"), strings.Join(told[1], "\n"))
	}
	if !slices.Equal(seen[0], seen[1]) {
		t.Errorf("the servers came to\n%s\nand\n%s", strings.Join(seen[0], "\n"), strings.Join(seen[1], "\n"))
	}
}

// TestHistory names commit, tree and version of every state, and Always finds the one that is wrong.
func TestHistory(t *testing.T) {
	s := start(t, Options{}, newKey(t))
	var commits []string
	for _, rel := range []string{"1", "2"} {
		id, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg", "pkgrel = 1", "pkgrel = "+rel))
		if err != nil {
			t.Fatal(err)
		}
		commits = append(commits, id)
	}
	h, err := s.History("pkg")
	if err != nil || len(h) != 2 {
		t.Fatal(h, err)
	}
	for i, state := range h {
		c, err := object.GetCommit(s.store("pkg"), plumbing.NewHash(state.Commit))
		if err != nil || state.Commit != commits[i] || state.Tree != c.TreeHash.String() || state.Version != fmt.Sprint("1.2.3-", i+1) || state.Seq != i+1 {
			t.Errorf("state %d is %+v: %v", i+1, state, err)
		}
	}
	err = h.Always(func(s State) error {
		if s.Version == "1.2.3-2" {
			return fmt.Errorf("too new")
		}
		return nil
	})
	if err == nil || err.Error() != "state 2 (published by me): too new" {
		t.Errorf("Always says %v", err)
	}
	if h, err := s.History("none"); err != nil || len(h) != 0 {
		t.Errorf("an unknown name has %+v: %v", h, err)
	}
}

// TestPublish holds the hook's rules.
func TestPublish(t *testing.T) {
	s := start(t, Options{}, newKey(t))
	for _, tc := range []struct {
		name  string
		files map[string]string
		want  string
	}{
		{"pkg", files("other"), "error: invalid pkgbase: other, expected pkg"},
		{"pkg", map[string]string{}, "missing .SRCINFO"},
		{"../pkg", files("pkg"), "invalid repository name"},
	} {
		if _, err := s.Publish(t.Context(), "me", tc.name, "One", tc.files); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.want, err)
		}
	}
	if _, ok := s.Record("pkg"); ok {
		t.Error("a refused one is in the database")
	}
}

// TestExport copies the repositories, and nothing else.
func TestExport(t *testing.T) {
	dir := t.TempDir()
	s := start(t, Options{Dir: dir}, newKey(t))
	if _, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg")); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "notes"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "copy")
	if err := s.Export(to); err != nil {
		t.Fatal(err)
	}
	entries, err := os.ReadDir(to)
	if err != nil || len(entries) != 1 || entries[0].Name() != "pkg.git" {
		t.Errorf("there is %v: %v", entries, err)
	}
	again := start(t, Options{Dir: to}, newKey(t))
	if f, err := again.Files("pkg"); err != nil || f[".SRCINFO"] != files("pkg")[".SRCINFO"] {
		t.Errorf("the copy has %q: %v", f, err)
	}
	if err := s.Export(to); err == nil {
		t.Error("the copy was overwritten")
	}
	if err := s.Export(dir); err != nil {
		t.Errorf("its own folder: %v", err)
	}
}

// TestRequests: the log tells of everything, and both hooks see it.
func TestRequests(t *testing.T) {
	key := newKey(t)
	var events []string
	s := start(t, Options{
		Arrived: func(r Request) { events = append(events, "arrived "+r.Kind) },
		Handled: func(r Request) { events = append(events, fmt.Sprint("handled ", r.Kind, " ", r.Status)) },
	}, key)
	c := newClone(t)
	if o := goPush(t, s, key, c, "pkg", c.commit("", "one", files("pkg")), master); !o.accepted {
		t.Fatal(o.text)
	}
	command(t, s, key, "list-repos")
	ask(t, s, "rpc/v5/info?arg[]=pkg&arg[]=other")
	if want := []string{"arrived git", "handled git 0", "arrived command", "handled command 0", "arrived rpc", "handled rpc 200"}; !slices.Equal(events, want) {
		t.Errorf("the hooks saw %q", events)
	}
	log := s.Requests()
	if len(log) != 3 || log[0].Service != "receive-pack" || log[0].Account != "me" || log[0].Names[0] != "pkg" || log[1].Path != "list-repos" ||
		log[2].Path != "/rpc/v5/info?arg[]=pkg&arg[]=other" || !slices.Equal(log[2].Names, []string{"other", "pkg"}) || log[2].Status != 200 {
		t.Errorf("the log is %+v", log)
	}
}

// TestStartErrors refuses options that make no sense.
func TestStartErrors(t *testing.T) {
	key := newKey(t)
	for _, tc := range []struct {
		o    Options
		want string
	}{
		{Options{Parser: "lax"}, `parser "lax"`},
		{Options{Accounts: []Account{{Name: "a"}, {Name: "a"}}}, `account "a"`},
		{Options{Accounts: []Account{{Keys: key.public()}}}, `account ""`},
		{Options{Faults: []Fault{{Service: "rpc", Name: "**", Effect: Rival}}}, "cannot plan fault"},
	} {
		tc.o.Dir = t.TempDir()
		s, err := Start(t.Context(), tc.o)
		if err == nil {
			s.Close()
		}
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", tc.want, err)
		}
	}
}
