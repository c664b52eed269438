package aur

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// The door's own words (aurweb, aurweb/git/serve.py).
const (
	textMaintenance = "The AUR is down due to maintenance. We will be back soon."
	textBanned      = "The SSH interface is disabled for your IP address."
	textUnverified  = "Your account email is not verified. Verify it from your profile on the AUR website before pushing."
	textHelp        = "Try `ssh aur@aur.archlinux.org help` for a list of commands."
)

// commands are what help shows, in its order.
var commands = [][2]string{
	{"adopt <name>", "Adopt a package base."},
	{"disown <name>", "Disown a package base."},
	{"flag <name> <comment>", "Flag a package base out-of-date."},
	{"git-receive-pack", "Internal command used with Git."},
	{"git-upload-pack", "Internal command used with Git."},
	{"help", "Show this help message and exit."},
	{"list-repos", "List all your repositories."},
	{"restore <name>", "Restore a deleted package base."},
	{"set-comaintainers <name> [...]", "Set package base co-maintainers."},
	{"set-keywords <name> [...]", "Change package base keywords."},
	{"unflag <name>", "Remove out-of-date flag from a package base."},
	{"unvote <name>", "Remove vote from a package base."},
	{"vote <name>", "Vote for a package base."},
}

// welcome is what a session without a command reads. A git server for twins has one text for all, so the name is in it
// only when there is one account.
func welcome(accounts []gitd.Account) string {
	who := ""
	if len(accounts) == 1 {
		who = ", " + accounts[0].Name
	}
	return "Welcome to AUR" + who + "! Interactive shell is disabled.\n" + textHelp
}

// closed tells why nobody gets further: maintenance, or a ban.
func (s *Server) closed(session *gitd.Session, f *Fault) error {
	if session.User != "aur" {
		return errors.New("Permission denied (publickey).") //nolint:revive // the server's words
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[session.Account]
	switch {
	case s.maintenance || f.is(Maintenance):
		return errors.New(textMaintenance)
	case a != nil && a.Banned || f.is(Banned):
		return errors.New(textBanned)
	}
	return nil
}

func (f *Fault) is(e Effect) bool { return f != nil && f.Effect == e }

// before is the door of git. An error's text reaches the client and nothing else happens.
func (s *Server) before(session *gitd.Session) error {
	if session.Protocol != "ssh" {
		if session.Service == gitd.ReceivePack {
			return errors.New("the AUR takes pushes over ssh only")
		}
		return s.open(session)
	}
	names := []string{session.Repository}
	f := s.strike(session.Service, names, Maintenance, Banned, Unverified, Rival)
	s.mark(f, session.Service, session.Repository)
	if err := s.closed(session, f); err != nil {
		return err
	}
	action := "git-" + session.Service
	if !namePattern.MatchString(session.Repository) {
		return fmt.Errorf("%s: invalid repository name: %s", action, asked(session.Path))
	}
	if session.Service == gitd.ReceivePack {
		if f.is(Rival) {
			if err := s.rival(session.Repository); err != nil {
				return err
			}
		}
		if err := s.mayPush(session, f); err != nil {
			return err
		}
	}
	return s.open(session)
}

// asked is the name that a path stands for, however wrong it is.
func asked(path string) string {
	return strings.TrimSuffix(strings.TrimPrefix(strings.TrimRight(path, "/"), "/"), ".git")
}

// open makes the repository when it is missing: to a reader of an unknown name it is empty, a push fills it.
func (s *Server) open(session *gitd.Session) error {
	if session.Exists || !namePattern.MatchString(session.Repository) {
		return nil
	}
	return session.Create()
}

// mayPush is who may write. Where in the order the e-mail address is asked for, and the exact words about an orphan, are
// unconfirmed.
func (s *Server) mayPush(session *gitd.Session, f *Fault) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	a := s.accounts[session.Account]
	if a == nil {
		return fmt.Errorf("git-receive-pack: permission denied: %s", session.Account)
	}
	if a.Unverified || f.is(Unverified) {
		return errors.New(textUnverified)
	}
	b := s.db.find(session.Repository)
	switch {
	case b == nil || a.Staff:
		return nil
	case b.maintainer == "":
		return fmt.Errorf("git-receive-pack: %s is orphaned. Run `ssh aur@aur.archlinux.org adopt %s` before pushing.", b.name, b.name) //nolint:revive // the server's words
	case !b.writable(a.Name):
		return fmt.Errorf("git-receive-pack: permission denied: %s", a.Name)
	}
	return nil
}

// command is every ssh command that is not git's.
func (s *Server) command(session *gitd.Session, argv []string, stdout, stderr io.Writer) (status int, handled bool) {
	r := s.arrive(Request{Kind: "command", Account: session.Account, Service: argv[0], Path: strings.Join(argv, " ")})
	defer s.handle(r)
	f := s.strike(Command, argv[:1], Maintenance, Banned)
	s.note(r, f)
	die := func(format string, a ...any) (int, bool) {
		fmt.Fprintf(stderr, format+"\n", a...)
		return 1, true
	}
	if err := s.closed(session, f); err != nil {
		return die("%s", err)
	}
	action := argv[0]
	switch {
	case action == "help":
		width := 0
		for _, c := range commands {
			width = max(width, len(c[0]))
		}
		fmt.Fprintln(stderr, "Commands:")
		for _, c := range commands {
			fmt.Fprintf(stderr, "  %-*s%s\n", width+4, c[0], c[1])
		}
		return 0, true
	case action == "list-repos" && len(argv) > 1:
		return die("list-repos: too many arguments\n%s", textHelp)
	case action == "list-repos":
		s.mu.Lock()
		defer s.mu.Unlock()
		for _, b := range s.db.bases {
			if b.maintainer == session.Account {
				fmt.Fprintf(stdout, " %s\n", b.name)
			}
		}
		return 0, true
	case action == "git-receive-pack" || action == "git-upload-pack":
		return die("%s: missing path\n%s", action, textHelp)
	case slices.ContainsFunc(commands, func(c [2]string) bool { word, _, _ := strings.Cut(c[0], " "); return word == action }):
		return die("%s: the twin does not do this", action)
	}
	return die("%s: invalid command: %s\n%s", action, action, textHelp)
}
