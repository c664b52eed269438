package rehearsal

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"sync"

	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/sandbox"
)

// Return is what a rollback should have led to, for users.
type Return struct {
	Older, OlderTag string // that they are brought back to
	Bad, BadTag     string // that is rolled back
	Next            string // pkgver of the version to come
	Withdrawn       bool   // the release on GitHub is withdrawn
	AUR             bool   // AUR packages are corrected
	// HasDeb says that there are packages of Debian; Deb has their upstream versions for Older, Bad and "next".
	HasDeb bool
	Deb    map[string]string
}

// CameBack looks at what users get after a rollback, with the programs that they have: the release page as a browser
// asks for it, and packages as pacman installs and upgrades them. Users must have installed [HadOlder] and [HadBad];
// they install [HasBack] here. The second result are things that could not be looked at on this machine.
func (w *World) CameBack(ctx context.Context, want Return) ([]Arrival, []string, error) {
	b := &back{look: look{w: w, ctx: ctx}, u: w.Users(), want: want}
	if want.Withdrawn {
		b.page()
	}
	if want.AUR {
		if err := b.u.Install(ctx, HasBack); err != nil {
			b.add("what the AUR has after the rollback", "", err)
			return b.out, b.not, ctx.Err()
		}
		for _, name := range slices.Sorted(maps.Keys(b.u.has[HasBack])) {
			if err := b.pacman(name); err != nil {
				return b.out, b.not, err
			}
		}
	}
	if want.HasDeb {
		b.apt()
	}
	return b.out, b.not, ctx.Err()
}

type back struct {
	look
	u    *Users
	want Return
	not  []string // covered
}

func (b *back) missing(format string, args ...any) {
	b.not = append(b.not, fmt.Sprintf(format, args...))
}

// page looks at the release page without any credential.
func (b *back) page() {
	api := "https://api.github.com/repos/" + url.PathEscape(b.w.o.Owner) + "/" + url.PathEscape(b.w.o.Name) + "/releases/"
	var release struct {
		Tag        string `json:"tag_name"`
		Prerelease bool   `json:"prerelease"`
		Body       string `json:"body"`
	}
	ask := func(what string) (int, error) {
		resp, err := b.u.get(b.ctx, api+what)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusOK {
			return resp.StatusCode, nil
		}
		return resp.StatusCode, json.NewDecoder(io.LimitReader(resp.Body, 1<<20)).Decode(&release)
	}
	status, err := ask("latest")
	if err == nil && (status != http.StatusOK || release.Tag != b.want.OlderTag) {
		err = fmt.Errorf("it is %q (status %d)", release.Tag, status)
	}
	b.add("the latest release", b.want.OlderTag, err)
	status, err = ask("tags/" + url.PathEscape(b.want.BadTag))
	found := "nobody sees it"
	switch {
	case err != nil:
	case status == http.StatusOK && release.Prerelease && strings.HasPrefix(release.Body, "> [!CAUTION]\n") && strings.Contains(release.Body, " has been withdrawn: use "+b.want.Older+"."):
		found = "a prerelease with a notice"
	case status != http.StatusNotFound:
		err = fmt.Errorf("everybody sees it (status %d)", status)
	}
	b.add("release "+b.want.BadTag, found, err)
}

// pacman follows the users of one AUR package.
func (b *back) pacman(name string) error {
	older, bad, is := b.u.has[HadOlder][name], b.u.has[HadBad][name], b.u.has[HasBack][name]
	what := "AUR " + name
	if bad == nil {
		b.missing("%s: %s was never published there", what, b.want.Bad)
		return nil
	}
	var err error
	if pkgbuild.Vercmp(is.version, bad.version) <= 0 {
		err = fmt.Errorf("%s is not newer than %s", is.version, bad.version)
	}
	b.add(what+" has a newer version", is.version+" after "+bad.version, err)
	b.index(name, is)
	if older != nil {
		links, err := b.u.fetch(b.ctx, older, "")
		if err == nil && links == 0 {
			err = errors.New("there are none")
		}
		b.add(what+", links of "+older.version+" in its history", fmt.Sprintf("%d, which resolve and have their sums", links), err)
	} else {
		b.missing("%s: it had no older version in the rehearsal", what)
	}
	next, err := b.u.next(b.ctx, name, b.want.Next)
	if err != nil {
		return fmt.Errorf("cannot make the next version of %s: %w", name, err)
	}
	next.version = b.want.Next + "-1"
	if epoch, _, ok := strings.Cut(is.version, ":"); ok {
		next.version = epoch + ":" + next.version
	}
	for _, i := range []*installed{bad, is, next} {
		if i.file == "" {
			b.missing("%s: what pacman does (%v)", what, i.why)
			return nil
		}
	}
	b.together(
		func(b *back) {
			if older != nil && older.file != "" {
				b.add(what+", what it installs", "file by file that of "+b.want.Older, b.u.sameFiles(b.ctx, older, is))
			}
		},
		func(b *back) { b.upgrade(what+", pacman -Syu from "+bad.version, bad, is) },
		func(b *back) { b.fresh(what, is) },
		func(b *back) { b.upgrade(what+", the next version after the rollback", is, next) },
		func(b *back) { b.upgrade(what+", the next version from "+bad.version, bad, next) },
	)
	return b.ctx.Err()
}

