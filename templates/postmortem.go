package templates

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
)

// Postmortem is the report on a release that was rolled back: what happened and when, who decided, where every channel
// stands, and what each kind of user has to be told. It holds facts of a journal; causes and lessons are left to people.
type Postmortem struct {
	Project string // name of the product
	Bad     string // the version that was rolled back
	Good    string // the version that users are brought back to; empty where there is none: users are told to remove it
	Reason  string // why, in a sentence; empty where nobody said
	Lead    string // who is responsible

	Published time.Time // when the bad version reached its first users; zero where it never did, or nobody knows
	// Doubt: that was begun and is not known to have ended. Published is when it was begun, as it is known to have arrived, and
	// zero where it may have arrived.
	Doubt bool
	Began time.Time // when the rollback began
	Ended time.Time // when its last step was done; zero while it goes on

	Timeline  []PostmortemEvent
	Gates     []TrackerGate
	Approvals []PostmortemApproval
	Levels    []PostmortemLevel
	Notices   []PostmortemNotice

	Still   bool   // some users get the bad version from where they had it, whatever was done elsewhere
	Unmoved bool   // no level of the rollback reaches users: all of them stay where they are
	MovedBy string // where Unmoved: the rollback that has moved them before, like rollback-1; empty: none has
}

// PostmortemEvent is something that happened.
type PostmortemEvent struct {
	Time   time.Time
	What   string
	Detail string // may be empty
}

// PostmortemApproval is what a person signed.
type PostmortemApproval struct {
	Time time.Time
	By   string // name and role
	What string // the gate or criterion
	Kind string // approved, attested or waived
	Note string // the reason of a waiver; may be empty
}

// PostmortemLevel is a level of the rollback.
type PostmortemLevel struct {
	Title   string
	State   State
	Done    string // what was done; empty where nothing was
	Outcome string // what users get now
}

// PostmortemNotice is for the users of one kind of package.
type PostmortemNotice struct {
	Format  string // aur, deb, appimage or tarball; others get a notice without commands
	Package string
	Bad     string // what its package manager shows for the bad version, like 3.2.1-1; empty: not known
	Version string // what it shows for the good payload, like 3.2.1+really3.2.0-1; of aur empty: nothing has replaced the bad one
	File    string // the good version's file; of aur none
	URL     string // where that is; may be empty
	Left    string // how users stand whom the rollback leaves alone: [LeftThere] or another of these
}

// How users stand whom a rollback leaves alone.
const (
	LeftThere   = ""          // what they have is still given to everybody who asks
	LeftUnknown = "unknown"   // nobody has asked what they are given by now
	LeftOther   = "something" // they are given something else by now, which is not the rollback's doing
	LeftPublic  = "public"    // of others than aur: the release was left as it is
)

// RenderPostmortem writes the report as Markdown, in UTF-8 and with a final newline.
func RenderPostmortem(p Postmortem) ([]byte, error) {
	b, err := render("postmortem.md.tmpl", p.view())
	return tidy(b), err
}

// recoveryClock are the horizons of a recovery: until when, since the rollback began, what should be done.
var recoveryClock = []struct {
	until time.Duration
	title string
}{
	{time.Hour, "0-1 hour"}, {4 * time.Hour, "1-4 hours"}, {24 * time.Hour, "4-24 hours"}, {7 * 24 * time.Hour, "1-7 days"},
}

// Horizon names the part of the recovery clock that a duration since the beginning of a rollback lies in: 0-1 hour, 1-4
// hours, 4-24 hours, 1-7 days, or more than 7 days.
func Horizon(d time.Duration) string {
	for _, h := range recoveryClock {
		if d < h.until {
			return h.title
		}
	}
	return "more than 7 days"
}

// postmortemView is Postmortem as Markdown.
type postmortemView struct {
	Project, Bad, Good, Reason, Lead string
	Status, Published, Began, Ended  string
	Exposed, Took, Horizon           string
	Head, Way, Nothing               string // what was done, in two words; from where to where; why there are no notices
	Timeline                         []timelineRow
	Gates                            []gateView
	Approvals                        [][5]string
	Levels                           [][4]string
	Notices                          []noticeView
}

type timelineRow struct{ Time, Since, What string }

type gateView struct {
	Title, Status string
	Criteria      [][2]string
}

type noticeView struct {
	Title    string
	Text     []string
	Commands string // a code block, or empty
}

