package makepkg

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/sandbox"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

var (
	// qkkSummary is the line that ends `pacman -Qkk NAME`. It begins with the package's name.
	qkkSummary = regexp.MustCompile(`(?m)^\S+: (\d+) total files, (\d+) altered files?$`)
	// noScriptlet is the line of `pacman -Qi` that says so.
	noScriptlet = regexp.MustCompile(`(?m)^Install Script +: No$`)
)

// hooks is where pacman looks for hooks of packages, in the root, and runs them (alpm-hooks(5)).
const hooks = "usr/share/libalpm/hooks/"

// bookkeeping lists what pacman itself leaves in a root.
var bookkeeping = []string{"var/lib/pacman", "var/cache/pacman", "var/log/pacman.log", "hooks", "gnupg"}

// act is the beginning of every script: `act NAME ARGUMENT...` runs pacman and notes what it prints and how it ends in the
// folder out. A status that is not 0 ends the script where it is not looked for.
const act = `set -u
box=$1; shift
act() {
	local n=$1; shift
	pacman --config "$box/pacman.conf" --noconfirm --color never "$@" >"$box/out/$n" 2>"$box/out/$n.err" </dev/null
	local s=$?
	echo $s >"$box/out/$n.status"
	return $s
}
`

// Install and remove. What is left is listed with NUL after each name.
const installRemove = act + `
act qp -Qp "$box/package.pkg.tar.zst" || exit 0
act qip -Qip "$box/package.pkg.tar.zst" || exit 0
act qlp -Qlpq "$box/package.pkg.tar.zst" || exit 0
grep -Eq '^Install Script +: No$' "$box/out/qip" || exit 0
! grep -Fq '/` + hooks + `' "$box/out/qlp" || exit 0
act u -U -dd --noscriptlet "$box/package.pkg.tar.zst" || exit 0
act q -Q || exit 0
read -r name version <"$box/out/q"
act qkk -Qkk "$name"
act r -R -dd --noscriptlet "$name" || exit 0
find "$box/root" -mindepth 1 -printf '%P\0' >"$box/out/left"
`

// Install the old package from a repository, then upgrade the system to the new one, as users do.
const upgrade = act + `
for p in old new; do
	act $p.qp -Qp "$box/$p.pkg.tar.zst" || exit 0
	act $p.qip -Qip "$box/$p.pkg.tar.zst" || exit 0
	act $p.qlp -Qlpq "$box/$p.pkg.tar.zst" || exit 0
	grep -Eq '^Install Script +: No$' "$box/out/$p.qip" || exit 0
	! grep -Fq '/` + hooks + `' "$box/out/$p.qlp" || exit 0
done
offer() {
	mkdir -p "$box/repo" && mv "$box/$1.pkg.tar.zst" "$box/repo/" &&
	repo-add -q "$box/repo/lab.db.tar.gz" "$box/repo/$1.pkg.tar.zst" >"$box/out/$1.add" 2>"$box/out/$1.add.err" </dev/null
	local s=$?
	echo $s >"$box/out/$1.add.status"
	return $s
}
offer old || exit 0
# The repository is told to have changed by a time in whole seconds.
touch -d @946684800 "$box/repo/lab.db.tar.gz"
read -r name version <"$box/out/old.qp"
act install -Sy -dd --noscriptlet "$name" || exit 0
act before -Q || exit 0
offer new || exit 0
act syu -Syu -dd --noscriptlet
act q -Q || exit 0
act qkk -Qkk "$name"
`

// scriptTime is how long one of the scripts may take.
const scriptTime = 5 * time.Minute

// outcome is what one command of a script left behind.
type outcome struct {
	out, err string
	status   int
	ran      bool
}

type session struct {
	*sandbox.Box
	log strings.Builder
}

// open makes a box with an empty root and some packages by name, which are the script's own: pacman takes words with ://
// for addresses.
func open(ctx context.Context, packages map[string]string) (*session, error) {
	if err := sandbox.Need("pacman", "bash"); err != nil {
		return nil, err
	}
	b, err := sandbox.New(ctx)
	if err != nil {
		return nil, err
	}
	s := &session{Box: b}
	if err := s.fill(packages); err != nil {
		return nil, errors.Join(err, b.Close())
	}
	return s, nil
}

