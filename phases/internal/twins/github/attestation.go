package github

import (
	"encoding/base64"
	"encoding/json"
	"net/http"
	"regexp"
)

// An attestation is a Sigstore bundle, found again by the digests of the
// in-toto statement in it.
type attestation struct {
	id      int64
	bundle  json.RawMessage
	digests map[string]bool // "sha256:..."
	by      string
}

var digestName = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// createAttestation takes a bundle (Sigstore bundle: a DSSE envelope whose
// payload is an in-toto statement). Signatures are not looked at.
func (c *call) createAttestation() reply {
	var q struct {
		Bundle json.RawMessage `json:"bundle"`
	}
	if bad := c.parse(&q); bad != nil {
		return *bad
	}
	var bundle struct {
		Envelope struct {
			Payload string `json:"payload"`
		} `json:"dsseEnvelope"`
	}
	var statement struct {
		Subject []struct {
			Digest map[string]string `json:"digest"`
		} `json:"subject"`
	}
	a := attestation{bundle: q.Bundle, digests: map[string]bool{}, by: c.token.Login}
	if json.Unmarshal(q.Bundle, &bundle) == nil {
		if payload, err := base64.StdEncoding.DecodeString(bundle.Envelope.Payload); err == nil {
			_ = json.Unmarshal(payload, &statement) // nothing found in it is refused below
		}
	}
	for _, s := range statement.Subject {
		if d := "sha256:" + s.Digest["sha256"]; digestName.MatchString(d) {
			a.digests[d] = true
		}
	}
	if len(a.digests) == 0 {
		return c.invalid(fieldError{Resource: "Attestation", Code: "invalid", Field: "bundle"})
	}
	a.id = c.nextID()
	c.repo.attestations = append(c.repo.attestations, a)
	return reply{http.StatusCreated, map[string]int64{"id": a.id}, nil}
}

func (c *call) listAttestations() reply {
	digest := c.r.PathValue("digest")
	list := []map[string]any{}
	for _, a := range c.repo.attestations {
		if a.digests[digest] {
			list = append(list, map[string]any{"bundle": a.bundle, "repository_id": c.repo.id, "bundle_url": "", "initiator": a.by})
		}
	}
	if len(list) == 0 { // for digests nobody attested (unconfirmed: perhaps an empty list)
		return c.notFound()
	}
	return reply{http.StatusOK, map[string]any{"attestations": list}, nil}
}
