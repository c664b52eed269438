package aur

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"sort"
	"strconv"
	"strings"

	"github.com/go-git/go-billy/v5/osfs"
	"github.com/go-git/go-git/v5/plumbing"
	"github.com/go-git/go-git/v5/plumbing/cache"
	"github.com/go-git/go-git/v5/plumbing/filemode"
	"github.com/go-git/go-git/v5/plumbing/object"
	"github.com/go-git/go-git/v5/plumbing/storer"
	"github.com/go-git/go-git/v5/storage/filesystem"

	"github.com/imrightguy/slipway/phases/internal/twins/gitd"
)

// rivalName is who pushes in the faults "rival" and "rival in hook".
const rivalName = "rival"

// A push is what the hook let through.
type push struct {
	srcinfo *SRCINFO
	lag     Lag
}

func pushKey(repository, tip string) string { return repository + "\n" + tip }

// update is the update hook.
func (s *Server) update(_ context.Context, u *gitd.Update) error {
	names := []string{u.Repository}
	var says, late, rival *Fault
	if u.Ref == master {
		says, late = s.strike(gitd.ReceivePack, names, Says), s.strike(gitd.ReceivePack, names, Late)
		rival = s.strike(gitd.ReceivePack, names, RivalInHook)
	}
	for _, f := range []*Fault{says, late, rival} {
		s.mark(f, gitd.ReceivePack, u.Repository)
	}
	if rival != nil {
		if err := s.rival(u.Repository); err != nil {
			return err
		}
	}
	if says != nil {
		fmt.Fprintln(u.Messages, says.text())
	}
	s.mu.Lock()
	a := s.accounts[u.Account]
	privileged := a != nil && a.Staff
	lag := s.lag
	s.mu.Unlock()
	if late != nil {
		lag = Lag{Calls: late.Calls, For: late.Delay}
	}
	var out bytes.Buffer
	srcinfo, err := s.hook(u.Repository, privileged, &out).check(u.Store, u.Ref, u.Old, u.New)
	if errors.Is(err, errDeclined) {
		return errors.New(strings.TrimSuffix(out.String(), "\n"))
	}
	if err != nil {
		return err
	}
	if _, err := u.Messages.Write(out.Bytes()); err != nil {
		return err
	}
	s.mu.Lock()
	s.accepted[pushKey(u.Repository, u.New)] = &push{srcinfo, lag}
	s.mu.Unlock()
	return nil
}

func (s *Server) hook(repository string, privileged bool, out *bytes.Buffer) *hook {
	blacklist := map[string]bool{}
	for _, n := range s.options.Blacklist {
		blacklist[n] = true
	}
	return &hook{
		out: out, parser: s.options.Parser, licenses: s.options.Licenses, repository: repository, privileged: privileged,
		names: names{blacklist, s.options.Official, func(base, pkg string) bool {
			s.mu.Lock()
			defer s.mu.Unlock()
			return s.db.taken(base, pkg)
		}},
	}
}

// updated takes an accepted push into the database. The real hook does that before the ref moves, see CHECKLIST.md.
func (s *Server) updated(session *gitd.Session, us []gitd.Update) {
	for _, u := range us {
		if u.Ref != master {
			continue
		}
		s.mu.Lock()
		key := pushKey(u.Repository, u.New)
		p := s.accepted[key]
		delete(s.accepted, key)
		// Of two pushes that were told in the wrong order the one that master shows counts.
		if tip, err := s.tip(u.Repository); p != nil && (err != nil || tip.String() == u.New) {
			s.db.save(u.Repository, session.Account, p.srcinfo, s.clock.Now(), p.lag)
		}
		s.mu.Unlock()
	}
}

// store opens a repository as it is now.
func (s *Server) store(name string) *filesystem.Storage {
	dir := filepath.Join(s.options.Dir, name+".git")
	return filesystem.NewStorage(osfs.New(dir, osfs.WithBoundOS()), cache.NewObjectLRUDefault())
}

// tip is where master stands; the zero hash without one.
func (s *Server) tip(name string) (plumbing.Hash, error) {
	ref, err := s.store(name).Reference(master)
	if errors.Is(err, plumbing.ErrReferenceNotFound) {
		return plumbing.ZeroHash, nil
	}
	if err != nil {
		return plumbing.ZeroHash, fmt.Errorf("cannot read the tip of %s: %w", name, err)
	}
	return ref.Hash(), nil
}

// Publish commits files (path to content, the whole tree) on master of a repository and takes them into the database, as
// if an account had pushed them just now. The hook's rules hold, whether the account may push is not asked, and the RPC
// shows it at once. It returns the commit. Two that run at the same time, or one and a push, behave as two pushes.
func (s *Server) Publish(ctx context.Context, account, name, message string, files map[string]string) (string, error) {
	commit, err := s.publish(ctx, account, name, message, files)
	if err != nil {
		return "", fmt.Errorf("cannot publish %s: %w", name, err)
	}
	return commit, nil
}

