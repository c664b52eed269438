package aur

import (
	"fmt"
	"slices"
	"strings"
	"time"
)

// A database is what the AUR knows of packages beside their repositories. The server's lock guards it.
type database struct {
	bases  []*base
	lastID int
}

// A base is one pkgbase. Its people show at once, its packages when the index has caught up.
type base struct {
	id            int
	name          string
	maintainer    string // "" for an orphan
	submitter     string
	comaintainers []string
	submitted     time.Time
	now           *listing // what was pushed; nil before the first push
	shown         *listing // what the RPC has seen of it
	late          []lateListing
}

// A listing is what one push put into the database.
type listing struct {
	modified time.Time
	packages []entry
}

type entry struct {
	id int
	Package
	merged Section
}

// A lateListing is a push that the RPC does not show yet: for some calls that ask for it, or until a time.
type lateListing struct {
	*listing
	calls int
	until time.Time
}

// Lag is how long the RPC goes on with the old answer after a push. The zero value is not at all.
type Lag struct {
	Calls int           // RPC calls that ask for one of the package's names
	For   time.Duration // by the server's clock
}

func (d *database) find(name string) *base {
	for _, b := range d.bases {
		if b.name == name {
			return b
		}
	}
	return nil
}

// taken tells whether another pkgbase has a package of that name.
func (d *database) taken(pkgbase, pkgname string) bool {
	for _, b := range d.bases {
		if b.name != pkgbase && b.now != nil && slices.ContainsFunc(b.now.packages, func(e entry) bool { return e.Name == pkgname }) {
			return true
		}
	}
	return false
}

// save takes over an accepted push. As on the server its packages get new ids each time.
func (d *database) save(name, account string, s *SRCINFO, now time.Time, lag Lag) {
	b := d.find(name)
	if b == nil {
		d.lastID++
		b = &base{id: d.lastID, name: name, maintainer: account, submitter: account, submitted: now}
		d.bases = append(d.bases, b)
	}
	if b.maintainer == "" {
		b.maintainer = account
	}
	l := &listing{modified: now}
	for _, p := range s.Packages {
		d.lastID++
		l.packages = append(l.packages, entry{d.lastID, p, s.Merged(p)})
	}
	b.now = l
	if lag == (Lag{}) {
		b.late = append(b.late, lateListing{listing: l}) // behind those that are late
		return
	}
	late := lateListing{listing: l, calls: lag.Calls}
	if lag.For > 0 {
		late.until = now.Add(lag.For)
	}
	b.late = append(b.late, late)
}

// look is one RPC call: it lets what is due show, counts the call, and returns the entries with one of the names,
// by id.
func (d *database) look(now time.Time, wanted func(string) bool) []found {
	var list []found
	for _, b := range d.bases {
		b.settle(now, wanted)
		if b.shown == nil {
			continue
		}
		for _, e := range b.shown.packages {
			if wanted(e.Name) {
				list = append(list, found{b, e})
			}
		}
	}
	slices.SortFunc(list, func(a, b found) int { return a.id - b.id })
	return list
}

type found struct {
	base *base
	entry
}

func (b *base) settle(now time.Time, wanted func(string) bool) {
	for len(b.late) > 0 {
		l := &b.late[0]
		if l.calls > 0 {
			if slices.ContainsFunc(l.packages, func(e entry) bool { return wanted(e.Name) }) {
				l.calls--
			}
			return
		}
		if now.Before(l.until) {
			return
		}
		b.shown, b.late = l.listing, b.late[1:]
	}
}

// writable tells whether an account may push to the base.
func (b *base) writable(account string) bool {
	return b.maintainer == account || slices.Contains(b.comaintainers, account)
}

// info is the RPC's record of a package (aurweb, aurweb/rpc.py, get_info_json_data).
func (f found) info() map[string]any {
	b, m := f.base, f.merged
	optional := func(s string, ok bool) any {
		if !ok {
			return nil
		}
		return s
	}
	r := map[string]any{
		"ID": f.id, "Name": f.Name, "PackageBaseID": b.id, "PackageBase": b.name,
		"Maintainer": optional(b.maintainer, b.maintainer != ""), "Submitter": b.submitter,
		"Version": m.version(), "Description": optional(m.single("pkgdesc")), "URL": optional(m.single("url")),
		"URLPath":  fmt.Sprintf("/cgit/aur.git/snapshot/%s.tar.gz", b.name),
		"NumVotes": 0, "Popularity": 0, "OutOfDate": nil,
		"FirstSubmitted": b.submitted.Unix(), "LastModified": b.shown.modified.Unix(),
		"License": sorted(m["license"]), "Keywords": []string{}, "PendingRequests": 0,
	}
	for field, key := range map[string]string{
		"Depends": "depends", "MakeDepends": "makedepends", "CheckDepends": "checkdepends", "OptDepends": "optdepends",
		"Conflicts": "conflicts", "Provides": "provides", "Replaces": "replaces",
	} {
		var list []string
		for _, v := range m.all(key) {
			name, _, _ := strings.Cut(v, ": ") // the description of an optdepends
			list = append(list, name)
		}
		if list = sorted(list); len(list) > 0 {
			r[field] = list
		}
	}
	if groups := sorted(m["groups"]); len(groups) > 0 {
		r["Groups"] = groups
	}
	if people := sorted(b.comaintainers); len(people) > 0 {
		r["CoMaintainers"] = people
	}
	return r
}

// sorted returns the distinct strings of a list, in order; never nil.
func sorted(list []string) []string {
	return slices.Compact(slices.Sorted(slices.Values(append([]string{}, list...))))
}
