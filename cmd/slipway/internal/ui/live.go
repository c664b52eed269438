package ui

import (
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/imrightguy/slipway/pipeline"
)

// live draws a run in a terminal: outcomes scroll by, and below them stands one line for each running step with the
// time that has passed. Every change is a single write, and only a changed frame is written, so nothing flickers.
type live struct {
	u     *UI // whose mutex guards all below
	tale  *tale
	notes map[string]string // what a running step says of itself
	drawn []string          // the lines of the frame on the screen
	stop  chan struct{}
	done  sync.WaitGroup
}

const frames = 100 * time.Millisecond

func newLive(u *UI, t *tale) *live {
	l := &live{u: u, tale: t, notes: map[string]string{}, stop: make(chan struct{})}
	u.mu.Lock()
	u.live = l
	u.mu.Unlock()
	l.done.Go(func() {
		tick := time.NewTicker(frames)
		defer tick.Stop()
		for {
			select {
			case <-l.stop:
				return
			case <-tick.C:
				u.mu.Lock()
				l.draw("")
				u.mu.Unlock()
			}
		}
	})
	return l
}

// Observe takes in a record, and shows at once what it has led to.
func (l *live) Observe(r pipeline.Record) {
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	took := l.tale.follow(r)
	if r.Event == pipeline.Progress {
		if _, running := l.tale.begun[r.Step]; running {
			l.notes[r.Step] = note(r)
		} else if r.Text != "" {
			l.aboveLine(Cell{l.u.signs.none, Dim}, Cell{" " + l.tale.name(r.Step), Plain}, Cell{Text: "        " + r.Text})
		}
		return
	}
	if _, running := l.tale.begun[r.Step]; !running {
		delete(l.notes, r.Step)
	}
	if cells := l.tale.outcome(r, l.u.signs, took); cells != nil {
		l.aboveLine(cells...)
	}
}

// note is what a progress event says, in a few words.
func note(r pipeline.Record) string {
	switch {
	case r.Text != "":
		return r.Text
	case r.Total > 0:
		return fmt.Sprintf("%d%% of %s", min(100, r.Bytes*100/r.Total), Bytes(r.Total))
	case r.Bytes > 0:
		return Bytes(r.Bytes)
	}
	return ""
}

func (l *live) aboveLine(cells ...Cell) {
	page := &Page{color: l.u.err.color, signs: l.u.signs}
	page.width, _ = l.u.err.size()
	page.Line(cells...)
	l.above(page.b.String())
}

// above prints finished lines over the frame.
func (l *live) above(text string) { l.draw(text) }

// erase takes the frame off the screen.
func (l *live) erase() {
	columns, _ := l.u.err.size()
	_, _ = io.WriteString(l.u.err.w, l.back(columns))
	l.drawn = nil
}

// back moves to the start of the frame and clears from there. A frame that was drawn on a wider screen may take up
// more lines by now.
func (l *live) back(columns int) string {
	rows := 0
	for _, line := range l.drawn {
		rows += max(1, (cells(line)+columns-1)/columns)
	}
	if rows == 0 {
		return ""
	}
	return fmt.Sprintf("\x1b[%dA\r\x1b[J", rows)
}

// draw writes text and below it the frame as it is now.
func (l *live) draw(text string) {
	columns, lines := l.u.err.size()
	frame := l.frame(columns-1, max(1, lines-2))
	if text == "" && strings.Join(frame, "\n") == strings.Join(l.drawn, "\n") {
		return
	}
	var b strings.Builder
	b.WriteString(l.back(columns))
	b.WriteString(text)
	for _, line := range frame {
		b.WriteString(paint(line, Dim, l.u.err.color) + "\n")
	}
	l.drawn = frame
	_, _ = io.WriteString(l.u.err.w, b.String()) // nobody is left to tell
}

// frame lists the running steps in at most so many lines.
func (l *live) frame(columns, lines int) []string {
	var out []string
	for i, id := range l.tale.order {
		if len(out) == lines-1 && len(l.tale.order)-i > 1 {
			out = append(out, fmt.Sprintf("%s and %d more", l.u.signs.run, len(l.tale.order)-i))
			break
		}
		passed := l.tale.now().Sub(l.tale.begun[id]).Truncate(time.Second)
		clock := ""
		if passed > 0 {
			clock = fmt.Sprintf("%ds", int(passed.Seconds()))
			if passed >= time.Minute {
				clock = span(passed)
			}
		}
		line := fmt.Sprintf("%s %s%6s  %s", l.u.signs.run, l.tale.name(id), clock, Clean(l.notes[id]))
		out = append(out, strings.TrimRight(fit(line, columns), " "))
	}
	return out
}

// Close takes the frame off the screen.
func (l *live) Close() {
	close(l.stop)
	l.done.Wait()
	l.u.mu.Lock()
	defer l.u.mu.Unlock()
	l.erase()
	l.u.live = nil
}
