package rehearsal

import (
	"context"
	"fmt"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/gitsign"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// Map says where twins stand for the world. It is data, so that another process can be told of the same twins.
type Map struct {
	Hosts      map[string]string `json:"hosts"`       // root of URLs as plans know it -> root that answers in its place
	Git        map[string]string `json:"git"`         // URL of a remote as plans know it -> the one that is dialled
	Token      string            `json:"token"`       // for GitHub and for git over https
	SSHKey     string            `json:"ssh_key"`     // file of the private key for git over ssh
	KnownHosts string            `json:"known_hosts"` // file
	Signing    map[string]string `json:"signing"`     // format, "ssh" or "openpgp" -> file of the private key
	Patience   time.Duration     `json:"patience"`
}

// Endpoints lead to the twins, and nowhere else. Waits between tries pass at once.
func (m Map) Endpoints() *endpoint.Endpoints {
	return &endpoint.Endpoints{
		HTTP: github.Transport(m.Hosts), Clock: &endpoint.Hurried{}, Pace: -1, Patience: m.Patience,
		Token: func() (hub.Token, error) { return hub.NewToken(m.Token, "the rehearsal's own") },
		Git: func(ctx context.Context, r gitremote.Remote) (gitremote.Access, error) {
			url, ok := m.Git[r.URL]
			if !ok {
				return gitremote.Access{}, fmt.Errorf("cannot reach %s: the rehearsal has no twin of it", r.URL)
			}
			twin := gitremote.Remote{URL: url, KnownHosts: m.KnownHosts, KeyFile: "KEY"}
			a, err := gitremote.Open(ctx, twin, gitremote.Options{
				Token:  func() (string, string, error) { return "x-access-token", m.Token, nil },
				Getenv: m.getenv,
			})
			a.Name = r.URL
			return a, err
		},
		Signer: func(ctx context.Context, s endpoint.Signing) (gitremote.Signer, error) {
			file, ok := m.Signing[s.Format]
			if !ok {
				return nil, fmt.Errorf("cannot sign: the rehearsal has no key of format %q", s.Format)
			}
			return gitsign.Open(ctx, gitsign.Key{Format: s.Format, KeyFile: "KEY"}, func(string) string { return file })
		},
	}
}

func (m Map) getenv(name string) string {
	if name == "KEY" {
		return m.SSHKey
	}
	return ""
}
