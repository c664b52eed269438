package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// rehearseFlags are what a rehearsal can be told.
type rehearseFlags struct {
	keep   string
	faults []string
	jobs   int

	rollback bool
	to       string // the older version
}

func (a *app) rehearse() *cobra.Command {
	var f rehearseFlags
	cmd := &cobra.Command{
		Use:   "rehearse",
		Short: "Carry the plan out against twins of all remotes, then look at what arrived",
		Long: `Carries out the very plan that a run would, with the same code, against servers on this machine that stand for the git
remote, GitHub and the AUR; then looks at what arrived there as anybody would. Nothing leaves this machine, and of the
release only a receipt is kept: a gate may ask for one of the plan that it belongs to.

Approvals and attestations are signed with keys that are thrown away, and a check whose tool is missing here is waived;
the receipt lists all of that as not covered.`,
		Example: "  slipway rehearse\n  slipway rehearse --keep /tmp/rehearsal\n  slipway rehearse --fault github/upload-502",
		Args:    exactly(),
		RunE:    func(cmd *cobra.Command, _ []string) error { return a.doRehearse(cmd.Context(), f) },
	}
	flags := cmd.Flags()
	flags.StringVar(&f.keep, "keep", "", "leave what arrived in this `folder`, which must be empty or not there")
	flags.StringArrayVar(&f.faults, "fault", nil, "let something go wrong on the way: `NAME`, or list (may be repeated)")
	flags.IntVar(&f.jobs, "jobs", runtime.GOMAXPROCS(0), "steps that run side by side")
	flags.BoolVar(&f.rollback, "rollback", false, "release an older version before, and roll back to it in the end")
	flags.StringVar(&f.to, "to", "", "with --rollback: the older `version` (default: the newest version tag before this one)")
	return cmd
}

func (a *app) doRehearse(ctx context.Context, f rehearseFlags) (err error) {
	if slices.Contains(f.faults, "list") {
		return a.ui.Show(faultList{phases.FaultNames()})
	}
	if f.jobs < 1 {
		return usage("", "--jobs %d: at least one step has to run at a time", f.jobs)
	}
	for _, name := range f.faults {
		if !slices.Contains(phases.FaultNames(), name) {
			return usage(a.command("rehearse", "--fault", "list")+" lists them", "there is no fault %q", name)
		}
	}
	if f.rollback {
		return a.rehearseRollback(ctx, f)
	}
	if f.to != "" {
		return usage("", "--to belongs to --rollback")
	}
	r, err := a.release(ctx, false)
	if err != nil {
		return err
	}
	dir, done, err := a.stage(f.keep)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, done()) }()
	a.again = a.command("rehearse") + " begins anew; nothing of this one is left"
	if f.keep != "" {
		a.again = "what there is of it lies in " + f.keep
	}
	a.ui.Note(opening{r.plan.Env.Project + " " + r.plan.Env.Version, dir})
	a.warnings(ctx, r)
	world, err := phases.Rehearse(ctx, phases.RehearsalOptions{
		Config: r.config, Repository: r.repo, Base: r.base, Version: r.plan.Env.Version, Dir: dir, Faults: f.faults,
	})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, world.Close()) }()
	j, err := journal.Open(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, j.Close()) }()
	began := a.now()
	on := &rehearsal{app: a, r: r, world: world, journal: j, dir: dir, faults: f.faults, kinds: []string{phases.RehearsalOfRelease}}
	if err := on.run(ctx, f.jobs); err != nil {
		if f.keep == "" {
			return withHint(err, "%s leaves all of it to look at", a.command("rehearse", "--keep", "DIR"))
		}
		return withHint(err, "what arrived is in %s", f.keep)
	}
	arrived, err := world.Arrived(ctx, r.plan, on.survey, on.dirs)
	if err != nil {
		return err
	}
	tracker, err := a.trackerText(r, on.survey, nil)
	if err == nil {
		err = writeFile(filepath.Join(dir, "tracker.md"), tracker)
	}
	if err != nil {
		return err
	}
	receipt := on.receipt(phases.RehearsalOfRelease, arrived)
	shown := rehearsed{Receipt: receipt, Arrived: arrived, Kept: f.keep, Took: a.now().Sub(began).Round(time.Second / 10), Unstruck: world.Unstruck()}
	if bad := shown.bad(); bad > 0 {
		a.ui.Note(shown)
		return &coded{fmt.Errorf("the rehearsal ended, but %s did not arrive as planned", ui.Count(bad, "thing")), exitGate, ""}
	}
	b, err := receipt.Bytes()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(r.dir, 0o777); err != nil {
		return fmt.Errorf("cannot keep the receipt: %w", err)
	}
	for _, path := range []string{filepath.Join(r.dir, receipt.Kind+".json"), filepath.Join(dir, receipt.Kind+".json")} {
		if err := writeFile(path, b); err != nil {
			return err
		}
	}
	return a.ui.Show(shown)
}

