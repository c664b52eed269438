package approval

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"runtime"
	"strings"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxKeyFile bounds a private key file, in bytes. With RSA of 16,384 bits it has less than 13 KiB.
const maxKeyFile = 64 << 10

// LoadKey reads a private key file: ed25519, ecdsa or rsa, as OpenSSH's (PROTOCOL.key) or PEM (PKCS #1, PKCS #8, SEC 1).
// passphrase is called once if the key needs one, and what it returns is wiped; nil means that nobody can be asked. The
// file must be its owner's alone, as ssh demands. Errors are ErrKeyFile (with fs.ErrNotExist and the like), ErrPassphrase,
// ErrUnsupported, or the one that passphrase gave.
func LoadKey(path string, passphrase func() ([]byte, error)) (ssh.Signer, error) {
	text, mode, err := readKeyFile(path)
	if err != nil {
		return nil, err
	}
	block, err := privateBlock(path, text)
	if err != nil {
		return nil, err
	}
	if runtime.GOOS != "windows" && mode.Perm()&0o077 != 0 {
		return nil, refuse(ErrKeyFile, "others may read or write the private key %s (mode %04o): chmod 600 %s", path, mode.Perm(), path)
	}
	key, err := ssh.ParsePrivateKey(block)
	if locked, ok := errors.AsType[*ssh.PassphraseMissingError](err); ok {
		key, err = unlock(path, block, locked.PublicKey, passphrase)
		if err != nil {
			return nil, err
		}
	}
	if err != nil {
		return nil, unreadable(path, err)
	}
	if _, err := parseKey(key.PublicKey().Marshal()); err != nil {
		return nil, fmt.Errorf("cannot use %s: %w", path, err)
	}
	return key, nil
}

func unlock(path string, block []byte, public ssh.PublicKey, passphrase func() ([]byte, error)) (ssh.Signer, error) {
	if public != nil && strings.HasPrefix(public.Type(), "sk-") {
		return nil, unreadable(path, errors.New("security key"))
	}
	if passphrase == nil {
		return nil, refuse(ErrPassphrase, "%s needs a passphrase: give it, or ssh-add the key and sign through ssh-agent", path)
	}
	secret, err := passphrase()
	defer clear(secret)
	if err != nil {
		return nil, fmt.Errorf("cannot ask for the passphrase of %s: %w", path, err)
	}
	key, err := ssh.ParsePrivateKeyWithPassphrase(block, secret)
	if err != nil {
		// The old PEM encryption has no checksum, so a wrong passphrase may show as any error.
		return nil, refuse(ErrPassphrase, "the passphrase of %s is wrong, or the file is damaged", path)
	}
	return key, nil
}

func unreadable(path string, err error) error {
	return refuse(ErrKeyFile, "cannot use the private key %s (%s): ed25519, ecdsa and rsa keys can be read from a file; a security key signs through ssh-agent (ssh-add %s)",
		path, printable(err.Error(), 120), path)
}

func readKeyFile(path string) ([]byte, os.FileMode, error) {
	// Looked at before it is opened, since opening a pipe would wait for its writer.
	info, err := os.Stat(path)
	if err != nil {
		return nil, 0, refuse(errors.Join(ErrKeyFile, err), "cannot read the private key: %v", err)
	}
	if !info.Mode().IsRegular() {
		return nil, 0, refuse(ErrKeyFile, "cannot read the private key: %s is not a regular file", path)
	}
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, refuse(errors.Join(ErrKeyFile, err), "cannot read the private key: %v", err)
	}
	defer f.Close()
	if info, err = f.Stat(); err != nil {
		return nil, 0, refuse(errors.Join(ErrKeyFile, err), "cannot read the private key: %v", err)
	}
	text, err := io.ReadAll(io.LimitReader(f, maxKeyFile+1))
	if err != nil {
		return nil, 0, refuse(errors.Join(ErrKeyFile, err), "cannot read the private key: %v", err)
	}
	if len(text) > maxKeyFile {
		return nil, 0, refuse(ErrKeyFile, "%s is no private key: it has more than %d bytes", path, maxKeyFile)
	}
	return text, info.Mode(), nil
}

