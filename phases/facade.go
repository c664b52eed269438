package phases

import (
	"github.com/imrightguy/slipway/phases/build/judge"
	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/imrightguy/slipway/phases/internal/approval"
	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/rehearsal"
	"github.com/imrightguy/slipway/phases/internal/rehearsed"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// What a program that runs releases needs of the packages that only phases may import.
type (
	// Repository is the git repository that is released: see package repo.
	Repository = repo.Repo
	// Commit is what a release wants to know of a commit.
	Commit = repo.Commit
	// Version is the version of a release: see package version.
	Version = version.Version
	// Drift is one place where a file says another version than the source of truth: see package carrier.
	Drift = carrier.Drift
	// Approvers knows who may sign for which role: see package approval.
	Approvers = approval.Verifier
	// Endpoints are how a run reaches the outside world: see package endpoint.
	Endpoints = endpoint.Endpoints
	// TwinMap says where twins stand for the world: see package rehearsal.
	TwinMap = rehearsal.Map
	// Arrival is one thing that was looked for after a rehearsal: see package rehearsal.
	Arrival = rehearsal.Arrival
	// RehearsalReceipt says what a rehearsal has shown: see package rehearsed.
	RehearsalReceipt = rehearsed.Receipt
)

// The kinds of rehearsals.
const (
	RehearsalOfRelease  = rehearsed.Release
	RehearsalOfRollback = rehearsed.Rollback
)

// The functions of packages repo, version and approval, and what looks at the machine in packages requirement and judge.
var (
	OpenRepository = repo.Open
	ParseVersion   = version.Parse
	NewApprovers   = approval.NewVerifier
	Sign           = approval.Sign
	LoadKey        = approval.LoadKey
	AgentSigners   = approval.AgentSigners
	Fingerprint    = approval.Fingerprint
	ExamineTool    = requirement.Examine
	ExamineRoom    = requirement.Room
	ExamineJudges  = judge.Examine
	System         = endpoint.System
	FaultNames     = rehearsal.FaultNames
	ParseRehearsal = rehearsed.Parse
)

// Verifier knows the people whom the configuration lists as approvers.
func Verifier(c *Config) (gate.Verifier, error) { return approval.NewVerifier(c.Approvers) }
