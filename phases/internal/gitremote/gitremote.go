// Package gitremote works on the branches and tags of a remote git repository, over ssh and https, without a working
// tree and without the machine's git and ssh settings.
//
// It speaks git's pack protocol itself (gitprotocol-pack(5), version 0) with go-git's encoders, instead of going through
// go-git's remote: there a dial does not end with its context, ~/.ssh/config may lead to another host, an https push lies
// in memory, a hook's reasons get lost, and a push whose answer did not come looks like one that was refused.
//
// A host key counts only if it stands in known_hosts; nothing is trusted because it came first. A push creates a ref or
// moves a branch forward. It never forces, and it never moves a tag.
package gitremote

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"time"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/transport"
)

// Remote is a git remote as release.yaml says it.
type Remote struct {
	// URL is ssh://USER@HOST[:PORT]/PATH, USER@HOST:PATH or https://HOST/PATH.
	URL string
	// KnownHosts is the file with the host keys that are trusted, absolute; empty: the user's own.
	KnownHosts string
	// KeyFile names the environment variable that says which file holds the private key; empty, or not set: ssh-agent.
	// The passphrase of an encrypted key stands in the variable of that name with _PASSPHRASE behind it.
	KeyFile string
}

// Access is how a remote is reached.
type Access struct {
	URL      string               // what is dialled: the remote's, or where its twin listens
	Auth     transport.AuthMethod // nil: none
	Identity string               // as whom: a public key's fingerprint, or where the token came from; never a secret
	Name     string               // what messages call the remote, where that is not the URL

	http http.RoundTripper
	dial time.Duration
	idle time.Duration
}

// shown is what messages call the remote.
func (a Access) shown() string { return cmp.Or(a.Name, a.URL) }

// Signer signs git objects: it returns the armored signature of the object's bytes as they are without one.
type Signer interface {
	Sign(ctx context.Context, object []byte) (signature string, err error)
}

// How long nothing may happen, where [Options] do not say.
const (
	DialTimeout = 30 * time.Second // until the connection stands and both sides know each other
	IdleTimeout = 2 * time.Minute  // between two bytes; git's servers send a sign of life every 5 s while hooks work
)

// What can go wrong at a remote. The errors that wrap these say what to do.
var (
	ErrUnknownHost    = errors.New("the host is not known")
	ErrHostChanged    = errors.New("the host shows another key than the known one")
	ErrAuth           = errors.New("the remote does not let us in")
	ErrNoRepository   = errors.New("there is no such repository, or we may not see it")
	ErrNotFastForward = errors.New("somebody else has pushed in the meantime")
	ErrExists         = errors.New("something else is there already")
	ErrLost           = errors.New("the connection was lost before the answer: whether the remote has done it is not known")
)

// RefusedError says that the remote declined what was asked: nothing has changed there.
type RefusedError struct {
	Lines []string // what it said, for people; made printable
}

// Error shows what the remote said.
func (e *RefusedError) Error() string {
	if len(e.Lines) == 0 {
		return "the remote refused, and gave no reason"
	}
	return "the remote refused: " + strings.Join(e.Lines, "; ")
}

// place is a remote's address in its parts.
type place struct {
	scheme     string // ssh, https or http
	user, host string // host with its port where one is written
	path       string
}

var (
	scp      = regexp.MustCompile(`^([^@:/]+)@([^@:/]+):([^:]+)$`)
	userName = regexp.MustCompile(`^[A-Za-z0-9_][A-Za-z0-9._-]*$`)
	hostName = regexp.MustCompile(`^([A-Za-z0-9_][A-Za-z0-9._-]*|\[[0-9A-Fa-f:.]+\])$`)
	pathName = regexp.MustCompile(`^[A-Za-z0-9._~+@/-]+$`)
)

