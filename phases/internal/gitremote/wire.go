package gitremote

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"time"
	"unicode"

	"github.com/go-git/go-git/v5/plumbing/format/pktline"
	"github.com/go-git/go-git/v5/plumbing/protocol/packp"
	gitssh "github.com/go-git/go-git/v5/plumbing/transport/ssh"
	"golang.org/x/crypto/ssh"
)

// The two services of a remote, gitprotocol-pack(5).
const (
	uploadPack  = "git-upload-pack"
	receivePack = "git-receive-pack"
)

// maxRefs bounds what a remote may say of its refs, in bytes: half a million of them.
const maxRefs = 64 << 20

// conversation is one run of a service. The remote has said which refs it has; one request may follow.
type conversation struct {
	adv   *packp.AdvRefs
	watch *watch
	// ask sends the request and returns the answer. A *definite error says that the remote has not taken it.
	ask func(request io.Reader, size int64) (io.ReadCloser, error)
	// close ends it; lines is complete afterwards.
	close func()
	lines func() []string // what the service said for people, beside the protocol
}

// definite is an error after which nothing has been done at the remote.
type definite struct{ error }

func (e *definite) Unwrap() error { return e.error }

var errIdle = errors.New("nothing came for too long")

// watch cancels a context when nothing moves for a while.
type watch struct {
	ctx    context.Context
	cancel context.CancelCauseFunc
	timer  *time.Timer
	limit  time.Duration
}

func newWatch(ctx context.Context, limit time.Duration) *watch {
	w := &watch{limit: limit}
	w.ctx, w.cancel = context.WithCancelCause(ctx)
	w.timer = time.AfterFunc(limit, func() { w.cancel(fmt.Errorf("%w (%s)", errIdle, limit)) })
	return w
}

func (w *watch) stop() { w.timer.Stop(); w.cancel(errOver) }

var errOver = errors.New("the conversation is over")

// explain puts the reason why the context ended in the place of what followed from it.
func (w *watch) explain(err error) error {
	if cause := context.Cause(w.ctx); err != nil && cause != nil && !errors.Is(cause, errOver) {
		return cause
	}
	return err
}

// reader passes what r gives on, and counts it as a sign of life.
func (w *watch) reader(r io.Reader) io.Reader { return watched{r, w} }

type watched struct {
	r io.Reader
	w *watch
}

func (r watched) Read(p []byte) (int, error) {
	n, err := r.r.Read(p)
	if n > 0 && r.w.ctx.Err() == nil {
		r.w.timer.Reset(r.w.limit)
	}
	return n, err
}

// dial begins a conversation.
func (a Access) begin(ctx context.Context, service string) (*conversation, error) {
	p, err := parse(a.URL)
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	c := &conversation{watch: newWatch(ctx, orElse(a.idle, IdleTimeout))}
	if p.scheme == "ssh" {
		err = a.overSSH(c, p, service)
	} else {
		err = a.overHTTP(c, p, service)
	}
	if err != nil {
		err = c.watch.explain(err)
		c.watch.stop()
		return nil, fmt.Errorf("cannot reach %s: %w", a.shown(), err)
	}
	return c, nil
}

func orElse(d, standard time.Duration) time.Duration {
	if d > 0 {
		return d
	}
	return standard
}

// readRefs reads what the service says at first. An empty repository has none.
func (c *conversation) readRefs(r io.Reader) error {
	c.adv = packp.NewAdvRefs()
	err := c.adv.Decode(io.LimitReader(r, maxRefs))
	if errors.Is(err, packp.ErrEmptyAdvRefs) {
		return nil
	}
	return err
}

