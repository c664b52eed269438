package phases

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/phases/aur"
	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// Remote is what can be found out of a remote before a release, for a person to read. It holds no secret.
type Remote struct {
	Name    string
	Verdict gate.Verdict // of what was asked; unknown where there was no answer
	Absent  bool         // there is no credential on this machine, which another may have
	Found   string
	Hint    string
	Offered []gitremote.HostKey // where the host key is not the known one: what the server shows
}

// remoteTime bounds what is asked of one remote.
const remoteTime = 8 * time.Second

// ExamineRemotes asks every remote that a configuration names whom it takes us for and whether we may write. It changes
// nothing, shows nothing secret, and ends within seconds without a network.
func ExamineRemotes(ctx context.Context, e *Endpoints, c *Config, r *Repository) []Remote {
	if c.Release == nil {
		return nil
	}
	v := Version{Core: "0.0.0"}
	w, err := outside(c, r, v)
	if err != nil {
		return []Remote{{Name: "remotes", Found: err.Error()}}
	}
	looks := []func(context.Context) Remote{
		func(ctx context.Context) Remote { return examineGitHub(ctx, e, c) },
		func(ctx context.Context) Remote { return examineGit(ctx, e, w.Remote) },
	}
	for _, p := range w.AUR {
		looks = append(looks, func(ctx context.Context) Remote { return examineAUR(ctx, e, p.Name, c.AUR[p.Name], r.Root()) })
	}
	out := make([]Remote, len(looks))
	var all sync.WaitGroup
	for i, look := range looks {
		all.Go(func() {
			within, cancel := context.WithTimeout(ctx, remoteTime)
			defer cancel()
			out[i] = look(within)
			if within.Err() != nil && out[i].Verdict == gate.Unknown && !out[i].Absent {
				out[i].Found = fmt.Sprintf("no answer within %s", remoteTime)
			}
		})
	}
	all.Wait()
	return out
}

func examineGitHub(ctx context.Context, e *Endpoints, c *Config) Remote {
	g := c.Release.GitHub
	x := Remote{Name: g.Page()}
	token, err := e.Token()
	if err != nil {
		x.Absent, x.Found = errors.Is(err, hub.ErrNoToken), err.Error()
		return x
	}
	client, err := e.Hub(g.Owner, g.Repo, g.BaseURL)
	if err != nil {
		x.Found = err.Error()
		return x
	}
	login, err := client.Login(ctx)
	var access hub.Access
	if err == nil {
		access, err = client.Access(ctx)
	}
	switch {
	case errors.Is(err, hub.ErrUnauthorized), errors.Is(err, hub.ErrForbidden), errors.Is(err, hub.ErrNotFound):
		x.Verdict, x.Found = gate.Fail, fmt.Sprintf("%s: %v", token, err)
		return x
	case err != nil:
		x.Found = err.Error()
		return x
	}
	who := cmp.Or(login, "an app, not a person")
	x.Verdict, x.Found = gate.Pass, fmt.Sprintf("%s is that of %s, who may write", token, who)
	switch {
	case access.Archived:
		x.Verdict, x.Found = gate.Fail, "the repository is archived: it takes no writes"
	case !access.Push:
		x.Verdict, x.Found = gate.Fail, fmt.Sprintf("%s is that of %s, who may not write", token, who)
		x.Hint = "a fine-grained token needs Contents: read and write; a classic one the scope repo"
	}
	if rate, err := client.RateLimit(ctx); err == nil {
		x.Found += fmt.Sprintf("; %d of %d requests are left until %s", rate.Remaining, rate.Limit, rate.Reset.UTC().Format("15:04 UTC"))
	}
	return x
}

func examineGit(ctx context.Context, e *Endpoints, r gitremote.Remote) Remote {
	x := Remote{Name: r.URL}
	a, err := e.Git(ctx, r)
	if err == nil {
		if err = a.CanPush(ctx); err == nil {
			x.Verdict, x.Found = gate.Pass, "lets us push as "+a.Identity
			return x
		}
	}
	x.refused(ctx, err, a, cmp.Or(a.URL, r.URL))
	return x
}

// refused says why a git remote does not let us in. dialled is its address.
func (x *Remote) refused(ctx context.Context, err error, a gitremote.Access, dialled string) {
	x.Found = err.Error()
	switch {
	case errors.Is(err, hub.ErrNoToken), errors.Is(err, gitremote.ErrAuth) && a.Identity == "":
		x.Absent = true
	case errors.Is(err, gitremote.ErrUnknownHost), errors.Is(err, gitremote.ErrHostChanged):
		x.Verdict = gate.Fail
		x.Hint = "compare the fingerprints with those that the server's owner publishes, seen over another connection; then put the line into known_hosts"
		if host, doorErr := aurweb.Door(dialled); doorErr == nil {
			if h, port, splitErr := net.SplitHostPort(host); splitErr == nil && port == "22" {
				host = h // as known_hosts has it
			}
			x.Offered, _ = gitremote.Offered(ctx, host) // nothing to show is no other answer
		}
	case errors.Is(err, gitremote.ErrAuth), errors.Is(err, gitremote.ErrNoRepository):
		x.Verdict = gate.Fail
		if a.Identity != "" && !strings.Contains(x.Found, a.Identity) {
			x.Found += "; tried as " + a.Identity
		}
	}
}

func examineAUR(ctx context.Context, e *Endpoints, name string, c aur.Config, root string) Remote {
	seen := aur.Examine(ctx, e, name, c, root)
	x := Remote{Name: seen.Remote}
	if seen.Refused != nil {
		x.refused(ctx, seen.Refused, gitremote.Access{Identity: seen.Key}, "")
		if errors.Is(seen.Refused, gitremote.ErrNoRepository) { // it is made by the first push
			x.Verdict, x.Found = gate.Pass, "a new package; key "+seen.Key
		}
		if x.Hint != "" {
			x.Hint, x.Offered = aur.Confirm, seen.Offered
		}
		return x
	}
	x.Verdict, x.Found = gate.Pass, fmt.Sprintf("key %s is that of account %s", seen.Key, cmp.Or(seen.Account.Name, "(no name was said)"))
	switch {
	case seen.Maintain:
		x.Found += ", who maintains " + name
	default:
		x.Found += ", who does not maintain " + name + ": it is new, co-maintained, or somebody else's"
	}
	return x
}

// mergeGit is the version of git that can merge without a working tree: git-merge-tree(1), --write-tree.
const mergeGit = ">=2.38"

// ExamineMerge looks for a git that can make the merge; planned is false where there is none.
func ExamineMerge(ctx context.Context, c *Config) (f requirement.Finding, planned bool) {
	if c.Release == nil || c.Release.Git.MergeInto == "" {
		return f, false
	}
	return requirement.Examine(ctx, "git", requirement.Config{Range: mergeGit}), true
}
