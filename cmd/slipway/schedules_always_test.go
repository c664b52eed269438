package main

import (
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/pipeline/journal"
)

// What must hold in every state of the world that anybody could have seen, in whichever order things happened.

// moment is how the world stood after one change: GitHub's releases, the git remote's refs and the AUR's tip.
type moment struct {
	at       time.Time
	cause    string
	releases map[int64]seen
	refs     map[string]string
	aur      string // commit
	version  string // in the AUR
}

// seen is a release as a moment has it.
type seen struct {
	tag                       string
	draft, prerelease, latest bool
	body                      string
	assets                    map[string]string // SHA-256, or the state of what has not arrived
}

// public is the public release of a tag.
func (m moment) public(tag string) (rel seen, id int64, n int) {
	for _, i := range slices.Sorted(maps.Keys(m.releases)) {
		if r := m.releases[i]; r.tag == tag && !r.draft {
			rel, id, n = r, i, n+1
		}
	}
	return rel, id, n
}

// history merges what the twins have recorded since a time, oldest first. The first moment is how things stood then.
func (h *stagehand) history(since time.Time) (list []moment) {
	w := h.s.World()
	type change struct {
		at time.Time
		do func(*moment)
	}
	var all []change
	for _, st := range w.GitHub.History(owner, project) {
		all = append(all, change{st.Time, func(m *moment) {
			m.cause, m.releases = st.Cause, map[int64]seen{}
			for _, r := range st.Releases {
				one := seen{tag: r.Tag, draft: r.Draft, prerelease: r.Prerelease, latest: r.Latest, body: r.Body, assets: map[string]string{}}
				for _, a := range r.Assets {
					if one.assets[a.Name] = a.SHA256; a.State != "uploaded" {
						one.assets[a.Name] = a.State
					}
				}
				m.releases[r.ID] = one
			}
		}})
	}
	for _, st := range w.Git.History("origin") {
		all = append(all, change{st.Time, func(m *moment) { m.cause, m.refs = "git: "+st.Cause, st.Refs }})
	}
	if h.aur() {
		states, err := w.AUR.History(aurName)
		if err != nil {
			h.t.Fatal(err)
		}
		for _, st := range states {
			all = append(all, change{st.Time, func(m *moment) { m.cause, m.aur, m.version = "AUR: "+st.Cause, st.Commit, st.Version }})
		}
	}
	slices.SortStableFunc(all, func(a, b change) int { return a.at.Compare(b.at) })
	now := moment{}
	for _, c := range all {
		next := now
		next.at = c.at
		c.do(&next)
		if now = next; c.at.Before(since) {
			list = list[:0]
		}
		list = append(list, now)
	}
	return list
}

func (h *stagehand) aur() bool { return h.kind.aur }

// during names the action under way at a time.
func (h *stagehand) during(at time.Time) string {
	for i, d := range h.deeds {
		if !at.Before(d.begun) && (d.ended.IsZero() || !at.After(d.ended)) {
			return fmt.Sprintf("action %d (%s)", i+1, d.action)
		}
	}
	return "between actions"
}

// always looks at every moment.
func (h *stagehand) always(since time.Time) (last moment) {
	list := h.history(since)
	objects, held, foreign, out := map[string]string{}, map[string]bool{}, map[int64]bool{}, false
	var before moment
	for i, m := range list {
		bad := func(format string, args ...any) {
			h.fault("%s, after %s: %s", h.during(m.at), m.cause, fmt.Sprintf(format, args...))
		}
		h.complete(m, bad)
		h.downloads(m, bad)
		for ref, object := range m.refs {
			if !strings.HasPrefix(ref, "refs/tags/") {
				continue
			}
			if was, ok := objects[ref]; ok && was != object {
				bad("%s has moved from %s to %s", ref, was, object)
			} else if !ok {
				h.tag(ref, object, bad)
			}
			objects[ref] = object
		}
		for id, r := range m.releases {
			if strings.HasPrefix(r.tag, "nightly") {
				foreign[id] = true
			}
		}
		for id := range foreign {
			if r, ok := m.releases[id]; !ok || !r.draft {
				bad("the draft %d, somebody else's, is gone or public", id)
			}
		}
		if _, _, n := m.public(tagName); n > 0 {
			out = true
		} else if out && m.refs[tagRef] == "" && before.refs[tagRef] != "" && !h.asked("--delete-tag") {
			bad("the tag of %s, which had been public, is gone", released)
		}
		if before.refs != nil {
			h.forward(before, m, held, bad)
		}
		before = m
		if i == len(list)-1 {
			last = m
		}
	}
	h.origin("fsck", "--strict")
	if text, ok := h.git(filepath.Join("aur", aurName+".git"), "fsck", "--strict"); h.aur() && !ok {
		h.fault("the AUR's repository: %s", text)
	}
	h.once(list)
	return last
}