// overSSH runs the service in a session of its own (ssh://, RFC 4254 section 6.5).
func (a Access) overSSH(c *conversation, p place, service string) error {
	client, err := a.connect(c.watch.ctx, p)
	if err != nil {
		return err
	}
	stop := context.AfterFunc(c.watch.ctx, func() { client.Close() })
	closing := sync.OnceFunc(func() { client.Close(); stop(); c.watch.stop() })
	session, err := client.NewSession()
	if err != nil {
		closing()
		return err
	}
	said := &head{}
	session.Stderr = said
	in, err := session.StdinPipe()
	if err != nil {
		closing()
		return err
	}
	out, err := session.StdoutPipe()
	if err != nil {
		closing()
		return err
	}
	// The path holds nothing that a shell would understand, see pathName.
	if err := session.Start(service + " '" + p.path + "'"); err != nil {
		closing()
		return err
	}
	ended := make(chan struct{})
	go func() { _ = session.Wait(); close(ended) }()
	c.lines = said.lines
	c.close = func() {
		in.Close()
		// What the service says last comes with its exit status.
		select {
		case <-ended:
		case <-time.After(5 * time.Second):
		case <-c.watch.ctx.Done():
		}
		closing()
	}
	if err := c.readRefs(c.watch.reader(out)); err != nil {
		c.close()
		return refusal(err, said.lines())
	}
	c.ask = func(request io.Reader, _ int64) (io.ReadCloser, error) {
		if _, err := io.Copy(in, c.watch.reader(request)); err != nil {
			return nil, err
		}
		// Some servers take the end of the input for a client that has hung up, so it stays open until the answer is read.
		return io.NopCloser(c.watch.reader(out)), nil
	}
	return nil
}

// refusal is the error for a service that ended before it said anything of its refs.
func refusal(err error, lines []string) error {
	if said, ok := errors.AsType[*pktline.ErrorLine](err); ok {
		lines = append(lines, printable(said.Text))
	}
	if len(lines) == 0 {
		return fmt.Errorf("the remote broke off: %w", err)
	}
	text := strings.ToLower(strings.Join(lines, "\n"))
	// git's own words (setup of the services), and those of the large forges.
	for _, words := range []string{"not found", "does not exist", "does not appear to be a git repository", "no such repository", "could not be found"} {
		if strings.Contains(text, words) {
			return fmt.Errorf("%w: %w", ErrNoRepository, &RefusedError{lines})
		}
	}
	return &RefusedError{lines}
}

// connect dials, compares the host's key and authenticates.
func (a Access) connect(ctx context.Context, p place) (*ssh.Client, error) {
	ctx, cancel := context.WithTimeout(ctx, orElse(a.dial, DialTimeout))
	defer cancel()
	var config *ssh.ClientConfig
	var err error
	switch auth := a.Auth.(type) {
	case *sshAuth:
		var agent io.Closer
		if config, agent, err = auth.config(ctx); agent != nil {
			defer agent.Close()
		}
	case gitssh.AuthMethod:
		config, err = auth.ClientConfig()
	default:
		err = fmt.Errorf("%w: there is no key", ErrAuth)
	}
	if err != nil {
		return nil, err
	}
	if config.HostKeyCallback == nil {
		return nil, fmt.Errorf("cannot trust %s: %w", p.hostPort(), ErrUnknownHost)
	}
	check, trusts := config.HostKeyCallback, false
	config.HostKeyCallback = func(host string, remote net.Addr, key ssh.PublicKey) error {
		err := check(host, remote, key)
		trusts = err == nil
		return err
	}
	conn, err := (&net.Dialer{}).DialContext(ctx, "tcp", p.hostPort())
	if err != nil {
		return nil, err
	}
	stop := context.AfterFunc(ctx, func() { conn.Close() })
	link, channels, requests, err := ssh.NewClientConn(conn, p.hostPort(), config)
	if !stop() && err == nil {
		err = ctx.Err()
	}
	if err == nil {
		return ssh.NewClient(link, channels, requests), nil
	}
	conn.Close()
	var other *ssh.AlgorithmNegotiationError
	var network net.Error
	switch known, _ := a.Auth.(*sshAuth); {
	case ctx.Err() != nil:
		return nil, fmt.Errorf("both sides did not get to know each other: %w", ctx.Err())
	case errors.As(err, &other) && known != nil && other.What == "host key":
		return nil, known.trusted.changed("it has no key of the known kinds")
	case trusts && !errors.As(err, &network) && !errors.Is(err, io.EOF):
		return nil, fmt.Errorf("%w: it does not know %s; add the public key to the account there", ErrAuth, a.Identity)
	}
	return nil, err
}

