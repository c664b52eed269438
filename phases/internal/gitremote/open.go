package gitremote

import (
	"bytes"
	"context"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strings"
	"time"

	githttp "github.com/go-git/go-git/v5/plumbing/transport/http"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// Options are what [Open] finds credentials with. Nothing else of the machine is looked at.
type Options struct {
	Token  func() (user, secret string, err error) // the credential for https; nil: none. An empty user: x-access-token
	Getenv func(string) string                     // nil: no variable is set
	Home   string                                  // where .ssh/known_hosts lies; empty: nowhere
	HTTP   http.RoundTripper                       // nil: net/http's own
	Dial   time.Duration                           // zero: [DialTimeout]
	Idle   time.Duration                           // zero: [IdleTimeout]
}

// Open finds the credentials for a remote. It does not dial it.
func Open(ctx context.Context, r Remote, o Options) (Access, error) {
	p, err := parse(r.URL)
	if err != nil {
		return Access{}, err
	}
	if o.Getenv == nil {
		o.Getenv = func(string) string { return "" }
	}
	a := Access{URL: r.URL, http: o.HTTP, dial: o.Dial, idle: o.Idle}
	if p.scheme == "ssh" {
		err = a.useKey(ctx, p, r, o)
		return a, err
	}
	a.Identity = "nobody: no token is set"
	if o.Token == nil {
		return a, nil
	}
	user, secret, err := o.Token()
	if err != nil {
		return a, fmt.Errorf("cannot reach %s: %w", r.URL, err)
	}
	if user == "" {
		user = "x-access-token"
	}
	if secret != "" {
		a.Auth, a.Identity = &githttp.BasicAuth{Username: user, Password: secret}, "user "+user+" with a token"
	}
	return a, nil
}

// sshAuth is a user with keys, and the host keys that are trusted. It is one of go-git's ssh.AuthMethods as well.
type sshAuth struct {
	user    string
	keys    []ssh.Signer // empty: the agent's
	socket  string       // of the agent
	trusted *trusted
}

// Name is the name of the way to authenticate.
func (*sshAuth) Name() string { return "ssh-public-key" }

// String names the user.
func (a *sshAuth) String() string { return "user " + a.user + " with a public key" }

// ClientConfig is the configuration with the keys of a file; those of an agent need a connection to it, see config.
func (a *sshAuth) ClientConfig() (*ssh.ClientConfig, error) {
	callback, algorithms, err := a.trusted.check()
	return &ssh.ClientConfig{User: a.user, Auth: []ssh.AuthMethod{ssh.PublicKeys(a.keys...)}, HostKeyCallback: callback, HostKeyAlgorithms: algorithms}, err
}

// config is ClientConfig with the agent's keys. The connection to the agent must stay open until both sides know each
// other.
func (a *sshAuth) config(ctx context.Context) (*ssh.ClientConfig, io.Closer, error) {
	c, err := a.ClientConfig()
	if err != nil || len(a.keys) > 0 {
		return c, nil, err
	}
	conn, keys, err := askAgent(ctx, a.socket)
	if err != nil {
		return nil, nil, err
	}
	c.Auth = []ssh.AuthMethod{ssh.PublicKeys(keys...)}
	return c, conn, nil
}

func (a *Access) useKey(ctx context.Context, p place, r Remote, o Options) (err error) {
	auth := &sshAuth{user: p.user}
	if auth.trusted, err = trust(p.hostPort(), r.KnownHosts, o.Home); err != nil {
		return err
	}
	a.Auth = auth
	file := ""
	if r.KeyFile != "" {
		file = o.Getenv(r.KeyFile)
	}
	if file != "" {
		key, err := ReadKey(file, o.Getenv(r.KeyFile+"_PASSPHRASE"), r.KeyFile+"_PASSPHRASE")
		if err != nil {
			return err
		}
		auth.keys, a.Identity = []ssh.Signer{key}, ssh.FingerprintSHA256(key.PublicKey())
		return nil
	}
	if auth.socket = o.Getenv("SSH_AUTH_SOCK"); auth.socket == "" {
		hint := "start ssh-agent and add the key, or name a variable under key_file in release.yaml"
		if r.KeyFile != "" {
			hint = "set " + r.KeyFile + " to the path of the private key, or start ssh-agent and add the key"
		}
		return fmt.Errorf("cannot reach %s: %w: there is no key; %s", r.URL, ErrAuth, hint)
	}
	conn, keys, err := askAgent(ctx, auth.socket)
	if err != nil {
		return err
	}
	conn.Close()
	var names []string
	for _, key := range keys {
		names = append(names, ssh.FingerprintSHA256(key.PublicKey()))
	}
	a.Identity = "one of the agent's keys: " + strings.Join(names, ", ")
	if len(names) == 1 {
		a.Identity = names[0]
	}
	return nil
}

// askAgent lists the keys of an ssh-agent. Signing needs the connection.
func askAgent(ctx context.Context, socket string) (net.Conn, []ssh.Signer, error) {
	conn, err := (&net.Dialer{Timeout: DialTimeout}).DialContext(ctx, "unix", socket)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: the ssh-agent does not answer: %w", ErrAuth, err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	defer stop()
	keys, err := agent.NewClient(conn).Signers()
	if err == nil && len(keys) == 0 {
		err = errors.New("it has no keys; ssh-add adds one")
	}
	if err != nil {
		conn.Close()
		return nil, nil, fmt.Errorf("%w: the ssh-agent is of no use: %w", ErrAuth, err)
	}
	return conn, keys, nil
}

// maxKey is the size of the largest private key file that is read, in bytes. One of 16384 bits takes 13 KiB.
const maxKey = 64 << 10

// ReadKey reads a private key, also one whose lines were lost or got Windows line ends on the way through somebody's
// store of secrets. The variable is that of the passphrase, for messages. Neither key nor passphrase stand in errors.
func ReadKey(file, passphrase, variable string) (ssh.Signer, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot read the private key: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKey+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("cannot read the private key: %w", err)
	case len(content) > maxKey:
		return nil, fmt.Errorf("cannot use %s: it is too large for a private key", file)
	}
	key, err := parseKey(content, passphrase)
	var missing *ssh.PassphraseMissingError
	switch {
	case errors.As(err, &missing) && variable != "":
		return nil, fmt.Errorf("cannot use the private key %s: it is encrypted; set %s to its passphrase", file, variable)
	case errors.As(err, &missing):
		return nil, fmt.Errorf("cannot use the private key %s: it is encrypted, and no passphrase is given", file)
	case errors.Is(err, x509.IncorrectPasswordError):
		return nil, fmt.Errorf("cannot use the private key %s: the passphrase in %s is wrong", file, variable)
	case err != nil:
		return nil, fmt.Errorf("cannot use the private key %s: it is not one that ssh-keygen makes, or it is damaged", file)
	}
	return key, nil
}

