// Package aurweb asks the Arch User Repository what it knows of packages and accounts.
//
// Packages are asked for over its RPC interface, version 5, which needs no credential (aurweb's doc/rpc.md): unknown
// names are absent from the answer, errors come with status 200 and type "error", and a Maintainer of null is an
// orphan. Which account a key belongs to only the ssh door tells: see [Whoami].
package aurweb

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/imrightguy/slipway/phases/internal/hub"
)

// Options say which server a [Client] asks, and how.
type Options struct {
	BaseURL   string            // "https://aur.archlinux.org"
	Transport http.RoundTripper // nil: net/http's own
	Clock     hub.Clock         // of the pauses between tries
}

// A Client asks one server. It may be used by many at once.
type Client struct {
	base  string
	http  *http.Client
	clock hub.Clock
}

const (
	tries    = 4                // of one request
	pause    = time.Second      // after the first try; it doubles
	longest  = 30 * time.Second // that is waited because a server asks for it
	callTime = 30 * time.Second // one try
	maxBody  = 4 << 20          // bytes of an answer; that for one name has about a thousand
	maxNames = 100              // of one request; aurweb takes 5000
)

// ErrLimited says that this address has asked too often: aurweb allows 4000 requests in a day.
var ErrLimited = errors.New("the AUR has had too many requests from this address, it counts them by the day")

// New makes a client. It sends nothing. The address is https; http is for the loopback.
func New(o Options) (*Client, error) {
	u, err := url.Parse(o.BaseURL)
	if err != nil || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" ||
		u.Scheme != "https" && (u.Scheme != "http" || !loopback(u.Hostname())) {
		return nil, fmt.Errorf("cannot ask %.100q: want the https address of an AUR", o.BaseURL)
	}
	if o.Clock == nil {
		return nil, errors.New("cannot ask without a clock")
	}
	c := &Client{base: strings.TrimSuffix(o.BaseURL, "/"), clock: o.Clock, http: &http.Client{
		Transport:     o.Transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
	return c, nil
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}

// Package is what the AUR shows of a package.
type Package struct {
	Name, PackageBase string
	Maintainer        string   // account; "" for an orphan
	CoMaintainers     []string // accounts
	Version           string   // [epoch:]pkgver-pkgrel
}

// Has reports whether the account may push.
func (p Package) Has(account string) bool {
	return account != "" && (p.Maintainer == account || slices.Contains(p.CoMaintainers, account))
}

// Info asks for packages by their names. Those that the AUR does not know are not in the result.
func (c *Client) Info(ctx context.Context, names ...string) (map[string]Package, error) {
	if len(names) == 0 || len(names) > maxNames {
		return nil, fmt.Errorf("cannot ask for %d packages at once: want 1 to %d", len(names), maxNames)
	}
	address := c.base + "/rpc/v5/info?" + url.Values{"arg[]": names}.Encode()
	for try := 1; ; try++ {
		found, wait, err := c.ask(ctx, address, names)
		if err == nil || wait < 0 || try == tries || ctx.Err() != nil {
			return found, err
		}
		if sleepErr := c.clock.Sleep(ctx, max(wait, pause<<(try-1))); sleepErr != nil {
			return nil, errors.Join(err, sleepErr)
		}
	}
}

// ask tries once. After an error, wait is how long the server wants to be left alone; below zero: for good.
func (c *Client) ask(ctx context.Context, address string, names []string) (found map[string]Package, wait time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, callTime)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, address, nil)
	if err != nil {
		return nil, -1, err
	}
	req.Header.Set("Accept", "application/json")
	req.Header.Set("User-Agent", "slipway")
	resp, err := c.http.Do(req)
	if err != nil {
		if u, is := errors.AsType[*url.Error](err); is {
			err = u.Err
		}
		return nil, 0, fmt.Errorf("cannot ask %s: %w", c.base, err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody+1))
	switch {
	case resp.StatusCode == http.StatusTooManyRequests:
		return nil, -1, fmt.Errorf("cannot ask %s: %w", c.base, ErrLimited)
	case resp.StatusCode >= 500:
		return nil, retryAfter(resp.Header), fmt.Errorf("cannot ask %s: it answered with status %d", c.base, resp.StatusCode)
	case resp.StatusCode != http.StatusOK:
		return nil, -1, fmt.Errorf("cannot ask %s: it answered with status %d", c.base, resp.StatusCode)
	case err != nil:
		return nil, 0, fmt.Errorf("cannot ask %s: the answer broke off: %w", c.base, err)
	case len(body) > maxBody:
		return nil, -1, fmt.Errorf("cannot ask %s: its answer has more than %d bytes", c.base, maxBody)
	}
	found, err = Parse(body, names)
	if err != nil {
		return nil, -1, fmt.Errorf("cannot use the answer of %s: %w", c.base, err)
	}
	return found, 0, nil
}

func retryAfter(h http.Header) time.Duration {
	d, err := time.ParseDuration(h.Get("Retry-After") + "s")
	if err != nil {
		return 0
	}
	return min(max(d, 0), longest)
}

// Parse reads an answer to a question for these names: type "multiinfo" with one entry at most for each name, or type
// "error", whose text becomes the error.
func Parse(body []byte, names []string) (map[string]Package, error) {
	var answer struct {
		Version int
		Type    string
		Error   string
		Count   int `json:"resultcount"`
		Results []struct {
			Name, PackageBase, Version string
			Maintainer                 *string
			CoMaintainers              []string
		}
	}
	d := json.NewDecoder(bytes.NewReader(body))
	if err := d.Decode(&answer); err != nil {
		return nil, errors.New("it is not the JSON that its documentation shows")
	}
	switch {
	case answer.Type == "error":
		return nil, fmt.Errorf("it says %q", shorten(answer.Error))
	case answer.Version != 5 || answer.Type != "multiinfo":
		return nil, fmt.Errorf("want type multiinfo of version 5, found %q of %d", shorten(answer.Type), answer.Version)
	case answer.Count != len(answer.Results):
		return nil, fmt.Errorf("it announces %d results and has %d", answer.Count, len(answer.Results))
	}
	found := map[string]Package{}
	for _, r := range answer.Results {
		p := Package{Name: r.Name, PackageBase: r.PackageBase, Version: r.Version, CoMaintainers: r.CoMaintainers}
		if r.Maintainer != nil {
			p.Maintainer = *r.Maintainer
		}
		if _, twice := found[p.Name]; twice || !slices.Contains(names, p.Name) {
			return nil, fmt.Errorf("it has a result %q too many", shorten(p.Name))
		}
		for _, text := range append([]string{p.PackageBase, p.Maintainer, p.Version}, p.CoMaintainers...) {
			if shorten(text) != text {
				return nil, fmt.Errorf("it has %q where a name or a version should be", shorten(text))
			}
		}
		if p.PackageBase == "" || p.Version == "" {
			return nil, fmt.Errorf("it has %q without package base or version", p.Name)
		}
		found[p.Name] = p
	}
	return found, nil
}

// shorten makes a server's text fit for a line: what cannot be printed goes, and the end of a long one.
func shorten(text string) string {
	text = strings.ToValidUTF8(text, "\uFFFD")
	text = strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '\uFFFD'
		}
		return r
	}, text)
	if r := []rune(text); len(r) > 300 {
		text = string(r[:300]) + "..."
	}
	return text
}
