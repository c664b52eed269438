// Package rehearsal stages the world that a rehearsed release goes out to: twins of the git remote, of GitHub and of the
// AUR on loopback, keys that are thrown away, and a look at what arrived.
//
//	DIR/origin.git        the git remote, from the repository's own history
//	DIR/github/           what GitHub holds in the end, by release and name
//	DIR/aur/NAME.git      the AUR's repositories
//	DIR/.twins/           keys, and files of the twins while they run
//
// A world may see several releases, one after the other.
package rehearsal

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/approval"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/twins/aur"
	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
	"github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/phases/internal/twins/origin"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Options say what is to be staged.
type Options struct {
	Dir        string            // an existing folder
	Repository string            // the user's repository, which is only read
	Branch     string            // of the git remote, at the base commit
	Base       string            // commit
	Tags       []string          // that the remote has already, by name
	Remote     string            // the git remote's URL; "": neither git nor GitHub
	Owner      string            // on GitHub
	Name       string            // likewise, the repository's
	Enterprise string            // name of a GitHub Enterprise server in the place of github.com
	AUR        map[string]string // remotes by package
	Roles      []string          // of approvers
	Faults     []string          // names: see [FaultNames]
	Immutable  bool              // the GitHub repository makes immutable releases

	// Hooks of tests: called when a request has arrived, and when it is done and not answered yet.
	GitHubArrived, GitHubHandled func(github.Request)
	GitArrived, GitHandled       func(gitd.Event)
	AURArrived, AURHandled       func(aur.Request)
}

// World is what was staged.
type World struct {
	Map    Map
	GitHub *github.Server     // nil where there is none
	Git    *gitd.Server       // likewise
	Origin *origin.Repository // likewise
	AUR    *aur.Server        // likewise

	o        Options
	clock    *endpoint.Hurried // of the twins
	keys     *keys
	verifier *approval.Verifier
	users    *Users
}

// Start stages a world. It stands until Close is called or the context ends.
func Start(ctx context.Context, o Options) (w *World, err error) {
	w = &World{o: o, clock: &endpoint.Hurried{}, Map: Map{Hosts: map[string]string{}, Git: map[string]string{}, Patience: endpoint.DefaultPatience}}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("cannot stage the rehearsal: %w", err), w.Close())
			w = nil
		}
	}()
	if w.keys, err = newKeys(filepath.Join(o.Dir, private, "keys"), o.Roles); err != nil {
		return w, err
	}
	if w.verifier, err = w.keys.verifier(); err != nil {
		return w, err
	}
	w.Map.Token, w.Map.SSHKey, w.Map.Signing = w.keys.token, w.keys.gitFile, w.keys.signing
	w.Map.KnownHosts = filepath.Join(o.Dir, private, "known_hosts")
	faults, err := plan(o.Faults)
	if err != nil {
		return w, err
	}
	var hosts []byte
	if o.Remote != "" {
		if err := w.startGitHub(ctx, faults); err != nil {
			return w, err
		}
		hosts = append(hosts, w.Git.KnownHosts()...)
	}
	if len(o.AUR) > 0 {
		if err := w.startAUR(ctx, faults); err != nil {
			return w, err
		}
		hosts = append(hosts, w.AUR.KnownHosts()...)
	}
	return w, os.WriteFile(w.Map.KnownHosts, hosts, 0o600)
}

// private is the folder of what nobody looks at afterwards.
const private = ".twins"

// owner is the name of whom the throw-away key and token stand for.
const owner = "rehearsal"

func (w *World) startGitHub(ctx context.Context, faults faults) (err error) {
	o := w.o
	dir := filepath.Join(o.Dir, "origin.git")
	if err := origin.Make(ctx, dir, o.Repository, o.Branch, o.Base, o.Tags...); err != nil {
		return err
	}
	if w.Origin, err = origin.Open(dir); err != nil {
		return err
	}
	w.GitHub, err = github.Start(ctx, github.Options{
		Dir: filepath.Join(o.Dir, private, "assets"), Public: true, Enterprise: o.Enterprise, Clock: w.clock,
		Repositories: []github.Repository{{Owner: o.Owner, Name: o.Name, DefaultBranch: o.Branch, Refs: w.Origin, Immutable: o.Immutable}},
		Tokens:       []github.Token{{Value: w.keys.token, Login: owner, Rights: github.Maintainer()}},
		Limits:       github.Limits{PerHour: -1, WritesPerMinute: -1, WritesPerHour: -1}, // nothing waits here
		Faults:       faults.github, Arrived: o.GitHubArrived, Handled: o.GitHubHandled,
	})
	if err != nil {
		return err
	}
	rules := origin.Rules{Protected: []string{o.Branch}, Locked: func(tag string) bool { return w.GitHub.TagLocked(o.Owner, o.Name, tag) }}
	w.Git, err = gitd.Start(ctx, gitd.Options{
		Dir: o.Dir, Accounts: []gitd.Account{{Name: owner, Keys: []ssh.PublicKey{w.keys.git}, Token: w.keys.token}},
		Update: rules.Update, Faults: faults.git, Arrived: o.GitArrived, Handled: o.GitHandled, Clock: w.clock,
	})
	if err != nil {
		return err
	}
	observed := func(cause string) { _ = w.Git.Observe("origin", cause) } // the history is for tests, which look at it whole
	w.Origin.Changed = observed
	observed("the beginning")
	w.Map.Git[o.Remote] = w.Git.SSHURL("git", "origin")
	if strings.HasPrefix(o.Remote, "https://") {
		w.Map.Git[o.Remote] = w.Git.HTTPURL("origin")
	}
	maps.Copy(w.Map.Hosts, w.GitHub.Listeners())
	return nil
}

