package ui

import (
	"fmt"
	"path"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// A Printer shows the records of a run as they come. Observe may be called from several goroutines; Close must be
// called when the run has ended.
type Printer interface {
	Observe(pipeline.Record)
	Close()
}

// Printer returns the one for this process: JSON lines, GitHub annotations, live lines in a terminal or plain lines
// elsewhere. All show the same records.
func (u *UI) Printer(plan *pipeline.Plan) Printer {
	t := &tale{begun: map[string]time.Time{}, now: time.Now}
	for _, sp := range plan.Specs {
		t.column = max(t.column, min(48, cells(Clean(sp.ID))))
	}
	if u.err.size != nil {
		columns, _ := u.err.size()
		t.column, t.narrow = min(t.column, columns/2), true
	}
	switch {
	case u.JSON:
		return records{u}
	case u.github:
		return &annotations{u: u, tale: t, notes: map[string][]string{}}
	case u.err.size != nil:
		return newLive(u, t)
	}
	return newPlain(u, t)
}

// records prints each record as a JSON line on standard output.
type records struct{ u *UI }

func (p records) Observe(r pipeline.Record) { _ = p.u.Object(r) }
func (p records) Close()                    {}

// tale remembers what is needed to tell of a run. Its user locks it.
type tale struct {
	begun  map[string]time.Time // running steps
	order  []string             // the same, in the order in which they began
	column int                  // columns of the step names
	narrow bool                 // longer ones are cut
	now    func() time.Time
}

// follow keeps account of what runs, and returns how long the step of a record took.
func (t *tale) follow(r pipeline.Record) (took time.Duration) {
	switch r.Event {
	case pipeline.Started:
		if _, running := t.begun[r.Step]; !running {
			t.order = append(t.order, r.Step)
		}
		t.begun[r.Step] = t.now()
	case pipeline.Done, pipeline.Failed, pipeline.Waiting, pipeline.Undone:
		if since, running := t.begun[r.Step]; running {
			took = t.now().Sub(since)
			delete(t.begun, r.Step)
			for i, id := range t.order {
				if id == r.Step {
					t.order = append(t.order[:i], t.order[i+1:]...)
					break
				}
			}
		}
	}
	return took
}

// name is a step's name in its column. A longer one is cut in a terminal only.
func (t *tale) name(id string) string {
	id = Clean(id)
	if t.narrow {
		id = fit(id, t.column)
	}
	return pad(id, t.column+2)
}

// outcome says in one line for people what a record means. It is nothing for progress and for a beginning.
func (t *tale) outcome(r pipeline.Record, s signs, took time.Duration) []Cell {
	var sign Cell
	var detail string
	switch r.Event {
	case pipeline.Done:
		sign, detail = ending(r, s)
	case pipeline.Failed:
		sign, detail = Cell{s.fail, Red}, firstLine(r.Error)
	case pipeline.Waiting:
		sign, detail = Cell{s.wait, Yellow}, firstLine(r.Error)
	case pipeline.Undone:
		sign, detail = Cell{s.ok, Green}, "taken back"
	default:
		return nil
	}
	if isGate(r.Step) {
		detail = strings.TrimPrefix(detail, r.Step+" ")
		if rest, waits := strings.CutPrefix(detail, "did not pass: waiting: "); waits {
			detail = "waits: " + rest
		}
	}
	clock := ""
	if took >= 50*time.Millisecond {
		clock = span(took)
	}
	return []Cell{sign, {Text: " "}, {t.name(r.Step), Plain}, {fmt.Sprintf("%6s  ", clock), Dim}, {Text: detail}}
}

func isGate(id string) bool {
	return strings.HasPrefix(id, "gate/") || strings.HasPrefix(id, "proof/")
}

// ending says how a step that is done has ended: with what it has made, or with the first thing that it found wrong.
func ending(r pipeline.Record, s signs) (Cell, string) {
	for _, v := range []gate.Verdict{gate.Fail, gate.Unknown} {
		var found []string
		for _, e := range r.Evidence {
			if e.Verdict == v {
				found = append(found, verdict(e))
			}
		}
		if len(found) == 0 || isGate(r.Step) {
			continue
		}
		if n := len(found) - 1; n > 0 {
			found[0] = firstLine(found[0]) + fmt.Sprintf(" (and %d more)", n)
		}
		return verdictSign(v, s), found[0]
	}
	return Cell{s.ok, Green}, accomplished(r)
}

// accomplished names what a step has made, or what it has found right.
func accomplished(r pipeline.Record) string {
	var made []string
	for _, a := range r.Artifacts {
		if strings.HasPrefix(a.Name, "work/") {
			continue
		}
		if len(r.Artifacts) > 1 {
			made = append(made, path.Base(a.Name))
		} else {
			made = append(made, fmt.Sprintf("%s  %s", a.Name, Bytes(a.Size)))
		}
	}
	switch {
	case isGate(r.Step):
		return "passed"
	case r.Adopted:
		return "there already"
	case len(made) > 0:
		return strings.Join(made, ", ")
	case len(r.Evidence) > 1:
		return Count(len(r.Evidence), "check") + " passed"
	case len(r.Evidence) > 0 && r.Evidence[0].Summary != "":
		return r.Evidence[0].Summary
	case len(r.Evidence) > 0:
		return verdict(r.Evidence[0])
	}
	return ""
}

// verdict tells what a check saw.
func verdict(e pipeline.Evidence) string {
	text := "check " + e.Check + ": " + map[gate.Verdict]string{gate.Pass: "passed", gate.Fail: "failed", gate.Unknown: "unknown"}[e.Verdict]
	switch {
	case e.Summary != "":
		text += ": " + e.Summary
	case e.Verdict != gate.Pass && (e.Expected != "" || e.Found != ""):
		text += fmt.Sprintf(": expected %q, found %q", e.Expected, e.Found)
	}
	return text
}

func firstLine(s string) string {
	line, _, _ := strings.Cut(s, "\n")
	return line
}

// plain prints a line for each outcome, and from time to time one for what still runs, so that a log shows life.
type plain struct {
	u    *UI
	mu   sync.Mutex
	tale *tale
	stop chan struct{}
	done sync.WaitGroup
}

// heartbeat is how often a log that shows nothing else hears of what runs.
const heartbeat = 30 * time.Second

func newPlain(u *UI, t *tale) *plain {
	p := &plain{u: u, tale: t, stop: make(chan struct{})}
	p.done.Go(func() {
		tick := time.NewTicker(heartbeat)
		defer tick.Stop()
		for {
			select {
			case <-p.stop:
				return
			case <-tick.C:
				p.beat()
			}
		}
	})
	return p
}

func (p *plain) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, id := range p.tale.order {
		p.line(Cell{Text: p.u.signs.run + " "}, Cell{Text: id + "  still running after " + span(p.tale.now().Sub(p.tale.begun[id]))})
	}
}

func (p *plain) line(cells ...Cell) {
	_ = p.u.print(p.u.err, func(page *Page) { page.Line(cells...) })
}

// Observe prints a record's outcome, and what is said of a step that does not run; other progress only with -v.
func (p *plain) Observe(r pipeline.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	took := p.tale.follow(r)
	_, running := p.tale.begun[r.Step]
	switch {
	case r.Event == pipeline.Progress && r.Text != "" && (p.u.Verbose || !running):
		p.line(Cell{Text: p.u.signs.none + " "}, Cell{Text: r.Step + "  " + r.Text})
	case r.Event == pipeline.Started && p.u.Verbose:
		p.line(Cell{Text: p.u.signs.run + " "}, Cell{Text: r.Step})
	default:
		if cells := p.tale.outcome(r, p.u.signs, took); cells != nil {
			p.line(cells...)
		}
	}
}

// Close ends the heartbeat.
func (p *plain) Close() {
	close(p.stop)
	p.done.Wait()
}