func (s *Server) publish(ctx context.Context, account, name, message string, files map[string]string) (string, error) {
	if !namePattern.MatchString(name) {
		return "", errors.New("invalid repository name")
	}
	if err := gitd.Init(s.options.Dir, name, "master"); err != nil {
		return "", err
	}
	if err := s.git.Observe(name, "found"); err != nil {
		return "", err
	}
	old, err := s.tip(name)
	if err != nil {
		return "", err
	}
	store := s.store(name)
	tree, err := writeTree(store, files)
	if err != nil {
		return "", err
	}
	by := object.Signature{Name: account, Email: account + "@example.org", When: s.clock.Now().UTC()}
	c := &object.Commit{Author: by, Committer: by, Message: message + "\n", TreeHash: tree}
	if !old.IsZero() {
		c.ParentHashes = []plumbing.Hash{old}
	}
	id, err := writeObject(store, c)
	if err != nil {
		return "", err
	}
	s.mu.Lock()
	a := s.accounts[account]
	privileged := account == rivalName || a != nil && a.Staff
	s.mu.Unlock()
	var out bytes.Buffer
	srcinfo, err := s.hook(name, privileged, &out).check(store, master, old.String(), id.String())
	if errors.Is(err, errDeclined) {
		return "", fmt.Errorf("%w:\n%s", err, out.String())
	} else if err != nil {
		return "", err
	}
	dir := filepath.Join(s.options.Dir, name+".git")
	if err := gitd.Git(ctx, dir, nil, nil, "update-ref", master, id.String(), old.String()); err != nil {
		return "", err
	}
	s.mu.Lock()
	s.db.save(name, account, srcinfo, s.clock.Now(), Lag{})
	s.mu.Unlock()
	return id.String(), s.git.Observe(name, "published by "+account)
}

func writeObject(store storer.EncodedObjectStorer, o interface {
	Encode(plumbing.EncodedObject) error
},
) (plumbing.Hash, error) {
	e := store.NewEncodedObject()
	if err := o.Encode(e); err != nil {
		return plumbing.ZeroHash, err
	}
	return store.SetEncodedObject(e)
}

// writeTree stores files as blobs and folders.
func writeTree(store storer.EncodedObjectStorer, files map[string]string) (plumbing.Hash, error) {
	var tree object.Tree
	folders := map[string]map[string]string{}
	for name, content := range files {
		if folder, rest, ok := strings.Cut(name, "/"); ok {
			if folders[folder] == nil {
				folders[folder] = map[string]string{}
			}
			folders[folder][rest] = content
			continue
		}
		e := store.NewEncodedObject()
		e.SetType(plumbing.BlobObject)
		w, err := e.Writer()
		if err != nil {
			return plumbing.ZeroHash, err
		}
		if _, err := w.Write([]byte(content)); err != nil {
			return plumbing.ZeroHash, err
		}
		if err := w.Close(); err != nil {
			return plumbing.ZeroHash, err
		}
		id, err := store.SetEncodedObject(e)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Regular, Hash: id})
	}
	for name, inside := range folders {
		id, err := writeTree(store, inside)
		if err != nil {
			return plumbing.ZeroHash, err
		}
		tree.Entries = append(tree.Entries, object.TreeEntry{Name: name, Mode: filemode.Dir, Hash: id})
	}
	sort.Sort(object.TreeEntrySorter(tree.Entries))
	return writeObject(store, &tree)
}

// Files returns what lies at the tip of a repository, path to content; nothing where there is no tip.
func (s *Server) Files(name string) (map[string]string, error) {
	tip, err := s.tip(name)
	if err != nil || tip.IsZero() {
		return nil, err
	}
	c, err := object.GetCommit(s.store(name), tip)
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	t, err := c.Tree()
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	files := map[string]string{}
	err = t.Files().ForEach(func(f *object.File) error {
		content, err := f.Contents()
		files[f.Name] = content
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("cannot read %s: %w", name, err)
	}
	return files, nil
}

// rival lets somebody else push.
func (s *Server) rival(name string) error {
	files, err := s.Files(name)
	if err != nil {
		return err
	}
	edit := s.options.Rival
	if edit == nil {
		edit = raise
	}
	_, err = s.Publish(context.Background(), rivalName, name, "A rebuild", edit(name, maps.Clone(files)))
	return err
}

var (
	srcinfoRel  = regexp.MustCompile(`(?m)^(\s*pkgrel = )(\d+).*$`)
	pkgbuildRel = regexp.MustCompile(`(?m)^pkgrel=.*$`)
)

// raise is what a rival does by default: the same package with the next pkgrel, or a new one.
func raise(name string, files map[string]string) map[string]string {
	m := srcinfoRel.FindStringSubmatch(files[".SRCINFO"])
	if m == nil {
		return map[string]string{
			"PKGBUILD": fmt.Sprintf("pkgname='%s'\npkgver='0.0.1'\npkgrel='1'\narch=('any')\n", name),
			".SRCINFO": fmt.Sprintf("pkgbase = %s\n\tpkgver = 0.0.1\n\tpkgrel = 1\n\tarch = any\n\npkgname = %s\n", name, name),
		}
	}
	n, _ := strconv.Atoi(m[2]) // a number too large becomes 1
	next := strconv.Itoa(n + 1)
	files[".SRCINFO"] = srcinfoRel.ReplaceAllString(files[".SRCINFO"], "${1}"+next)
	files["PKGBUILD"] = pkgbuildRel.ReplaceAllString(files["PKGBUILD"], "pkgrel='"+next+"'")
	return files
}
