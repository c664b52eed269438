package remote

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/go-git/go-git/v5/plumbing"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// known is what could be learned of a package's owner.
type known struct {
	name     string                    // of the package base
	wanted   string                    // the account that release.yaml names; "": any
	account  aurweb.Account            // of the key
	noOne    error                     // why the account is not known
	packages map[string]aurweb.Package // what the index has under the names of the packages
	noIndex  error                     // why the index is not known
	history  bool                      // the repository has commits
	goesBack bool                      // what it offers is to be corrected
}

// owner says whether the account may push the package.
func (s step) owner(ctx context.Context, e *endpoint.Endpoints, access gitremote.Access, c *subject.Content, tip plumbing.Hash) gate.Evidence {
	k := known{name: s.Name, wanted: s.Account, history: !tip.IsZero(), goesBack: s.goesBack()}
	names := []string{s.Name}
	if c.Info != nil {
		names = c.Names()
	}
	index, err := s.Index(e)
	if err == nil {
		k.packages, err = index.Info(ctx, names...)
	}
	k.noIndex = err
	if access.URL == "" {
		k.noOne = errors.New("the way to the AUR is not open")
	} else {
		k.account, k.noOne = aurweb.Whoami(ctx, access)
	}
	return k.judge()
}

// judge decides. What the server would refuse fails; what could not be asked is unknown.
func (k known) judge() gate.Evidence {
	ev := gate.Evidence{Expected: k.name + " is free, or this account's"}
	unknown := func(format string, args ...any) gate.Evidence {
		ev.Summary = fmt.Sprintf(format, args...)
		return ev
	}
	// A rollback can take no other name; without the package, the others are still corrected.
	another, without := ", or take another name", ""
	if k.goesBack {
		another, without = "", "; or roll back without it: --without "+k.name
	}
	fail := func(found, format string, args ...any) gate.Evidence {
		ev.Verdict, ev.Found, ev.Summary = gate.Fail, found, fmt.Sprintf(format, args...)+without
		return ev
	}
	pass := func(found, format string, args ...any) gate.Evidence {
		ev.Verdict, ev.Found, ev.Summary = gate.Pass, found, fmt.Sprintf(format, args...)
		return ev
	}
	me := k.account.Name
	if k.wanted != "" && me != "" && k.wanted != me {
		return fail("the key of account "+me, "the key belongs to %s, and release.yaml wants %s: use that account's key", me, k.wanted)
	}
	if me == "" {
		me = k.wanted
	}
	if k.noIndex != nil {
		return unknown("cannot ask the AUR whose %s is: %v", k.name, k.noIndex)
	}
	if k.noOne != nil && (me == "" || !errors.Is(k.noOne, aurweb.ErrNoDoor)) {
		return unknown("cannot tell which account the key belongs to: %v", k.noOne)
	}
	var of *aurweb.Package
	for _, p := range sorted(k.packages) {
		if p.PackageBase != k.name {
			return fail("the name "+p.Name+" belongs to package base "+p.PackageBase,
				"package %s belongs to package base %s, and the AUR does not let another one take the name", p.Name, p.PackageBase)
		}
		of = &p
	}
	who := me
	if who == "" {
		who = "this account"
	}
	switch {
	case k.account.Maintains(k.name):
		return pass("this account's", "%s maintains %s", who, k.name)
	case of == nil && k.goesBack:
		return fail("deleted", "the AUR knows no %s: it was deleted, so nobody can install it, and a push would make it anew: leave level aur out "+
			"(--level github,git,hold); where it was pushed for the first time just now, run again when the AUR shows it", k.name)
	case of == nil && k.history:
		return pass("free, with a history", "%s is free; commits of a deleted package are there, and stay", k.name)
	case of == nil:
		return pass("free", "%s is free: the first push makes it", k.name)
	case of.Maintainer == "":
		return fail("orphaned", "%s is orphaned, and a push adopts nothing: ask for it on %s's page of the AUR%s", k.name, k.name, another)
	case of.Has(me):
		return pass("this account's", "%s may push %s", who, k.name)
	case me == "" && len(of.CoMaintainers) > 0:
		return unknown("%s belongs to %s and others, and the AUR did not say the account's name: set maintainer: in release.yaml", k.name, of.Maintainer)
	}
	return fail("maintained by "+of.Maintainer, "%s belongs to %s, and %s may not push it: ask to become a co-maintainer or use that account's key%s",
		k.name, of.Maintainer, who, another)
}

// sorted lists packages by name, so that what is said of them is always the same.
func sorted(packages map[string]aurweb.Package) (list []aurweb.Package) {
	for _, name := range slices.Sorted(maps.Keys(packages)) {
		list = append(list, packages[name])
	}
	return list
}
