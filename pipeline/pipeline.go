// Package pipeline plans and runs releases.
//
// A [Phase] turns configuration into [Step]s. The steps of all phases make a [Plan], which is data: it can be
// printed, hashed, stored and compared. Running a plan writes every transition to a [Journal]; running it again
// carries on from there, and unwinding it takes back what the journal says was done.
//
// # Effects
//
// How far a step reaches decides how it is run. Pure steps read, Local steps write only outputs that are renamed
// into place when complete; both run side by side. Remote and Permanent steps ("outward" ones) run alone, in plan
// order: Probe asks whether the effect is there already, "started" is made durable, Run acts, "done" is made durable.
// So a process killed anywhere never acts twice: the next Run probes, and knows its own work by the marker
// (see [Receipt]). What it finds but did not make is adopted, and never taken away.
//
// # Gates and proofs
//
// A gate does no work: it reads the [Evidence] which the steps it needs reported and the statements which people
// signed, and passes or does not (package gate judges). A gate is evaluated again on every run until an outward step
// that needs it has started. After that it stands, for what it has passed for: an outward step that has become another
// one, came later, or would publish other bytes is refused. A proof is a gate behind the outward steps: machine criteria
// only, evaluated until it passed. A check that could not run is Unknown, and Unknown never passes.
//
// # When a step is done
//
// While its Spec and the digests of all it refers to equal those of its done record. Otherwise a Local step is made
// again, and for an outward one the run is refused: the effect must be unwound first.
package pipeline