func parseKey(content []byte, passphrase string) (ssh.Signer, error) {
	content = mendKey(content)
	key, err := ssh.ParsePrivateKey(content)
	var missing *ssh.PassphraseMissingError
	if errors.As(err, &missing) && passphrase != "" {
		return ssh.ParsePrivateKeyWithPassphrase(content, []byte(passphrase))
	}
	return key, err
}

var armor = regexp.MustCompile(`(?s)-----BEGIN ([A-Z0-9 ]+)-----(.*?)-----END ([A-Z0-9 ]+)-----`)

// mendKey puts the lines of a PEM block (RFC 7468) back in order. A body that is not base64 alone, as older formats
// have it, only loses its carriage returns.
func mendKey(content []byte) []byte {
	content = bytes.TrimPrefix(content, []byte("\ufeff"))
	content = bytes.ReplaceAll(content, []byte("\r\n"), []byte("\n"))
	content = bytes.ReplaceAll(content, []byte("\r"), []byte("\n"))
	m := armor.FindSubmatch(content)
	if m == nil || !bytes.Equal(m[1], m[3]) {
		return content
	}
	body := strings.Join(strings.Fields(strings.ReplaceAll(string(m[2]), `\n`, "\n")), "")
	der, err := base64.StdEncoding.DecodeString(body)
	if err != nil {
		return append(bytes.TrimSpace(content), '\n')
	}
	return pem.EncodeToMemory(&pem.Block{Type: string(m[1]), Bytes: der})
}
