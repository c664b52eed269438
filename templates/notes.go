package templates

import (
	"bytes"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"text/template"
	"text/template/parse"
)

// Notes are the notes of a release. Nothing in them depends on what was built: they say what is planned.
type Notes struct {
	Project  string // name of the product
	Version  string // X.Y.Z[-PRE]
	Previous string // the version before; empty where there is none
	Compare  string // address of a page that shows all changes; empty: none
	Body     string // Markdown that a person wrote; it goes in as it is
	Groups   []NotesGroup
	Packages []NotesPackage
	Sums     string // name of the file with the checksums of all others, as sha256sum reads it; empty: none
}

// NotesGroup is a group of changes.
type NotesGroup struct {
	Title   string
	Changes []NotesChange
	More    int // how many further ones are not listed
}

// NotesChange is one change. All of it is plain text.
type NotesChange struct {
	Scope string // the part that changed; may be empty
	Text  string
	Note  string // what users have to know of it; may be empty
	Ref   string // a short commit ID, or the number of a pull request with # in front; may be empty
}

// NotesPackage is something that people install.
type NotesPackage struct {
	Format string // deb, appimage, tarball or aur; others are not shown
	Name   string // of the package
	File   string // its file; of aur none
}

// RenderNotes writes the notes as Markdown, in UTF-8 and with a final newline.
func RenderNotes(n Notes) ([]byte, error) {
	v, err := n.view()
	if err != nil {
		return nil, err
	}
	b, err := render("notes.md.tmpl", v)
	return tidy(b), err
}

// RenderNotesWith is [RenderNotes] with another template, a text/template that is called name in errors. Its fields are
// those of [Notes], as Markdown; it may use the parts "changes" and "install" of the built-in one. It can neither call
// anything nor count: loops go over the lists that there are. The error says in which line it is wrong.
func RenderNotesWith(name, text string, n Notes) ([]byte, error) {
	v, err := n.view()
	if err != nil {
		return nil, err
	}
	set, err := texts.Clone()
	if err != nil {
		return nil, err
	}
	t, err := set.New(name).Funcs(template.FuncMap{"call": func(...any) (string, error) {
		return "", errors.New("nothing can be called from a template of notes")
	}}).Parse(text)
	if err != nil {
		return nil, explain(name, err)
	}
	for _, t := range t.Templates() {
		if t.Tree != nil && t.ParseName == name {
			if err := countless(t.Root, false); err != nil {
				return nil, fmt.Errorf("cannot use the template of the notes: %s: %w", name, err)
			}
		}
	}
	var b bytes.Buffer
	if err := t.Execute(&bounded{&b}, v); err != nil {
		return nil, explain(name, err)
	}
	return tidy(b.Bytes()), nil
}

// maxNotes bounds what a template may write, in bytes. GitHub takes 125,000 characters.
const maxNotes = 8 << 20

// bounded refuses to grow without end.
type bounded struct{ b *bytes.Buffer }

func (w *bounded) Write(p []byte) (int, error) {
	if w.b.Len()+len(p) > maxNotes {
		return 0, fmt.Errorf("it writes more than %d bytes", maxNotes)
	}
	return w.b.Write(p)
}

var inType = regexp.MustCompile(` in type \*?templates\.[A-Za-z]+`)

// explain says what is wrong with somebody's template: where, without names of ours.
func explain(name string, err error) error {
	text := strings.TrimPrefix(line(err.Error()), "template: ")
	text = strings.ReplaceAll(inType.ReplaceAllString(text, ""), fmt.Sprintf("executing %q at ", name), "at ")
	return fmt.Errorf("cannot use the template of the notes: %s", text)
}

// countless refuses loops over numbers, which could go on for ever.
func countless(n parse.Node, loop bool) error {
	var err error
	list := func(l *parse.ListNode) {
		if l != nil {
			for _, n := range l.Nodes {
				err = errors.Join(err, countless(n, false))
			}
		}
	}
	branch := func(b *parse.BranchNode, loop bool) {
		err = countless(b.Pipe, loop)
		list(b.List)
		list(b.ElseList)
	}
	switch n := n.(type) {
	case *parse.ListNode:
		list(n)
	case *parse.RangeNode:
		branch(&n.BranchNode, true)
	case *parse.IfNode:
		branch(&n.BranchNode, false)
	case *parse.WithNode:
		branch(&n.BranchNode, false)
	case *parse.ActionNode:
		err = countless(n.Pipe, len(n.Pipe.Decl) > 0)
	case *parse.PipeNode:
		for _, c := range n.Cmds {
			for _, a := range c.Args {
				if _, ok := a.(*parse.NumberNode); ok && loop {
					return fmt.Errorf("line %d: it counts", n.Line)
				}
			}
		}
	}
	return err
}

// notesView is Notes as Markdown.
type notesView struct {
	Project, Version, Previous, Compare, Body, Sums string
	Groups                                          []NotesGroup
	Install                                         []install
}

// install says how packages of one format are installed.
type install struct {
	Title    string
	Commands []string
}

