package aur

import (
	"strings"
	"sync"
	"testing"
)

// TestDoor tries the refusals before git starts.
func TestDoor(t *testing.T) {
	need(t, "git")
	mine, theirs, co, staff, mail, ban, gone, unknown := newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t), newKey(t)
	s := start(t, Options{Accounts: []Account{
		{Name: "me", Keys: mine.public()},
		{Name: "them", Keys: theirs.public()},
		{Name: "co", Keys: co.public()},
		{Name: "staff", Keys: staff.public(), Staff: true},
		{Name: "mail", Keys: mail.public(), Unverified: true},
		{Name: "ban", Keys: ban.public(), Banned: true},
		{Name: "gone", Keys: gone.public(), Suspended: true},
	}}, mine)
	publish := func(name string) {
		t.Helper()
		if _, err := s.Publish(t.Context(), "me", name, "One", files(name)); err != nil {
			t.Fatal(err)
		}
	}
	for _, c := range clients {
		publish("mine-" + c.name)
		publish("orphan-" + c.name)
		if err := s.SetMaintainer("mine-"+c.name, "me", "co"); err != nil {
			t.Fatal(err)
		}
		if err := s.SetMaintainer("orphan-"+c.name, ""); err != nil {
			t.Fatal(err)
		}
	}
	for i, tc := range []struct {
		test, name string
		key        testKey
		want       string // "" for accepted
	}{
		{"maintainer", "mine-", mine, ""},
		{"co-maintainer", "mine-", co, ""},
		{"staff", "mine-", staff, ""},
		{"stranger", "mine-", theirs, "git-receive-pack: permission denied: them"},
		{"orphan", "orphan-", mine, " is orphaned. Run `ssh aur@aur.archlinux.org adopt orphan-"},
		{"orphan by staff", "orphan-", staff, ""},
		{"unverified", "new-", mail, textUnverified},
		{"banned", "mine-", ban, textBanned},
		{"suspended", "mine-", gone, "unable to authenticate"},
		{"unknown key", "mine-", unknown, "unable to authenticate"},
		{"invalid name", "Upper-", mine, "git-receive-pack: invalid repository name: Upper-"},
		{"folders", "a/b-", mine, "git-receive-pack: invalid repository name: a/b-"},
	} {
		for _, client := range clientsOf(i) {
			t.Run(tc.test+"/"+client.name, func(t *testing.T) {
				name := tc.name + client.name
				c := newClone(t)
				tip, _ := s.tip(name)
				parent := ""
				if !tip.IsZero() {
					parent = tip.String()
					// The parent's objects, as a fetch would bring them.
					if o := c.fetch(s, name); o != nil {
						t.Fatal(o)
					}
				}
				commit := c.commit(parent, "next", files(name, "pkgrel = 1", "pkgrel = "+strings.Repeat("1", len(tc.test))))
				o := client.push(t, s, tc.key, c, name, commit, master)
				want := tc.want
				if client.name == "git" && want == "unable to authenticate" {
					want = "Permission denied (publickey)"
				}
				if o.accepted != (want == "") || !strings.Contains(o.text, want) {
					t.Errorf("want %q, the client said (accepted %v)\n%s", want, o.accepted, o.text)
				}
				now, err := s.tip(name)
				if o.accepted && (err != nil || now.String() != commit) || !o.accepted && now != tip {
					t.Errorf("master is at %s: %v", now, err)
				}
			})
		}
	}
	if r, ok := s.Record("mine-go-git"); !ok || r.Maintainer != "me" {
		t.Errorf("a co-maintainer's push made %q the maintainer", r.Maintainer)
	}
	if r, _ := s.Record("orphan-go-git"); r.Maintainer != "staff" {
		t.Errorf("the orphan belongs to %q", r.Maintainer)
	}
}

// fetch copies every object of a repository's folder, as a client that has fetched.
func (c *clone) fetch(s *Server, name string) error {
	from := s.store(name)
	tip, err := s.tip(name)
	if err != nil {
		return err
	}
	return copyObjects(from, c.git.Storer, tip)
}

// TestMaintenance closes the door for reading, writing and commands, and opens it again.
func TestMaintenance(t *testing.T) {
	need(t, "git")
	key := newKey(t)
	s := start(t, Options{}, key)
	c := newClone(t)
	commit := c.commit("", "one", files("later"))
	s.SetMaintenance(true)
	for _, client := range clients {
		if o := client.push(t, s, key, c, "later", commit, master); o.accepted || !strings.Contains(o.text, textMaintenance) {
			t.Errorf("%s said %s", client.name, o.text)
		}
	}
	if _, text, status := command(t, s, key, "list-repos"); status != 1 || text != textMaintenance+"\n" {
		t.Errorf("list-repos: %d %q", status, text)
	}
	if _, _, err := runGit(t, s, key, t.TempDir(), "ls-remote", s.SSHURL("later")); err == nil {
		t.Error("reading goes on")
	}
	s.SetMaintenance(false)
	if o := clients[0].push(t, s, key, c, "later", commit, master); !o.accepted {
		t.Error(o.text)
	}
}

