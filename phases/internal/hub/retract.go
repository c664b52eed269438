package hub

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// Retract makes a published release a draft again, with all its assets, and puts the marker of whoever did it into its
// body. A release that is a draft already stays as it is. The error wraps [ErrImmutable] where it cannot be done, and is
// an [*Error] of status 422 where the server will not; [Client.Demote] can be tried then.
func (c *Client) Retract(ctx context.Context, id int64, marker string) (Release, error) {
	var now Release
	err := c.settle(ctx, func() (bool, error) {
		r, err := c.Release(ctx, id)
		now = r
		if err == nil && !r.Draft && r.Immutable {
			err = ErrImmutable
		}
		return r.Draft, err
	}, func() error {
		body := retracted(now.Body, "", marker)
		_, err := c.oneRelease(ctx, http.MethodPatch, "releases/"+strconv.FormatInt(id, 10), releaseRequest{Body: &body, Draft: true})
		return err
	}, "withdraw release "+strconv.FormatInt(id, 10))
	return now, err
}

// Demote puts a notice and a marker at the top of a published release's notes, makes it a prerelease where the server
// lets it, and keeps it from being the latest release: what can be done about one that cannot be a draft again.
func (c *Client) Demote(ctx context.Context, id int64, notice, marker string) (Release, error) {
	var now Release
	err := c.settle(ctx, func() (bool, error) {
		r, err := c.Release(ctx, id)
		now = r
		said := strings.Contains(strings.ReplaceAll(r.Body, "\r\n", "\n"), notice) // the marker alone says that it was a draft
		return r.Draft || hasLine(r.Body, marker) && said, err
	}, func() error {
		body, yes := retracted(bare(now.Body, notice), notice, marker), true
		q := releaseRequest{Body: &body, Prerelease: &yes, MakeLatest: "false"}
		_, err := c.oneRelease(ctx, http.MethodPatch, "releases/"+strconv.FormatInt(id, 10), q)
		var e *Error
		if now.Immutable && errors.As(err, &e) && e.Status == http.StatusUnprocessableEntity {
			q.Prerelease = nil // of an immutable release title and notes alone may change
			_, err = c.oneRelease(ctx, http.MethodPatch, "releases/"+strconv.FormatInt(id, 10), q)
		}
		return err
	}, "mark release "+strconv.FormatInt(id, 10)+" as withdrawn")
	return now, err
}

// maxBody is the most that a release's body can have, in characters: "body is too long (maximum is 125000 characters)".
const maxBody = 125000

// retracted is a body with a notice above it, and a marker. Where that is too long the notes go, but for markers: they
// say whose release it is.
func retracted(body, notice, marker string) string {
	head := marker + "\n"
	if notice != "" {
		head = notice + "\n\n" + head + "\n"
	}
	if utf8.RuneCountInString(head)+utf8.RuneCountInString(body) <= maxBody {
		if notice == "" {
			return text(body) + "\n" + head // a draft's notes come back as they were
		}
		return head + body
	}
	var b strings.Builder
	b.WriteString(head)
	for line := range strings.Lines(body) {
		if line = strings.TrimSpace(line); isMarker(line) && b.Len() < maxBody/2 {
			b.WriteString(line + "\n")
		}
	}
	return b.String()
}

// bare is a body without what an earlier [Client.Demote] has put above the notes: quoted lines that begin like the notice
// does, and a marker, wherever they are by now. The notes keep the marker of the run that made the release.
func bare(body, notice string) string {
	first, _, _ := strings.Cut(notice, "\n")
	lines := slices.Collect(strings.Lines(body))
	is := func(i int, test func(line string) bool) bool {
		return i < len(lines) && test(strings.TrimSpace(lines[i]))
	}
	empty := func(line string) bool { return line == "" }
	marked := func(line string) bool { return isMarker(strings.TrimSpace(line)) }
	for i := range lines {
		k := i + 1
		for is(k, func(line string) bool { return strings.HasPrefix(line, "> ") }) {
			k++
		}
		if is(i, func(line string) bool { return line == first }) && is(k, empty) && is(k+1, isMarker) && is(k+2, empty) && slices.ContainsFunc(lines[k+3:], marked) {
			return bare(strings.Join(slices.Concat(lines[:i], lines[k+3:]), ""), notice)
		}
	}
	return body
}

// SetLatest makes a published release the one that GitHub shows as the latest. The error is a [*ConflictError] where it
// is a draft or a prerelease, which cannot be that.
func (c *Client) SetLatest(ctx context.Context, id int64) (Release, error) {
	var now Release
	err := c.settle(ctx, func() (bool, error) {
		r, err := c.Release(ctx, id)
		if now = r; err != nil {
			return false, err
		}
		if r.Draft || r.Prerelease {
			return false, &ConflictError{What: "release " + r.Tag + " is a draft or a prerelease, which cannot be the latest", IDs: []int64{id}}
		}
		latest, err := c.Latest(ctx)
		if errors.Is(err, ErrNotFound) {
			err = nil
		}
		return latest.ID == id, err
	}, func() error {
		_, err := c.oneRelease(ctx, http.MethodPatch, "releases/"+strconv.FormatInt(id, 10), releaseRequest{MakeLatest: "true"})
		return err
	}, "make release "+strconv.FormatInt(id, 10)+" the latest")
	return now, err
}

// ReadPublic reads a published asset of at most limit bytes as anybody does, by [Asset].URL without a token.
func (c *Client) ReadPublic(ctx context.Context, from string, limit int64) ([]byte, error) {
	u, err := url.Parse(from)
	if err != nil || u.Host == "" || u.User != nil || u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, errors.New("cannot download: want the https URL of an asset")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, plain(err)
	}
	req.Header.Set("User-Agent", c.api.UserAgent)
	req.Header.Set("Accept", "application/octet-stream")
	for try := 1; ; try++ {
		b, err := c.readOnce(ctx, req, limit)
		if err == nil || !errors.Is(err, ErrUnavailable) || try >= c.tries || ctx.Err() != nil || c.pause(ctx, try-1) != nil {
			return b, err
		}
	}
}

func (c *Client) readOnce(ctx context.Context, req *http.Request, limit int64) ([]byte, error) {
	k := &call{stream: true, anonymous: true}
	resp, err := c.http.Do(req.Clone(context.WithValue(ctx, callKey{}, k)))
	if err != nil {
		if k.err != nil {
			return nil, k.err
		}
		return nil, &Error{Op: operation(req), RequestID: k.requestID, cause: hidden{plain(err), c.t.token}}
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, limit+1))
	switch {
	case err != nil:
		cause := fmt.Errorf("the download broke off: %w", hidden{plain(err), c.t.token})
		return nil, &Error{Op: operation(req), RequestID: k.requestID, kind: ErrUnavailable, cause: cause}
	case int64(len(b)) > limit:
		return nil, &Error{Op: operation(req), RequestID: k.requestID, cause: fmt.Errorf("it is larger than %d bytes", limit)}
	}
	return b, nil
}
