// Package verify looks at a release from outside, as a user would: without a journal, and without rights. A token is
// used where there is one, because it raises limits; what needs none is asked without it, and every file is downloaded
// anonymously.
//
// What does not hold is a finding that failed; what could not be looked at is one that is unknown, and that is no
// success. Nothing is changed anywhere.
package verify

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Release is what is looked at, and what is known about it. Empty fields are not known, or not planned.
type Release struct {
	Version   version.Version // the build number counts where there is one
	Owner     string          // on GitHub
	Repo      string          // likewise, the repository's name
	BaseURL   string          // of the API; "": github.com
	Page      string          // of the repository, https://HOST/OWNER/REPO
	Remote    gitremote.Remote
	Tag       string
	TagForm   repo.TagForm
	Source    string // file with the version's source of truth; "": the tag's name is the source
	MergeInto string // branch that contains the release
	// Odd says that release.yaml lets prereleases, or versions older than the newest, become the latest release.
	Odd    bool
	Commit string             // that was released
	Assets map[string]Content // as they were made, by name; nil: the release's own checksums are what there is
	AUR    []Package
}

// Content is a number of bytes and their SHA-256 in lower-case hexadecimal.
type Content = hub.Content

// Package is a package of the Arch User Repository.
type Package struct {
	Name    string
	Remote  gitremote.Remote // as release.yaml has it; anybody reads over https
	Version string           // [epoch:]pkgver-pkgrel as it was made; "": any of the release's version
}

// Finding is one thing that was looked at.
type Finding struct {
	What    string
	Verdict gate.Verdict
	Found   string
}

// MarshalJSON writes the verdict as a word: pass, fail or unknown.
func (f Finding) MarshalJSON() ([]byte, error) {
	return json.Marshal(struct {
		What    string `json:"what"`
		Verdict string `json:"verdict"`
		Found   string `json:"found"`
	}{f.What, f.Verdict.String(), f.Found})
}

// OK reports whether it is as it should be.
func (f Finding) OK() bool { return f.Verdict == gate.Pass }

// looker looks at one release.
type looker struct {
	Release
	e     *endpoint.Endpoints
	hub   *hub.Client
	say   func(string)
	fetch *fetcher
	out   []Finding

	published hub.Release      // zero where there is none
	assets    map[string]asset // of it
	names     hub.Access       // the repository as GitHub spells it
}

// Look looks at everything. say, which may be nil, is told what is being looked at.
func Look(ctx context.Context, e *endpoint.Endpoints, r Release, say func(string)) []Finding {
	if say == nil {
		say = func(string) {}
	}
	l := &looker{Release: r, e: e, say: say, fetch: newFetcher(e)}
	l.say("the release's page")
	if err := l.connect(ctx); err != nil {
		l.unknown("release "+r.Tag, err)
	} else {
		l.page(ctx)
	}
	l.say("the tag")
	l.git(ctx)
	for _, p := range r.AUR {
		l.say("the AUR's " + p.Name)
		l.aur(ctx, p)
	}
	l.say("links")
	l.links(ctx)
	return l.out
}

func (l *looker) add(what string, v gate.Verdict, format string, args ...any) {
	l.out = append(l.out, Finding{what, v, fmt.Sprintf(format, args...)})
}

func (l *looker) pass(what, format string, args ...any) { l.add(what, gate.Pass, format, args...) }
func (l *looker) fail(what, format string, args ...any) { l.add(what, gate.Fail, format, args...) }
func (l *looker) unknown(what string, err error)        { l.add(what, gate.Unknown, "%v", err) }

// settle adds one finding: what is wrong, else why it is not known, else what was found.
func (l *looker) settle(what string, wrong []string, err error, format string, args ...any) {
	switch {
	case len(wrong) > 0:
		l.fail(what, "%s", strings.Join(wrong, "; "))
	case err != nil:
		l.unknown(what, err)
	default:
		l.pass(what, format, args...)
	}
}

// callTime and tries bound one question: nobody waits for long to be told that there is no network.
const (
	callTime = 20 * time.Second
	tries    = 3
	maxWait  = time.Minute
)

// connect makes the client. A token that is refused is not used.
func (l *looker) connect(ctx context.Context) error {
	o := hub.Options{
		Owner: l.Owner, Repo: l.Repo, BaseURL: l.BaseURL, Transport: l.e.HTTP, Clock: l.e.Clock, WriteInterval: l.e.Pace,
		Tries: tries, MaxWait: maxWait, CallTimeout: callTime,
	}
	if t, err := l.e.Token(); err == nil {
		o.Token = t
	}
	var err error
	if l.hub, err = hub.New(o); err != nil {
		return err
	}
	l.names, err = l.hub.Access(ctx)
	if errors.Is(err, hub.ErrUnauthorized) && o.Token.Set() {
		o.Token = hub.Token{}
		if l.hub, err = hub.New(o); err == nil {
			l.names, err = l.hub.Access(ctx)
		}
	}
	if errors.Is(err, hub.ErrNotFound) {
		return fmt.Errorf("the public cannot see a repository %s/%s: %w", l.Owner, l.Repo, err)
	}
	return err
}

// transport carries requests; never nil.
func transport(e *endpoint.Endpoints) http.RoundTripper {
	if e.HTTP != nil {
		return e.HTTP
	}
	return http.DefaultTransport
}

// clock lets waits pass; never nil.
func clock(e *endpoint.Endpoints) hub.Clock {
	if e.Clock != nil {
		return e.Clock
	}
	return hub.SystemClock
}