func (p Postmortem) view() postmortemView {
	v := postmortemView{
		Project: Plain(p.Project), Bad: Plain(p.Bad), Good: Plain(p.Good), Reason: Plain(p.Reason), Lead: Plain(p.Lead),
		Published: moment(p.Published), Began: moment(p.Began), Ended: moment(p.Ended),
	}
	switch {
	case slices.ContainsFunc(p.Levels, func(l PostmortemLevel) bool { return l.State == Failed }):
		v.Status = "🔴 Failed"
	case len(p.Levels) > 0 && !p.Ended.IsZero() && !slices.ContainsFunc(p.Levels, func(l PostmortemLevel) bool { return l.State != Done }):
		v.Status = "✅ Completed"
	default:
		v.Status = "🟡 In Progress"
	}
	p.users(&v)
	if !p.Ended.IsZero() && !p.Ended.Before(p.Began) {
		v.Took = span(p.Ended.Sub(p.Began))
		v.Horizon = Horizon(p.Ended.Sub(p.Began))
	}
	for _, e := range p.Timeline {
		row := timelineRow{Time: moment(e.Time), What: Plain(e.What)}
		if d := Plain(e.Detail); d != "" {
			row.What = strings.TrimSpace(row.What + ": " + d)
		}
		if !e.Time.IsZero() && !p.Began.IsZero() {
			row.Since = span(e.Time.Sub(p.Began))
		}
		v.Timeline = append(v.Timeline, row)
	}
	for i, g := range p.Gates {
		out := gateView{Title: Plain(g.Title), Status: Tracker{Gates: p.Gates}.GateStatus(i)}
		for _, c := range g.Criteria {
			texts := []string{Plain(c.Title), Plain(c.Detail), Plain(c.Note())}
			texts = slices.DeleteFunc(texts, func(s string) bool { return s == "" })
			out.Criteria = append(out.Criteria, [2]string{c.Box(), strings.Join(texts, " - ")})
		}
		v.Gates = append(v.Gates, out)
	}
	for _, a := range p.Approvals {
		v.Approvals = append(v.Approvals, [5]string{moment(a.Time), Plain(a.By), Plain(a.Kind), Plain(a.What), Plain(a.Note)})
	}
	for _, l := range p.Levels {
		v.Levels = append(v.Levels, [4]string{Plain(l.Title), levelState(l.State), Plain(l.Done), Plain(l.Outcome)})
	}
	for _, n := range p.Notices {
		v.Notices = append(v.Notices, n.view(p))
	}
	return v
}

// users says since when users had the bad version, and who has it still.
func (p Postmortem) users(v *postmortemView) {
	until, over := p.until()
	if !p.Published.IsZero() && until.After(p.Published) {
		v.Exposed = span(until.Sub(p.Published))
		if p.Doubt {
			v.Exposed = "at most " + v.Exposed
		}
		switch {
		case p.Still:
			v.Exposed += " so far; not all of them were moved"
		case !over:
			v.Exposed += " so far"
		}
	}
	v.Head, v.Way, v.Nothing = "rolled back", v.Bad, "the release had no packages"
	if v.Good != "" {
		v.Way += " → " + v.Good
	}
	switch {
	case p.Published.IsZero() && p.Doubt:
		v.Published, v.Nothing = "unknown: it was begun, and no journal says that it arrived", "no journal says that a user had it"
	case p.Published.IsZero():
		v.Published, v.Nothing = "never", "no user had it"
	case p.Doubt:
		v.Published = "at the earliest " + v.Published
	}
	switch by := Plain(p.MovedBy); {
	case p.Unmoved && by != "":
		v.Head, v.Way, v.Exposed = "taken back", v.Bad+"; its users were moved by "+by, "see the report of "+by
		v.Nothing = "this reaches no user; what " + by + " has moved them to, and how, stands in its report"
	case p.Unmoved:
		v.Head, v.Way, v.Nothing = "taken back", v.Bad+"; no user was moved", "this reaches no user. Whoever has it keeps it, and whoever asks for it gets it still"
		if v.Exposed != "" {
			v.Exposed = "they have it still"
		}
	}
}

// until is when the rollback ended; while it goes on, the newest moment that is known.
func (p Postmortem) until() (t time.Time, over bool) {
	if !p.Ended.IsZero() {
		return p.Ended, true
	}
	t = p.Began
	for _, e := range p.Timeline {
		if e.Time.After(t) {
			t = e.Time
		}
	}
	return t, false
}

func levelState(s State) string {
	return map[State]string{Pending: "🔲 not begun", Active: "🟡 in progress", Waiting: "🟡 waiting", Done: "✅ done", Failed: "🔴 failed"}[s]
}

