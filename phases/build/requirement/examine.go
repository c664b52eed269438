package requirement

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/isolate"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// How long a program may take to answer. Flutter and Dart unpack their own tools when they run for the first time.
const (
	deadline      = 60 * time.Second
	firstDeadline = 5 * time.Minute
)

// known says how programs are asked that do not answer to --version, or not with their version first.
var known = map[string]Config{
	// An object with frameworkVersion, and maybe lines about a download before it (flutter 3.24).
	"flutter":  {Command: []string{"flutter", "--version", "--machine"}, Pattern: `"frameworkVersion"\s*:\s*"([^"]*)"`},
	"go":       {Command: []string{"go", "version"}},
	"java":     {Command: []string{"java", "-version"}},
	"javac":    {Command: []string{"javac", "-version"}},
	"openssl":  {Command: []string{"openssl", "version"}},
	"ssh":      {Command: []string{"ssh", "-V"}},
	"gcc":      {Command: []string{"gcc", "-dumpfullversion"}}, // --version begins with that of the distribution's package
	"g++":      {Command: []string{"g++", "-dumpfullversion"}},
	"dpkg":     {Command: []string{"dpkg", "--version"}, Pattern: `version ([0-9][0-9.]*)`},
	"dpkg-deb": {Command: []string{"dpkg-deb", "--version"}, Pattern: `version ([0-9][0-9.]*)`},
	"7z":       {Command: []string{"7z", "i"}},
}

// passed are variables that say where programs keep their own files, and how they reach the network.
var passed = append([]string{
	"PATH", "HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME", "TMPDIR", "TMP", "TEMP",
	"FLUTTER_ROOT", "FLUTTER_HOME", "PUB_CACHE", "PUB_HOSTED_URL", "FLUTTER_STORAGE_BASE_URL", "ANDROID_HOME", "JAVA_HOME", "GOPATH", "GOCACHE", "GOMODCACHE", "CARGO_HOME", "RUSTUP_HOME", "PYENV_ROOT", "PYENV_VERSION", "VIRTUAL_ENV", "NVM_DIR",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR",
	"USERPROFILE", "LOCALAPPDATA", "APPDATA", "ProgramData", "ProgramFiles",
}, isolate.System...)

// command is how the entry's program is asked.
func (c Config) command(name string) (argv []string, pattern string) {
	argv, pattern = c.Command, c.Pattern
	if len(argv) == 0 {
		if k, ok := known[name]; ok {
			argv = k.Command
			if pattern == "" {
				pattern = k.Pattern
			}
		} else {
			argv = []string{name, "--version"}
		}
	}
	return argv, pattern
}

// Examine looks for the program of one entry, asks it, and compares. The finding is not OK where anything is wrong,
// the entry itself included. An interrupt makes it not OK, too: see ctx.
func Examine(ctx context.Context, name string, c Config) Finding {
	limit := deadline
	if argv, _ := c.command(name); argv[0] == "flutter" || argv[0] == "dart" {
		limit = firstDeadline
	}
	return examine(ctx, name, c, limit)
}

func examine(ctx context.Context, name string, c Config, limit time.Duration) Finding {
	f := Finding{Name: name, Want: c.want()}
	if err := c.Validate(name); err != nil {
		f.Found = line(err.Error())
		return f
	}
	dir, err := os.MkdirTemp("", "slipway-ask-") // where no go.mod, .git or .tool-versions has a say
	if err != nil {
		f.Found = line(err.Error())
		return f
	}
	defer os.RemoveAll(dir)
	argv, pattern := c.command(name)
	out := &limited{}
	r, err := tool.Run(ctx, tool.Command{
		Argv: argv, Dir: dir, Env: append(append(tool.Inherit(passed...), isolate.Quiet()...), "GOTOOLCHAIN=local"), Stdout: out, Timeout: limit,
	})
	asked := strings.Join(argv, " ")
	late, isLate := errors.AsType[*tool.TimeoutError](err)
	exit, isExit := errors.AsType[*tool.ExitError](err)
	switch {
	case errors.Is(err, tool.ErrMissing):
		f.Found, f.Hint = "missing", install(argv[0])
		return f
	case isLate:
		f.Found = line(fmt.Sprintf("%s did not answer within %v%s", asked, limit, lastLine(late.Tail)))
		f.Hint = "run it by hand: it may wait for an answer, or for a download"
		return f
	case isExit:
		f.Found = line(fmt.Sprintf("%s ended with status %d%s", asked, exit.Code, lastLine(exit.Tail)))
		f.Hint = "this version may not know the command"
		return f
	case err != nil:
		f.Found = line(err.Error())
		return f
	}
	if len(c.Flags) > 0 {
		f.flags(c.Flags, out.String()+"\n"+r.Tail, asked)
		return f
	}
	f.version(c, argv, pattern, string(out.Bytes()[:min(out.Len(), maxVersion)]), r.Tail)
	return f
}

