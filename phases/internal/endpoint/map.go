package endpoint

import (
	"context"
	"fmt"
	"net/http"
	"sync/atomic"
	"time"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/gitsign"
	"github.com/imrightguy/slipway/phases/internal/hub"
)

// Map says where twins stand for the world. It is data, so that another process can be told of the same twins.
type Map struct {
	Hosts      map[string]string `json:"hosts"`       // HOST or HOST:PORT as plans know it -> HOST:PORT that answers plain http
	Git        map[string]string `json:"git"`         // URL of a remote as plans know it -> the one that is dialled
	Token      string            `json:"token"`       // for GitHub and for git over https
	SSHKey     string            `json:"ssh_key"`     // file of the private key for git over ssh
	KnownHosts string            `json:"known_hosts"` // file
	Signing    map[string]string `json:"signing"`     // format, "ssh" or "openpgp" -> file of the private key
	Patience   time.Duration     `json:"patience"`
}

// Endpoints lead to the twins, and nowhere else. Waits between tries pass at once.
func (m Map) Endpoints() *Endpoints {
	return &Endpoints{
		HTTP: mapped{m.Hosts}, Clock: &Hurried{}, Pace: -1, Patience: m.Patience,
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
		Signer: func(ctx context.Context, s Signing) (gitremote.Signer, error) {
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

// mapped carries requests to where their hosts' twins listen.
type mapped struct{ hosts map[string]string }

// RoundTrip implements [http.RoundTripper].
func (m mapped) RoundTrip(r *http.Request) (*http.Response, error) {
	addr, ok := m.hosts[r.URL.Host]
	if !ok {
		if r.Body != nil {
			r.Body.Close()
		}
		return nil, fmt.Errorf("cannot reach %s: the rehearsal has no twin of it", r.URL.Host)
	}
	twin := r.Clone(r.Context())
	twin.URL.Scheme, twin.URL.Host, twin.Host = "http", addr, ""
	resp, err := direct.RoundTrip(twin)
	if resp != nil {
		resp.Request = r // whoever resolves a redirect must see the host that was asked
	}
	return resp, err
}

// direct asks no proxy: twins are on this machine.
var direct = func() *http.Transport {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil
	t.WriteBufferSize, t.ReadBufferSize = 256<<10, 256<<10
	return t
}()

// Hurried is a clock in which waits take no time: it goes forward by as much as was to be waited.
type Hurried struct {
	ahead atomicDuration
}

// Now is the time, ahead of the system's by all that was waited for.
func (c *Hurried) Now() time.Time { return time.Now().Add(c.ahead.load()) }

// Sleep lets d pass at once. It still gives way to others for a moment.
func (c *Hurried) Sleep(ctx context.Context, d time.Duration) error {
	c.ahead.add(d)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(d, 2*time.Millisecond)):
		return nil
	}
}

// atomicDuration is a duration that only grows.
type atomicDuration struct{ n atomic.Int64 }

func (a *atomicDuration) load() time.Duration { return time.Duration(a.n.Load()) }
func (a *atomicDuration) add(d time.Duration) { a.n.Add(int64(max(0, d))) }