// view says what the users of one kind of package have to know, and what they do.
func (n PostmortemNotice) view(p Postmortem) (v noticeView) {
	bad, good := Plain(p.Bad), Plain(p.Good)
	if good == "" {
		good = "an earlier version"
	}
	pack, version := Plain(n.Package), Plain(n.Version)
	say := func(format string, args ...any) { v.Text = append(v.Text, fmt.Sprintf(format, args...)) }
	switch none := p.Good == ""; {
	case n.Format != "aur" && n.Left == LeftPublic:
		v.Title = Plain(n.Format)
		say("%s %s was left public as it is: nothing replaces it.", pack, bad)
		if !none {
			say("Whoever wants to go back takes %s.", good)
		}
	case n.Format == "aur":
		v.Title = "Arch Linux: pacman and AUR helpers"
		if version == "" && n.Left == LeftOther {
			say("The AUR does not give anybody %s %s any more: what it has by now, if anything, downloads nothing from that release. Whoever has it gets that by the next upgrade, or, where pacman takes it for older, by installing it anew.", pack, cmp.Or(Plain(n.Bad), bad))
			break
		}
		if version == "" && n.Left == LeftUnknown {
			say("%s %s was left as it is in the AUR. Whoever has it and has kept an older package installs that with pacman -U, and keeps it with IgnorePkg in pacman.conf until a newer version is there.", pack, cmp.Or(Plain(n.Bad), bad))
			break
		}
		if version == "" {
			say("%s %s is what the AUR has: nothing replaces it yet. Whoever has kept an older package installs that with pacman -U, and keeps it with IgnorePkg in pacman.conf until a newer version is there.", pack, cmp.Or(Plain(n.Bad), bad))
			break
		}
		say("%s %s is replaced. The next upgrade brings %s, which is %s under a version that pacman takes for newer.", pack, bad, version, good)
		v.Commands = code("git clone https://aur.archlinux.org/"+shell(n.Package, ".git"), "cd "+shell(n.Package, "")+" && makepkg -si")
	case n.Format == "deb":
		v.Title = "Debian and Ubuntu: apt"
		if none {
			say("%s %s is withdrawn, and there is no older version to go back to. Whoever has it can remove it until a newer one is there:", pack, bad)
			v.Commands = code("sudo apt remove " + shell(n.Package, ""))
			break
		}
		file := shell("./"+n.File, "")
		if strings.Contains(n.Version, "+really") {
			say("%s %s is replaced by %s, which is %s under a version that apt takes for newer:", pack, bad, version, good)
			v.Commands = code("sudo apt install " + file)
			break
		}
		say("apt does not go back by itself. Whoever has %s %s installs %s once more and allows it to be older. The pin keeps apt from the bad version, and from no other:", pack, bad, good)
		commands := []string{"sudo apt install --allow-downgrades " + file}
		if n.Bad != "" { // apt_preferences(5)
			commands = append(commands, `printf 'Package: %s\nPin: version %s\nPin-Priority: -1\n' `+shell(n.Package, "")+" "+shell(n.Bad, "")+` | sudo tee `+shell("/etc/apt/preferences.d/"+strings.ReplaceAll(line(n.Package), "/", "-"), ""))
		}
		v.Commands = code(commands...)
	case n.Format == "appimage":
		v.Title = "AppImage"
		if none {
			say("%s is withdrawn, and there is no older version to go back to. Whoever downloaded the file can delete it until a newer one is there.", bad)
			break
		}
		say("Whoever downloaded %s replaces the file by that of %s. Updates by zsync bring it, too, once it is the latest release.", bad, good)
		v.Commands = code("chmod +x "+shell("./"+n.File, ""), shell("./"+n.File, ""))
	case n.Format == "tarball":
		v.Title = "Tarball"
		if none {
			say("%s is withdrawn, and there is no older version to go back to. Whoever unpacked it can remove that folder until a newer one is there.", bad)
			break
		}
		say("Whoever unpacked %s removes that folder and unpacks %s:", bad, good)
		v.Commands = code("tar -xf " + shell("./"+n.File, ""))
	default:
		v.Title = Plain(n.Format)
		say("%s %s is replaced by %s.", pack, bad, good)
	}
	if n.URL != "" {
		if addressRE.MatchString(n.URL) {
			say("Download: <%s>", n.URL)
		} else {
			say("Download: %s", Plain(n.URL))
		}
	}
	return v
}

// shell makes one word of a POSIX shell of a text, whatever it holds, with more behind it.
func shell(s, more string) string {
	s = line(s) + more
	if fileRE.MatchString(strings.TrimPrefix(s, "./")) {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// code makes a code block whose fence is longer than any in it.
func code(lines ...string) string {
	fence := "```"
	for text := strings.Join(lines, "\n"); strings.Contains(text, fence); {
		fence += "`"
	}
	return fence + "sh\n" + strings.Join(lines, "\n") + "\n" + fence
}

func moment(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04:05") + " UTC"
}

// span writes a duration to the second, with a sign where it is negative.
func span(d time.Duration) string { return d.Round(time.Second).String() }
