package aur

import (
	"context"
	"errors"
	"net"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
)

// Confirm says how a person makes sure of the AUR's host keys.
const Confirm = "compare the fingerprints with those on the front page of https://aur.archlinux.org, seen over another connection, " +
	"then put the lines into the file that known_hosts: names"

// Examination is what can be found out of a package's remote before a release, for a person to read. It holds no secret.
type Examination struct {
	Remote   string              // the URL
	Offered  []gitremote.HostKey // what the server shows to anybody; trusted by nobody
	Unseen   error               // why that could not be seen
	Key      string              // fingerprint of the key that would be used; "" for none
	Account  aurweb.Account      // whom the server takes the key for
	Maintain bool                // the account maintains the package
	Refused  error               // why the server was not asked, or did not let us in; it says what to do
}

// Examine looks at a package's remote: the host keys, the key, and whether the server lets its account in. It changes
// nothing there, and sends nothing to a server whose host key is not known.
func Examine(ctx context.Context, e *endpoint.Endpoints, name string, c Config, repoDir string) Examination {
	s := subject.Package{Name: name, Remote: c.remote(name, repoDir)}
	x := Examination{Remote: s.Remote.URL}
	access, err := s.Access(ctx, e)
	dialled := access.URL
	if dialled == "" {
		dialled = s.Remote.URL
	}
	door, doorErr := aurweb.Door(dialled)
	if doorErr == nil {
		x.Offered, x.Unseen = gitremote.Offered(ctx, known(door))
	} else {
		x.Unseen = doorErr
	}
	x.Key = access.Identity
	if x.Refused = err; err != nil {
		return x
	}
	x.Account, x.Refused = aurweb.Whoami(ctx, access)
	if errors.Is(x.Refused, aurweb.ErrNoDoor) {
		_, x.Refused = access.Refs(ctx)
	}
	x.Maintain = x.Account.Maintains(name)
	return x
}

// known is an address as known_hosts has it: without the port where it is ssh's own.
func known(hostport string) string {
	if host, port, err := net.SplitHostPort(hostport); err == nil && port == "22" {
		return host
	}
	return hostport
}