func (s *session) fill(packages map[string]string) error {
	for _, name := range []string{"out", "root/var/lib/pacman", "root/var/cache/pacman", "root/var/log", "root/hooks", "root/gnupg"} {
		if err := os.MkdirAll(s.Outside(name), 0o755); err != nil {
			return err
		}
	}
	for name, from := range packages {
		if err := sandbox.CopyFile(from, s.Outside(name+packageExt), 0o644); err != nil {
			return err
		}
	}
	if err := os.WriteFile(s.Outside("pacman.conf"), []byte(s.conf()), 0o644); err != nil {
		return err
	}
	return s.HandOver()
}

// run runs a script. Its own failure is an error; what its commands did is in the folder out.
func (s *session) run(ctx context.Context, script string) error {
	space, err := scratch(s.Box)
	if err != nil {
		return err
	}
	out, err := s.Run(ctx, sandbox.Command{
		Argv: []string{"bash", "--norc", "--noprofile", "-c", script, "bash", strings.TrimSuffix(s.Inside(""), "/")},
		Dir:  "home", AsRoot: true, Scratch: space, Keep: "out", Timeout: scriptTime,
	})
	if exit := (*tool.ExitError)(nil); errors.As(err, &exit) {
		return fmt.Errorf("cannot go through with pacman: %s", strings.TrimSpace(out.Tail))
	}
	return err
}

// maxRead is how much is read of what a command printed, in bytes.
const maxRead = 32 << 20

func (s *session) read(name string) (string, error) {
	path := s.Outside("out", name)
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", nil
	}
	if err == nil && (info.Size() > maxRead || !info.Mode().IsRegular()) {
		err = fmt.Errorf("pacman printed %d bytes", info.Size())
	}
	if err != nil {
		return "", err
	}
	b, err := os.ReadFile(path)
	return string(b), err
}

// of is the outcome of a command. One that refused is a *tool.ExitError, one that was not run, too: its predecessor's.
func (s *session) of(program, name string) (o outcome, err error) {
	var status string
	o.out, err = s.read(name)
	if err == nil {
		o.err, err = s.read(name + ".err")
	}
	if err == nil {
		status, err = s.read(name + ".status")
	}
	if err != nil || status == "" {
		return o, err
	}
	o.ran = true
	if o.status, err = strconv.Atoi(strings.TrimSpace(status)); err != nil {
		return o, err
	}
	fmt.Fprintf(&s.log, "$ %s %s\n%s%s", program, name, o.out, o.err)
	if o.status != 0 {
		return o, &tool.ExitError{Program: program, Code: o.status, Tail: o.out + o.err}
	}
	return o, nil
}

// pacman is of for what must have been run.
func (s *session) pacman(name string) (string, error) {
	o, err := s.of("pacman", name)
	if err == nil && !o.ran {
		err = fmt.Errorf("pacman was not asked for %s", name)
	}
	return o.out, err
}

// nameVersion reads what `pacman -Q` prints of one package.
func nameVersion(out string) (name, version string, err error) {
	words := strings.Fields(out)
	if len(words) != 2 {
		return "", "", fmt.Errorf("cannot read name and version from %.200q", out)
	}
	return words[0], words[1], nil
}

// files is what a package holds, and whether something of it would be run when it is installed.
func (s *session) files(prefix string) (files []string, scriptlet bool, err error) {
	info, err := s.pacman(prefix + "qip")
	if err != nil {
		return nil, false, err
	}
	out, err := s.pacman(prefix + "qlp")
	if err != nil {
		return nil, false, err
	}
	for line := range strings.Lines(out) {
		path := strings.TrimSuffix(line, "\n")
		files = append(files, strings.TrimPrefix(strings.TrimPrefix(path, s.Inside("root")), "/"))
	}
	slices.Sort(files)
	scriptlet = !noScriptlet.MatchString(info) || strings.Contains(out, "/"+hooks)
	return files, scriptlet, nil
}

// verified reads pacman's comparison of each installed file with the package. pacman ends with 1 where files are altered:
// that is a finding, not an error. The summary is on its standard output, what is altered on the other.
func (s *session) verified() (total, altered int, err error) {
	o, err := s.of("pacman", "qkk")
	if exit := (*tool.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		return 0, 0, err
	}
	m := qkkSummary.FindStringSubmatch(o.out)
	if m == nil {
		return 0, 0, errors.Join(fmt.Errorf("cannot find pacman's summary in %.200q", o.out), err)
	}
	if total, err = strconv.Atoi(m[1]); err != nil {
		return 0, 0, err
	}
	altered, err = strconv.Atoi(m[2])
	return total, altered, err
}

