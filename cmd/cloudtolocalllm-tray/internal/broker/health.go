package broker

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/cenkalti/backoff/v5"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
)

const (
	noToken    = "No authentication token"
	maxListing = 4 << 20 // bytes of an answer about versions or models
	maxModels  = 10000
)

// Run keeps every connection checked, each at its own pace, until ctx ends.
func (b *Broker) Run(ctx context.Context) {
	var all sync.WaitGroup
	for _, name := range config.Names {
		all.Go(func() { b.watch(ctx, name) })
	}
	all.Wait()
}

func (b *Broker) watch(ctx context.Context, name string) {
	pause := backoff.NewExponentialBackOff()
	pause.InitialInterval, pause.MaxInterval, pause.Multiplier, pause.RandomizationFactor = b.pace.RetryFirst, b.pace.RetryMost, 2, 0.2
	pause.Reset()
	b.mu.Lock()
	u := b.upstreams[name]
	b.mu.Unlock()
	timer := time.NewTimer(0)
	defer timer.Stop()
	seen := 0
	for {
		select {
		case <-ctx.Done():
			return
		case <-u.wake:
		case <-timer.C:
		}
		st := b.Check(ctx, name)
		b.mu.Lock()
		enabled, every, generation := u.conf.Enabled, time.Duration(b.set.Broker.HealthEvery)*b.pace.Second, u.generation
		b.mu.Unlock()
		if generation != seen { // other settings, another story
			seen = generation
			pause.Reset()
		}
		var wait time.Duration
		switch {
		case !enabled || st.Error == noToken:
			wait = time.Hour // nothing to do until something changes, which wakes us
		case st.State == Connected:
			pause.Reset()
			wait = every
		default:
			wait = pause.NextBackOff()
		}
		timer.Reset(wait)
	}
}

// Check looks at one connection now and returns what it found. Whoever asks
// while a check is under way waits for that one.
func (b *Broker) Check(ctx context.Context, name string) Status {
	b.mu.Lock()
	u := b.upstreams[name]
	f := u.flight
	if f == nil {
		cctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), b.pace.CheckLimit)
		f = &flight{generation: u.generation, cancel: cancel, done: make(chan struct{})}
		u.flight = f
		go func() {
			defer close(f.done)
			defer cancel()
			defer func() {
				b.mu.Lock()
				if u.flight == f {
					u.flight = nil
				}
				b.mu.Unlock()
			}()
			b.check(cctx, u, f.generation)
		}()
	}
	b.mu.Unlock()
	select {
	case <-f.done:
	case <-ctx.Done():
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	return u.status
}

func (b *Broker) check(ctx context.Context, u *upstream, generation int) {
	defer func() {
		if p := recover(); p != nil {
			b.log.Error("panic in a health check", "connection", u.name, "panic", p)
		}
	}()
	b.mu.Lock()
	enabled, was := u.conf.Enabled, u.status
	wantTags := was.State != Connected || u.tagsAt.IsZero() || b.now().Sub(u.tagsAt) >= b.pace.TagsEvery
	b.mu.Unlock()
	if !enabled {
		b.update(u.name, generation, func(u *upstream) { u.status = Status{State: Disconnected} })
		return
	}
	is := Status{State: Connected}
	var err error
	if u.name == config.Cloud {
		is.Version = "Cloud Bridge"
		if token, known := b.tokens.Token(u.name); token == "" {
			is = Status{State: Disconnected, Error: noToken}
			if !known {
				is.Error = "token storage is locked or not available"
			}
		} else {
			_, err = b.get(ctx, u, "/health")
		}
	} else {
		is.Version, is.Models, err = b.probeLocal(ctx, u, wantTags, was.Models)
	}
	if err != nil {
		is = failure(err)
	}
	is.LastCheck = unix(b.now())
	b.update(u.name, generation, func(u *upstream) {
		if is.State == Connected && wantTags {
			u.tagsAt = b.now()
		}
		u.status = is
	})
}

func (b *Broker) probeLocal(ctx context.Context, u *upstream, wantTags bool, known []string) (version string, models []string, err error) {
	body, err := b.get(ctx, u, "/api/version")
	if err != nil {
		return "", nil, err
	}
	var v struct {
		Version string `json:"version"`
	}
	if json.Unmarshal(body, &v) != nil || v.Version == "" {
		v.Version = "unknown"
	}
	v.Version = short(v.Version, 100)
	if !wantTags {
		return v.Version, known, nil
	}
	body, err = b.get(ctx, u, "/api/tags")
	if err != nil {
		return v.Version, nil, err
	}
	var tags struct {
		Models []struct {
			Name string `json:"name"`
		} `json:"models"`
	}
	if err := json.Unmarshal(body, &tags); err != nil {
		return v.Version, []string{}, nil // it answers, which is what counts
	}
	models = make([]string, 0, len(tags.Models))
	for _, m := range tags.Models {
		if m.Name != "" && len(models) < maxModels {
			models = append(models, short(m.Name, 256))
		}
	}
	return v.Version, models, nil
}

// get makes one of the broker's own calls; anything but 200 is an error.
func (b *Broker) get(ctx context.Context, u *upstream, path string) ([]byte, error) {
	resp, _, err := b.send(ctx, u, &Call{Method: http.MethodGet, Path: path}, nil, false)
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxListing))
	if err != nil {
		return nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, statusError(resp.StatusCode)
	}
	return body, nil
}

type statusError int

func (e statusError) Error() string { return "HTTP " + itoa(int(e)) }

// failure says in the original's words what went wrong. Version and models are
// gone with the connection.
func failure(err error) Status {
	var code statusError
	switch {
	case errors.Is(err, syscall.ECONNREFUSED):
		return Status{State: Disconnected, Error: "Connection refused"}
	case timedOut(err):
		return Status{State: Failed, Error: "Connection timeout"}
	case errors.As(err, &code):
		return Status{State: Failed, Error: code.Error()}
	}
	return Status{State: Failed, Error: short(plain(err), 300)}
}

// short keeps an upstream from filling menus and pushes with its words.
func short(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func timedOut(err error) bool {
	var n net.Error
	return errors.Is(err, context.DeadlineExceeded) || errors.As(err, &n) && n.Timeout()
}

func unix(t time.Time) float64 { return float64(t.UnixMicro()) / 1e6 }

// failed notes that a call could not reach its connection; the health check
// looks again at once.
func (b *Broker) failed(u *upstream, generation int, err error) {
	is := failure(err)
	is.LastCheck = unix(b.now())
	b.update(u.name, generation, func(u *upstream) { u.status = is })
	b.Wake(u.name)
}
