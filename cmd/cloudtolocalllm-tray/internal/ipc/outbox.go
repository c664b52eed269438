package ipc

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

const (
	queueBytes = 1 << 20
	queueLines = 1024
	batch      = 64 << 10 // whole lines written at once to a client that reassembles
)

var errClosed = errors.New("connection closed")

// outbox is what waits to be written to one client. One goroutine at most
// writes, and there is none while nothing waits. Lines leave whole and in
// order. What is pushed never waits: a client that lets its queue fill up loses
// its connection, and costs nobody else a moment.
type outbox struct {
	conn     net.Conn
	deadline time.Duration
	onFail   func()

	mu      sync.Mutex
	lines   [][]byte
	bytes   int
	writing bool
	joined  bool // several lines may share a write
	dead    bool
	room    chan struct{} // closed and renewed when lines have left
}

// push queues a line without waiting; a full queue closes the connection.
func (o *outbox) push(line []byte) {
	o.mu.Lock()
	full := o.bytes > queueBytes || len(o.lines) >= queueLines
	if o.dead || full {
		dead := o.dead
		o.mu.Unlock()
		if !dead {
			o.fail()
		}
		return
	}
	o.addLocked(line)
	o.mu.Unlock()
}

// send queues a line, and waits for room first. When nothing else waits it
// writes at once; kept says that it has not, and holds on to the bytes.
func (o *outbox) send(ctx context.Context, line []byte) (kept bool, err error) {
	for {
		o.mu.Lock()
		if o.dead {
			o.mu.Unlock()
			return false, errClosed
		}
		if !o.writing && len(o.lines) == 0 {
			o.writing = true
			o.bytes += len(line)
			o.mu.Unlock()
			o.now(line)
			return false, nil
		}
		if o.bytes <= queueBytes && len(o.lines) < queueLines {
			o.addLocked(line)
			o.mu.Unlock()
			return true, nil
		}
		if o.room == nil {
			o.room = make(chan struct{})
		}
		room := o.room
		o.mu.Unlock()
		select {
		case <-room:
		case <-ctx.Done():
			return false, context.Cause(ctx)
		}
	}
}

func (o *outbox) addLocked(line []byte) {
	o.lines = append(o.lines, line)
	o.bytes += len(line)
	if !o.writing {
		o.writing = true
		go o.write()
	}
}

// now writes a line in the caller's own time, when nothing else is waiting.
func (o *outbox) now(line []byte) {
	o.put(line, len(line))
	o.mu.Lock()
	if len(o.lines) > 0 && !o.dead {
		go o.write()
	} else {
		o.writing = false
	}
	o.mu.Unlock()
}

// put writes whole lines with one call.
func (o *outbox) put(out []byte, size int) {
	_ = o.conn.SetWriteDeadline(time.Now().Add(o.deadline))
	_, err := o.conn.Write(out)
	o.mu.Lock()
	o.bytes -= size
	o.wakeLocked()
	o.mu.Unlock()
	if err != nil {
		o.fail()
	}
}

func (o *outbox) write() {
	var one []byte
	for {
		o.mu.Lock()
		if o.dead || len(o.lines) == 0 {
			o.writing = false
			o.lines = nil
			o.wakeLocked()
			o.mu.Unlock()
			return
		}
		n, size := 1, len(o.lines[0])
		for o.joined && n < len(o.lines) && size+len(o.lines[n]) <= batch {
			size += len(o.lines[n])
			n++
		}
		out := o.lines[0]
		if n > 1 {
			one = one[:0]
			for _, l := range o.lines[:n] {
				one = append(one, l...)
			}
			out = one
		}
		clear(o.lines[:n])
		o.lines = o.lines[n:]
		o.mu.Unlock()

		o.put(out, size)
	}
}

func (o *outbox) wakeLocked() {
	if o.room != nil {
		close(o.room)
		o.room = nil
	}
}

// fail gives the client up.
func (o *outbox) fail() {
	o.mu.Lock()
	was := o.dead
	o.dead = true
	o.lines = nil
	o.wakeLocked()
	o.mu.Unlock()
	if !was {
		_ = o.conn.Close()
		if o.onFail != nil {
			o.onFail()
		}
	}
}

// empty reports whether everything has been written.
func (o *outbox) empty() bool {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.dead || !o.writing
}
