package version

import (
	"context"
	"errors"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

type stamp struct{ err error }

// Sign returns what looks like a signature.
func (s stamp) Sign(_ context.Context, object []byte) (string, error) {
	if strings.Contains(string(object), "gpgsig") || !strings.HasPrefix(string(object), "tree ") {
		return "", errors.New("not the bytes of an unsigned commit")
	}
	return "-----BEGIN SSH SIGNATURE-----\nAAAA\n-----END SSH SIGNATURE-----\n", s.err
}

// TestSign: the commit is signed once, on the way into the pack, and only that differs.
func TestSign(t *testing.T) {
	dir := fixture(t, nil)
	versioned := func(sign *endpoint.Signing, ends any) (pipeline.Receipt, error) {
		t.Helper()
		cfg := appConfig
		cfg.Sign = sign
		p, err := pipeline.NewPlan(t.Context(), env(t, dir), phase{cfg, dir})
		must(t, err)
		j, tmp := &pipelinetest.Memory{}, t.TempDir()
		err = p.Run(t.Context(), pipeline.Options{Journal: j, Dirs: pipeline.Dirs{Dist: tmp + "/dist", Work: tmp + "/work"}, Endpoints: ends, Jobs: 1})
		for rec := range j.Records() {
			if rec.Step == ID && rec.Event == pipeline.Done {
				return rec.Receipt, err
			}
		}
		return nil, err
	}
	signer := func(err error) *endpoint.Endpoints {
		return &endpoint.Endpoints{Signer: func(_ context.Context, s endpoint.Signing) (gitremote.Signer, error) {
			if s.Format != "ssh" {
				return nil, errors.New("another format was asked for")
			}
			return stamp{err}, nil
		}}
	}
	plain, err := versioned(nil, nil)
	must(t, err)
	signed, err := versioned(&endpoint.Signing{Format: "ssh"}, signer(nil))
	must(t, err)
	if plain["commit"] == signed["commit"] || plain["tree"] != signed["tree"] {
		t.Errorf("plain %v, signed %v", plain, signed)
	}
	for want, ends := range map[string]any{"no endpoints": nil, "locked": signer(errors.New("the agent is locked"))} {
		if r, err := versioned(&endpoint.Signing{Format: "ssh"}, ends); err == nil || errors.Is(err, pipeline.ErrGate) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, %v", want, r, err)
		}
	}
}
