package component

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"path"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

var tagRE = regexp.MustCompile(`^!?[A-Za-z0-9_.]+$`)

// checkGo lists the faults of a configuration for builder go.
func (c Config) checkGo() (errs []error) {
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf(format, args...)) }
	switch {
	case c.Module != "" && c.Package != "":
		bad("module: want package or module, not both")
	case c.Module != "":
		if _, _, err := splitModule(c.Module); err != nil {
			bad("module: %w", err)
		}
	default:
		if err := checkPackage(c.Package); err != nil {
			errs = append(errs, err)
		}
	}
	if c.Sum != "" && c.Module == "" {
		bad("sum: want it beside a module only")
	} else if c.Sum != "" && !sumRE.MatchString(c.Sum) {
		bad("sum: want h1: and 44 characters of base64 as in go.sum, found %q", c.Sum)
	}
	for _, t := range c.Tags {
		if !tagRE.MatchString(t) {
			bad("tags: want a build tag of letters, digits, _ and ., found %q", t)
		}
	}
	for _, f := range c.Ldflags {
		if strings.ContainsAny(f, "\x00\n\r") {
			bad("ldflags: want no line breaks, found %q", f)
		}
		if strings.HasPrefix(strings.TrimLeft(f, "-"), "buildid") {
			bad("ldflags: the build id is always empty, so that the same sources give the same bytes: leave %q out", f)
		}
	}
	return errs
}

func checkPackage(p string) error {
	rest, ok := strings.CutPrefix(p, "./")
	switch {
	case p == ".":
		return nil
	case !ok || path.Clean(rest) != rest || strings.HasPrefix(rest, "/") || rest == ".." || strings.HasPrefix(rest, "../"):
		return fmt.Errorf("package: want a path in the repository like ./cmd/NAME, found %q", p)
	case strings.ContainsFunc(p, func(r rune) bool { return r <= ' ' || r == 0x7f || r == '@' || r == '\\' }) || strings.Contains(p, "..."):
		return fmt.Errorf("package: want one package by its path, found %q", p)
	}
	return nil
}

// goBuilder runs go build, or go install for the package of a module, for linux.
type goBuilder struct {
	pkg           string // in the repository, or of a module as PATH@VERSION
	module        bool   // which of them
	sum           string // of the module as release.yaml says it; may be empty
	ldflags, tags []string
	goarch        string
	timeout       time.Duration // zero: the default
}

func (b goBuilder) params() map[string]string {
	p := map[string]string{"builder": Go, "command": strings.Join(b.argv("OUT"), " "), "environment": strings.Join(b.fixed(), " ")}
	if flags, err := json.Marshal(b.ldflags); err == nil && len(b.ldflags) > 0 {
		p["ldflags"] = string(flags) // the command alone does not say where one flag ends
	}
	if b.sum != "" {
		p["sum"] = b.sum
	}
	return p
}

func (b goBuilder) argv(out string) []string {
	// Version control stamping and the build id change the bytes from one checkout to the next.
	verb := "build"
	if b.module {
		verb = "install" // the version of the module is known to the program then
	}
	argv := []string{"go", verb, "-trimpath", "-buildvcs=false", "-ldflags=" + strings.Join(append(slices.Clip(b.ldflags), "-buildid="), " ")}
	if len(b.tags) > 0 {
		argv = append(argv, "-tags="+strings.Join(b.tags, ","))
	}
	if b.module {
		return append(argv, b.pkg)
	}
	return append(argv, "-o", out, b.pkg)
}

// fixed are the settings that would reach the bytes, or make go write into the checkout or fetch another compiler.
func (b goBuilder) fixed() []string {
	return []string{
		"GOOS=linux", "GOARCH=" + b.goarch, "GOAMD64=v1", "GOARM64=v8.0", "CGO_ENABLED=0", "GOFLAGS=", "GOEXPERIMENT=",
		"GO111MODULE=on", "GOWORK=off", "GOENV=off", "GOTOOLCHAIN=local", "GODEBUG=", "LC_ALL=C", "TZ=UTC",
	}
}

// passed are variables that go needs to find its caches, modules and the network. None of them reaches the bytes.
var passed = []string{
	"PATH", "HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
	"SSL_CERT_FILE", "SSL_CERT_DIR", "SSH_AUTH_SOCK", "GOCACHEPROG",
	"SystemRoot", "USERPROFILE", "LOCALAPPDATA", "APPDATA", "ComSpec", "PATHEXT", // Windows
}

// settings are those of go's own that say where modules and results are kept and come from. A user may have set them
// with go env -w, in a file that GOENV=off leaves out together with what would reach the bytes.
var settings = []string{
	"GOCACHE", "GOMODCACHE", "GOPATH", "GOPROXY", "GONOPROXY", "GOSUMDB", "GONOSUMDB", "GOPRIVATE", "GOINSECURE", "GOVCS", "GOAUTH",
}

// ask asks go for its settings, and returns them with the environment to build in.
func (b goBuilder) ask(ctx context.Context, tmp string) (known map[string]string, env []string, err error) {
	var answer strings.Builder
	own := append(tool.Inherit(passed...), tool.Inherit(settings...)...)
	own = append(own, "GOTOOLCHAIN=local")
	if _, err := tool.Run(ctx, tool.Command{
		Argv: append([]string{"go", "env", "-json", "GOVERSION"}, settings...), Dir: tmp,
		Env: append(own, tool.Inherit("GOENV")...), Stdout: &answer, Timeout: b.timeout,
	}); err != nil {
		return nil, nil, fmt.Errorf("cannot ask go for its settings: %w", err)
	}
	if err := json.Unmarshal([]byte(answer.String()), &known); err != nil {
		return nil, nil, fmt.Errorf("cannot read go's settings: %w", err)
	}
	env = append(tool.Inherit(passed...), "TMPDIR="+tmp, "TMP="+tmp, "TEMP="+tmp)
	for _, name := range settings {
		env = append(env, name+"="+known[name])
	}
	return known, append(env, b.fixed()...), nil
}

func (b goBuilder) build(ctx context.Context, ws *pipeline.Workspace, source, out string) (pipeline.Receipt, error) {
	tmp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	known, env, err := b.ask(ctx, tmp)
	if err != nil {
		return nil, err
	}
	receipt := pipeline.Receipt{"go": known["GOVERSION"]}
	ws.Logf("go build %s for linux/%s with %s", b.pkg, b.goarch, known["GOVERSION"])
	if b.module {
		return receipt, b.install(ctx, env, source, tmp, out, receipt)
	}
	if _, err := tool.Run(ctx, tool.Command{Argv: b.argv(out + string(os.PathSeparator)), Dir: source, Env: env, Timeout: b.timeout}); err != nil {
		return nil, err
	}
	made, err := os.ReadDir(out)
	if err != nil {
		return nil, err
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("go build made no program of %s: is it a main package?", b.pkg)
	}
	return receipt, nil
}
