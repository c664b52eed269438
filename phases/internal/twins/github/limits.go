package github

import (
	"net/http"
	"strconv"
	"time"
)

// Limits are the rates that the server enforces. Zero takes GitHub's figure,
// a negative number means no limit.
type Limits struct {
	// PerHour is the primary limit for each token, 5000; requests without a
	// token have 60 in common.
	PerHour int
	// WritesPerMinute and WritesPerHour are the secondary limits for requests
	// that make content, 80 and 500: often quoted, unconfirmed. Uploads count.
	WritesPerMinute, WritesPerHour int
}

const anonymousPerHour = 60

// limiter counts. The server's lock guards it.
type limiter struct {
	Limits
	windows map[string]*window // by login; "" is nobody
}

type window struct {
	used   int
	reset  time.Time
	writes []time.Time // of the last hour
}

func newLimiter(l Limits) *limiter {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&l.PerHour, 5000)
	def(&l.WritesPerMinute, 80)
	def(&l.WritesPerHour, 500)
	return &limiter{Limits: l, windows: map[string]*window{}}
}

func (l *limiter) window(c *call) (w *window, perHour int) {
	who, perHour := "", min(l.PerHour, anonymousPerHour)
	if c.token != nil {
		who, perHour = c.token.Login, l.PerHour
	}
	if l.PerHour < 0 {
		perHour = 1 << 30
	}
	w, ok := l.windows[who]
	if !ok {
		w = &window{}
		l.windows[who] = w
	}
	if now := c.now(); !now.Before(w.reset) {
		w.used, w.reset = 0, now.Add(time.Hour)
	}
	return w, perHour
}

// limit counts one request and refuses it when there were too many. Uploads
// carry no x-ratelimit headers and are not counted in the primary limit: so it
// is in the recordings.
func (c *call) limit() *reply {
	l := c.limits
	w, perHour := l.window(c)
	if c.host == hostAPI {
		// Looking at the limits is free.
		free := c.r.URL.Path == "/rate_limit"
		over := !free && w.used >= perHour
		if !over && !free {
			w.used++
		}
		rateHeaders(c.w.Header(), perHour, w)
		if over {
			return c.exceeded()
		}
	}
	if m := c.r.Method; m == http.MethodGet || m == http.MethodHead {
		return nil
	}
	now := c.clock.Now()
	for len(w.writes) > 0 && now.Sub(w.writes[0]) >= time.Hour {
		w.writes = w.writes[1:]
	}
	lastMinute := 0
	for _, t := range w.writes {
		if now.Sub(t) < time.Minute {
			lastMinute++
		}
	}
	if (l.WritesPerMinute > 0 && lastMinute >= l.WritesPerMinute) || (l.WritesPerHour > 0 && len(w.writes) >= l.WritesPerHour) {
		r := c.secondary(http.StatusForbidden)
		r.header = http.Header{"Retry-After": {"60"}}
		return &r
	}
	w.writes = append(w.writes, now)
	return nil
}

// exceeded is the answer to a request over the primary limit.
func (c *call) exceeded() *reply {
	who := "you (no token)"
	if c.token != nil {
		who = "user " + c.token.Login
	}
	r := c.failure(http.StatusForbidden, "API rate limit exceeded for "+who+".")
	r.value.(map[string]any)["documentation_url"] = docsURL + "/using-the-rest-api/rate-limits-for-the-rest-api"
	return &r
}

// secondary is the answer to too many writes. go-github knows it by the end of
// its documentation_url.
func (c *call) secondary(status int) reply {
	r := c.failure(status, "You have exceeded a secondary rate limit. Please wait a few minutes before you try again.")
	r.value.(map[string]any)["documentation_url"] = docsURL + "/overview/rate-limits-for-the-rest-api#about-secondary-rate-limits"
	return r
}

// giveBack undoes one count: 304 is free.
func (l *limiter) giveBack(c *call) {
	if w, perHour := l.window(c); c.host == hostAPI && w.used > 0 {
		w.used--
		rateHeaders(c.w.Header(), perHour, w)
	}
}

func rateHeaders(h http.Header, perHour int, w *window) {
	h.Set("X-RateLimit-Limit", strconv.Itoa(perHour))
	h.Set("X-RateLimit-Remaining", strconv.Itoa(max(0, perHour-w.used)))
	h.Set("X-RateLimit-Used", strconv.Itoa(w.used))
	h.Set("X-RateLimit-Reset", strconv.FormatInt(w.reset.Unix(), 10))
	h.Set("X-RateLimit-Resource", "core")
}

// getRateLimit is GET /rate_limit.
func (c *call) getRateLimit() reply {
	w, perHour := c.limits.window(c)
	rate := map[string]any{"limit": perHour, "remaining": max(0, perHour-w.used), "used": w.used, "reset": w.reset.Unix()}
	return reply{status: http.StatusOK, value: map[string]any{
		"resources": map[string]any{"core": rate, "search": rate, "graphql": rate}, "rate": rate,
	}}
}
