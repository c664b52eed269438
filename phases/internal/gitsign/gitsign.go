// Package gitsign signs git objects, in the two formats that git verifies: SSH signatures (SSHSIG, namespace "git", with
// SHA-512, as ssh-keygen -Y makes them) and OpenPGP ones.
//
// A release's objects should be the same however often they are made. Ed25519 and RSA keys sign the same text with the
// same bytes; ECDSA and security keys do not. An OpenPGP signature bears the object's own time.
package gitsign

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
)

// The formats, as git's gpg.format has them.
const (
	SSH     = "ssh"
	OpenPGP = "openpgp"
)

// Key says with what is signed. The key itself is no part of a configuration: the environment says where it lies.
type Key struct {
	Format     string // "ssh" or "openpgp"
	Key        string // the public key: an authorized_keys line, or an OpenPGP fingerprint; empty: whatever the file holds
	KeyFile    string // name of the environment variable that says which file holds the private key; empty: ssh-agent
	Passphrase string // name of the environment variable with the passphrase; empty: none
}

// Validate refuses a key that nothing could be signed with.
func (k Key) Validate() error {
	switch {
	case k.Format != SSH && k.Format != OpenPGP:
		return fmt.Errorf("format %q is not one that git verifies; want ssh or openpgp", k.Format)
	case k.Format == OpenPGP && k.KeyFile == "":
		return errors.New("an OpenPGP key needs key_file, the name of the environment variable that says where it lies")
	case k.Format == SSH && k.KeyFile == "" && k.Key == "":
		return errors.New("without key_file an ssh key needs key, the public key: the agent may hold several")
	case k.Key == "":
		return nil
	case k.Format == OpenPGP:
		if !fingerprint.MatchString(bare(k.Key)) {
			return fmt.Errorf("%.40q is not the fingerprint of an OpenPGP key; want its 40 or 64 hexadecimal digits", k.Key)
		}
		return nil
	}
	if _, _, _, rest, err := ssh.ParseAuthorizedKey([]byte(k.Key)); err != nil || len(bytes.TrimSpace(rest)) > 0 {
		return fmt.Errorf("%.40q is not a public ssh key; want the line of a .pub file", k.Key)
	}
	return nil
}

var fingerprint = regexp.MustCompile(`^([0-9A-F]{40}|[0-9A-F]{64})$`)

func bare(fingerprint string) string {
	return strings.ToUpper(strings.ReplaceAll(fingerprint, " ", ""))
}

// Open finds the key. The error says what to do where it is not there, encrypted, or another one than the public key.
func Open(ctx context.Context, k Key, getenv func(string) string) (gitremote.Signer, error) {
	if err := k.Validate(); err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	file := ""
	if k.KeyFile != "" {
		if file = getenv(k.KeyFile); file == "" && (k.Format == OpenPGP || k.Key == "") {
			return nil, fmt.Errorf("cannot sign: %s is not set; it says where the private key lies", k.KeyFile)
		}
	}
	passphrase := ""
	if k.Passphrase != "" {
		passphrase = getenv(k.Passphrase)
	}
	if k.Format == OpenPGP {
		return openPGP(file, passphrase, k)
	}
	var public ssh.PublicKey
	if k.Key != "" {
		var err error
		if public, _, _, _, err = ssh.ParseAuthorizedKey([]byte(k.Key)); err != nil {
			return nil, fmt.Errorf("cannot sign: %w", err)
		}
	}
	if file == "" {
		socket := getenv("SSH_AUTH_SOCK")
		if socket == "" {
			return nil, errors.New("cannot sign: there is no ssh-agent; start one and add the key, or set key_file")
		}
		return fromAgent(ctx, socket, public)
	}
	key, err := gitremote.ReadKey(file, passphrase, k.Passphrase)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %w", err)
	}
	if public != nil && !bytes.Equal(public.Marshal(), key.PublicKey().Marshal()) {
		return nil, fmt.Errorf("cannot sign: %s is the key %s, release.yaml says %s", file, ssh.FingerprintSHA256(key.PublicKey()), ssh.FingerprintSHA256(public))
	}
	return held(key), nil
}

// held signs with a key that is in memory.
func held(key ssh.Signer) gitremote.Signer {
	return signer(func(_ context.Context, object []byte) (string, error) { return signSSH(key, object) })
}

type signer func(ctx context.Context, object []byte) (string, error)

// Sign implements [gitremote.Signer].
func (s signer) Sign(ctx context.Context, object []byte) (string, error) { return s(ctx, object) }

func signSSH(key ssh.Signer, object []byte) (string, error) {
	s, err := sshsig.Sign(bytes.NewReader(object), key, sshsig.HashSHA512, "git")
	if err != nil {
		return "", fmt.Errorf("cannot sign with %s: %w", ssh.FingerprintSHA256(key.PublicKey()), err)
	}
	return string(sshsig.Armor(s)), nil
}

