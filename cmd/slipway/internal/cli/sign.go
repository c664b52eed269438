package cli

import (
	"context"
	"errors"
	"io"
	"iter"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/crypto/ssh"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// signFlags say how something is signed and where it goes.
type signFlags struct {
	key, request, out, imported, version string
	unsigned                             bool
}

func (f *signFlags) register(cmd *cobra.Command, what string) {
	flags := cmd.Flags()
	flags.StringVar(&f.key, "key", "", "sign with this private key `file`, or with the key in ssh-agent whose .pub file this is (default: the approver's key in ssh-agent)")
	flags.StringVar(&f.request, "request", "", "sign this `file`, without the journal; needs --out")
	flags.StringVar(&f.out, "out", "", "write the "+what+" to this `file` instead of recording it")
	flags.StringVar(&f.imported, "import", "", "record the "+what+" in this `file`, made elsewhere")
	flags.StringVar(&f.version, "version", "", versionFlag)
	if what == "statement" {
		flags.BoolVar(&f.unsigned, "unsigned", false, "with --out: write the statement without a signature, for somebody else to sign")
	}
}

// signing is a statement to be made.
type signing struct {
	signFlags
	kind, gate, criterion, reason string
	expires                       time.Time
}

// sign makes a statement, or takes one in.
func (a *app) sign(ctx context.Context, s signing) error {
	switch {
	case s.imported != "" && (s.request != "" || s.out != "" || s.unsigned):
		return usage("", "--import records what was signed elsewhere: it goes with no other of --request, --out and --unsigned")
	case s.request != "" && s.unsigned:
		return usage("", "--request is signed here, and --unsigned is not: only one of them")
	case s.request != "" && s.out == "":
		return usage("", "--request needs --out: the file that the signature goes to")
	case s.request != "":
		return a.signElsewhere(ctx, s)
	case s.unsigned && s.out == "":
		return usage("", "--unsigned needs --out: the file that the statement goes to")
	}
	r, err := a.addressed(ctx, s.gate, s.version)
	if err != nil {
		return err
	}
	survey, err := a.begun(r)
	if err != nil {
		return err
	}
	var st gate.Statement
	var request gate.Request
	if s.imported != "" && s.kind != gate.Approval {
		if st, request, err = a.readStatement(&s); err != nil {
			return err
		}
	} else if request, err = a.request(r, survey, s); err != nil {
		return err
	}
	switch {
	case s.imported != "" && s.kind == gate.Approval:
		signature, err := readUpTo(a.path(s.imported), maxStatement)
		if err != nil {
			return usage("", "cannot read the signature: %w", err)
		}
		st = a.statement(r, request, signature)
	case s.imported != "":
	case s.unsigned:
		if err := writeFile(a.path(s.out), request.Bytes()); err != nil {
			return err
		}
		next := []string{"ssh-keygen -Y sign -n slipway-approval -f KEY " + ui.Quote(s.out), a.importing(request, s.out)}
		return a.ui.Show(signed{Kind: s.kind, Gate: request.Gate, Criterion: request.Criterion, Files: []string{s.out}, Next: next})
	default:
		a.ui.Note(ui.Request{Request: request, Head: "You sign this " + s.kind + ":"})
		if st, err = a.signWith(ctx, s.key, request, r.approvers); err != nil {
			return err
		}
		if s.out != "" {
			return a.writeStatement(s, request, st)
		}
	}
	return a.record(ctx, r, s, request, st)
}

// importing is the command that records what was signed elsewhere. What lies beside a release is named.
func (a *app) importing(request gate.Request, file string) string {
	words := []string{verb(request.Kind)}
	if kind := pipeline.PhaseOf(request.Gate); kind == phases.RollbackPhase || kind == phases.HoldPhase {
		words = append(words, request.Gate, "--version", request.Version)
	}
	return a.command(append(words, "--import", file)...)
}

func verb(kind string) string {
	return map[string]string{gate.Approval: "approve", gate.Attestation: "attest", gate.Waiver: "waive"}[kind]
}

// begun surveys a release that has a journal of this plan: statements are about what was run.
func (a *app) begun(r *release) (*pipeline.Survey, error) {
	survey, err := a.survey(r)
	switch {
	case err != nil:
		return nil, err
	case survey.Run == "":
		return nil, a.notBegun()
	case survey.Old != nil:
		return nil, a.differs(survey.Old, r.plan, a.asItIsNow(r)+" goes on with the plan as it is now")
	}
	return survey, nil
}

// request is what is to be signed.
func (a *app) request(r *release, s *pipeline.Survey, want signing) (gate.Request, error) {
	switch want.kind {
	case gate.Attestation:
		return a.attestation(s, want.gate, want.criterion)
	case gate.Waiver:
		return a.waiver(s, want)
	}
	return a.approval(r, s, want.gate)
}

// signElsewhere signs a request file on a machine that need not have the release.
func (a *app) signElsewhere(ctx context.Context, s signing) error {
	b, err := readUpTo(a.path(s.request), maxStatement)
	if err != nil {
		return usage("", "cannot read the request: %w", err)
	}
	request, err := gate.ParseRequest(b)
	if err != nil {
		return refused("ask for a new copy of it", "%s: %w", s.request, err)
	}
	if request.Kind != s.kind {
		return usage("", "%s asks for the %s of %s, not for an %s", s.request, request.Kind, request.Gate, s.kind)
	}
	if request.Kind == gate.Waiver && !a.now().Before(request.Expires) {
		return refused("", "%s asks for a waiver that ended on %s", s.request, request.Expires.Format(time.DateOnly))
	}
	var approvers *phases.Approvers // where this is the repository too, they tell which key of the agent is meant
	if p, err := a.project(); err == nil && p.config.Project == request.Project {
		approvers, _ = phases.NewApprovers(p.config.Approvers)
	}
	a.ui.Note(ui.Request{Request: request, Head: "You sign this " + s.kind + ":"})
	st, err := a.signWith(ctx, s.key, request, approvers)
	if err != nil {
		return err
	}
	if err := writeFile(a.path(s.out), st.Signature); err != nil {
		return err
	}
	carry := s.out
	if s.kind != gate.Approval { // the statement travels with its signature beside it
		carry = strings.TrimSuffix(s.out, ".sig")
	}
	next := "where the release is: " + a.importing(request, carry)
	return a.ui.Show(signed{Kind: s.kind, Gate: request.Gate, Criterion: request.Criterion, Files: []string{s.out}, Next: []string{next}})
}

// signWith signs with a key file, or with a key of ssh-agent. Where the approvers are known, no other key is used.
func (a *app) signWith(ctx context.Context, keyFile string, request gate.Request, approvers *phases.Approvers) (st gate.Statement, err error) {
	key, closer, err := a.key(ctx, keyFile, request.Role, approvers)
	if err != nil {
		return st, err
	}
	defer closer.Close()
	st.Signed = request.Bytes()
	st.Signature, err = phases.Sign(st.Signed, key)
	return st, err
}

// key finds the key to sign with, and what has to be closed when it has signed.
func (a *app) key(ctx context.Context, file, role string, approvers *phases.Approvers) (ssh.Signer, io.Closer, error) {
	if file != "" && !strings.HasSuffix(file, ".pub") {
		key, err := phases.LoadKey(a.path(file), func() ([]byte, error) { return a.ui.Passphrase(file) })
		if err == nil {
			key, err = choose([]ssh.Signer{key}, role, approvers)
		}
		return key, io.NopCloser(nil), err
	}
	keys, agent, err := phases.AgentSigners(ctx)
	if err != nil {
		return nil, nil, withHint(err, "--key FILE signs with a key file")
	}
	if file != "" {
		keys, err = a.matching(keys, a.path(file))
	}
	var key ssh.Signer
	if err == nil {
		key, err = choose(keys, role, approvers)
	}
	if err != nil {
		return nil, nil, errors.Join(err, agent.Close())
	}
	return key, agent, nil
}

// choose takes the key of an approver; where none are known, the only one.
func choose(keys []ssh.Signer, role string, approvers *phases.Approvers) (ssh.Signer, error) {
	if approvers != nil {
		key, err := approvers.Pick(role, keys)
		if err != nil {
			return nil, &coded{err, exitGate, "approvers are those in release.yaml at the release's base commit"}
		}
		return key, nil
	}
	if len(keys) > 1 {
		names := make([]string, len(keys))
		for i, k := range keys {
			names[i] = phases.Fingerprint(k.PublicKey())
		}
		return nil, usage("--key FILE.pub says which", "ssh-agent has more than one key: %s", strings.Join(names, ", "))
	}
	return keys[0], nil
}

// matching picks the key of the agent whose public half is in the file.
func (a *app) matching(keys []ssh.Signer, file string) ([]ssh.Signer, error) {
	b, err := readUpTo(file, 1<<16)
	if err != nil {
		return nil, usage("", "cannot read the public key: %w", err)
	}
	public, _, _, _, err := ssh.ParseAuthorizedKey(b)
	if err != nil {
		return nil, usage("", "%s is not a public key: %w", file, err)
	}
	for _, k := range keys {
		if phases.Fingerprint(k.PublicKey()) == phases.Fingerprint(public) {
			return []ssh.Signer{k}, nil
		}
	}
	return nil, usage("ssh-add adds it", "ssh-agent does not hold the key %s", phases.Fingerprint(public))
}

// writeStatement writes what was signed to files: of an approval the signature alone, since request.json is what it
// signs, else also the statement.
func (a *app) writeStatement(s signing, request gate.Request, st gate.Statement) error {
	out := signed{
		Kind: s.kind, Gate: request.Gate, Criterion: request.Criterion, Files: []string{s.out},
		Next: []string{"where the release is: " + a.importing(request, s.out)},
	}
	signature := s.out
	if s.kind != gate.Approval {
		if err := writeFile(a.path(s.out), st.Signed); err != nil {
			return err
		}
		signature += ".sig"
		out.Files = append(out.Files, signature)
	}
	if err := writeFile(a.path(signature), st.Signature); err != nil {
		return err
	}
	return a.ui.Show(out)
}

// readStatement reads a statement and, beside it, its signature.
func (a *app) readStatement(s *signing) (st gate.Statement, request gate.Request, err error) {
	if st.Signed, err = readUpTo(a.path(s.imported), maxStatement); err != nil {
		return st, request, usage("", "cannot read the statement: %w", err)
	}
	if st.Signature, err = readUpTo(a.path(s.imported)+".sig", maxStatement); err != nil {
		return st, request, usage("", "cannot read the statement's signature: %w", err)
	}
	if request, err = gate.ParseRequest(st.Signed); err != nil {
		return st, request, refused("ask for a new copy of it", "%s: %w", s.imported, err)
	}
	switch {
	case request.Kind != s.kind:
		err = usage("", "%s holds the %s of %s, not an %s", s.imported, request.Kind, request.Gate, s.kind)
	case s.gate != "" && s.gate != request.Gate && "gate/"+s.gate != request.Gate, s.criterion != "" && s.criterion != request.Criterion:
		err = usage("", "%s is about criterion %q of %s", s.imported, request.Criterion, request.Gate)
	}
	return st, request, err
}

// record appends a statement to the journal, if it counts.
func (a *app) record(ctx context.Context, r *release, s signing, request gate.Request, st gate.Statement) (err error) {
	r, lock, j, err := a.open(ctx, r, false)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, lock.Close()) }()
	o := a.options(r, j)
	survey, err := r.plan.Survey(o)
	if err != nil {
		return err
	}
	by, err := a.counts(r, j, survey.Run, request, st)
	if err != nil {
		return err
	}
	if err := r.plan.State(o, st); err != nil {
		return err
	}
	if survey, err = a.survey(r); err != nil {
		return err
	}
	if err := a.writeRequest(r, survey); err != nil {
		return err
	}
	next := a.next(r, survey, a.blocks(r, survey, ""))
	return a.ui.Show(signed{Kind: s.kind, Gate: request.Gate, Criterion: request.Criterion, By: by, Next: next})
}

