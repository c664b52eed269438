// Package command makes checks that run a program: functional tests in the sources, and smoke starts of what was built.
//
// The program runs in a private copy, of the release's checkout or of a bundle's tree, which is thrown away afterwards;
// the original is never written to. Its environment is made here. It may not reach the network unless it was said that
// it may: see package isolate. Where it cannot be kept from the network, where a display is wanted and there is none, or
// where the program is not installed, the verdict is unknown. A program that is missing in the bundle or cannot be
// started there, ends otherwise than it should, is ended by a signal, takes too long or does not print what it should,
// has failed.
//
// The evidence says how the program ended and which of the wanted texts it printed. The digest of its output stands in
// the summary only, outside of the evidence's own digest: test programs print times, and an approval would depend on
// them. Nor is there any time in the evidence but those of release.yaml.
package command

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/phases/internal/isolate"
	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// ID is the ID of the step that makes the check called name.
func ID(name string) string { return "build/check/" + name }

// Step returns the step that makes the check called name. Arches are the architectures that the bundle has. Needs names
// steps that have to be done before, beside the one that makes the tree it runs in.
func Step(name string, c Config, arches []string, needs ...string) pipeline.Step {
	params, err := json.Marshal(c)
	if err != nil { // texts, numbers and booleans only
		panic(err)
	}
	l := look{name: name, Config: c, goarch: c.arch(arches), artifact: component.Source}
	maker := component.SourceStep
	if c.Bundle != "" {
		l.artifact, maker = bundle.Artifact(c.Bundle, l.goarch), bundle.StepID(c.Bundle, l.goarch)
	}
	if !slices.Contains(needs, maker) {
		needs = append(slices.Clip(needs), maker)
	}
	return check.Step(pipeline.Spec{
		ID: ID(name), Needs: needs, Effect: pipeline.Local, Inputs: []string{"artifact:" + l.artifact}, Params: map[string]string{"command": string(params)},
	}, l)
}

type look struct {
	Config
	name, goarch, artifact string
}

func (l look) Name() string { return l.name }

// errEnough ends a program that has run for as long as it should and printed what it should.
var errEnough = errors.New("enough was seen")

func (l look) Check(ctx context.Context, ws *pipeline.Workspace) (_ pipeline.Evidence, err error) {
	a, original, err := ws.Input(l.artifact)
	if err != nil {
		return pipeline.Evidence{}, err
	}
	e := pipeline.Evidence{Expected: l.expected(), Subjects: map[string]string{l.artifact: a.SHA256}}
	if l.Bundle != "" && (runtime.GOOS != "linux" || runtime.GOARCH != l.goarch) {
		return e, fmt.Errorf("a bundle for linux/%s does not run on %s/%s", l.goarch, runtime.GOOS, runtime.GOARCH)
	}
	p, err := newPlace(ws, original, l.Bundle != "")
	if err != nil {
		return e, err
	}
	defer func() { err = errors.Join(err, p.close()) }()
	program, where, err := p.find(l.Command[0])
	if bad, ok := errors.AsType[*unfitError](err); ok {
		e.Verdict, e.Found, e.Summary = gate.Fail, bad.why, bad.why
		return e, nil
	}
	if err != nil {
		return e, err
	}
	env := p.env(l.Config)
	if l.Display {
		d, err := isolate.NewDisplay(ctx, p.runtime)
		if err != nil {
			return e, fmt.Errorf("cannot give it a display: %w", err)
		}
		defer d.Close()
		env = append(env, d.Env()...)
	}
	ws.Logf("running %q", l.Command)
	w := newWatch(l.Output)
	run, enough := context.WithCancelCause(ctx)
	defer enough(nil)
	if l.RunsFor > 0 {
		go func() {
			// It has to go on from when it has printed what it should: how long it takes until then is for the timeout.
			select {
			case <-run.Done():
				return
			case <-w.all:
			}
			select {
			case <-run.Done():
			case <-time.After(time.Duration(l.RunsFor)):
				enough(errEnough)
			}
		}()
	}
	r, err := isolate.Run(run, isolate.Command{
		Argv: append([]string{program}, l.Command[1:]...), Dir: p.dir, Env: env, Network: l.Network, Contain: l.RunsFor > 0,
		ReadOnly: []string{original}, Timeout: l.timeout(), Stdout: w,
	})
	found, ok, err := l.judge(err)
	if err != nil {
		return e, err
	}
	if missing := w.missing(); len(missing) > 0 {
		ok, found = false, fmt.Sprintf("%s, never printed %q", found, missing)
	} else if len(l.Output) > 0 {
		found = fmt.Sprintf("%s, printed %q", found, l.Output)
	}
	e.Found = where + " " + found
	e.Verdict, e.Summary = gate.Pass, fmt.Sprintf("%s; %d bytes of output, SHA-256 %x", found, w.n, w.sum.Sum(nil))
	if !ok {
		e.Verdict, e.Summary = gate.Fail, fmt.Sprintf("%q %s%s", l.Command[0], found, l.tell(ws, r.Tail))
	}
	return e, nil
}

// expected describes what has to happen.
func (c Config) expected() string {
	s := fmt.Sprintf("%q ends with status %d", c.Command, c.Exit)
	if c.RunsFor > 0 {
		s = fmt.Sprintf("%q goes on running for %s", c.Command, c.RunsFor)
	}
	if len(c.Output) > 0 {
		s += fmt.Sprintf(" and prints %q", c.Output)
	}
	if c.Network {
		s += ", with network"
	}
	return s
}

// judge says how the program ended, in words that are the same each time, and whether that was right. The error is one
// that says nothing of the program.
func (c Config) judge(err error) (found string, ok bool, _ error) {
	exit, ended := errors.AsType[*tool.ExitError](err)
	_, late := errors.AsType[*tool.TimeoutError](err)
	code := 0
	switch {
	case errors.Is(err, errEnough):
		return fmt.Sprintf("went on running for %s", c.RunsFor), true, nil
	case late && c.RunsFor > 0:
		return fmt.Sprintf("was not ready within %v", c.timeout()), false, nil
	case late:
		return fmt.Sprintf("did not end within %v and was killed", c.timeout()), false, nil
	case ended && exit.Code < 0:
		return "was ended by a signal", false, nil
	case ended:
		code = exit.Code
	case err != nil:
		return "", false, err
	}
	found = fmt.Sprintf("ended with status %d", code)
	if signal := isolate.Signal(code); signal != "" && code != c.Exit {
		found = fmt.Sprintf("was ended by signal %s (status %d)", signal, code)
	}
	if c.RunsFor > 0 {
		return fmt.Sprintf("%s before %s were over", found, c.RunsFor), false, nil
	}
	return found, code == c.Exit, nil
}

const shownLines = 30 // of the output of a program that failed

// tell shows observers the end of what the program printed, and returns its last line as the end of a sentence.
func (l look) tell(ws *pipeline.Workspace, tail string) string {
	lines := strings.Split(strings.TrimSpace(tail), "\n")
	for _, line := range lines[max(0, len(lines)-shownLines):] {
		ws.Logf("%s | %s", l.name, plain(line))
	}
	if last := plain(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf("; it printed last: %s", last)
	}
	return "; it printed nothing"
}

// plain is a line without what a terminal would act on.
func plain(line string) string {
	line = strings.TrimSpace(strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return -1
		}
		return r
	}, line))
	if len(line) > 300 {
		line = strings.ToValidUTF8(line[:300], "") + " [...]"
	}
	return line
}
