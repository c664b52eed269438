package main

import (
	"crypto/sha256"
	"fmt"
	"maps"
	"path/filepath"
	"strings"
)

// always demands what holds of the world at every moment, whether a release ever ended: a published release has each of
// its assets, whole, and there is one; a tag, once there, never moves and never goes.
func (s *stage) always(want map[string]string) {
	s.t.Helper()
	w := s.World()
	if w.GitHub != nil {
		tags := map[string]string{}
		for _, st := range w.GitHub.History(owner, project) {
			when := fmt.Sprintf("state %d, after %s", st.Seq, st.Cause)
			published := 0
			for _, r := range st.Releases {
				if r.Draft || r.Tag != tagName {
					continue
				}
				published++
				got := map[string]string{}
				for _, a := range r.Assets {
					if a.State == "uploaded" {
						got[a.Name] = a.SHA256
					} else {
						got[a.Name] = a.State
					}
				}
				if !maps.Equal(got, want) {
					s.t.Errorf("%s: published with\n%v, want\n%v", when, sorted(got), sorted(want))
				}
			}
			if published > 1 {
				s.t.Errorf("%s: %d published releases", when, published)
			}
			steady(s, when, tags, st.Tags)
		}
		tags = map[string]string{}
		for _, st := range w.Git.History("origin") {
			now := map[string]string{}
			for ref, at := range st.Refs {
				if strings.HasPrefix(ref, "refs/tags/") {
					now[ref] = at
				}
			}
			steady(s, fmt.Sprintf("refs %d, after %s", st.Seq, st.Cause), tags, now)
		}
	}
}

// steady demands that all that was there is there and unchanged, and remembers what came.
func steady(s *stage, when string, was, now map[string]string) {
	s.t.Helper()
	for name, at := range was {
		if now[name] != at {
			s.t.Errorf("%s: %s was %s, is %q", when, name, at, now[name])
		}
	}
	maps.Copy(was, now)
}

// holds demands what holds after the end of a release: one release with one of each asset and their bytes, one annotated
// tag at the released commit, one merge of it; and always what always holds.
func (s *stage) holds(x *trial) {
	s.t.Helper()
	want := x.assets()
	s.always(want)
	w := s.World()
	states := w.GitHub.History(owner, project)
	last := states[len(states)-1]
	if len(last.Releases) != 1 {
		s.t.Fatalf("%d releases and drafts", len(last.Releases))
	}
	r := last.Releases[0]
	if r.Draft || r.Tag != tagName || !r.Latest || len(r.Assets) != len(want) {
		s.t.Errorf("release %+v", r)
	}
	s.git(x)
}

// git demands what holds of the git remote in the end.
func (s *stage) git(x *trial) {
	s.t.Helper()
	origin := filepath.Join(s.dir, "origin.git")
	git := func(args ...string) string { s.t.Helper(); return gitIn(s.t, origin, args...) }
	commit := x.receipt("build/version")["commit"]
	for _, c := range []struct{ what, got, want string }{
		{"kind of the tag", git("cat-file", "-t", tagRef), "tag"},
		{"commit of the tag", git("rev-parse", tagRef+"^{commit}"), commit},
		{"branch", git("rev-parse", "refs/heads/release/"+tagName), commit},
		{"commits on top of main", git("rev-list", "--first-parent", "--count", s.baseline.ID+"..refs/heads/main"), "1"},
		{"merges", git("rev-list", "--merges", "--count", "refs/heads/main"), "1"},
		{"what was merged", git("rev-parse", "refs/heads/main^2"), commit},
		{"refs", git("for-each-ref", "--format=%(refname)"), "refs/heads/main\nrefs/heads/release/" + tagName + "\n" + tagRef},
	} {
		if c.got != c.want || c.want == "" {
			s.t.Errorf("%s: %q, want %q", c.what, c.got, c.want)
		}
	}
	git("fsck", "--strict", "--connectivity-only")
}

// holdsAUR demands what holds of the package in the AUR: one commit, with the files that were made.
func (s *stage) holdsAUR(x *trial) {
	s.t.Helper()
	w := s.World()
	history, err := w.AUR.History(aurName)
	if err != nil {
		s.t.Fatal(err)
	}
	if len(history) != 1 || history[0].Version == "" {
		s.t.Errorf("history %+v", history)
	}
	if n := gitIn(s.t, filepath.Join(s.dir, "aur", aurName+".git"), "rev-list", "--count", "--all"); n != "1" {
		s.t.Errorf("%s commits", n)
	}
	files, err := w.AUR.Files(aurName)
	if err != nil {
		s.t.Fatal(err)
	}
	got := map[string]string{}
	for name, text := range files {
		got[name] = fmt.Sprintf("%x", sha256.Sum256([]byte(text)))
	}
	if want := digests(s.t, filepath.Join(x.dir, "dist", released, "aur", aurName)); !maps.Equal(got, want) || len(want) < 2 {
		s.t.Errorf("files\n%v, want\n%v", sorted(got), sorted(want))
	}
}
