package aur

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
)

// A ruleCase is one push. %N in a wanted line stands for the commit with that number.
type ruleCase struct {
	name    string
	parser  Parser
	first   func(name string) map[string]string   // is there before
	commits func(name string) []map[string]string // are pushed
	ref     string
	// other pushes a history of its own, by force.
	other bool
	staff bool
	want  []string
	ok    bool
}

func one(edit func(name string) map[string]string) func(string) []map[string]string {
	return func(name string) []map[string]string { return []map[string]string{edit(name)} }
}

// info is a package with an edited .SRCINFO.
func info(edit ...string) func(string) []map[string]string {
	return one(func(name string) map[string]string { return files(name, edit...) })
}

// raw is one with another .SRCINFO.
func raw(text string) func(string) []map[string]string {
	return one(func(name string) map[string]string {
		return with(files(name), ".SRCINFO", strings.ReplaceAll(text, "NAME", name))
	})
}

// more is one with more files.
func more(list ...string) func(string) []map[string]string {
	return one(func(name string) map[string]string { return with(files(name), list...) })
}

// inCommit are the three lines of an error about commit n.
func inCommit(n int, text string) []string {
	return []string{"error: The following error occurred when parsing commit", fmt.Sprintf("error: %%%d:", n), "error: " + text}
}

var large = strings.Repeat("x", maxBlob)

