package endpoint

import (
	"context"
	"sync/atomic"
	"time"
)

// Hurried is a clock in which waits take no time: it goes forward by as much as was to be waited.
type Hurried struct {
	ahead atomicDuration
}

// Now is the time, ahead of the system's by all that was waited for.
func (c *Hurried) Now() time.Time { return time.Now().Add(c.ahead.load()) }

// Sleep lets d pass at once. It still gives way to others for a moment.
func (c *Hurried) Sleep(ctx context.Context, d time.Duration) error {
	c.ahead.add(d)
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-time.After(min(d, 2*time.Millisecond)):
		return nil
	}
}

// atomicDuration is a duration that only grows.
type atomicDuration struct{ n atomic.Int64 }

func (a *atomicDuration) load() time.Duration { return time.Duration(a.n.Load()) }
func (a *atomicDuration) add(d time.Duration) { a.n.Add(int64(max(0, d))) }