// counts asks the engine whether the statement counts, by letting it judge a journal to which it was added.
func (a *app) counts(r *release, j pipeline.Journal, run string, request gate.Request, st gate.Statement) (by string, err error) {
	survey, err := r.plan.Survey(a.options(r, j))
	if err != nil {
		return "", err
	}
	before, err := a.find(survey, request.Gate)
	if err != nil {
		return "", err
	}
	t := trial{Journal: j, about: request, add: pipeline.Record{Event: pipeline.Stated, Run: run, Plan: r.plan.Digest, Statement: &st}}
	survey, err = r.plan.Survey(a.options(r, t))
	if err != nil {
		return "", err
	}
	g, err := a.find(survey, request.Gate)
	if err != nil {
		return "", err
	}
	by = g.By
	if request.Kind != gate.Approval {
		_, c, err := a.criterion(survey, request.Gate, request.Criterion)
		if err != nil {
			return "", err
		}
		if by = c.By; request.Kind == gate.Waiver && c.Verdict == gate.Pass && c.Waived == "" {
			return "", refused("", "criterion %q of %s has passed: there is nothing to waive", c.Title, g.ID)
		}
	}
	if by != "" {
		return by, nil
	}
	why := "it is not about what there is now"
	for _, note := range g.Refused { // those of other criteria were there before
		if strings.HasPrefix(note, request.Kind+" of ") && !slices.Contains(before.Refused, note) {
			why = note
		}
	}
	return "", refused("nothing was recorded", "refused: %s", why)
}

// trial is a journal with one statement more, in the place of all others about the same thing.
type trial struct {
	pipeline.Journal
	about gate.Request
	add   pipeline.Record
}

// Records yields the journal's records and then the one that is tried.
func (t trial) Records() iter.Seq2[pipeline.Record, error] {
	return func(yield func(pipeline.Record, error) bool) {
		for rec, err := range t.Journal.Records() {
			if rec.Statement != nil {
				if old, err := gate.ParseRequest(rec.Statement.Signed); err == nil &&
					old.Kind == t.about.Kind && old.Gate == t.about.Gate && old.Criterion == t.about.Criterion {
					continue
				}
			}
			if !yield(rec, err) || err != nil {
				return
			}
		}
		yield(t.add, nil)
	}
}
