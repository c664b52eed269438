package phases

import (
	"fmt"

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

// Raise returns the contents of the source of truth and of all carriers with the version v in them. Content gives what
// they hold now, by path.
func Raise(c *Config, v Version, content func(path string) ([]byte, error)) (map[string][]byte, error) {
	out := map[string][]byte{}
	for i, file := range append([]string{c.Version.Source}, c.Version.Carriers...) {
		now, err := content(file)
		if err != nil {
			return nil, fmt.Errorf("cannot read %s: %w", file, err)
		}
		write := carrier.Write
		if i == 0 {
			write = carrier.WriteSource
		}
		if out[file], err = write(file, now, v, carrier.Stamp{}); err != nil {
			return nil, err
		}
	}
	return out, nil
}
