package gitd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"golang.org/x/crypto/ssh"
)

func (s *Server) acceptSSH() {
	for {
		c, err := s.ssh.Accept()
		if err != nil {
			return
		}
		if !s.begin() {
			c.Close()
			return
		}
		go func() {
			defer s.wg.Done()
			defer s.forget(c)
			if s.remember(c) {
				s.serveSSH(c)
			}
		}()
	}
}

// remember keeps a connection for Close to end; false when that has begun.
func (s *Server) remember(c net.Conn) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.conns[c] = struct{}{}
	return !s.ending
}

func (s *Server) forget(c net.Conn) {
	c.Close()
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.conns, c)
}

func (s *Server) serveSSH(c net.Conn) {
	fault := s.choose(Connect, "")
	effect := Effect("")
	if fault != nil {
		effect = fault.Effect
		fault.hit()
	}
	switch effect {
	case Cut:
		return
	case Delay:
		if s.clock.Sleep(s.ctx, fault.Delay) != nil {
			return
		}
	}
	config := &ssh.ServerConfig{
		ServerVersion: "SSH-2.0-gitd",
		PublicKeyCallback: func(_ ssh.ConnMetadata, key ssh.PublicKey) (*ssh.Permissions, error) {
			name, ok := s.byKey(key)
			if !ok || effect == Refuse {
				return nil, errors.New("unknown key")
			}
			return &ssh.Permissions{Extensions: map[string]string{"account": name}}, nil
		},
	}
	keys, err := s.keys.present(effect == OtherHostKey)
	if err != nil {
		return
	}
	for _, k := range keys {
		config.AddHostKey(k)
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Minute)) // of the handshake
	conn, channels, requests, err := ssh.NewServerConn(c, config)
	if err != nil {
		return
	}
	_ = c.SetDeadline(time.Time{})
	var sessions sync.WaitGroup
	defer sessions.Wait()
	defer conn.Close()
	sessions.Go(func() { ssh.DiscardRequests(requests) })
	for n := range channels {
		if n.ChannelType() != "session" {
			_ = n.Reject(ssh.UnknownChannelType, "sessions only")
			continue
		}
		ch, requests, err := n.Accept()
		if err != nil {
			continue
		}
		sessions.Go(func() { s.serveChannel(conn, c, ch, requests) })
	}
}

// serveChannel takes the requests of RFC 4254 section 6: environment, then one command. There is no terminal, and a
// shell only says a text.
func (s *Server) serveChannel(conn *ssh.ServerConn, c net.Conn, ch ssh.Channel, requests <-chan *ssh.Request) {
	defer ch.Close()
	ctx, cancel := context.WithCancel(s.ctx)
	defer cancel()
	for r := range requests {
		switch r.Type {
		case "env":
			var v struct{ Name, Value string }
			ok := ssh.Unmarshal(r.Payload, &v) == nil && v.Name == "GIT_PROTOCOL"
			if ok {
				ctx = withProtocol(ctx, v.Value)
			}
			_ = r.Reply(ok, nil)
		case "exec", "shell":
			var v struct{ Command string }
			if r.Type == "exec" && ssh.Unmarshal(r.Payload, &v) != nil {
				_ = r.Reply(false, nil)
				return
			}
			_ = r.Reply(true, nil)
			// Later requests, such as a signal or a window's size, are refused.
			var rest sync.WaitGroup
			rest.Go(func() { ssh.DiscardRequests(requests) })
			status := s.command(ctx, conn, c, ch, v.Command)
			_ = ch.CloseWrite()
			_, _ = ch.SendRequest("exit-status", false, ssh.Marshal(struct{ Status uint32 }{uint32(status)}))
			ch.Close()
			rest.Wait()
			return
		default:
			_ = r.Reply(false, nil)
		}
	}
}