// TestCommands runs what ssh offers beside git.
func TestCommands(t *testing.T) {
	key, other := newKey(t), newKey(t)
	s := start(t, Options{}, key)
	for _, name := range []string{"zeta", "alpha"} {
		if _, err := s.Publish(t.Context(), "me", name, "One", files(name)); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Publish(t.Context(), "them", "theirs", "One", files("theirs")); err != nil {
		t.Fatal(err)
	}
	_ = other
	for _, tc := range []struct {
		line, out, text string
		status          int
	}{
		{"", "", "Welcome to AUR, me! Interactive shell is disabled.\nTry `ssh aur@aur.archlinux.org help` for a list of commands.\n", 1},
		{"list-repos", " zeta\n alpha\n", "", 0},
		{"list-repos all", "", "list-repos: too many arguments\n" + textHelp + "\n", 1},
		{"rm -rf /", "", "rm: invalid command: rm\n" + textHelp + "\n", 1},
		{"git-receive-pack", "", "git-receive-pack: missing path\n" + textHelp + "\n", 1},
		{"adopt zeta", "", "adopt: the twin does not do this\n", 1},
		{"git-receive-pack '/UP.git'", "", "git-receive-pack: invalid repository name: UP\n", 1},
		{"git upload-pack 'x y/'", "", "git-upload-pack: invalid repository name: x y\n", 1},
	} {
		out, text, status := command(t, s, key, tc.line)
		if out != tc.out || text != tc.text || status != tc.status {
			t.Errorf("%q gave %d\n%q\n%q\nwant %d\n%q\n%q", tc.line, status, out, text, tc.status, tc.out, tc.text)
		}
	}
	_, text, status := command(t, s, key, "help")
	lines := strings.Split(text, "\n")
	if status != 0 || len(lines) != 15 || lines[0] != "Commands:" || lines[7] != "  list-repos                        List all your repositories." {
		t.Errorf("help gave %d\n%s", status, text)
	}
}

// TestUnknownName: reading one gives an empty repository, pushing makes it.
func TestUnknownName(t *testing.T) {
	need(t, "git")
	key := newKey(t)
	s := start(t, Options{}, key)
	for _, client := range clients {
		name := "unknown-" + client.name
		if tip := client.tip(t, s, key, name); tip != "" {
			t.Errorf("%s reads %q", client.name, tip)
		}
		if _, ok := s.Record(name); ok {
			t.Error("reading made a package")
		}
		c := newClone(t)
		commit := c.commit("", "one", files(name))
		if o := client.push(t, s, key, c, name, commit, master); !o.accepted {
			t.Fatal(o.text)
		}
		if tip := client.tip(t, s, key, name); tip != commit {
			t.Errorf("%s reads %q", client.name, tip)
		}
		if r, _ := s.Record(name); r.Maintainer != "me" || r.Submitter != "me" || r.Version != "1.2.3-1" {
			t.Errorf("the database has %+v", r)
		}
	}
	// A deleted package keeps its history.
	before, _ := s.tip("unknown-git")
	if err := s.Delete("unknown-git"); err != nil {
		t.Fatal(err)
	}
	if tip := gitTip(t, s, key, "unknown-git"); tip != before.String() {
		t.Errorf("after the deletion master is at %q", tip)
	}
}

// TestTwoAtOnce pushes from two clients at the same moment: one is taken, and database and history tell of that one.
func TestTwoAtOnce(t *testing.T) {
	need(t, "git")
	key, co := newKey(t), newKey(t)
	gate := make(chan struct{})
	var arrived sync.WaitGroup
	arrived.Add(2)
	s := start(t, Options{
		Accounts: []Account{{Name: "me", Keys: key.public()}, {Name: "co", Keys: co.public()}},
		Arrived: func(r Request) {
			if r.Service == "receive-pack" {
				arrived.Done()
				<-gate
			}
		},
	}, key)
	base, err := s.Publish(t.Context(), "me", "shared", "One", files("shared"))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.SetMaintainer("shared", "me", "co"); err != nil {
		t.Fatal(err)
	}
	var outcomes [2]outcome
	var commits [2]string
	var pushes sync.WaitGroup
	for i, who := range []testKey{key, co} {
		c := newClone(t)
		if err := c.fetch(s, "shared"); err != nil {
			t.Fatal(err)
		}
		commits[i] = c.commit(base, "next", files("shared", "pkgrel = 1", "pkgrel = "+[]string{"2", "3"}[i]))
		pushes.Go(func() { outcomes[i] = clients[i].push(t, s, who, c, "shared", commits[i], master) })
	}
	arrived.Wait()
	close(gate)
	pushes.Wait()
	if outcomes[0].accepted == outcomes[1].accepted {
		t.Fatalf("both had the same outcome:\n%s\n%s", outcomes[0].text, outcomes[1].text)
	}
	won := 0
	if outcomes[1].accepted {
		won = 1
	}
	h, err := s.History("shared")
	if err != nil || len(h) != 2 || h.Last().Commit != commits[won] {
		t.Errorf("the history is %+v: %v", h, err)
	}
	if r, _ := s.Record("shared"); r.Version != h.Last().Version || r.Version != []string{"1.2.3-2", "1.2.3-3"}[won] {
		t.Errorf("the database has %s, the history %s", r.Version, h.Last().Version)
	}
}
