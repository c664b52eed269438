package approval

import (
	"bytes"
	"encoding/base64"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/hiddeco/sshsig"
	"golang.org/x/crypto/ssh"
)

// maxSignature bounds a signature file, in bytes. With RSA of 16,384 bits, OpenSSH's largest, it has less than 7 KiB.
const maxSignature = 64 << 10

const (
	armourBegin = "-----BEGIN " + sshsig.PEMType + "-----"
	armourEnd   = "-----END " + sshsig.PEMType + "-----"
)

// Sign returns the armoured signature of the statement by the key: its hash is SHA-512, and so is RSA's. What the key or
// agent answered is verified before it is handed out. Keys that Verify would refuse are refused here (ErrUnsupported),
// so that nobody waits for an approval that will not count.
func Sign(statement []byte, key ssh.Signer) ([]byte, error) {
	public := key.PublicKey()
	if _, err := parseKey(public.Marshal()); err != nil {
		return nil, fmt.Errorf("cannot sign with key %s: %w", Fingerprint(public), err)
	}
	if len(statement) == 0 {
		return nil, errors.New("cannot sign an empty statement")
	}
	made, err := sshsig.Sign(bytes.NewReader(statement), key, sshsig.HashSHA512, Namespace)
	if err != nil {
		return nil, fmt.Errorf("cannot sign with key %s: %w", Fingerprint(public), err)
	}
	armoured := sshsig.Armor(made)
	signature, err := parse(armoured)
	if err == nil && !matches(statement, signature) {
		err = refuse(ErrMismatch, "it does not match")
	}
	if err != nil {
		return nil, fmt.Errorf("cannot use the signature that key %s gave: %w", Fingerprint(public), err)
	}
	return armoured, nil
}

// matches tells whether the key in the signature made it over exactly this statement.
func matches(statement []byte, signature *sshsig.Signature) bool {
	return sshsig.Verify(bytes.NewReader(statement), signature, signature.PublicKey, signature.HashAlgorithm, Namespace) == nil
}

// parse reads an armoured signature made for our namespace (PROTOCOL.sshsig, section 2). Beyond what sshsig v0.2.0
// checks: one block and nothing around it; no headers; the reserved field empty, which the signature does not cover;
// no bytes left after the inner signature; the algorithm one that belongs to the kind of key, certificates excluded
// (behind one the library takes SHA-1); a security key touched (PROTOCOL.u2f, flag 0x01).
func parse(armoured []byte) (*sshsig.Signature, error) {
	wire, err := unarmour(armoured)
	if err != nil {
		return nil, err
	}
	var outer struct {
		Magic     [6]byte
		Version   uint32
		PublicKey []byte
		Namespace string
		Reserved  string
		Hash      string
		Signature []byte
	}
	var inner ssh.Signature
	if ssh.Unmarshal(wire, &outer) != nil || ssh.Unmarshal(outer.Signature, &inner) != nil {
		return nil, damaged("its fields cannot be read")
	}
	if outer.Version != 1 {
		return nil, refuse(ErrUnsupported, "the signature has format version %d, and only version 1 is known", outer.Version)
	}
	key, err := parseKey(outer.PublicKey)
	if err != nil {
		return nil, fmt.Errorf("the signature's key: %w", err)
	}
	if !slices.Contains(formats[key.Type()], inner.Format) {
		if inner.Format == ssh.KeyAlgoRSA {
			return nil, refuse(ErrUnsupported, "the signature uses SHA-1 (ssh-rsa): sign again with OpenSSH 8.1 or later, or with an ed25519 key")
		}
		return nil, refuse(ErrUnsupported, "the signature's algorithm %s does not belong to its %s key", quote(inner.Format), key.Type())
	}
	if hash := sshsig.HashAlgorithm(outer.Hash); hash.Available() != nil {
		return nil, refuse(ErrUnsupported, "the signature's hash %s is not accepted: use sha512", quote(outer.Hash))
	}
	switch {
	case outer.Reserved != "":
		return nil, damaged("its reserved field is filled")
	case strings.HasPrefix(key.Type(), "sk-"):
		const present, size = 0x01, 5 // one byte of flags, a counter of four
		if len(inner.Rest) != size {
			return nil, damaged("a security key's flags are missing")
		}
		if inner.Rest[0]&present == 0 {
			return nil, refuse(ErrUnsupported, "the signature was made without a touch of the security key: sign again and touch it")
		}
	case len(inner.Rest) > 0:
		return nil, damaged("bytes are left over in it")
	}
	if outer.Namespace != Namespace {
		return nil, refuse(ErrNamespace, "the signature was made for %s, not for %q: sign with ssh-keygen -Y sign -n %s",
			quote(outer.Namespace), Namespace, Namespace)
	}
	signature, err := sshsig.ParseSignature(wire)
	if err != nil {
		return nil, damaged("its fields cannot be read")
	}
	return signature, nil
}

// unarmour takes the bytes out of the armour: one block, with nothing but white space around it. Line ends may be
// those of Windows, and lines of any length: ssh-keygen 9.2 breaks at 70 characters, PEM at 64.
func unarmour(armoured []byte) ([]byte, error) {
	if len(armoured) > maxSignature {
		return nil, refuse(ErrMalformed, "the signature has %d bytes, and no signature has more than %d", len(armoured), maxSignature)
	}
	text := strings.TrimSpace(string(armoured))
	if text == "" {
		return nil, refuse(ErrMalformed, "the signature is empty")
	}
	body, ok := strings.CutPrefix(text, armourBegin)
	if !ok {
		return nil, refuse(ErrMalformed, "this is not an SSH signature: it must begin with %s", armourBegin)
	}
	body, after, ok := strings.Cut(body, armourEnd)
	if !ok {
		return nil, refuse(ErrMalformed, "the signature is cut off: its last line, %s, is missing", armourEnd)
	}
	if after != "" {
		return nil, refuse(ErrMalformed, "something follows the signature: remove what stands after %s", armourEnd)
	}
	wire, err := base64.StdEncoding.Strict().DecodeString(body)
	if err != nil {
		return nil, damaged("its base64 is broken")
	}
	return wire, nil
}

func damaged(how string) error {
	return refuse(ErrMalformed, "the signature is damaged (%s): copy it again, or sign again", how)
}
