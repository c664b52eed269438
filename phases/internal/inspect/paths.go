package inspect

import (
	"path"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/phases/internal/glob"
)

// junk are names of what was never meant for a package, in the patterns of [path.Match], and what it is.
var junk = []struct{ pattern, what string }{
	{"*.backup", "a backup copy"},
	{"*.build-backup", "a backup copy"},
	{"*.bak", "a backup copy"},
	{"*~", "an editor's backup copy"},
	{".*.sw[op]", "an editor's swap file"},
	{"*.orig", "what a merge leaves"},
	{"*.rej", "what a patch leaves"},
	{".DS_Store", "a file manager's"},
	{"Thumbs.db", "a file manager's"},
	{"__MACOSX", "an archiver's"},
	{"__pycache__", "compiled Python of another machine"},
	{".git", "version control's"},
	{".svn", "version control's"},
	{".hg", "version control's"},
}

// paths looks at names alone.
func (l *look) paths() error {
	for _, pattern := range l.tree.Required {
		if !slices.ContainsFunc(l.tree.Entries, func(e archive.Entry) bool { return !e.Mode.IsDir() && glob.Match(pattern, e.Path) }) {
			l.fault(Paths, "nothing matches %q, which is required", pattern)
		}
	}
	told := map[string]bool{} // whether what lies at a path was told: what is below it is not told again
	for i := range l.tree.Entries {
		e := &l.tree.Entries[i]
		if err := l.ctx.Err(); err != nil {
			return err
		}
		l.unwanted(e.Path, told)
		if e.Mode.IsRegular() && l.rules.MaxFile > 0 && e.Size > int64(l.rules.MaxFile) {
			l.fault(Paths, "%s has %d bytes, want at most %s", e.Path, e.Size, l.rules.MaxFile)
		}
	}
	return nil
}

// unwanted looks at a path and at the folders on the way to it, which an archive need not name.
func (l *look) unwanted(p string, told map[string]bool) {
	for i := range len(p) + 1 {
		if i < len(p) && p[i] != '/' {
			continue
		}
		part := p[:i]
		if bad, known := told[part]; bad {
			return
		} else if known {
			continue
		}
		told[part] = false
		base := path.Base(part)
		for _, pattern := range l.tree.Forbidden {
			if glob.Match(pattern, part) || !strings.Contains(pattern, "/") && glob.Match(pattern, base) {
				told[part] = true
				l.fault(Paths, "%s is forbidden (pattern %q)", part, pattern)
			}
		}
		for _, j := range junk {
			if ok, err := path.Match(j.pattern, base); ok && err == nil && !told[part] && !l.ignored(part) {
				told[part] = true
				l.fault(Paths, "%s is %s and does not belong here", part, j.what)
			}
		}
		if told[part] {
			return
		}
	}
}