// flags looks for flags in a help text.
func (f *Finding) flags(want []string, help, asked string) {
	var gone []string
	for _, flag := range want {
		if !HasFlag(help, flag) {
			gone = append(gone, flag)
		}
	}
	if f.OK = len(gone) == 0; f.OK {
		f.Found = "known to " + line(asked)
		return
	}
	f.Found = line(fmt.Sprintf("%s does not name %s", asked, strings.Join(gone, ", ")))
	f.Hint = "this version does not have it: leave it out of the build, or install a version that has it"
}

// version compares. What the program printed on its standard output comes first.
func (f *Finding) version(c Config, argv []string, pattern, stdout, both string) {
	var v Version
	var ok bool
	for _, text := range []string{stdout, both} {
		if !ok {
			v, ok = find(pattern, text)
		}
	}
	switch wanted, _ := c.wanted(); { // valid: looked at before
	case !ok && c.Range == "" && pattern == "":
		f.Found, f.OK = "there", true
	case !ok:
		f.Found = line(fmt.Sprintf("%s does not tell a version%s", strings.Join(argv, " "), lastLine(both)))
		f.Hint = "say with command and pattern how to ask it"
	case v.In(wanted, c.Range):
		f.Found, f.OK = v.Text, true
	case v.Pre != "" && v.release().In(wanted, c.Range):
		f.Found, f.Hint = v.Text, "a prerelease comes before its version; install a release, or name the prerelease in the range"
	default:
		f.Found, f.Hint = v.Text, "install a version in the range; "+argv[0]+" is the first of that name in PATH"
	}
}

// find finds a version with a pattern, or the first that looks like one.
func find(pattern, text string) (Version, bool) {
	text = clean(text)
	if pattern != "" {
		re, err := regexp.Compile(pattern)
		if err != nil {
			return Version{}, false
		}
		m := re.FindStringSubmatch(text)
		if m == nil {
			return Version{}, false
		}
		text = m[min(1, len(m)-1)]
	}
	return ParseVersion(text)
}

func install(program string) string {
	if p := debian[program]; p != "" {
		return "install it, on Debian with apt-get install " + p + ", or put its folder into PATH"
	}
	return "install it, or put its folder into PATH"
}

// debian names the package of a program that is called otherwise.
var debian = map[string]string{
	"git": "git", "make": "make", "gcc": "gcc", "g++": "g++", "python3": "python3", "pip3": "python3-pip", "node": "nodejs", "npm": "npm",
	"cargo": "cargo", "rustc": "rustc", "cmake": "cmake", "ninja": "ninja-build", "clang": "clang", "pkg-config": "pkgconf",
	"desktop-file-validate": "desktop-file-utils", "appstreamcli": "appstream", "makepkg": "makepkg", "bwrap": "bubblewrap", "Xvfb": "xvfb",
}

// Room looks whether so much is free on the file system of a folder.
func Room(dir string, want size.Bytes) Finding {
	f := Finding{Name: "disk", Want: want.String() + " free"}
	free, err := Free(dir)
	switch {
	case err != nil:
		f.Found = line("its room is not known: " + err.Error())
	case free < int64(want):
		f.Found = megabytes(free) + " free"
		f.Hint = "make room: old packages in dist/ and work files in .slipway/ may go"
	default:
		f.Found, f.OK = megabytes(free)+" free", true
	}
	return f
}

func megabytes(n int64) string { return fmt.Sprintf("%.1fMB", float64(n)/1e6) }

// limited keeps the beginning of what is written to it: a version or a flag stands there.
type limited struct{ bytes.Buffer }

// How much of an answer is looked at, in bytes.
const (
	maxAnswer  = 1 << 20
	maxVersion = 64 << 10
)

func (l *limited) Write(p []byte) (int, error) {
	if room := maxAnswer - l.Len(); room > 0 {
		l.Buffer.Write(p[:min(room, len(p))])
	}
	return len(p), nil
}

// ReadFrom would get around Write.
func (l *limited) ReadFrom(r io.Reader) (int64, error) { return io.Copy(struct{ io.Writer }{l}, r) }

// line makes one short line of a text, without what a terminal would act on.
func line(s string) string {
	s = strings.Join(strings.Fields(strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f || r >= 0x80 && r < 0xa0 {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "?"))), " ")
	if len(s) > 300 {
		s = strings.ToValidUTF8(s[:300], "") + " [...]"
	}
	return s
}

// lastLine is the last line of what a program said, as the end of a sentence.
func lastLine(tail string) string {
	lines := strings.Split(strings.TrimSpace(clean(tail)), "\n")
	if last := strings.TrimSpace(lines[len(lines)-1]); last != "" {
		return fmt.Sprintf(": %.200s", last)
	}
	return " and said nothing"
}
