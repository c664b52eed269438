package hub

import (
	"net/http"
	"strconv"
	"strings"
	"time"
)

// limits reads what an answer says about limits and returns how long to wait before the next request, nil when it says
// nothing of that kind. The headers of the primary limit are taken off: the library would refuse requests by them,
// with a clock of its own.
//
// Sources: GitHub's "Best practices for using the REST API" (Retry-After; else x-ratelimit-remaining 0 and
// x-ratelimit-reset, in seconds since 1970; else at least a minute, growing) and RFC 9110, section 10.2.3.
func (t *transport) limits(r *http.Request, k *call, resp *http.Response) *time.Duration {
	now := t.clock.Now()
	var wait *time.Duration
	set := func(d time.Duration) { d = max(d, time.Second); wait = &d }
	if v := strings.TrimSpace(resp.Header.Get("Retry-After")); v != "" {
		if d, ok := retryAfter(v, now); ok {
			set(d)
		}
	}
	remaining, reset := resp.Header.Get("X-RateLimit-Remaining"), resp.Header.Get("X-RateLimit-Reset")
	for name := range resp.Header {
		if strings.HasPrefix(name, "X-Ratelimit-") {
			resp.Header.Del(name)
		}
	}
	if wait != nil || remaining != "0" {
		return wait
	}
	if at, err := strconv.ParseInt(reset, 10, 64); err == nil && at > 0 && at < maxUnix {
		set(time.Unix(at, 0).Add(time.Second).Sub(now)) // the server's second may have begun before ours
		if resp.StatusCode < 400 {
			t.block(r, k, *wait)
		}
	} else {
		d := time.Duration(0) // a limit, for nobody knows how long
		wait = &d
	}
	return wait
}

// maxUnix is the year 9999: later ones overflow.
const maxUnix = 253402300800

// retryAfter reads the two forms of Retry-After. A day is as good as for ever.
func retryAfter(v string, now time.Time) (time.Duration, bool) {
	const most = 24 * time.Hour
	if n, err := strconv.ParseUint(v, 10, 63); err == nil {
		if n > uint64(most/time.Second) {
			return most, true
		}
		return time.Duration(n) * time.Second, true
	}
	at, err := http.ParseTime(v)
	if err != nil {
		return 0, false
	}
	return min(max(at.Sub(now), 0), most), true
}