var ruleCases = []ruleCase{
	{name: "accepted", commits: info(), ok: true},
	{name: "branch", ref: "refs/heads/main", commits: info(), want: []string{"error: pushing to a branch other than master is restricted"}},
	{name: "tag", ref: "refs/tags/v1", commits: info(), want: []string{"error: pushing to a branch other than master is restricted"}},
	{name: "no-fast-forward", first: func(n string) map[string]string { return files(n) }, other: true, commits: info("pkgrel = 1", "pkgrel = 2"), want: []string{"error: denying non-fast-forward (you should pull first)"}},
	{name: "no-srcinfo", commits: one(func(n string) map[string]string { return without(files(n), ".SRCINFO") }), want: inCommit(1, "missing .SRCINFO")},
	{
		name: "no-srcinfo-at-the-tip", want: inCommit(2, "missing .SRCINFO"),
		commits: func(n string) []map[string]string {
			return []map[string]string{files(n), without(files(n), ".SRCINFO")}
		},
	},
	{name: "no-srcinfo-in-between", ok: true, commits: func(n string) []map[string]string {
		return []map[string]string{without(files(n), ".SRCINFO"), files(n)}
	}},
	{
		name: "unparsable", commits: info("\tpkgver = 1.2.3\n", "\tpkgver 1.2.3\n", "\turl = ", "\turl "),
		want: []string{"error: The following errors occurred when parsing .SRCINFO in commit", "error: %1:", "error: line 3: failed to parse line: 'pkgver 1.2.3'", "error: line 5: failed to parse line: 'url https://example.org/'"},
	},
	{
		name: "pkgbase-twice", commits: info("\tpkgver", "\tpkgbase = again\n\tpkgver"),
		want: []string{"error: The following errors occurred when parsing .SRCINFO in commit", "error: %1:", "error: line 3: pkgbase declared more than once"},
	},
	{name: "empty-srcinfo", commits: raw(""), want: inCommit(1, "invalid .SRCINFO, does not contain a pkgbase (is the file empty?)")},
	{name: "pkgbase-pattern", commits: info("pkgbase = NAME", "pkgbase = -Name"), want: inCommit(1, "invalid pkgbase: -Name")},
	{name: "no-pkgname", commits: info("\npkgname = NAME\n", ""), want: inCommit(1, "missing pkgname entry")},
	{name: "no-pkgver", commits: info("\tpkgver = 1.2.3\n", ""), want: inCommit(1, "missing mandatory field: pkgver")},
	{name: "no-pkgrel", commits: info("\tpkgrel = 1\n", ""), want: inCommit(1, "missing mandatory field: pkgrel")},
	{name: "epoch", commits: info("\tpkgver", "\tepoch = 1a\n\tpkgver"), want: inCommit(1, "invalid epoch: 1a")},
	{name: "pkgname-pattern", commits: info("pkgname = NAME", "pkgname = Upper"), want: inCommit(1, "invalid package name: Upper")},
	{name: "pkgname-long", commits: info("pkgname = NAME", "pkgname = "+strings.Repeat("a", 256)), want: inCommit(1, "pkgname field too long: "+strings.Repeat("a", 256))},
	{name: "pkgdesc-255", commits: info("A test", strings.Repeat("ä", 255)), ok: true},
	{name: "pkgdesc-long", commits: info("A test", strings.Repeat("ä", 256)), want: inCommit(1, "pkgdesc field too long: "+strings.Repeat("ä", 256))},
	{name: "url-long", commits: info("https://example.org/\n", "https://"+strings.Repeat("a", 7993)+"\n"), want: inCommit(1, "url field too long: https://"+strings.Repeat("a", 7993))},
	{name: "source-long", commits: info("a.tar.gz::https://example.org/a.tar.gz", "https://"+strings.Repeat("a", 7993)), want: inCommit(1, "source entry too long: https://"+strings.Repeat("a", 7993))},
	{name: "install", commits: info("\tarch", "\tinstall = x.install\n\tarch"), want: inCommit(1, "missing install file: x.install")},
	{name: "changelog", commits: info("\tarch", "\tchangelog = x.log\n\tarch"), want: inCommit(1, "missing changelog file: x.log")},
	{name: "source", commits: info("\turl", "\tsource = local.patch\n\turl"), want: inCommit(1, "missing source file: local.patch")},
	{name: "source-renamed", commits: one(func(n string) map[string]string {
		return with(files(n, "\turl", "\tsource = a.patch::local.patch\n\turl"), "local.patch", "")
	}), want: inCommit(1, "missing source file: a.patch::local.patch")},
	{name: "source-of-the-architecture", commits: info("a.tar.gz::https://example.org/a.tar.gz", "local.bin"), want: inCommit(1, "missing source file: local.bin")},
	{name: "source-of-another-architecture", commits: info("source_x86_64 = a.tar.gz::https://example.org/a.tar.gz", "source_i686 = local.bin"), ok: true},
	{name: "source-there", commits: one(func(n string) map[string]string {
		return with(files(n, "\turl", "\tsource = local.patch\n\tsource = lp:x\n\turl"), "local.patch", "x")
	}), ok: true},
	{name: "no-arch", commits: info("\tarch = x86_64\n", ""), want: []string{"Traceback (most recent call last):", "KeyError: 'arch'"}},
	{name: "no-utf-8", commits: info("A test", "A \xff test"), want: []string{"Traceback (most recent call last):", "UnicodeDecodeError: 'utf-8' codec can't decode byte: invalid start byte"}},
	{name: "no-pkgbuild", commits: one(func(n string) map[string]string { return without(files(n), "PKGBUILD") }), want: inCommit(1, "missing PKGBUILD")},
	{
		name: "no-pkgbuild-in-between", want: inCommit(1, "missing PKGBUILD"),
		commits: func(n string) []map[string]string {
			return []map[string]string{without(files(n), "PKGBUILD"), files(n)}
		},
	},
	{name: "subdirectory", commits: more("src/x", ""), want: inCommit(1, "the repository must not contain subdirectories")},
	{
		name: "subdirectory-in-between", want: inCommit(2, "the repository must not contain subdirectories"),
		commits: func(n string) []map[string]string {
			return []map[string]string{files(n), with(files(n), "src/x", ""), files(n)}
		},
	},
	{name: "blob-256000", commits: more("x", large), ok: true},
	{name: "blob-large", commits: more("x", large+"x"), want: inCommit(1, "maximum blob size (250.00KiB) exceeded")},
	{name: "keys", commits: more("keys/pgp/a.asc", "x", "LICENSES/0BSD.txt", "x", "LICENSES/LicenseRef-x.md", "x"), ok: true},
	{name: "keys-file", commits: more("keys/a.asc", "x"), want: inCommit(1, "the keys/ subdir may only contain a pgp/ directory")},
	{name: "keys-pgp", commits: more("keys/pgp/a.gpg", "x"), want: inCommit(1, "the subdir may only contain .asc (PGP pub key) files")},
	{name: "keys-large", commits: more("keys/pgp/a.asc", large+"x"), want: inCommit(1, "maximum blob size (250.00KiB) exceeded")},
	{name: "keys-no-folder", commits: more("keys", "x"), want: []string{"Traceback (most recent call last):", "TypeError: '_pygit2.Blob' object is not iterable"}},
	{name: "licenses-ending", commits: more("LICENSES/0BSD", "x"), want: inCommit(1, "the subdir may only contain files ending in .md or .txt")},
	{name: "licenses-folder", commits: more("LICENSES/a/0BSD.txt", "x"), want: inCommit(1, "the subdir may only contain files ending in .md or .txt")},
	{name: "licenses-name", commits: more("LICENSES/mine.txt", "x"), want: inCommit(1, "files in this subdir must either be named after an acceptable SPDX license or start with `LicenseRef-`")},
	{
		name: "unchanged", ok: true, first: func(n string) map[string]string { return files(n) }, commits: more("README", "x"),
		want: []string{"warning: .SRCINFO unchanged. The package database will not be updated!"},
	},
	{name: "other-pkgbase", commits: info("pkgbase = NAME", "pkgbase = other"), want: []string{"error: invalid pkgbase: other, expected NAME"}},
	{name: "blacklisted-base", commits: info("pkgname = NAME", "pkgname = free"), want: []string{"error: pkgbase is blacklisted: NAME"}},
	{name: "blacklisted", commits: info("pkgname = NAME", "pkgname = forbidden"), want: []string{"error: package is blacklisted: forbidden"}},
	{name: "official", commits: info("pkgname = NAME", "pkgname = coreutils"), want: []string{"error: package already provided by [core]: coreutils"}},
	{name: "official-by-staff", staff: true, ok: true, commits: info(), want: []string{"warning: package already provided by [core]: NAME"}},
	{name: "taken", commits: info("pkgname = NAME", "pkgname = somebodys"), want: []string{"error: cannot overwrite package: somebodys"}},
	{name: "last-value-wins", ok: true, commits: info("\tpkgver = 1.2.3\n", "\tpkgver = none\n\tpkgver = 1.2.3\n")},

	{name: "strict-accepted", parser: Strict, commits: info(), ok: true},
	{name: "strict-pkgver", parser: Strict, commits: info("1.2.3\n", "1.2~rc1\n"), want: inCommit(1, "line 3: invalid pkgver: 1.2~rc1")},
	{name: "strict-relation", parser: Strict, commits: info("gtk3>=3.24", "gtk3>="), want: inCommit(1, "line 8: invalid depends: gtk3>=")},
	{name: "strict-license", parser: Strict, commits: info("MIT", "custom:own"), want: inCommit(1, "line 7: invalid license: custom:own")},
	{name: "strict-sum", parser: Strict, commits: info("0123456789abcdef", ""), want: inCommit(1, "line 13: invalid sha256sums: "+strings.Repeat("0123456789abcdef", 3))},
	{name: "strict-twice", parser: Strict, commits: info("\tpkgrel", "\tpkgver = 1\n\tpkgrel"), want: inCommit(1, "line 4: keyword pkgver given twice")},
	{name: "strict-no-arch", parser: Strict, commits: info("\tarch = x86_64\n", ""), want: inCommit(1, "line 1: missing keyword arch")},
}