// asked reports whether any rollback was asked for something.
func (h *stagehand) asked(option string) bool {
	return slices.ContainsFunc(h.deeds, func(d deed) bool { return slices.Contains(d.args, option) })
}

// git runs the git program in a repository of a twin; an answer that is no is no fault of the test.
func (h *stagehand) git(dir string, args ...string) (string, bool) {
	cmd := exec.CommandContext(h.t.Context(), "git", args...)
	cmd.Dir = filepath.Join(h.s.dir, dir)
	cmd.Env = []string{"PATH=" + os.Getenv("PATH"), "HOME=" + h.s.dir, "GIT_CONFIG_NOSYSTEM=1", "GIT_CONFIG_GLOBAL=" + os.DevNull}
	out, err := cmd.CombinedOutput()
	return strings.TrimSpace(string(out)), err == nil
}

func (h *stagehand) origin(args ...string) string {
	out, ok := h.git("origin.git", args...)
	if !ok {
		h.fault("git %v: %s", args, out)
	}
	return out
}

// complete: a public release has each of its assets, whole; there is one of its tag, and the tag is there. The older one
// is always so.
func (h *stagehand) complete(m moment, bad func(string, ...any)) {
	for _, tag := range []string{olderTag, tagName} {
		r, id, n := m.public(tag)
		switch {
		case n > 1:
			bad("%d public releases of %s", n, tag)
		case n == 0 && tag == olderTag:
			bad("the older release is not public")
		case n == 1 && !maps.Equal(r.assets, h.assets[tag]):
			bad("public release %d of %s has\n%v, want\n%v", id, tag, sorted(r.assets), sorted(h.assets[tag]))
		case n == 1 && m.refs["refs/tags/"+tag] == "":
			bad("public release %d of %s has no tag", id, tag)
		}
	}
}

// downloads: what the AUR's package is made of can be downloaded by anybody, with the bytes that it wants.
func (h *stagehand) downloads(m moment, bad func(string, ...any)) {
	if m.aur == "" {
		return
	}
	text, ok := h.git(filepath.Join("aur", aurName+".git"), "show", m.aur+":.SRCINFO")
	if !ok {
		bad("commit %s in the AUR has no .SRCINFO: %s", m.aur, text)
		return
	}
	var sources, sums []string
	for line := range strings.Lines(text) {
		key, value, _ := strings.Cut(strings.TrimSpace(line), " = ")
		switch {
		case strings.HasPrefix(key, "source"):
			sources = append(sources, value)
		case strings.HasPrefix(key, "sha256sums"):
			sums = append(sums, value)
		}
	}
	if len(sources) == 0 || len(sources) != len(sums) {
		bad("commit %s in the AUR has sources %q with sums %q", m.aur, sources, sums)
		return
	}
	for i, source := range sources {
		_, url, renamed := strings.Cut(source, "::")
		if !renamed {
			url = source
		}
		rest, remote := strings.CutPrefix(url, "https://github.com/"+owner+"/"+project+"/releases/download/")
		if !remote {
			if strings.Contains(url, "://") {
				bad("the AUR's %s has the source %s", m.version, url)
			}
			continue
		}
		tag, name, _ := strings.Cut(rest, "/")
		r, _, n := m.public(tag)
		if n == 0 || r.assets[name] != sums[i] {
			bad("the AUR serves %s, and nobody can download %s: %d public releases of %s, SHA-256 %q, want %s", m.version, url, n, tag, r.assets[name], sums[i])
		}
	}
}

// tag: a version's tag is annotated, at a commit that carries the version.
func (h *stagehand) tag(ref, object string, bad func(string, ...any)) {
	version := strings.TrimPrefix(ref, "refs/tags/v")
	if text, ok := h.git("origin.git", "show", object+"^{commit}:VERSION"); !ok || strings.TrimSpace(text) != version {
		bad("%s is at a commit whose VERSION is %q", ref, text)
	}
	if kind, _ := h.git("origin.git", "cat-file", "-t", object); kind != "tag" {
		bad("%s is a %s", ref, kind)
	}
}