// command runs what a session asks for and returns its exit status.
func (s *Server) command(ctx context.Context, conn *ssh.ServerConn, c net.Conn, ch ssh.Channel, command string) int {
	fail := func(status int, text string) int {
		fmt.Fprintln(ch.Stderr(), strings.TrimSuffix(text, "\n"))
		return status
	}
	argv, err := splitWords(command)
	if err != nil {
		return fail(1, "cannot read the command: "+err.Error())
	}
	if len(argv) == 0 {
		if s.o.Shell == "" {
			return fail(1, "There is no shell here.")
		}
		return fail(1, s.o.Shell)
	}
	session := &Session{Account: conn.Permissions.Extensions["account"], User: conn.User(), Protocol: "ssh"}
	if service, path, ok := gitCommand(argv); ok {
		session.Service, session.Path = service, path
		op := s.newOperation(session)
		op.hangUp = func() { c.Close() }
		return s.serveGit(ctx, op, ch)
	}
	if s.o.Command != nil {
		if status, handled := s.o.Command(session, argv, ch, ch.Stderr()); handled {
			return status
		}
	}
	return fail(1, fmt.Sprintf("unknown command %q", argv[0]))
}

// gitCommand reads "git-receive-pack PATH" and "git receive-pack PATH", and the same of upload-pack.
func gitCommand(argv []string) (service, path string, ok bool) {
	if argv[0] == "git" && len(argv) > 1 {
		argv = append([]string{"git-" + argv[1]}, argv[2:]...)
	}
	service, ok = strings.CutPrefix(argv[0], "git-")
	if !ok || len(argv) != 2 || !slices.Contains([]string{ReceivePack, UploadPack}, service) {
		return "", "", false
	}
	return service, argv[1], true
}

// serveGit is one push or fetch over ssh.
func (s *Server) serveGit(ctx context.Context, op *operation, ch ssh.Channel) int {
	op.fault = s.choose(op.session.Service, clean(op.session.Path))
	s.arrive(op)
	if !op.before(ctx) {
		return 1
	}
	fail := func(status int, text string) int {
		fmt.Fprintln(ch.Stderr(), text)
		return status
	}
	if op.refused() {
		return fail(1, "ERROR: permission denied: "+op.session.Account)
	}
	if err := op.admit(); errors.Is(err, errMissing) {
		// The words of git itself, upload-pack.c and path.c.
		return fail(128, fmt.Sprintf("fatal: '%s' does not appear to be a git repository", printable(op.session.Path)))
	} else if err != nil {
		return fail(1, err.Error())
	}
	in, out := op.streams(ctx, ch, ch, true)
	status, err := op.git(ctx, nil, in, out, ch.Stderr())
	if err != nil {
		return fail(1, err.Error())
	}
	op.done() // where there was no report
	op.end()
	return status
}

// printable keeps control characters of a client's text out of terminals and logs.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, s)
}

// splitWords reads a command line as a shell would, with quotes and backslashes and without any expansion: git quotes a
// path in single quotes, and a quote or an exclamation mark in it as '\” and '\!'.
func splitWords(s string) ([]string, error) {
	if strings.ContainsRune(s, 0) {
		return nil, errors.New("it has a NUL")
	}
	var words []string
	var word strings.Builder
	inWord := false
	for i := 0; i < len(s); i++ {
		switch c := s[i]; c {
		case ' ', '\t', '\n':
			if inWord {
				words = append(words, word.String())
				word.Reset()
			}
			inWord = false
			continue
		case '\'':
			end := strings.IndexByte(s[i+1:], '\'')
			if end < 0 {
				return nil, errors.New("a quote is not closed")
			}
			word.WriteString(s[i+1 : i+1+end])
			i += 1 + end
		case '"':
			for i++; i < len(s) && s[i] != '"'; i++ {
				if s[i] == '\\' && i+1 < len(s) && strings.IndexByte(`"\$`+"`", s[i+1]) >= 0 {
					i++
				}
				word.WriteByte(s[i])
			}
			if i >= len(s) {
				return nil, errors.New("a quote is not closed")
			}
		case '\\':
			if i++; i == len(s) {
				return nil, errors.New("it ends in a backslash")
			}
			word.WriteByte(s[i])
		default:
			word.WriteByte(c)
		}
		inWord = true
	}
	if inWord {
		words = append(words, word.String())
	}
	return words, nil
}