// stage is the folder in which a rehearsal takes place, and what has to be done with it in the end.
func (a *app) stage(keep string) (dir string, done func() error, err error) {
	if keep == "" {
		return phases.RehearsalFolder()
	}
	dir, err = filepath.Abs(a.path(keep))
	if err != nil {
		return "", nil, err
	}
	if err := os.MkdirAll(dir, 0o777); err != nil {
		return "", nil, usage("", "cannot keep the rehearsal in %s: %w", keep, err)
	}
	there, err := os.ReadDir(dir)
	if err != nil {
		return "", nil, err
	}
	if len(there) > 0 {
		return "", nil, usage("take another folder, or empty it", "cannot keep the rehearsal in %s: it holds %s already", keep, there[0].Name())
	}
	return dir, func() error { return nil }, nil
}

// opening says what a rehearsal is, before it begins.
type opening struct{ release, dir string }

// Show reassures.
func (o opening) Show(p *ui.Page) {
	p.Printf("rehearsing %s in %s: nothing leaves this machine, and the release itself is not touched\n", o.release, o.dir)
}

// rehearsal is one under way.
type rehearsal struct {
	*app
	r       *release
	world   *phases.Rehearsal
	journal *journal.Journal
	dir     string
	faults  []string
	kinds   []string // of rehearsals that this one is
	lenient bool     // what failed is waived, too

	dirs       pipeline.Dirs
	survey     *pipeline.Survey
	notCovered []string
}

// maxStops bounds how often a rehearsal goes on after it stopped.
const maxStops = 200

// run carries the plan out to its end. Whatever people would have to sign is signed on the way. Where faults are
// planned, a run that stops is followed by another.
func (on *rehearsal) run(ctx context.Context, jobs int) error {
	printer := on.ui.Printer(on.r.plan)
	defer printer.Close()
	o := on.options(on.r, on.Journal(on.journal))
	on.dirs = pipeline.Dirs{Dist: filepath.Join(on.dir, "dist"), Work: filepath.Join(on.dir, "work")}
	o.Dirs = on.dirs
	ways := on.world.Endpoints(on.r.plan.Digest)
	ways.Rehearsed = on.receiptFor
	o.Jobs, o.Endpoints, o.Verifier, o.Observe = jobs, ways, on.world.Verifier(), printer.Observe
	retries := 0
	for range maxStops {
		err := on.r.plan.Run(ctx, o)
		survey, lookErr := on.r.plan.Survey(o)
		if lookErr != nil {
			return errors.Join(err, lookErr)
		}
		on.survey = survey
		var stopped *pipeline.GateError
		switch {
		case err == nil:
			return nil
		case ctx.Err() != nil:
			return err
		case errors.As(err, &stopped):
			signed, signErr := on.sign(o, stopped.State)
			if signErr != nil {
				return signErr
			}
			if signed == 0 {
				on.ui.Note(ui.Why{Of: stopped.State.ID, Blocks: on.blocks(on.r, survey, stopped.State.ID), Refused: stopped.State.Refused})
				return err
			}
		case len(on.faults) > 0 && retries < 20:
			retries++
			on.ui.Warn("the run stopped: %v", err)
			on.ui.Warn("running again, as a person would")
		default:
			return err
		}
	}
	return errors.New("the rehearsal stops again and again")
}

// receiptFor answers a gate that asks for the receipt of a rehearsal: this is one, or there is one already. Of another kind
// that there is none of, nothing can be said here.
func (on *rehearsal) receiptFor(kind string) ([]byte, error) {
	if slices.Contains(on.kinds, kind) {
		if text := "the receipt of a rehearsal (" + kind + "): this is one itself"; !slices.Contains(on.notCovered, text) {
			on.notCovered = append(on.notCovered, text)
		}
		rec := on.receiptOf(kind)
		return rec.Bytes()
	}
	text, err := readUpTo(filepath.Join(on.r.dir, kind+".json"), maxStatement)
	var rec phases.RehearsalReceipt
	if err == nil {
		rec, err = phases.ParseRehearsal(text)
	}
	if err != nil || rec.Plan != on.r.plan.Digest {
		return nil, fmt.Errorf("this is a rehearsal of another kind: %s makes the receipt", on.command("rehearse", "--rollback"))
	}
	return text, nil
}