// TestRules pushes once for each rule, with the git program or with go-git: each must hear the server's own words, all of
// them and nothing else, and leave master as the rule says.
func TestRules(t *testing.T) {
	need(t, "git")
	key, staff := newKey(t), newKey(t)
	servers := map[Parser]*Server{}
	for _, p := range []Parser{Default, Strict} {
		s := start(t, Options{
			Parser: p, Official: map[string]string{"coreutils": "core", "official-by-staff-git": "core", "official-by-staff-go-git": "core"},
			Blacklist: []string{"forbidden", "blacklisted-base-git", "blacklisted-base-go-git"},
			Accounts:  []Account{{Name: "staff", Keys: staff.public(), Staff: true}},
		}, key)
		if _, err := s.Publish(t.Context(), "somebody", "somebodys-base", "One", files("somebodys-base", "pkgname = NAME", "pkgname = somebodys")); err != nil {
			t.Fatal(err)
		}
		servers[p] = s
	}
	for i, rc := range ruleCases {
		for _, client := range clientsOf(i) {
			t.Run(rc.name+"/"+client.name, func(t *testing.T) {
				t.Parallel()
				rc.run(t, servers, client, key, staff)
			})
		}
	}
}

func (rc ruleCase) run(t *testing.T, servers map[Parser]*Server, client client, key, staff testKey) {
	s := servers[Default]
	if rc.parser != "" {
		s = servers[rc.parser]
	}
	name := rc.name + "-" + client.name
	c := newClone(t)
	before, parent := "", ""
	if rc.first != nil {
		before = c.commit("", "first", rc.first(name))
		if o := client.push(t, s, key, c, name, before, master); !o.accepted {
			t.Fatalf("the first push was refused: %s", o.text)
		}
		parent = before
	}
	if rc.other {
		parent = ""
	}
	var ids []string
	for i, f := range rc.commits(name) {
		parent = c.commit(parent, fmt.Sprint("commit ", i+1), f)
		ids = append(ids, parent)
	}
	ref := rc.ref
	if ref == "" {
		ref = master
	}
	who := key
	if rc.staff {
		who = staff
	}
	commit := ids[len(ids)-1]
	if rc.other {
		commit = "+" + commit
	}
	o := client.push(t, s, who, c, name, commit, ref)
	var want []string
	for _, line := range rc.want {
		for i, id := range ids {
			line = strings.ReplaceAll(line, fmt.Sprint("%", i+1), id)
		}
		want = append(want, strings.ReplaceAll(line, "NAME", name))
	}
	if !rc.ok {
		want = append(want, "error: hook declined to update "+ref) // git's own, builtin/receive-pack.c
	}
	if !slices.Equal(o.lines, want) {
		t.Errorf("the client heard\n%s\nwant\n%s\nall it said:\n%s", strings.Join(o.lines, "\n"), strings.Join(want, "\n"), o.text)
	}
	if o.accepted != rc.ok {
		t.Errorf("accepted is %v: %s", o.accepted, o.text)
	}
	if !rc.ok && !strings.Contains(o.text, "hook declined") {
		t.Errorf("the report does not name the hook: %s", o.text)
	}
	tip := before
	if rc.ok {
		tip = ids[len(ids)-1]
	}
	if got, err := s.tip(name); err != nil || got != plumbing.NewHash(tip) {
		t.Errorf("master is at %s, want %q: %v", got, tip, err)
	}
	if _, there := s.Record(name); there != (tip != "") {
		t.Errorf("the database has the package: %v", there)
	}
}

