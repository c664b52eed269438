package approval

import (
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/rand"
	"crypto/sha256"
	"encoding/asn1"
	"io"
	"math/big"
	"testing"

	"golang.org/x/crypto/ssh"
)

// touchKey is a security key in software: what it signs says whether it was touched.
type touchKey struct {
	key     crypto.Signer
	touched bool
}

const application = "ssh:"

func (k touchKey) PublicKey() ssh.PublicKey {
	var wire []byte
	switch public := k.key.Public().(type) {
	case ed25519.PublicKey:
		wire = ssh.Marshal(struct{ Kind, Key, Application string }{ssh.KeyAlgoSKED25519, string(public), application})
	case *ecdsa.PublicKey:
		point, err := public.Bytes()
		if err != nil {
			panic(err)
		}
		wire = ssh.Marshal(struct{ Kind, Curve, Key, Application string }{ssh.KeyAlgoSKECDSA256, "nistp256", string(point), application})
	}
	key, err := ssh.ParsePublicKey(wire)
	if err != nil {
		panic(err)
	}
	return key
}

func (k touchKey) SignWithAlgorithm(r io.Reader, data []byte, _ string) (*ssh.Signature, error) {
	return k.Sign(r, data)
}

func (k touchKey) Sign(_ io.Reader, data []byte) (*ssh.Signature, error) {
	flags := []byte{0, 0, 0, 0, 7} // flags, counter
	if k.touched {
		flags[0] = 1
	}
	app, sum := sha256.Sum256([]byte(application)), sha256.Sum256(data)
	message := append(append(app[:], flags...), sum[:]...)
	signature := &ssh.Signature{Format: k.PublicKey().Type(), Rest: flags}
	if key, ok := k.key.(ed25519.PrivateKey); ok {
		signature.Blob = ed25519.Sign(key, message)
		return signature, nil
	}
	digest := sha256.Sum256(message)
	der, err := k.key.Sign(rand.Reader, digest[:], crypto.SHA256)
	if err != nil {
		return nil, err
	}
	var rs struct{ R, S *big.Int }
	if _, err := asn1.Unmarshal(der, &rs); err != nil {
		return nil, err
	}
	signature.Blob = ssh.Marshal(rs)
	return signature, nil
}

func TestSecurityKeys(t *testing.T) {
	for _, kind := range []string{"ed25519", "ecdsa256"} {
		t.Run(kind, func(t *testing.T) {
			made, err := kinds[kind]()
			if err != nil {
				t.Fatal(err)
			}
			key := touchKey{key: made, touched: true}
			v := newVerifier(t, map[string][]string{"owner": {line(key.PublicKey(), "alice")}})
			signature := mustSign(t, key)
			if _, err := v.Verify("owner", []byte(statement), signature); err != nil {
				t.Error(err)
			}
			if err := opensshVerifies(t, key.PublicKey(), []byte(statement), signature); err != nil {
				t.Errorf("ssh-keygen refuses ours: %v", err)
			}
			_, err = v.Verify("owner", []byte(statement), armour(forge{key: key, rest: []byte("x")}.wire(t)))
			refused(t, err, ErrMalformed, "flags")
			key.touched = false
			_, err = v.Verify("owner", []byte(statement), armour(forge{key: key}.wire(t)))
			refused(t, err, ErrUnsupported, "touch")
			_, err = Sign([]byte(statement), key)
			refused(t, err, ErrUnsupported, "touch")
		})
	}
}
