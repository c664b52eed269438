package appimage

import (
	"bytes"
	"context"
	"crypto"
	"encoding/hex"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
)

// signer reads the key that the environment names and makes sure that it is the right one. No error holds the
// passphrase, nor anything of the key.
func (c *SignConfig) signer(t time.Time, getenv func(string) string) (Signer, error) {
	file := getenv(c.KeyFile)
	if file == "" {
		return nil, fmt.Errorf("cannot sign the AppImage: set %s to the path of the armored private key %s", c.KeyFile, c.Fingerprint)
	}
	key, err := readLimited(file, 1<<20)
	if err != nil {
		return nil, fmt.Errorf("cannot read the signing key that %s names: %w", c.KeyFile, err)
	}
	var passphrase []byte
	if c.Passphrase != "" {
		passphrase = []byte(getenv(c.Passphrase))
	}
	fingerprint, s, err := openPGP(key, passphrase, t)
	if err != nil {
		return nil, err
	}
	if !strings.EqualFold(fingerprint, c.Fingerprint) {
		return nil, fmt.Errorf("the signing key that %s names has fingerprint %s, want %s", c.KeyFile, fingerprint, c.Fingerprint)
	}
	return s, nil
}

// OpenPGP makes a Signer of an armored private key. Signatures bear the time t, so that the same AppImage gets the same
// one, with the usual kinds of keys. An Ed25519 or RSA-2048 signature fits into an AppImage; larger ones may not.
func OpenPGP(privateKey, passphrase []byte, t time.Time) (Signer, error) {
	_, s, err := openPGP(privateKey, passphrase, t)
	return s, err
}

func openPGP(privateKey, passphrase []byte, t time.Time) (fingerprint string, _ Signer, err error) {
	ring, err := openpgp.ReadArmoredKeyRing(bytes.NewReader(privateKey))
	if err != nil {
		return "", nil, fmt.Errorf("cannot read the signing key: %w", err)
	}
	if len(ring) != 1 || ring[0].PrivateKey == nil {
		return "", nil, errors.New("the signing key file must hold one private key")
	}
	key := ring[0]
	if key.PrivateKey.Encrypted {
		if err := key.DecryptPrivateKeys(passphrase); err != nil {
			return "", nil, fmt.Errorf("cannot open the signing key: %w", err)
		}
	}
	noSalt := false
	config := &packet.Config{DefaultHash: crypto.SHA256, Time: func() time.Time { return t }, NonDeterministicSignaturesViaNotation: &noSalt}
	if _, ok := key.SigningKey(t); !ok {
		return "", nil, fmt.Errorf("the signing key cannot sign, or not at %s", t.UTC().Format(time.DateOnly))
	}
	return hex.EncodeToString(key.PrimaryKey.Fingerprint), func(_ context.Context, digest string) (signature, publicKey []byte, err error) {
		var sig, pub bytes.Buffer
		if err := openpgp.ArmoredDetachSign(&sig, key, strings.NewReader(digest), config); err != nil {
			return nil, nil, err
		}
		w, err := armor.Encode(&pub, openpgp.PublicKeyType, nil)
		if err != nil {
			return nil, nil, err
		}
		if err := errors.Join(key.Serialize(w), w.Close()); err != nil {
			return nil, nil, err
		}
		return sig.Bytes(), pub.Bytes(), nil
	}, nil
}
