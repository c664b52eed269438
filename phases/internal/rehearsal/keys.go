package rehearsal

import (
	"bytes"
	"crypto/ed25519"
	"crypto/rand"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/approval"
)

// keys are made for one rehearsal and thrown away with it.
type keys struct {
	token   string
	git     ssh.PublicKey         // lets in to the git twins
	roles   map[string]ssh.Signer // approvers
	signing map[string]string     // format to the file with the private key
	gitFile string
}

func newKeys(dir string, roles []string) (*keys, error) {
	k := &keys{roles: map[string]ssh.Signer{}, signing: map[string]string{}}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	secret := make([]byte, 20)
	rand.Read(secret) // never fails
	k.token = "rehearsal-" + hex.EncodeToString(secret)
	public, private, err := newKey()
	if err != nil {
		return nil, err
	}
	k.git, k.gitFile = public.PublicKey(), filepath.Join(dir, "git")
	if err := os.WriteFile(k.gitFile, private, 0o600); err != nil {
		return nil, err
	}
	if _, private, err = newKey(); err != nil {
		return nil, err
	}
	k.signing["ssh"] = filepath.Join(dir, "sign")
	if err := os.WriteFile(k.signing["ssh"], private, 0o600); err != nil {
		return nil, err
	}
	k.signing["openpgp"] = filepath.Join(dir, "sign.asc")
	if err := writeOpenPGP(k.signing["openpgp"]); err != nil {
		return nil, err
	}
	for _, role := range roles {
		if k.roles[role], _, err = newKey(); err != nil {
			return nil, err
		}
	}
	return k, nil
}

// newKey makes an ed25519 key, and the text of its file.
func newKey() (ssh.Signer, []byte, error) {
	_, key, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	block, err := ssh.MarshalPrivateKey(key, "thrown away after a rehearsal")
	if err != nil {
		return nil, nil, err
	}
	signer, err := ssh.NewSignerFromKey(key)
	return signer, pem.EncodeToMemory(block), err
}

func writeOpenPGP(file string) error {
	e, err := openpgp.NewEntity("Rehearsal", "thrown away", "rehearsal@slipway.example", &packet.Config{Algorithm: packet.PubKeyAlgoEdDSA})
	if err != nil {
		return err
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	if err != nil {
		return err
	}
	if err := e.SerializePrivate(w, nil); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	return os.WriteFile(file, b.Bytes(), 0o600)
}

// verifier counts the throw-away keys, each for its role.
func (k *keys) verifier() (*approval.Verifier, error) {
	lines := map[string][]string{}
	for role, key := range k.roles {
		lines[role] = []string{fmt.Sprintf("%s %s (rehearsal)", bytes.TrimSpace(ssh.MarshalAuthorizedKey(key.PublicKey())), role)}
	}
	return approval.NewVerifier(lines)
}