// fromAgent signs with a key that an ssh-agent holds. It is asked anew for each signature, so a locked one is noticed.
func fromAgent(ctx context.Context, socket string, public ssh.PublicKey) (gitremote.Signer, error) {
	with := func(ctx context.Context, use func(ssh.Signer) error) error {
		conn, err := (&net.Dialer{Timeout: gitremote.DialTimeout}).DialContext(ctx, "unix", socket)
		if err != nil {
			return fmt.Errorf("cannot sign: the ssh-agent does not answer: %w", err)
		}
		defer conn.Close()
		defer context.AfterFunc(ctx, func() { conn.Close() })()
		keys, err := agent.NewClient(conn).Signers()
		if err != nil {
			return fmt.Errorf("cannot sign: the ssh-agent is of no use: %w", err)
		}
		for _, key := range keys {
			if bytes.Equal(key.PublicKey().Marshal(), public.Marshal()) {
				return use(key)
			}
		}
		return fmt.Errorf("cannot sign: the ssh-agent does not hold %s; ssh-add adds it", ssh.FingerprintSHA256(public))
	}
	if err := with(ctx, func(ssh.Signer) error { return nil }); err != nil {
		return nil, err
	}
	return signer(func(ctx context.Context, object []byte) (signature string, err error) {
		err = with(ctx, func(key ssh.Signer) (err error) {
			signature, err = signSSH(key, object)
			return err
		})
		return signature, err
	}), nil
}

// maxKeyRing is the size of the largest file with an OpenPGP key that is read, in bytes.
const maxKeyRing = 1 << 20

// openPGP reads a private key, armored or not (RFC 9580), as gpg --export-secret-keys writes it.
func openPGP(file, passphrase string, k Key) (gitremote.Signer, error) {
	f, err := os.Open(file)
	if err != nil {
		return nil, fmt.Errorf("cannot sign: cannot read the private key: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxKeyRing))
	if err != nil {
		return nil, fmt.Errorf("cannot sign: cannot read the private key: %w", err)
	}
	var keys openpgp.EntityList
	if bytes.Contains(content, []byte("-----BEGIN PGP")) {
		keys, err = openpgp.ReadArmoredKeyRing(bytes.NewReader(content))
	} else {
		keys, err = openpgp.ReadKeyRing(bytes.NewReader(content))
	}
	if err != nil {
		return nil, fmt.Errorf("cannot sign: %s is not an OpenPGP key, or it is damaged", file)
	}
	for _, e := range keys {
		if e.PrivateKey == nil || k.Key != "" && fmt.Sprintf("%X", e.PrimaryKey.Fingerprint) != bare(k.Key) {
			continue
		}
		return entity(e, file, passphrase, k.Passphrase)
	}
	if k.Key != "" {
		return nil, fmt.Errorf("cannot sign: %s does not hold the private key %s", file, k.Key)
	}
	return nil, fmt.Errorf("cannot sign: %s holds no private key", file)
}

func entity(e *openpgp.Entity, file, passphrase, variable string) (gitremote.Signer, error) {
	key, ok := e.SigningKey(time.Now())
	if !ok {
		return nil, fmt.Errorf("cannot sign: %s holds no key that may sign today; it may have expired", file)
	}
	if key.PrivateKey == nil || key.PrivateKey.Dummy() {
		return nil, fmt.Errorf("cannot sign: %s holds the key that signs, %X, without its private part", file, key.PublicKey.Fingerprint)
	}
	if key.PrivateKey.Encrypted {
		switch {
		case passphrase == "" && variable == "":
			return nil, fmt.Errorf("cannot sign: the key in %s is encrypted; name the variable with its passphrase under passphrase", file)
		case passphrase == "":
			return nil, fmt.Errorf("cannot sign: the key in %s is encrypted; set %s to its passphrase", file, variable)
		}
		if err := key.PrivateKey.Decrypt([]byte(passphrase)); err != nil {
			return nil, fmt.Errorf("cannot sign: the passphrase in %s is wrong for the key in %s", variable, file)
		}
	}
	return signer(func(_ context.Context, object []byte) (string, error) {
		// What was signed before there was a key would not count.
		at := later(moment(object), e.PrimaryKey.CreationTime, key.PublicKey.CreationTime)
		random := false
		c := &packet.Config{Time: func() time.Time { return at }, SigningKeyId: key.PublicKey.KeyId, NonDeterministicSignaturesViaNotation: &random}
		var b bytes.Buffer
		// Some readers of armor want no checksum (RFC 9580 section 6.1), none needs it; gpg takes both.
		w, err := armor.Encode(&b, openpgp.SignatureType, nil)
		if err != nil {
			return "", err
		}
		if err := errors.Join(openpgp.DetachSign(w, e, bytes.NewReader(object), c), w.Close()); err != nil {
			return "", fmt.Errorf("cannot sign with %X: %w", key.PublicKey.Fingerprint, err)
		}
		return b.String() + "\n", nil
	}), nil
}

var stamped = regexp.MustCompile(`(?m)^(?:committer|tagger) [^\n]* (\d{1,11}) [+-]\d{4}$`)

// moment is the time that a commit or a tag bears.
func moment(object []byte) time.Time {
	head, _, _ := bytes.Cut(object, []byte("\n\n"))
	if m := stamped.FindSubmatch(head); m != nil {
		if n, err := strconv.ParseInt(string(m[1]), 10, 64); err == nil {
			return time.Unix(n, 0)
		}
	}
	return time.Time{}
}

func later(times ...time.Time) (last time.Time) {
	for _, t := range times {
		if t.After(last) {
			last = t
		}
	}
	return last
}