// together makes looks side by side, two at a time since each holds packages in memory, and notes what they find in their
// order.
func (b *back) together(looks ...func(*back)) {
	found, turn := make([]back, len(looks)), make(chan struct{}, 2)
	var all sync.WaitGroup
	for i, f := range looks {
		found[i] = back{look: look{w: b.w, ctx: b.ctx}, u: b.u, want: b.want}
		all.Go(func() {
			turn <- struct{}{}
			defer func() { <-turn }()
			f(&found[i])
		})
	}
	all.Wait()
	for _, x := range found {
		b.out, b.not = append(b.out, x.out...), append(b.not, x.not...)
	}
}

// index compares what the AUR's web interface says.
func (b *back) index(name string, is *installed) {
	index, err := aurweb.New(aurweb.Options{BaseURL: "https://aur.archlinux.org", Transport: b.w.Map.Endpoints().HTTP, Clock: &endpoint.Hurried{}})
	var infos map[string]aurweb.Package
	if err == nil {
		infos, err = index.Info(b.ctx, name)
	}
	if err == nil && infos[name].Version != is.version {
		err = fmt.Errorf("it shows %q", infos[name].Version)
	}
	b.add("AUR "+name+" index", is.version, err)
}

// upgrade lets a user who has one package upgrade the system.
func (b *back) upgrade(what string, from, to *installed) {
	up, err := makepkg.Upgrade(b.ctx, from.file, to.file)
	switch {
	case cannot(err):
		b.missing("%s (%v)", what, err)
		return
	case err == nil && up.Scriptlet:
		b.missing("%s: it has a scriptlet, which is not run here", what)
		return
	case err == nil && up.To != to.version:
		err = fmt.Errorf("it ends with %s, want %s", up.To, to.version)
	case err == nil && (up.Altered > 0 || up.Total == 0):
		err = fmt.Errorf("%d of %d files are not those of the package", up.Altered, up.Total)
	}
	b.add(what, fmt.Sprintf("ends with %s, %d files", up.To, up.Total), err)
}

// fresh lets somebody install the package who never had it.
func (b *back) fresh(what string, is *installed) {
	what += ", a new installation"
	r, err := makepkg.InstallRemove(b.ctx, is.file)
	switch {
	case cannot(err):
		b.missing("%s (%v)", what, err)
		return
	case err == nil && r.Scriptlet:
		b.missing("%s: it has a scriptlet, which is not run here", what)
		return
	case err == nil && r.Version != is.version:
		err = fmt.Errorf("it is %s, want %s", r.Version, is.version)
	case err == nil && (!r.Clean() || r.Total == 0):
		err = fmt.Errorf("%d of %d files altered, %d left behind", r.Altered, r.Total, len(r.Leftovers))
	}
	b.add(what, fmt.Sprintf("is %s, %d files", r.Version, r.Total), err)
}

// apt finds out what apt takes for newer: no rollback makes a DEB, and that is what its users are told.
func (b *back) apt() {
	dpkg := sandbox.Look("dpkg")
	if dpkg == "" {
		b.missing("what apt takes for newer (dpkg is missing: apt install dpkg)")
		return
	}
	older, bad, next := b.want.Deb[b.want.Older], b.want.Deb[b.want.Bad], b.want.Deb["next"]
	for _, x := range []struct{ what, newer, than string }{
		{"apt stays with " + bad + " by itself", bad, older},
		{"apt goes on from " + bad + " to " + next, next, bad},
	} {
		cmd := exec.CommandContext(b.ctx, dpkg, "--compare-versions", x.newer, "gt", x.than)
		cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
		err := cmd.Run()
		if _, no := errors.AsType[*exec.ExitError](err); no {
			err = fmt.Errorf("dpkg does not take %s for newer than %s", x.newer, x.than)
		}
		b.add(x.what, x.newer+" is newer than "+x.than, err)
	}
}