import (
	"context"
	"errors"
	"iter"
	"time"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// A Phase contributes steps to a plan.
type Phase interface {
	// Name is the first element of the phase's step IDs.
	Name() string
	// Plan returns the phase's steps in order. It changes nothing, and the same env always gives the same steps.
	Plan(ctx context.Context, env *Env) ([]Step, error)
}

// Env is all that a phase may look at while planning besides its configuration. It is part of the plan's digest.
type Env struct {
	Project string    `json:"project"`
	Version string    `json:"version"` // X.Y.Z[-pre][+build]
	Commit  string    `json:"commit"`  // base commit, hexadecimal
	Config  string    `json:"config"`  // SHA-256 of release.yaml
	Time    time.Time `json:"time"`    // the base commit's time in UTC: the only time that an artifact may hold
}

// Effect says how far the consequences of a step reach.
type Effect int

// The effects, in rising order of reach.
const (
	Pure      Effect = iota // reads only: checks, gates
	Local                   // writes only its outputs; taken back by discarding them
	Remote                  // others can see it; Undo takes it back
	Permanent               // others can see it, and it cannot be taken back
)

// String returns the effect's name as it stands in plans.
func (e Effect) String() string {
	return [...]string{"pure", "local", "remote", "permanent"}[e]
}

// Outward reports whether others can see the effect.
func (e Effect) Outward() bool { return e >= Remote }

// Spec is the part of a step that is data: what a plan shows and hashes. It holds configuration and references,
// never results, absolute paths, clocks or endpoints.
type Spec struct {
	ID     string   `json:"id"`               // phase/name[/arch]: title, and key in the journal
	Needs  []string `json:"needs,omitempty"`  // IDs of earlier steps
	Effect Effect   `json:"effect"`           //
	Target string   `json:"target,omitempty"` // the outside thing an outward step acts on, by its production name
	// Inputs are references, "artifact:NAME" or "receipt:STEP" or "receipt:STEP.key": all that the step reads of
	// other steps. Their digests decide whether the step is still done.
	Inputs  []string          `json:"inputs,omitempty"`
	Outputs []string          `json:"outputs,omitempty"` // artifact names; those under "work/" are not for users
	Checks  []string          `json:"checks,omitempty"`  // names of the evidence that the step reports
	Params  map[string]string `json:"params,omitempty"`  // configuration that decides the result
}

// A Step is one unit of work with at most one outward act.
type Step interface {
	Spec() Spec
	Run(ctx context.Context, ws *Workspace) (Receipt, error)
}

// A Prober finds what an earlier Run made. Outward steps must be Probers.
type Prober interface {
	// Probe returns the receipt that Run would have given, nil where there is nothing yet, or an error wrapping
	// [ErrConflict] where something else stands in the way. A receipt beside that error says that what Run made is
	// there all the same, though not as it was made.
	Probe(ctx context.Context, ws *Workspace) (Receipt, error)
}

// An Undoer takes back what Run did. Remote steps must be Undoers; what is already gone is success.
type Undoer interface {
	Undo(ctx context.Context, ws *Workspace, r Receipt) error
}

// A Receipt says what a step did, in terms that another process can act on. Where the channel can carry it, the act
// bears the run's ID and the receipt repeats it under [Marker]; a probed receipt with another marker, or with none,
// is somebody else's work.
type Receipt map[string]string

// Marker is the receipt key for the ID of the run that acted.
const Marker = "marker"

// An Artifact is a file or a tree of files that a step made. It is never changed once recorded.
type Artifact struct {
	Name   string `json:"name"`           // slash-separated path below dist/VERSION; below the work folder if it begins with "work/"
	Kind   string `json:"kind,omitempty"` // what it is: tarball, deb, checksum ...; KindTree for a folder
	OS     string `json:"os,omitempty"`
	Arch   string `json:"arch,omitempty"` // GOARCH name
	SHA256 string `json:"sha256"`         // hexadecimal; of a tree, that of its manifest
	Size   int64  `json:"size"`           // bytes; of a tree, the sum of its files
}

// KindTree is the Kind of artifacts that are folders. Gates do not cover them: the packages made of them are covered.
const KindTree = "tree"

// Evidence is what a check saw; see package gate, which judges it.
type Evidence = gate.Evidence

// Event is the kind of a record.
type Event string

// The events. A step's last record among started, done, failed and undone says where it stands.
const (
	Begin    Event = "begin"     // the first record: the run's ID and plan
	Amend    Event = "amend"     // the plan was replaced
	Started  Event = "started"   // intent, durable before the step acts
	Done     Event = "done"      // outcome; of a gate: passed
	Failed   Event = "failed"    // the step returned an error; of a gate: a criterion failed or is unknown
	Waiting  Event = "waiting"   // a gate waits for people
	Undone   Event = "undone"    // unwound
	Stated   Event = "statement" // a signed statement was added
	Progress Event = "progress"  // observers only, never in a journal
)

// Record is one transition, and also one progress event.
type Record struct {
	Time      time.Time       `json:"time"`
	Event     Event           `json:"event"`
	Run       string          `json:"run"`            // the run's ID: the marker of its outward acts
	Plan      string          `json:"plan,omitempty"` // digest
	Step      string          `json:"step,omitempty"`
	Spec      string          `json:"spec,omitempty"`    // digest of the step's Spec
	Inputs    string          `json:"inputs,omitempty"`  // digest of all it referred to
	Receipt   Receipt         `json:"receipt,omitempty"` // of a gate: by outward step, a digest of what it has passed for
	Artifacts []Artifact      `json:"artifacts,omitempty"`
	Evidence  []Evidence      `json:"evidence,omitempty"`
	Adopted   bool            `json:"adopted,omitempty"` // found by Probe, not made by this run
	Error     string          `json:"error,omitempty"`
	Statement *gate.Statement `json:"statement,omitempty"`
	Planned   *Plan           `json:"planned,omitempty"` // of begin and amend: the whole plan
	Text      string          `json:"text,omitempty"`    // of progress: one line for people
	Bytes     int64           `json:"bytes,omitempty"`   // of progress
	Total     int64           `json:"total,omitempty"`   // of progress; 0 where unknown
}

// A Journal keeps records in order.
type Journal interface {
	// Append adds a record. It is durable when Append returns.
	Append(Record) error
	// Records yields the records from the first on.
	Records() iter.Seq2[Record, error]
}

// What a run can end with, beside a step's own error.
var (
	ErrGate      = errors.New("a gate did not pass")
	ErrDiffers   = errors.New("plan and journal differ")
	ErrConflict  = errors.New("something else is there already")
	ErrPermanent = errors.New("it cannot be taken back")
	ErrUntouched = errors.New("nothing was changed") // of a Run: others have seen nothing of it, for certain
)