// TestSubmodule pushes a gitlink, which the server's rules do not see.
func TestSubmodule(t *testing.T) {
	key := newKey(t)
	s := start(t, Options{}, key)
	c := newClone(t)
	tree, err := writeTree(c.git.Storer, files("linked"))
	if err != nil {
		t.Fatal(err)
	}
	root, err := object.GetTree(c.git.Storer, tree)
	if err != nil {
		t.Fatal(err)
	}
	root.Entries = append(root.Entries, object.TreeEntry{Name: "sub", Mode: filemode.Submodule, Hash: plumbing.NewHash(strings.Repeat("1", 40))})
	if tree, err = writeObject(c.git.Storer, root); err != nil {
		t.Fatal(err)
	}
	if o := goPush(t, s, key, c, "linked", c.commitTree("", "one", tree), master); !o.accepted {
		t.Error(o.text)
	}
}

// TestDeletion: nothing removes master, and with it nothing the package.
func TestDeletion(t *testing.T) {
	need(t, "git")
	key := newKey(t)
	s := start(t, Options{}, key)
	for _, client := range clients {
		t.Run(client.name, func(t *testing.T) {
			name := "kept-" + client.name
			c := newClone(t)
			tip := c.commit("", "one", files(name))
			if o := client.push(t, s, key, c, name, tip, master); !o.accepted {
				t.Fatal(o.text)
			}
			if o := client.push(t, s, key, c, name, "", master); o.accepted {
				t.Errorf("master was deleted: %s", o.text)
			}
			if got := client.tip(t, s, key, name); got != tip {
				t.Errorf("master is at %q", got)
			}
		})
	}
}