// sign signs all that people have to sign at a gate, and waives what could not be looked at here. It returns how much.
func (on *rehearsal) sign(o pipeline.Options, g gate.State) (n int, err error) {
	state := func(req gate.Request) error {
		signature, err := on.world.Sign(req.Role, req.Bytes())
		if err == nil {
			err = on.r.plan.State(o, gate.Statement{Signed: req.Bytes(), Signature: signature})
		}
		n++
		return err
	}
	failed := slices.ContainsFunc(g.Blocks, func(b gate.Block) bool { return b.Kind != "waiting" && b.Kind != "unknown" })
	if failed && !on.lenient || strings.HasPrefix(g.ID, "proof/") {
		return 0, nil
	}
	for _, c := range g.Criteria {
		switch {
		case c.Verdict == gate.Pass:
		case c.Attest != "":
			on.notCovered = append(on.notCovered, fmt.Sprintf("%s: %s (a person of role %s attests it)", g.ID, c.Title, c.Attest))
			if err := state(g.Attested(c)); err != nil {
				return n, err
			}
		case g.Approve != "":
			on.notCovered = append(on.notCovered, fmt.Sprintf("%s: %s (waived here: %s)", g.ID, c.Title, c.Why))
			if err := state(g.Waived(c, "rehearsal: "+c.Why, on.app.now().Add(24*time.Hour))); err != nil {
				return n, err
			}
		}
	}
	if n == 0 && wantsApproval(g) {
		on.notCovered = append(on.notCovered, fmt.Sprintf("%s: the approval of %s", g.ID, g.Approve))
		return 1, state(g.Request)
	}
	return n, nil
}

// receiptOf is a receipt that does not say yet what was shown.
func (on *rehearsal) receiptOf(kind string) phases.RehearsalReceipt {
	e := on.r.plan.Env
	return phases.RehearsalReceipt{Kind: kind, Project: e.Project, Version: e.Version, Commit: e.Commit, Plan: on.r.plan.Digest, Time: on.app.now().UTC()}
}

// receipt says what the rehearsal has shown.
func (on *rehearsal) receipt(kind string, arrived []phases.Arrival) phases.RehearsalReceipt {
	rec := on.receiptOf(kind)
	for _, st := range on.survey.Steps {
		switch {
		case st.Spec.Effect.Outward():
			rec.Covered = append(rec.Covered, st.Spec.ID+": "+st.Spec.Target)
		case st.Gate != nil:
			for _, c := range st.Gate.Criteria {
				if c.Verdict == gate.Pass && c.By == "" {
					rec.Covered = append(rec.Covered, st.Spec.ID+": "+c.Title)
				}
			}
		}
	}
	for _, x := range arrived {
		if x.OK {
			rec.Covered = append(rec.Covered, "arrived: "+x.What)
		}
	}
	rec.NotCovered = on.notCovered
	return rec
}

// rehearsed closes a rehearsal.
type rehearsed struct {
	Receipt  phases.RehearsalReceipt `json:"receipt"`
	Arrived  []phases.Arrival        `json:"arrived"`
	Kept     string                  `json:"kept,omitempty"`
	Took     time.Duration           `json:"took"`
	Unstruck []string                `json:"unstruck,omitempty"` // faults that never came about
	// Corrected says how soon the AUR served what users are brought back by.
	Corrected []phases.Correction `json:"corrected,omitempty"`
}

func (s rehearsed) bad() (n int) {
	for _, x := range s.Arrived {
		if !x.OK {
			n++
		}
	}
	return n
}

// Show tells what arrived and what was not covered.
func (s rehearsed) Show(p *ui.Page) {
	p.Gap()
	p.Line(ui.Cell{Text: "What arrived", Style: ui.Bold})
	var rows []ui.Row
	for _, x := range s.Arrived {
		rows = append(rows, ui.Row{Sign: p.Sign(x.OK, true), Name: x.What, Text: x.Found, Full: !x.OK})
	}
	p.Rows("  ", rows...)
	for _, c := range s.Corrected {
		p.Printf("  %s\n", soon(c))
	}
	if len(s.Receipt.NotCovered) > 0 {
		p.Gap()
		p.Line(ui.Cell{Text: "What a rehearsal cannot show", Style: ui.Bold})
		for _, text := range s.Receipt.NotCovered {
			p.Printf("  - %s\n", text)
		}
	}
	for _, name := range s.Unstruck {
		p.Printf("  the fault %s never came about\n", name)
	}
	p.Gap()
	p.Printf("%s %s: rehearsed in %s; plan %s\n", s.Receipt.Project, s.Receipt.Version, s.Took, ui.Short(s.Receipt.Plan))
	if s.Kept != "" {
		p.Printf("all of it is in %s\n", s.Kept)
	}
}

// soon says how soon users of the AUR can be brought back.
func soon(c phases.Correction) string {
	return fmt.Sprintf("the AUR served the correction of %s %.1fs after gate/rollback passed", c.Package, c.After.Seconds())
}

// faultList is what --fault list shows.
type faultList struct {
	Faults []string `json:"faults"`
}

// Show lists them.
func (l faultList) Show(p *ui.Page) {
	for _, name := range l.Faults {
		p.Printf("%s\n", name)
	}
}
