// Package endpoint says how the outside world is reached. A plan holds production names alone; what they stand for in
// a run is a value: the world itself, or twins of it.
package endpoint

import (
	"context"
	"fmt"
	"net/http"
	"sync"
	"time"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// Endpoints are the ways out of a run.
type Endpoints struct {
	// HTTP carries every HTTP request; nil: net/http's own transport.
	HTTP http.RoundTripper
	// Clock tells the time of waits and deadlines; nil: the system's. No artifact sees it.
	Clock hub.Clock
	// Pace is the least time between two writes to GitHub. Zero: what GitHub asks for. Negative: none.
	Pace time.Duration
	// Patience is how long a proof waits for what servers show late, such as the AUR's index. Zero: it looks once.
	Patience time.Duration
	// Token finds the credential for GitHub. Its error says how to give one.
	Token func() (hub.Token, error)
	// Git finds the way to a git remote. token is the credential for https.
	Git func(ctx context.Context, r gitremote.Remote) (gitremote.Access, error)
	// Signer signs commits and tags in a format, "ssh" or "openpgp"; see release.yaml's key sign.
	Signer func(ctx context.Context, s Signing) (gitremote.Signer, error)

	// Plan is the digest of the plan that is run.
	Plan string
	// Rehearsed reads the receipt of a rehearsal of the version, by its kind; see package rehearsed. Nil in a rehearsal.
	Rehearsed func(kind string) ([]byte, error)

	mu   sync.Mutex
	hubs map[[3]string]*hub.Client
}

// Signing says how git objects are signed. The key itself is no part of the configuration: the environment says where it
// lies.
type Signing struct {
	// Format is ssh or openpgp.
	Format string `yaml:"format" jsonschema:"required,enum=ssh,enum=openpgp"`
	// Key is the public key: a line as in a .pub file, or the fingerprint of an OpenPGP key. No other key is used.
	Key string `yaml:"key,omitempty"`
	// KeyFile is the name of the environment variable that says which file holds the private key. Left out: ssh-agent.
	KeyFile string `yaml:"key_file,omitempty"`
	// Passphrase is the name of the environment variable with the key's passphrase.
	Passphrase string `yaml:"passphrase,omitempty"`
}

// Of returns the endpoints that the step's run works with.
func Of(ws *pipeline.Workspace) (*Endpoints, error) {
	e, ok := ws.Endpoints.(*Endpoints)
	if !ok || e == nil {
		return nil, fmt.Errorf("cannot reach anything: the run has no endpoints")
	}
	return e, nil
}

// Hub returns the client for a repository on GitHub; the same for the same, so that all writes keep one pace. baseURL
// is empty for github.com.
func (e *Endpoints) Hub(owner, repo, baseURL string) (*hub.Client, error) {
	token, err := e.Token()
	if err != nil {
		return nil, err
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	o := hub.Options{Owner: owner, Repo: repo, BaseURL: baseURL, Token: token, Transport: e.HTTP, Clock: e.Clock, WriteInterval: e.Pace}
	key := [3]string{owner, repo, baseURL}
	if c := e.hubs[key]; c != nil {
		return c, nil
	}
	c, err := hub.New(o)
	if err == nil {
		if e.hubs == nil {
			e.hubs = map[[3]string]*hub.Client{}
		}
		e.hubs[key] = c
	}
	return c, err
}