func (w *World) startAUR(ctx context.Context, faults faults) (err error) {
	w.AUR, err = aur.Start(ctx, aur.Options{
		Dir: filepath.Join(w.o.Dir, "aur"), Accounts: []aur.Account{{Name: owner, Keys: []ssh.PublicKey{w.keys.git}}},
		RPCLimit: -1, Faults: faults.aur, Arrived: w.o.AURArrived, Handled: w.o.AURHandled, Clock: w.clock,
	})
	if err != nil {
		return err
	}
	for name, remote := range w.o.AUR {
		w.Map.Git[remote] = w.AUR.SSHURL(name)
	}
	maps.Copy(w.Map.Hosts, w.AUR.Listeners())
	return nil
}

// Verifier counts what [World.Sign] signs.
func (w *World) Verifier() gate.Verifier { return w.verifier }

// Sign signs a statement with the throw-away key of a role.
func (w *World) Sign(role string, statement []byte) ([]byte, error) {
	key, ok := w.keys.roles[role]
	if !ok {
		return nil, fmt.Errorf("cannot sign for %q: no approver has the role", role)
	}
	return approval.Sign(statement, key)
}

// Unstruck lists the faults that have not come about.
func (w *World) Unstruck() (out []string) {
	if w.GitHub != nil {
		for _, f := range w.GitHub.Pending() {
			out = append(out, "github: "+f.String())
		}
		for _, f := range w.Git.Pending() {
			out = append(out, "git: "+f.String())
		}
	}
	if w.AUR != nil {
		for _, f := range w.AUR.Pending() {
			out = append(out, "aur: "+f.String())
		}
	}
	return out
}

// Ahead is how far the twins' clock is ahead of the system's, by all that they were to wait for.
func (w *World) Ahead() time.Duration { return time.Until(w.clock.Now()) }

// Served says when the AUR's twin began to serve what it serves of a package now, by the twins' clock; false where it
// serves nothing.
func (w *World) Served(name string) (time.Time, bool) {
	if w.AUR == nil {
		return time.Time{}, false
	}
	h, err := w.AUR.History(name)
	return h.Last().Time, err == nil && len(h) > 0
}

// Close ends the twins, and leaves what they hold in the folder.
func (w *World) Close() error {
	var errs []error
	if w.Git != nil {
		errs = append(errs, w.Git.Close())
	}
	if w.GitHub != nil {
		errs = append(errs, w.GitHub.Export(filepath.Join(w.o.Dir, "github")), w.GitHub.Close())
	}
	if w.AUR != nil {
		errs = append(errs, w.AUR.Close())
	}
	return errors.Join(append(errs, os.RemoveAll(filepath.Join(w.o.Dir, private)))...)
}

// faults are plans for each twin.
type faults struct {
	github []github.Fault
	git    []gitd.Fault
	aur    []aur.Fault
}

// FaultNames lists the names that Options.Faults takes: TWIN/NAME.
func FaultNames() (names []string) {
	for twin, list := range map[string][]string{"github/": github.FaultNames(), "git/": gitd.FaultNames(), "aur/": aur.FaultNames()} {
		for _, name := range list {
			names = append(names, twin+name)
		}
	}
	slices.Sort(names)
	return names
}

func plan(names []string) (f faults, err error) {
	for _, name := range names {
		twin, rest, _ := strings.Cut(name, "/")
		switch twin {
		case "github":
			list, e := github.NamedFaults(rest)
			f.github, err = append(f.github, list...), e
		case "git":
			list, e := gitd.NamedFaults(rest)
			f.git, err = append(f.git, list...), e
		case "aur":
			list, e := aur.NamedFaults(rest)
			f.aur, err = append(f.aur, list...), e
		default:
			err = fmt.Errorf("cannot find fault %q: want one of github/NAME, git/NAME, aur/NAME", name)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}
