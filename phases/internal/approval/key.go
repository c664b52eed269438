package approval

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rsa"
	"encoding/hex"
	"strings"

	"golang.org/x/crypto/ssh"
)

// minRSABits is the smallest RSA modulus that counts, as NIST SP 800-131A has it. ssh-keygen 9.2 takes 1024.
const minRSABits = 2048

// formats lists the kinds of keys that count, each with the signature algorithms it may be used with (RFC 8709, 5656
// and 8332; OpenSSH's PROTOCOL.u2f for the "sk-" kinds). "ssh-rsa" names a kind of key and also its algorithm with
// SHA-1 (RFC 4253, section 6.6), which PROTOCOL.sshsig forbids. Certificates are left out: they are trusted by way of
// an authority, which release.yaml cannot name.
var formats = map[string][]string{
	ssh.KeyAlgoED25519:    {ssh.KeyAlgoED25519},
	ssh.KeyAlgoECDSA256:   {ssh.KeyAlgoECDSA256},
	ssh.KeyAlgoECDSA384:   {ssh.KeyAlgoECDSA384},
	ssh.KeyAlgoECDSA521:   {ssh.KeyAlgoECDSA521},
	ssh.KeyAlgoRSA:        {ssh.KeyAlgoRSASHA512, ssh.KeyAlgoRSASHA256},
	ssh.KeyAlgoSKED25519:  {ssh.KeyAlgoSKED25519},
	ssh.KeyAlgoSKECDSA256: {ssh.KeyAlgoSKECDSA256},
}

// lowOrder holds the Ed25519 keys whose private half is no secret: anybody can sign for a point of small order, and
// RFC 8032 lets a verifier accept that. The first, all zeros, is what a placeholder in a file looks like. The sign bit
// (the highest) is cleared; the last two are the second spellings of the first two. A test forges for each.
var lowOrder = []string{
	"0000000000000000000000000000000000000000000000000000000000000000",
	"0100000000000000000000000000000000000000000000000000000000000000",
	"26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
	"c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
	"ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
	"eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
}

// parseKey reads a public key in wire format and accepts only the kinds that count. The kind is looked at before the
// rest, so that other kinds meet no parser at all, and a second spelling of a key is not the key.
func parseKey(wire []byte) (ssh.PublicKey, error) {
	var head struct {
		Kind string
		Rest []byte `ssh:"rest"`
	}
	if err := ssh.Unmarshal(wire, &head); err != nil {
		return nil, refuse(ErrMalformed, "the public key is damaged")
	}
	if _, ok := formats[head.Kind]; !ok {
		return nil, unsupportedKind(head.Kind)
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil || !bytes.Equal(key.Marshal(), wire) {
		return nil, refuse(ErrMalformed, "the %s key is damaged", head.Kind)
	}
	inner, ok := key.(ssh.CryptoPublicKey)
	if !ok {
		return nil, unsupportedKind(head.Kind)
	}
	switch public := inner.CryptoPublicKey().(type) {
	case *rsa.PublicKey:
		if bits := public.N.BitLen(); bits < minRSABits {
			return nil, refuse(ErrUnsupported, "an RSA key of %d bits is too weak: at least %d, or ssh-keygen -t ed25519", bits, minRSABits)
		}
	case ed25519.PublicKey:
		point := bytes.Clone(public)
		point[len(point)-1] &= 0x7f
		for _, low := range lowOrder {
			if hex.EncodeToString(point) == low {
				return nil, refuse(ErrUnsupported, "the ed25519 key is a placeholder: anybody could sign for it")
			}
		}
	}
	return key, nil
}

func unsupportedKind(kind string) error {
	switch {
	case kind == "ssh-dss":
		return refuse(ErrUnsupported, "DSA keys are too weak: make another with ssh-keygen -t ed25519")
	case isCertificate(kind):
		return refuse(ErrUnsupported, "certificates (%s) are not accepted: use the plain key", quote(kind))
	}
	return refuse(ErrUnsupported, "keys of kind %s are not accepted: use ed25519, ecdsa or rsa", quote(kind))
}

func isCertificate(kind string) bool {
	return strings.HasSuffix(kind, "-cert-v01@openssh.com")
}