// parse takes a URL apart. Whatever a shell, ssh or git could take for something else than a name is refused.
func parse(text string) (p place, err error) {
	if strings.ContainsFunc(text, func(r rune) bool { return unicode.IsControl(r) || unicode.IsSpace(r) }) {
		return p, fmt.Errorf("%q is not a git remote: it holds a space or a control character", text)
	}
	port := ""
	if m := scp.FindStringSubmatch(text); m != nil && !strings.Contains(text, "://") {
		p = place{scheme: "ssh", user: m[1], host: m[2], path: m[3]}
	} else {
		u, err := url.Parse(text)
		if err != nil || u.Scheme == "" || u.Host == "" {
			return p, fmt.Errorf("%q is not a git remote; want https://HOST/PATH, ssh://USER@HOST/PATH or USER@HOST:PATH", visible(text))
		}
		if _, secret := u.User.Password(); secret || u.User != nil && u.Scheme != "ssh" {
			return p, errors.New("the git remote's address holds a user name or a password; credentials are given in other ways")
		}
		if u.RawQuery != "" || u.Fragment != "" || u.RawPath != "" || u.Opaque != "" {
			return p, fmt.Errorf("%q is not a git remote: there is more than a path in it", text)
		}
		p = place{scheme: u.Scheme, user: u.User.Username(), host: u.Hostname(), path: u.Path}
		if strings.Contains(p.host, ":") {
			p.host = "[" + p.host + "]"
		}
		port = u.Port()
	}
	base := strings.Trim(p.path, "/")
	switch {
	case p.scheme != "ssh" && p.scheme != "https" && p.scheme != "http":
		return p, fmt.Errorf("%q is not a git remote that can be used: want ssh or https", text)
	case p.scheme == "ssh" && !userName.MatchString(p.user):
		return p, fmt.Errorf("%q does not say as which user; want ssh://git@HOST/PATH", text)
	case !hostName.MatchString(p.host):
		return p, fmt.Errorf("%q is not a git remote: %q is not a host", text, p.host)
	case base == "" || !pathName.MatchString(p.path) || strings.HasPrefix(base, "-") || strings.Contains("/"+base+"/", "/../"):
		return p, fmt.Errorf("%q is not a git remote: %q is not a repository's path", text, p.path)
	case p.scheme == "http" && !loopback(p.host):
		return p, fmt.Errorf("%q would send the token in the clear; want https", text)
	}
	if port != "" {
		p.host += ":" + port
	}
	return p, nil
}

// visible leaves out what could be a credential in an address that nobody understands.
func visible(text string) string {
	if before, after, ok := strings.Cut(text, "@"); ok && strings.Contains(before, ":") {
		return "[hidden]@" + after
	}
	return text
}

func loopback(host string) bool {
	ip := net.ParseIP(strings.Trim(host, "[]"))
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// hostPort is where ssh dials.
func (p place) hostPort() string {
	if _, _, err := net.SplitHostPort(p.host); err == nil {
		return p.host
	}
	return net.JoinHostPort(strings.Trim(p.host, "[]"), "22")
}

var variable = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// Validate refuses a remote that cannot be meant.
func (r Remote) Validate() error {
	p, err := parse(r.URL)
	switch {
	case err != nil:
		return err
	case p.scheme == "http":
		return fmt.Errorf("%q is not encrypted; want https", r.URL)
	case r.KeyFile != "" && !variable.MatchString(r.KeyFile):
		return fmt.Errorf("%q is not the name of an environment variable; the key itself, or its path, does not stand in release.yaml", r.KeyFile)
	case p.scheme != "ssh" && r.KeyFile != "":
		return fmt.Errorf("%q needs no key file: that is for ssh", r.URL)
	case p.scheme != "ssh" && r.KnownHosts != "":
		return fmt.Errorf("%q needs no known_hosts: that is for ssh", r.URL)
	case r.KnownHosts != "" && !filepath.IsAbs(r.KnownHosts):
		return fmt.Errorf("known_hosts %q is not an absolute path", r.KnownHosts)
	}
	return nil
}
