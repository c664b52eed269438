package component

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// Linux is the system that the Flutter builder builds for.
const Linux = "linux"

// checkFlutter lists the faults of a configuration for builder flutter.
func (c Config) checkFlutter() (errs []error) {
	if c.Target != "" && c.Target != Linux {
		errs = append(errs, fmt.Errorf("target: want %s, found %q", Linux, c.Target))
	}
	return append(errs, flutter{flags: c.Flags, defines: c.DartDefine}.check())
}

// flutter runs flutter build linux in a private copy of the checkout: it writes .dart_tool, build and generated files
// into the project.
type flutter struct {
	goarch         string
	version        version.Version
	flags, defines []string
	timeout        time.Duration // zero: the default
}

// ours are flags of flutter build that the builder sets itself.
var ours = []string{"release", "profile", "debug", "build-name", "build-number", "target-platform", "dart-define"}

var (
	flagRE   = regexp.MustCompile(`^--?([A-Za-z][A-Za-z0-9-]*)(=|$)`)
	defineRE = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.]*=`)
)

func (f flutter) check() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	for _, flag := range f.flags {
		switch m := flagRE.FindStringSubmatch(flag); {
		case m == nil:
			bad("flags: want a flag with its value in one text, like --target=lib/main.dart, found %q", flag)
		case slices.Contains(ours, strings.TrimPrefix(m[1], "no-")):
			bad("flags: %s is set by slipway: leave %q out", m[1], flag)
		case strings.ContainsAny(flag, "\x00\n\r"):
			bad("flags: want no line breaks, found %q", flag)
		}
	}
	for _, d := range f.defines {
		if !defineRE.MatchString(d) || strings.ContainsAny(d, "\x00\n\r") {
			bad("dart_define: want NAME=VALUE, found %q", d)
		}
	}
	return errors.Join(errs...)
}

func (f flutter) params() map[string]string {
	return map[string]string{"builder": Flutter, "target": Linux, "command": asJSON(f.argv()), "output": f.bundle()}
}

// argv: the build number goes in as it is written in the source of truth, with its zeros.
func (f flutter) argv() []string {
	argv := []string{"flutter", "build", Linux, "--release", "--build-name=" + f.version.Release()}
	if f.version.Build != "" {
		argv = append(argv, "--build-number="+f.version.Build)
	}
	for _, d := range f.defines {
		argv = append(argv, "--dart-define="+d)
	}
	return append(argv, f.flags...)
}

// bundle is where flutter puts the application: build/linux/x64/release/bundle (Flutter 3, getLinuxBuildDirectory).
func (f flutter) bundle() string {
	arch := map[string]string{"amd64": "x64"}[f.goarch]
	if arch == "" {
		arch = f.goarch
	}
	return "build/linux/" + arch + "/release/bundle"
}

// flutterPassed are variables that flutter, pub and the compilers behind them need to be found and to find what they
// fetched before.
var flutterPassed = []string{
	"PATH", "HOME", "USER", "LOGNAME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME",
	"FLUTTER_ROOT", "FLUTTER_STORAGE_BASE_URL", "PUB_CACHE", "PUB_HOSTED_URL",
	"PKG_CONFIG_PATH", "PKG_CONFIG_LIBDIR", "LD_LIBRARY_PATH", "CC", "CXX",
	"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy", "SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK",
}

// machineVersion is what of the answer of flutter --version --machine is kept.
type machineVersion struct {
	Framework string `json:"frameworkVersion"`
	Revision  string `json:"frameworkRevision"`
	Channel   string `json:"channel"`
	Dart      string `json:"dartSdkVersion"`
}

// readMachineVersion finds the answer in what flutter printed: a banner may stand before it.
func readMachineVersion(out []byte) (v machineVersion, err error) {
	for range 100 { // braces in a banner
		at := bytes.IndexByte(out, '{')
		if at < 0 {
			break
		}
		v = machineVersion{}
		if json.NewDecoder(bytes.NewReader(out[at:])).Decode(&v) == nil && v.Framework != "" {
			return v, nil
		}
		out = out[at+1:]
	}
	return machineVersion{}, errors.New("cannot read what flutter --version --machine says: it names no frameworkVersion")
}

// answerLimit is how much of an answer is read, in bytes.
const answerLimit = 1 << 20

// limited keeps the beginning of what is written to it.
type limited struct{ bytes.Buffer }

func (l *limited) Write(p []byte) (int, error) {
	l.Buffer.Write(p[:min(len(p), answerLimit-l.Len())])
	return len(p), nil
}

func (f flutter) build(ctx context.Context, ws *pipeline.Workspace, source, out string) (pipeline.Receipt, error) {
	if runtime.GOOS != Linux || runtime.GOARCH != f.goarch {
		return nil, fmt.Errorf("cannot build for linux/%s on %s/%s: flutter builds only for the machine that it runs on; build there, or leave %s out of arch",
			f.goarch, runtime.GOOS, runtime.GOARCH, f.goarch)
	}
	if _, err := tool.Look("flutter"); err != nil {
		return nil, err // before anything is copied
	}
	p, err := newPrivate(ctx, ws, source, out)
	if err != nil {
		return nil, err
	}
	env := append(p.environment(), "CI=true", "FLUTTER_SUPPRESS_ANALYTICS=true", "PUB_ENVIRONMENT=slipway")
	env = append(env, tool.Inherit(flutterPassed...)...) // HOME among them: later ones count
	var answer limited
	if _, err := tool.Run(ctx, tool.Command{Argv: []string{"flutter", "--version", "--machine"}, Dir: p.home, Env: env, Stdout: &answer, Timeout: f.timeout}); err != nil {
		return nil, fmt.Errorf("cannot ask flutter for its version: %w", err)
	}
	v, err := readMachineVersion(answer.Bytes())
	if err != nil {
		return nil, err
	}
	ws.Logf("flutter build linux --release with Flutter %s", v.Framework)
	if err := p.run(ctx, f.argv(), env, nil, f.timeout); err != nil {
		return nil, err
	}
	if err := p.take(ctx, f.bundle()); err != nil {
		return nil, fmt.Errorf("flutter build ended well, but %w", err)
	}
	return pipeline.Receipt{"flutter": v.Framework, "revision": v.Revision, "channel": v.Channel, "dart": v.Dart}, nil
}