// forward: main and the AUR's branch only ever get commits on top; nothing held is published; the older version's tag
// stays, and the released one's as long as it is public.
func (h *stagehand) forward(was, is moment, held map[string]bool, bad func(string, ...any)) {
	if a, b := was.refs["refs/heads/main"], is.refs["refs/heads/main"]; a != b {
		if _, ok := h.git("origin.git", "merge-base", "--is-ancestor", a, b); !ok {
			bad("main went from %s to %q, which is not on top of it", a, b)
		}
	}
	if was.aur != is.aur {
		if _, ok := h.git(filepath.Join("aur", aurName+".git"), "merge-base", "--is-ancestor", was.aur, is.aur); !ok {
			bad("the AUR's branch went from %s to %q, which is not on top of it", was.aur, is.aur)
		}
	}
	if is.refs["refs/tags/"+olderTag] == "" {
		bad("the tag %s is gone", olderTag)
	}
	_, _, before := was.public(tagName)
	_, id, now := is.public(tagName)
	if now > before && h.held(is.refs["refs/heads/main"], held) {
		bad("release %d was published while %s is held", id, released)
	}
	if was.aur != is.aur && strings.HasPrefix(is.version, released+"-") && h.held(is.refs["refs/heads/main"], held) {
		bad("%s came into the AUR while %s is held", is.version, released)
	}
}

// held reports whether a commit of main holds the version.
func (h *stagehand) held(commit string, known map[string]bool) bool {
	is, ok := known[commit]
	if !ok {
		_, is = h.git("origin.git", "cat-file", "-e", commit+":.slipway/holds/"+released+".json")
		known[commit] = is
	}
	return is
}

// once: each version came into the AUR by one commit, and pacman takes each for newer than the one before; a release is
// published once, and again only where somebody had it withdrawn without a hold, or had the hold lifted.
func (h *stagehand) once(list []moment) {
	var versions []string
	var before moment
	published := map[int64]int{}
	for _, m := range list {
		if m.version != before.version && m.version != "" {
			versions = append(versions, m.version)
		}
		for id, r := range m.releases {
			was, known := before.releases[id]
			if r.tag == tagName && !r.draft && (!known || was.draft) {
				published[id]++
			}
		}
		before = m
	}
	if h.aur() {
		if text, ok := h.git(filepath.Join("aur", aurName+".git"), "rev-list", "--count", "master"); !ok || text != fmt.Sprint(len(versions)) {
			h.fault("the AUR has %s commits, and has shown the versions %q", text, versions)
		}
		for i := 1; i < len(versions); i++ {
			out, err := exec.CommandContext(h.t.Context(), "vercmp", versions[i], versions[i-1]).Output()
			if n := strings.TrimSpace(string(out)); err != nil || n != "1" {
				h.fault("pacman does not take %s for newer than %s: %q, %v", versions[i], versions[i-1], n, err)
			}
		}
	}
	total := 0
	for _, n := range published {
		total += n
	}
	let := 1
	for _, d := range h.deeds {
		if d.do == "lift" || d.do == "back" && slices.Contains(d.args, "--level") && !strings.Contains(strings.Join(d.args, " "), "hold") {
			let++
		}
	}
	if total > let {
		h.fault("%s was published %d times: %v", tagName, total, published)
	}
}

// readable: every journal can be read, and status says how things stand.
func (h *stagehand) readable(d *deed) {
	r := h.machines[d.on]
	files, err := filepath.Glob(filepath.Join(r.journalDir(), "*", journal.FileName))
	if err != nil {
		h.t.Fatal(err)
	}
	for _, file := range append(files, filepath.Join(r.journalDir(), journal.FileName)) {
		for _, err := range journal.Read(filepath.Dir(file)).Records() {
			if err != nil {
				h.fault("%s: %v", d.action, err)
			}
		}
	}
	code, said := r.slipway("status")
	if code != 0 || !strings.Contains(said, released) || strings.Contains(said, "panic") {
		h.fault("%s: status ends with exit code %d\n%s", d.action, code, said)
	}
}