var (
	addressRE = regexp.MustCompile(`^https?://[A-Za-z0-9._~:/?#@!&+,;=%-]+$`)
	fileRE    = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._+~-]*$`)
)

func (n Notes) view() (v notesView, err error) {
	v = notesView{Project: Plain(n.Project), Version: Plain(n.Version), Previous: Plain(n.Previous), Compare: n.Compare, Sums: n.Sums}
	if n.Compare != "" && !addressRE.MatchString(n.Compare) {
		return v, fmt.Errorf("cannot write notes: %s is no address of a web page", short(n.Compare))
	}
	if n.Sums != "" && !fileRE.MatchString(n.Sums) {
		return v, fmt.Errorf("cannot write notes: %s is no name of a file", short(n.Sums))
	}
	v.Body = strings.Trim(Closed(n.Body), "\n")
	for _, g := range n.Groups {
		out := NotesGroup{Title: Plain(g.Title), More: g.More}
		for _, c := range g.Changes {
			out.Changes = append(out.Changes, NotesChange{Plain(c.Scope), Plain(c.Text), Plain(c.Note), ref(c.Ref)})
		}
		v.Groups = append(v.Groups, out)
	}
	v.Install, err = installs(n.Packages)
	return v, err
}

var (
	pullRE   = regexp.MustCompile(`^#[1-9][0-9]{0,8}$`)
	commitRE = regexp.MustCompile(`^[0-9a-f]{7,40}$`)
)

// ref keeps what GitHub makes a link of into this repository.
func ref(s string) string {
	if pullRE.MatchString(s) || commitRE.MatchString(s) {
		return s
	}
	return Plain(s)
}

// installs makes the hints, one for each format.
func installs(packages []NotesPackage) (all []install, err error) {
	for _, f := range []struct {
		format, title string
		command       func(NotesPackage) []string
	}{
		{"deb", "Debian, Ubuntu", func(p NotesPackage) []string { return []string{"sudo apt install ./" + p.File} }},
		{"aur", "Arch Linux", func(p NotesPackage) []string {
			return []string{"git clone https://aur.archlinux.org/" + p.Name + ".git", "cd " + p.Name + " && makepkg -si"}
		}},
		{"appimage", "AppImage", func(p NotesPackage) []string { return []string{"chmod +x " + p.File, "./" + p.File} }},
		{"tarball", "Tarball", func(p NotesPackage) []string { return []string{"tar -xf " + p.File} }},
	} {
		i, count := install{Title: f.title}, 0
		for _, p := range packages {
			if p.Format != f.format {
				continue
			}
			word := p.File
			if p.Format == "aur" {
				word = p.Name
			}
			if !fileRE.MatchString(word) {
				return nil, fmt.Errorf("cannot write notes: %s is no name of a package or its file", short(word))
			}
			i.Commands = append(i.Commands, f.command(p)...)
			count++
		}
		if count > 1 {
			i.Commands = slices.Insert(i.Commands, 0, "# one of these")
		}
		if len(i.Commands) > 0 {
			all = append(all, i)
		}
	}
	return all, nil
}

// tidy ends a text with one line feed.
func tidy(b []byte) []byte {
	if b = bytes.Trim(b, "\n"); len(b) == 0 {
		return nil
	}
	return append(b, '\n')
}

var fenceRE = regexp.MustCompile("^ {0,3}(```+|~~~+)")

// Fences tells of each line of a Markdown text whether it lies in a fenced code block (CommonMark 4.5), its marks
// included, and returns the mark that is open at the end. Fences in lists and quotes are not looked for.
func Fences(lines []string) (in []bool, open string) {
	in = make([]bool, len(lines))
	for i, l := range lines {
		m := fenceRE.FindStringSubmatch(l)
		rest := ""
		if m != nil {
			rest = strings.TrimRight(l[len(m[0]):], " \t\r\n")
		}
		switch {
		case open == "" && m != nil && !(m[1][0] == '`' && strings.Contains(rest, "`")):
			open, in[i] = m[1], true
		case open != "":
			in[i] = true
			if m != nil && m[1][0] == open[0] && len(m[1]) >= len(open) && rest == "" {
				open = ""
			}
		}
	}
	return in, open
}

// Closed ends what a text leaves open, so that what follows is not taken for a part of it.
func Closed(s string) string {
	s = strings.ReplaceAll(strings.ToValidUTF8(s, "\ufffd"), "\r\n", "\n")
	lines := strings.Split(s, "\n")
	in, open := Fences(lines)
	if open != "" {
		return strings.TrimRight(s, "\n") + "\n" + open
	}
	comment := false
	for i, l := range lines {
		if in[i] && !comment {
			continue
		}
		if at := strings.LastIndex(l, "<!--"); at >= 0 {
			comment = !strings.Contains(l[at:], "-->")
		} else if strings.Contains(l, "-->") {
			comment = false
		}
	}
	if comment {
		return strings.TrimRight(s, "\n") + "\n-->"
	}
	return s
}