// InstallRemove installs a package into an empty root, lets pacman compare every file with
// the package, removes it again and looks for what is left. Dependencies are not resolved
// and install scriptlets are not run. An error means that a step could not be carried out;
// what the steps found is in the report.
func InstallRemove(ctx context.Context, pkgfile string) (_ Report, err error) {
	s, err := open(ctx, map[string]string{"package": pkgfile})
	if err != nil {
		return Report{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := Report{Isolation: s.Isolation}
	if err = s.run(ctx, installRemove); err == nil {
		err = s.report(&r)
	}
	r.Output = s.log.String()
	return r, err
}

func (s *session) report(r *Report) error {
	out, err := s.pacman("qp")
	if err != nil {
		return err
	}
	if r.Name, r.Version, err = nameVersion(out); err != nil {
		return err
	}
	if r.Files, r.Scriptlet, err = s.files(""); err != nil || r.Scriptlet {
		return err
	}
	if _, err = s.pacman("u"); err != nil {
		return err
	}
	if out, err = s.pacman("q"); err != nil {
		return err
	}
	if got, want := strings.TrimSpace(out), r.Name+" "+r.Version; got != want {
		return fmt.Errorf("pacman says %.200q is installed, want %q", got, want)
	}
	if r.Total, r.Altered, err = s.verified(); err != nil {
		return err
	}
	if _, err = s.pacman("r"); err != nil {
		return err
	}
	left, err := s.read("left")
	r.Leftovers = leftovers(left)
	return err
}

// leftovers picks what is not pacman's own from a list with NUL after each name.
func leftovers(list string) (left []string) {
	for name := range strings.SplitSeq(list, "\x00") {
		if name == "" || slices.ContainsFunc(bookkeeping, func(b string) bool {
			return name == b || strings.HasPrefix(name, b+"/") || strings.HasPrefix(b, name+"/")
		}) {
			continue
		}
		left = append(left, name)
	}
	slices.Sort(left)
	return left
}

// Upgrade installs the older package from a repository into an empty root, gives the repository the newer one and
// upgrades the system as users do, with `pacman -Syu`. Neither dependencies are resolved nor scriptlets run.
func Upgrade(ctx context.Context, older, newer string) (_ Upgraded, err error) {
	if err := sandbox.Need("repo-add", "bsdtar"); err != nil {
		return Upgraded{}, err
	}
	s, err := open(ctx, map[string]string{"old": older, "new": newer})
	if err != nil {
		return Upgraded{}, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	r := Upgraded{Isolation: s.Isolation}
	if err = s.run(ctx, upgrade); err == nil {
		err = s.upgraded(&r)
	}
	return r, err
}

func (s *session) upgraded(r *Upgraded) error {
	for _, p := range []struct {
		prefix  string
		version *string
	}{{"old.", &r.From}, {"new.", &r.Offered}} {
		out, err := s.pacman(p.prefix + "qp")
		if err != nil {
			return err
		}
		if r.Name, *p.version, err = nameVersion(out); err != nil {
			return err
		}
		_, scriptlet, err := s.files(p.prefix)
		if err != nil {
			return err
		}
		if r.Scriptlet = r.Scriptlet || scriptlet; r.Scriptlet {
			return nil
		}
	}
	for _, name := range []string{"old.add", "install", "before", "new.add"} {
		program := "pacman"
		if strings.HasSuffix(name, ".add") {
			program = "repo-add"
		}
		if o, err := s.of(program, name); err != nil || !o.ran {
			return errors.Join(err, fmt.Errorf("cannot get as far as the upgrade: %s", name))
		}
	}
	o, err := s.of("pacman", "syu")
	if err != nil {
		return err
	}
	r.Said = o.err
	out, err := s.pacman("q")
	if err != nil {
		return err
	}
	if _, r.To, err = nameVersion(out); err != nil {
		return err
	}
	r.Total, r.Altered, err = s.verified()
	return err
}

func (s *session) conf() string {
	in := func(name string) string { return s.Inside("root/" + name) }
	conf := "[options]\n" +
		"RootDir = " + in("") + "\n" +
		"DBPath = " + in("var/lib/pacman/") + "\n" +
		"CacheDir = " + in("var/cache/pacman/") + "\n" +
		"LogFile = " + in("var/log/pacman.log") + "\n" +
		"GPGDir = " + in("gnupg/") + "\n" +
		"HookDir = " + in("hooks/") + "\n" +
		"Architecture = auto x86_64 aarch64\n" +
		"SigLevel = Never\nLocalFileSigLevel = Never\n"
	if _, err := os.Stat(filepath.Join(s.Outside("old" + packageExt))); err == nil {
		conf += "[lab]\nSigLevel = Never\nServer = file://" + s.Inside("repo") + "\n"
	}
	return conf
}
