// Package state carries a release between machines: an archive of its journal, its plan and its artifacts, and of those of
// the plans beside it, such as its rollbacks.
//
// The archive is a tar (POSIX.1-2001 pax where a name or size asks for it, else ustar) compressed with zstd (RFC 8878).
// It holds "journal.jsonl", "plan.json", the receipts of rehearsals where there are some, and then in the order of their
// names the artifacts of the newest records that are there: "dist/NAME", and "work/..." for those that are not for users;
// trees are left out, since they are made again when something reads them. The same follows for each plan beside the
// release's, without receipts, below its name: "rollback-1/journal.jsonl", "rollback-1/plan.json", "rollback-1/dist/NAME".
// Times, owners and modes are fixed, so that the same release makes the same archive.
package state

import (
	"errors"
	"fmt"
	"io/fs"
	"path"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/pipeline"
)

const (
	journalName = "journal.jsonl"
	planName    = "plan.json"
)

// receipts are the files beside the journal that a gate may ask for: see package rehearsed.
var receipts = []string{"rehearsal.json", "rehearsal-rollback.json"}

// Limits of an archive, in bytes.
const (
	maxJournal = 1 << 30 // of all journals together
	maxPlan    = 256 << 20
	maxReceipt = 16 << 20
	maxWindow  = 128 << 20 // memory of the decoder
)

// maxBeside is how many plans a release may have beside its own.
const maxBeside = 1000

// besideName is the name of a plan beside a release's: the kind, and its number without leading zeros.
var besideName = regexp.MustCompile(`^(?:aur|hold|rollback)-[1-9][0-9]{0,5}$`)

var errNoPlan = errors.New("the journal has no plan")

// Contents folds a journal: its newest plan, and the artifacts that its steps' newest records speak of.
func Contents(j pipeline.Journal) (plan *pipeline.Plan, artifacts []pipeline.Artifact, err error) {
	made := map[string][]pipeline.Artifact{}
	for r, err := range j.Records() {
		if err != nil {
			return nil, nil, err
		}
		if r.Planned != nil {
			plan = r.Planned
		}
		switch r.Event {
		case pipeline.Done:
			made[r.Step] = r.Artifacts
		case pipeline.Started, pipeline.Failed, pipeline.Undone:
			delete(made, r.Step)
		}
	}
	if plan == nil {
		return nil, nil, errNoPlan
	}
	for _, sp := range plan.Specs {
		for _, a := range made[sp.ID] {
			if a.Kind == pipeline.KindTree {
				continue
			}
			if err := harmless(a.Name); err != nil {
				return nil, nil, err
			}
			artifacts = append(artifacts, a)
		}
	}
	slices.SortFunc(artifacts, func(a, b pipeline.Artifact) int { return strings.Compare(entry(a.Name), entry(b.Name)) })
	return plan, artifacts, nil
}

// entry is the name under which the archive holds an artifact, below that of its plan.
func entry(artifact string) string {
	if strings.HasPrefix(artifact, "work/") {
		return artifact
	}
	return "dist/" + artifact
}

// below is the name of an entry that belongs to the plan of a name; the release's own has none.
func below(name, entry string) string { return path.Join(name, entry) }

// harmless refuses artifact names that no plan could have: a journal from elsewhere may say anything. The folders of
// plans beside the release's are theirs alone.
func harmless(name string) error {
	hidden := strings.HasPrefix(name, "work/.") // the engine's own files
	first, _, _ := strings.Cut(name, "/")
	if !fs.ValidPath(name) || name == "." || hidden || path.Clean(name) != name || strings.ContainsAny(name, "\\:\x00\n\r") || besideName.MatchString(first) {
		return fmt.Errorf("artifact %q has a name that cannot be trusted", name)
	}
	return nil
}