// overHTTP speaks git's smart protocol over https, gitprotocol-http(5).
func (a Access) overHTTP(c *conversation, p place, service string) error {
	said := &head{}
	c.lines = said.lines
	client := &http.Client{
		Transport: a.http,
		// A redirect would take the token along, or the push elsewhere.
		CheckRedirect: func(r *http.Request, _ []*http.Request) error {
			return fmt.Errorf("it has moved to %s://%s%s; write that address in release.yaml", r.URL.Scheme, r.URL.Host, strings.TrimSuffix(r.URL.Path, "/info/refs"))
		},
	}
	base := p.scheme + "://" + p.host + strings.TrimSuffix(p.path, "/")
	do := func(method, url, accept, kind string, body io.Reader, size int64) (*http.Response, error) {
		r, err := http.NewRequestWithContext(c.watch.ctx, method, url, body)
		if err != nil {
			return nil, err
		}
		r.Header.Set("User-Agent", "git/slipway")
		r.Header.Set("Accept", accept)
		if kind != "" {
			r.Header.Set("Content-Type", kind)
			r.ContentLength = size
		}
		if auth, ok := a.Auth.(interface{ SetAuth(*http.Request) }); ok {
			auth.SetAuth(r)
		}
		answer, err := client.Do(r)
		if err != nil {
			return nil, err
		}
		if answer.StatusCode == http.StatusOK {
			return answer, nil
		}
		defer answer.Body.Close()
		text, _ := io.ReadAll(io.LimitReader(answer.Body, 4<<10))
		return nil, a.status(answer, text)
	}
	closing := sync.OnceFunc(c.watch.stop)
	answer, err := do(http.MethodGet, base+"/info/refs?service="+service, "*/*", "", nil, 0)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if kind := answer.Header.Get("Content-Type"); kind != "application/x-"+service+"-advertisement" {
		return fmt.Errorf("%w: what is there is no git repository", ErrNoRepository)
	}
	if err := c.readRefs(c.watch.reader(answer.Body)); err != nil {
		return refusal(err, nil)
	}
	c.close = closing
	c.ask = func(request io.Reader, size int64) (io.ReadCloser, error) {
		//nolint:bodyclose // whoever asked closes it
		answer, err := do(http.MethodPost, base+"/"+service, "application/x-"+service+"-result", "application/x-"+service+"-request",
			io.NopCloser(c.watch.reader(request)), size)
		if err != nil {
			return nil, err
		}
		return struct {
			io.Reader
			io.Closer
		}{c.watch.reader(answer.Body), answer.Body}, nil
	}
	return nil
}

// status is the error for an answer that is not 200. Those of the client's fault come before anything is done.
func (a Access) status(answer *http.Response, text []byte) error {
	lines := readable(text)
	if kind := answer.Header.Get("Content-Type"); !strings.HasPrefix(kind, "text/plain") {
		lines = nil
	}
	lines = append(lines, "HTTP "+answer.Status)
	var err error = &RefusedError{lines}
	switch code := answer.StatusCode; {
	case code == http.StatusUnauthorized:
		err = fmt.Errorf("%w as %s: %w", ErrAuth, a.Identity, err)
	case code == http.StatusForbidden:
		err = fmt.Errorf("%w: %s may not do that: %w", ErrAuth, a.Identity, err)
	case code == http.StatusNotFound:
		err = fmt.Errorf("%w: %w", ErrNoRepository, err)
	case code >= 500:
		return fmt.Errorf("the remote is not well: HTTP %s", answer.Status)
	}
	return &definite{err}
}

// head keeps the beginning of what a service says for people.
type head struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (h *head) Write(p []byte) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.b.Write(p[:min(len(p), max(0, 16<<10-h.b.Len()))])
	return len(p), nil
}

func (h *head) lines() []string {
	h.mu.Lock()
	defer h.mu.Unlock()
	return readable(h.b.Bytes())
}

// readable takes a foreign text apart into lines that a terminal can be shown.
func readable(text []byte) (lines []string) {
	for line := range strings.FieldsFuncSeq(string(text), func(r rune) bool { return r == '\n' || r == '\r' }) {
		if line = printable(line); line != "" && len(lines) < 50 {
			lines = append(lines, line)
		}
	}
	return lines
}

func printable(line string) string {
	line = strings.Map(func(r rune) rune {
		if r == '\t' {
			return ' '
		}
		if !unicode.IsPrint(r) {
			return -1
		}
		return r
	}, strings.ToValidUTF8(line, "?"))
	if r := []rune(line); len(r) > 300 {
		line = string(r[:300]) + "..."
	}
	return strings.TrimSpace(line)
}