// privateBlock finds the private key in a file, whatever an editor, a mail or a secret store did to its line ends and
// indentation, and knows what people give in its place.
func privateBlock(path string, text []byte) ([]byte, error) {
	var tidy bytes.Buffer
	for line := range strings.Lines(strings.NewReplacer("\ufeff", "", "\r\n", "\n", "\r", "\n").Replace(string(text))) {
		tidy.WriteString(strings.TrimSpace(line) + "\n")
	}
	for rest := tidy.Bytes(); ; {
		var block *pem.Block
		if block, rest = pem.Decode(rest); block == nil {
			break
		}
		switch {
		case block.Type == "ENCRYPTED PRIVATE KEY":
			return nil, refuse(ErrKeyFile, "%s is encrypted in a way that cannot be read (PKCS #8): ssh-keygen -p -f %s writes it anew as OpenSSH's", path, path)
		case strings.HasSuffix(block.Type, "PRIVATE KEY"):
			return pem.EncodeToMemory(block), nil
		}
	}
	first, _, _ := strings.Cut(strings.TrimSpace(tidy.String()), "\n")
	kind, _, _ := strings.Cut(first, " ")
	switch {
	case first == "":
		return nil, refuse(ErrKeyFile, "the private key %s is empty", path)
	case formats[kind] != nil || isCertificate(kind) || strings.HasPrefix(kind, "ssh-") || strings.Contains(first, "PUBLIC KEY"):
		return nil, refuse(ErrKeyFile, "%s is a public key: give the private one, usually the same path without .pub", path)
	case strings.HasPrefix(first, "PuTTY-User-Key-File"):
		return nil, refuse(ErrKeyFile, "%s is a PuTTY key: convert it with puttygen %s -O private-openssh -o NEW", path, path)
	case strings.HasPrefix(first, "-----BEGIN") && strings.Contains(first, "PRIVATE KEY"):
		return nil, refuse(ErrKeyFile, "the private key %s is damaged or cut off: copy it again, down to its END line", path)
	}
	return nil, refuse(ErrKeyFile, "%s is not a private key", path)
}

// AgentSigners lists the keys of the ssh-agent at SSH_AUTH_SOCK. They sign until the closer is closed or the context
// ends, either of which also frees a caller that waits for the agent's owner to confirm. Errors are ErrAgent; an agent
// without keys is one.
func AgentSigners(ctx context.Context) ([]ssh.Signer, io.Closer, error) {
	path := os.Getenv("SSH_AUTH_SOCK")
	if path == "" {
		return nil, nil, refuse(ErrAgent, "no ssh-agent is running for you (SSH_AUTH_SOCK is not set): eval $(ssh-agent) and ssh-add KEY, or give a key file")
	}
	var dialer net.Dialer
	conn, err := dialer.DialContext(ctx, "unix", path)
	if err != nil {
		return nil, nil, refuse(errors.Join(ErrAgent, err), "cannot reach the ssh-agent at SSH_AUTH_SOCK: %v", err)
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	done := closer(func() error {
		if !stop() {
			return nil // closed already, by the context or the caller
		}
		return conn.Close()
	})
	signers, err := agent.NewClient(conn).Signers()
	if err == nil && len(signers) == 0 {
		err = errors.New("it holds no keys: ssh-add KEY, or unlock it with ssh-add -X")
	}
	if err != nil {
		if ctx.Err() != nil {
			err = context.Cause(ctx)
		}
		return nil, nil, refuse(errors.Join(ErrAgent, err, done.Close()), "cannot use the ssh-agent: %s", printable(err.Error(), 200))
	}
	return signers, done, nil
}

type closer func() error

func (c closer) Close() error { return c() }
