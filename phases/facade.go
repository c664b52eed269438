package phases

import (
	"github.com/imrightguy/slipway/phases/internal/approval"
	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// What a program that runs releases needs of the packages that only phases may import: the repository it stands in,
// versions and the files that carry them, and the signatures of people.
type (
	Repository = repo.Repo
	Commit     = repo.Commit
	Version    = version.Version
	Drift      = carrier.Drift
	Approvers  = approval.Verifier
)

// The functions of the same name in packages repo, version and approval.
var (
	OpenRepository = repo.Open
	ParseVersion   = version.Parse
	NewApprovers   = approval.NewVerifier
	Sign           = approval.Sign
	LoadKey        = approval.LoadKey
	AgentSigners   = approval.AgentSigners
	Fingerprint    = approval.Fingerprint
)

// Verifier knows the people whom the configuration lists as approvers.
func Verifier(c *Config) (gate.Verifier, error) { return approval.NewVerifier(c.Approvers) }

// VersionAt is [VersionIn] for the files of a commit.
func VersionAt(c *Config, r *Repository, commit string) (Version, error) {
	return VersionIn(c, func(path string) ([]byte, error) { return r.File(commit, path) })
}
