// Package gitremote works on the branches and tags of a remote git repository, over ssh and https, without a working
// tree and without the machine's git settings.
package gitremote

import (
	"context"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Remote is a git remote as release.yaml says it.
type Remote struct {
	// URL is ssh://USER@HOST[:PORT]/PATH, USER@HOST:PATH or https://HOST/PATH.
	URL string
	// KnownHosts is the file with the host keys that are trusted, absolute; empty: the user's own.
	KnownHosts string
	// KeyFile names the environment variable that says which file holds the private key; empty, or not set: ssh-agent.
	KeyFile string
}

// Access is how a remote is reached.
type Access struct {
	URL      string               // what is dialled: the remote's, or where its twin listens
	Auth     transport.AuthMethod // nil: none
	Identity string               // as whom: a public key's fingerprint, or where the token came from; never a secret
}

// Signer signs git objects: it returns the armored signature of the object's bytes as they are without one.
type Signer interface {
	Sign(ctx context.Context, object []byte) (signature string, err error)
}
