package gitremote

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"

	"github.com/skeema/knownhosts"
	"golang.org/x/crypto/ssh"
)

// trusted are the keys that a host may show.
type trusted struct {
	addr  string   // host:port
	files []string // where they stand
	db    *knownhosts.HostKeyDB
}

// system is the machine's known_hosts, sshd(8).
const system = "/etc/ssh/ssh_known_hosts"

// trust reads known_hosts. A file that was named must be there.
func trust(addr, file, home string) (*trusted, error) {
	t := &trusted{addr: addr, files: []string{file}}
	if file == "" {
		t.files = nil
		for _, f := range []string{filepath.Join(home, ".ssh", "known_hosts"), system} {
			if _, err := os.Stat(f); err == nil && (home != "" || f == system) {
				t.files = append(t.files, f)
			} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
				return nil, fmt.Errorf("cannot read the known host keys: %w", err)
			}
		}
	}
	var err error
	if t.db, err = knownhosts.NewDB(t.files...); err != nil {
		return nil, fmt.Errorf("cannot read the known host keys: %w", err)
	}
	return t, nil
}

// check returns what ssh needs to check the host. Only the kinds of key that are known are asked for: else a host with
// keys of several kinds may show one that is not, which looks like a change.
func (t *trusted) check() (ssh.HostKeyCallback, []string, error) {
	algorithms := t.db.HostKeyAlgorithms(t.addr)
	if len(algorithms) == 0 {
		return nil, nil, t.unknown()
	}
	known := t.db.HostKeyCallback()
	return func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := known(host, remote, key)
		switch {
		case err == nil:
			return nil
		case knownhosts.IsHostUnknown(err):
			return t.unknown()
		}
		return t.changed("it is " + key.Type() + " " + ssh.FingerprintSHA256(key))
	}, algorithms, nil
}

func (t *trusted) where() string {
	if len(t.files) == 0 {
		return "~/.ssh/known_hosts"
	}
	return strings.Join(t.files, " or ")
}

func (t *trusted) unknown() error {
	return fmt.Errorf("cannot trust %s: %w: no key of it stands in %s; compare the keys that slipway doctor shows with those that its owner publishes, and add the line",
		t.addr, ErrUnknownHost, t.where())
}

func (t *trusted) changed(how string) error {
	return fmt.Errorf("cannot trust %s: %w: %s, and %s says otherwise; either somebody listens in, or its owner has announced a new key: find out before you replace the line",
		t.addr, ErrHostChanged, how, t.where())
}

// HostKey is a key that a server shows.
type HostKey struct {
	Type        string // ssh-ed25519, ecdsa-sha2-nistp256, ssh-rsa ...
	Fingerprint string // SHA256:...
	Line        string // for known_hosts, sshd(8)
}

// offers are the algorithms by kind of key, best first.
var offers = [][]string{
	{ssh.KeyAlgoED25519}, {ssh.KeyAlgoECDSA256}, {ssh.KeyAlgoECDSA384}, {ssh.KeyAlgoECDSA521}, {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
}

// Offered asks a server, "host" or "host:port", for all of its host keys. They are shown to a person and trusted by
// nobody: whoever sits in between could show others.
func Offered(ctx context.Context, hostport string) ([]HostKey, error) {
	if _, _, err := net.SplitHostPort(hostport); err != nil {
		hostport = net.JoinHostPort(strings.Trim(hostport, "[]"), "22")
	}
	ctx, cancel := context.WithTimeout(ctx, DialTimeout)
	defer cancel()
	var keys []HostKey
	for _, algorithms := range offers {
		key, err := offered(ctx, hostport, algorithms)
		if err != nil {
			return keys, fmt.Errorf("cannot ask %s for its host keys: %w", hostport, err)
		}
		if key != nil {
			keys = append(keys, HostKey{key.Type(), ssh.FingerprintSHA256(key), knownhosts.Line([]string{hostport}, key)})
		}
	}
	if len(keys) == 0 {
		return nil, fmt.Errorf("cannot ask %s for its host keys: it has none of a kind that can be used", hostport)
	}
	return keys, nil
}

var errSeen = errors.New("the key has been seen")

// offered is the key that a server shows for these algorithms, nil for none.
func offered(ctx context.Context, addr string, algorithms []string) (key ssh.PublicKey, err error) {
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { conn.Close() })()
	_, _, _, err = ssh.NewClientConn(conn, addr, &ssh.ClientConfig{
		User: "git", HostKeyAlgorithms: algorithms,
		HostKeyCallback: func(_ string, _ net.Addr, k ssh.PublicKey) error { key = k; return errSeen },
	})
	var other *ssh.AlgorithmNegotiationError
	switch {
	case key != nil, errors.As(err, &other):
		return key, nil
	case ctx.Err() != nil:
		return nil, ctx.Err()
	}
	return nil, err
}
