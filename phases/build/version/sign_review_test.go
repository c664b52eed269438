package version

import (
	"context"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/pem"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/gitsign"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

// TestSignedCommitIsTheSameAgain: two machines with one key make one commit; a key with which they would not is refused.
func TestSignedCommitIsTheSameAgain(t *testing.T) {
	dir := fixture(t, nil)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	must(t, err)
	ec, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	must(t, err)
	rs, err := rsa.GenerateKey(rand.Reader, 2048)
	must(t, err)
	for name, key := range map[string]any{"ed25519": ed, "rsa": rs, "ecdsa": ec} {
		block, err := ssh.MarshalPrivateKey(key, "")
		must(t, err)
		file := filepath.Join(t.TempDir(), "key")
		must(t, os.WriteFile(file, pem.EncodeToMemory(block), 0o600))
		ends := &endpoint.Endpoints{Signer: func(ctx context.Context, s endpoint.Signing) (gitremote.Signer, error) {
			return gitsign.Open(ctx, gitsign.Key{Format: s.Format, KeyFile: "KEY"}, func(string) string { return file })
		}}
		cfg := appConfig
		cfg.Sign = &endpoint.Signing{Format: "ssh", KeyFile: "KEY"}
		p, err := pipeline.NewPlan(t.Context(), env(t, dir), phase{cfg, dir})
		must(t, err)
		made := map[string]bool{}
		for range 2 {
			j, tmp := &pipelinetest.Memory{}, t.TempDir()
			err = p.Run(t.Context(), pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: tmp + "/dist", Work: tmp + "/work"}, Endpoints: ends, Jobs: 1})
			for rec := range j.Records() {
				if rec.Step == ID && rec.Event == pipeline.Done {
					made[rec.Receipt["commit"]] = true
				}
			}
		}
		if refused := err != nil && strings.Contains(err.Error(), "sign with an Ed25519 or RSA key"); refused != (name == "ecdsa") || len(made) > 1 {
			t.Errorf("%s: %v, commits %v", name, err, made)
		}
	}
}
