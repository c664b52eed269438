package gitd

import (
	"context"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/phases/internal/twins/github"
)

// armed is a fault with its count of matching operations.
type armed struct {
	Fault
	seen, struck int
}

// A strike is a fault chosen for one operation. It has struck when it has bitten.
type strike struct {
	Fault
	s     *Server
	armed *armed
	once  sync.Once

	mu   sync.Mutex
	left int64 // of Cut after some bytes of an answer, over all requests of the operation
}

func (k *strike) hit() {
	k.once.Do(func() {
		k.s.mu.Lock()
		defer k.s.mu.Unlock()
		k.armed.struck++
	})
}

// SetFaults replaces the plan; counting starts anew.
func (s *Server) SetFaults(faults []Fault) error {
	var list []*armed
	for _, f := range faults {
		if f.From == 0 {
			f.From = 1
		}
		if err := f.check(); err != nil {
			return fmt.Errorf("cannot plan fault %q: %w", f, err)
		}
		list = append(list, &armed{Fault: f})
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.faults = list
	clear(s.waiting)
	return nil
}

// Pending returns the faults of the plan that have not struck yet: a test of faults that leaves some here has tested
// less than it says.
func (s *Server) Pending() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	var list []Fault
	for _, a := range s.faults {
		if a.struck == 0 {
			list = append(list, a.Fault)
		}
	}
	return list
}

// choose counts an operation with every fault it matches and returns the first whose turn it is.
func (s *Server) choose(service, repository string) *strike {
	s.mu.Lock()
	defer s.mu.Unlock()
	var hit *armed
	for _, a := range s.faults {
		if !a.matches(service, repository) {
			continue
		}
		a.seen++
		if hit == nil && a.seen >= a.From && (a.To == 0 || a.seen <= a.To) {
			hit = a
		}
	}
	if hit == nil {
		return nil
	}
	return &strike{Fault: hit.Fault, s: s, armed: hit, left: hit.Bytes}
}

// before lets an operation meet what comes before anything is done; false when it is over.
func (op *operation) before(ctx context.Context) bool {
	f := op.fault
	if f == nil {
		return true
	}
	switch {
	case f.Effect == Cut && !f.Done && f.Bytes < 0:
		f.hit()
		op.breakOff()
		return false
	case f.Effect == Delay:
		f.hit()
		return op.s.clock.Sleep(ctx, f.Delay) == nil
	}
	return true
}

// refused tells whether the operation is denied as planned.
func (op *operation) refused() bool {
	if op.fault == nil || op.fault.Effect != Refuse {
		return false
	}
	op.fault.hit()
	return true
}

// streams puts the operation's fault between the client and git. advert says that git lists the refs first.
func (op *operation) streams(ctx context.Context, in io.Reader, out io.Writer, advert bool) (io.Reader, io.Writer) {
	f := op.fault
	push := op.session.Service == ReceivePack
	out = &lost{op: op, w: out}
	switch {
	case f == nil:
	case f.Effect == Slow && push:
		in = &slowReader{ctx: ctx, r: in, f: f, clock: op.s.clock}
	case f.Effect == Slow:
		out = &slowWriter{ctx: ctx, w: out, f: f, clock: op.s.clock}
	case f.Effect == Cut && f.Bytes >= 0 && push:
		in = &packReader{r: in, left: f.Bytes, cut: func() { f.hit(); op.breakOff() }}
	case f.Effect == Cut && f.Bytes >= 0:
		out = &cutWriter{op: op, w: out}
	}
	if push {
		out = &reportGate{w: out, advert: advert, report: op.done}
	}
	return in, out
}

// end is for a fetch that was shorter than the bytes after which it is cut.
func (op *operation) end() {
	if f := op.fault; f != nil && op.session.Service == UploadPack && f.Effect == Cut && f.Bytes >= 0 && !op.isCut() {
		f.hit()
		op.breakOff()
	}
}

// lost swallows what git says after the connection has been broken off.
type lost struct {
	op *operation
	w  io.Writer
}

func (l *lost) Write(p []byte) (int, error) {
	if l.op.isCut() {
		return len(p), nil
	}
	return l.w.Write(p)
}

// cutWriter lets some bytes of an answer through.
type cutWriter struct {
	op *operation
	w  io.Writer
}

func (c *cutWriter) Write(p []byte) (int, error) {
	f := c.op.fault
	f.mu.Lock()
	defer f.mu.Unlock()
	if int64(len(p)) < f.left {
		f.left -= int64(len(p))
		return c.w.Write(p)
	}
	if f.left > 0 {
		_, _ = c.w.Write(p[:f.left])
		flush(c.w)
	}
	f.left = 0
	f.hit()
	c.op.breakOff()
	return len(p), nil
}

// slowReader reads some bytes a second, in parts of a tenth.
type slowReader struct {
	ctx   context.Context
	r     io.Reader
	f     *strike
	clock github.Clock
}

func (s *slowReader) Read(p []byte) (int, error) {
	n, err := s.r.Read(p[:min(int64(len(p)), max(1, s.f.Bytes/10))])
	if n > 0 {
		s.f.hit()
	}
	if pause := s.clock.Sleep(s.ctx, spend(n, s.f.Bytes)); pause != nil && err == nil {
		err = pause
	}
	return n, err
}

// slowWriter writes some bytes a second, in parts of a tenth.
type slowWriter struct {
	ctx   context.Context
	w     io.Writer
	f     *strike
	clock github.Clock
}

func (s *slowWriter) Write(p []byte) (int, error) {
	done := 0
	for done < len(p) {
		s.f.hit()
		n, err := s.w.Write(p[done:min(len(p), done+int(max(1, s.f.Bytes/10)))])
		done += n
		if err != nil {
			return done, err
		}
		flush(s.w)
		if err := s.clock.Sleep(s.ctx, spend(n, s.f.Bytes)); err != nil {
			return done, err
		}
	}
	return done, nil
}

// flush sends what an HTTP answer holds back.
func flush(w io.Writer) {
	if l, ok := w.(*lost); ok {
		w = l.w
	}
	if f, ok := w.(interface{ Flush() }); ok {
		f.Flush()
	}
}

func spend(n int, rate int64) time.Duration {
	return time.Duration(float64(n) / float64(rate) * float64(time.Second))
}

// named are plans for rehearsals: one failure each that a release must survive or stop at with a clear error.
var named = map[string]string{
	"git-clone-cut":        "upload-pack ** #1: cut after 500 bytes",
	"git-clone-slow":       "upload-pack ** #1: slow 10000000 bytes/s",
	"git-connect-cut":      "connect ** #1: cut",
	"git-host-key-changed": "connect ** #2+: host key changed",
	"git-key-refused":      "connect ** #1: refused",
	"git-push-cut":         "receive-pack ** #1: cut after 100 bytes",
	"git-push-declined":    "receive-pack ** #1: declined error: not today",
	"git-push-denied":      "receive-pack ** #1: refused",
	"git-push-lost-answer": "receive-pack ** #1: cut though done",
	"git-push-slow":        "receive-pack ** #1: slow 10000000 bytes/s",
}

// FaultNames lists the names that [NamedFaults] knows, sorted.
func FaultNames() []string { return slices.Sorted(maps.Keys(named)) }

// NamedFaults returns the plan with a name.
func NamedFaults(name string) ([]Fault, error) {
	plan, ok := named[name]
	if !ok {
		return nil, fmt.Errorf("cannot find fault %q: there are %s", name, strings.Join(FaultNames(), ", "))
	}
	return ParseFaults(plan)
}
