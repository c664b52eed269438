package component

import (
	"context"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/tool"
	"github.com/imrightguy/slipway/pipeline"
)

// goBuilder runs go build for linux.
type goBuilder struct {
	pkg           string
	ldflags, tags []string
	goarch        string
}

func (b goBuilder) params() map[string]string {
	p := map[string]string{"builder": Go, "command": strings.Join(b.argv("OUT"), " "), "environment": strings.Join(b.fixed(), " ")}
	if flags, err := json.Marshal(b.ldflags); err == nil && len(b.ldflags) > 0 {
		p["ldflags"] = string(flags) // the command alone does not say where one flag ends
	}
	return p
}

func (b goBuilder) argv(out string) []string {
	// Version control stamping and the build id change the bytes from one checkout to the next.
	argv := []string{"go", "build", "-trimpath", "-buildvcs=false", "-ldflags=" + strings.Join(append(slices.Clip(b.ldflags), "-buildid="), " ")}
	if len(b.tags) > 0 {
		argv = append(argv, "-tags="+strings.Join(b.tags, ","))
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

func (b goBuilder) build(ctx context.Context, ws *pipeline.Workspace, source, out string) (pipeline.Receipt, error) {
	tmp, err := ws.Temp()
	if err != nil {
		return nil, err
	}
	var answer strings.Builder
	own := append(tool.Inherit(passed...), tool.Inherit(settings...)...)
	own = append(own, "GOTOOLCHAIN=local")
	if _, err := tool.Run(ctx, tool.Command{
		Argv: append([]string{"go", "env", "-json", "GOVERSION"}, settings...), Dir: tmp,
		Env: append(own, tool.Inherit("GOENV")...), Stdout: &answer,
	}); err != nil {
		return nil, fmt.Errorf("cannot ask go for its settings: %w", err)
	}
	var known map[string]string
	if err := json.Unmarshal([]byte(answer.String()), &known); err != nil {
		return nil, fmt.Errorf("cannot read go's settings: %w", err)
	}
	env := append(tool.Inherit(passed...), "TMPDIR="+tmp, "TMP="+tmp, "TEMP="+tmp)
	for _, name := range settings {
		env = append(env, name+"="+known[name])
	}
	ws.Logf("go build %s for linux/%s with %s", b.pkg, b.goarch, known["GOVERSION"])
	if _, err := tool.Run(ctx, tool.Command{Argv: b.argv(out + string(os.PathSeparator)), Dir: source, Env: append(env, b.fixed()...)}); err != nil {
		return nil, err
	}
	made, err := os.ReadDir(out)
	if err != nil {
		return nil, err
	}
	if len(made) == 0 {
		return nil, fmt.Errorf("go build made no program of %s: is it a main package?", b.pkg)
	}
	return pipeline.Receipt{"go": known["GOVERSION"]}, nil
}
