package gitd

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"fmt"
	"maps"
	"net"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/knownhosts"
)

// kinds are the sorts of host keys a server has, as OpenSSH's own servers do by default.
var kinds = []string{ssh.KeyAlgoED25519, ssh.KeyAlgoECDSA256, ssh.KeyAlgoRSA}

// Each process makes its host keys once: an RSA key takes longer to make than most servers live, and a client tells servers
// apart by their ports. The others are what a changed host shows.
var (
	hostKeys  = sync.OnceValues(newKeys)
	otherKeys = sync.OnceValues(newKeys)
)

// A keyring holds the host keys of one server, one of each kind.
type keyring struct {
	mu  sync.Mutex
	now map[string]ssh.Signer
}

func (k *keyring) fill() error {
	made, err := hostKeys()
	k.mu.Lock()
	defer k.mu.Unlock()
	k.now = maps.Clone(made) // ChangeHostKey is for one server
	return err
}

// present returns the keys a connection is met with.
func (k *keyring) present(changed bool) ([]ssh.Signer, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	set := k.now
	if changed {
		var err error
		if set, err = otherKeys(); err != nil {
			return nil, err
		}
	}
	var list []ssh.Signer
	for _, kind := range kinds {
		list = append(list, set[kind])
	}
	return list, nil
}

func newKeys() (map[string]ssh.Signer, error) {
	set := map[string]ssh.Signer{}
	for _, kind := range kinds {
		key, err := newKey(kind)
		if err != nil {
			return nil, err
		}
		set[kind] = key
	}
	return set, nil
}

// newKey makes a host key; the curve and the length of RSA are what ssh-keygen -A takes at least.
func newKey(kind string) (ssh.Signer, error) {
	var key any
	var err error
	switch kind {
	case ssh.KeyAlgoED25519:
		_, key, err = ed25519.GenerateKey(rand.Reader)
	case ssh.KeyAlgoECDSA256:
		key, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	case ssh.KeyAlgoRSA:
		key, err = rsa.GenerateKey(rand.Reader, 2048)
	default:
		err = fmt.Errorf("there are %v", kinds)
	}
	if err != nil {
		return nil, fmt.Errorf("cannot make a host key %q: %w", kind, err)
	}
	return ssh.NewSignerFromKey(key)
}

// HostKeys returns the public host keys that new connections see.
func (s *Server) HostKeys() []ssh.PublicKey {
	signers, _ := s.keys.present(false) // made at the start
	var list []ssh.PublicKey
	for _, k := range signers {
		list = append(list, k.PublicKey())
	}
	return list
}

// KnownHosts returns the content of a known_hosts file with the host keys, in the format of sshd(8).
func (s *Server) KnownHosts() []byte {
	host, port, _ := net.SplitHostPort(s.SSHAddr())
	var b bytes.Buffer
	for _, k := range s.HostKeys() {
		b.WriteString(knownhosts.Line([]string{net.JoinHostPort(host, port)}, k) + "\n")
	}
	return b.Bytes()
}

// ChangeHostKey replaces a host key for the connections to come. kind is a key type as known_hosts has it, "ssh-ed25519",
// "ecdsa-sha2-nistp256" or "ssh-rsa".
func (s *Server) ChangeHostKey(kind string) error {
	key, err := newKey(kind)
	if err != nil {
		return err
	}
	s.keys.mu.Lock()
	defer s.keys.mu.Unlock()
	s.keys.now[kind] = key
	return nil
}
