// Package rebuild makes the embedded runtimes from their source: the same bytes wherever it runs, with the same Go
// version.
package rebuild

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
	"github.com/klauspost/compress/zstd"
)

// Program is the runtime's main package.
const Program = "github.com/imrightguy/slipway/phases/build/appimage/runtime/launch"

// Archs are the architectures with an embedded runtime.
var Archs = []string{"amd64", "arm64"}

// Build compiles the runtime for an architecture, with dir inside the module, and adds the AppImage sections.
func Build(ctx context.Context, dir, arch string) ([]byte, error) {
	tmp, err := os.MkdirTemp("", "runtime")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(tmp)
	out := filepath.Join(tmp, "runtime")
	c := exec.CommandContext(ctx, "go", "build", "-trimpath", "-buildvcs=false", "-ldflags", "-s -w -buildid=", "-o", out, Program)
	c.Dir = dir
	c.Env = cleanEnv("CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOTOOLCHAIN=local", "GOWORK=off")
	if msg, err := c.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("cannot build the runtime for %s: %w\n%s", arch, err, msg)
	}
	b, err := os.ReadFile(out)
	if err != nil {
		return nil, err
	}
	return elfsect.Add(b)
}

// cleanEnv is the environment without what would change the program.
func cleanEnv(set ...string) []string {
	var env []string
	for _, kv := range os.Environ() {
		k, _, _ := strings.Cut(kv, "=")
		switch k {
		case "GOFLAGS", "GOOS", "GOARCH", "GOAMD64", "GOARM64", "GOEXPERIMENT", "GODEBUG", "GOFIPS140", "GOWORK", "CGO_ENABLED", "GOTOOLCHAIN":
			continue
		}
		env = append(env, kv)
	}
	// Empty values keep what "go env -w" stored from having a say.
	return append(append(env, "GOFLAGS=", "GOAMD64=v1", "GOARM64=v8.0", "GOEXPERIMENT=", "GOFIPS140=off"), set...)
}

// GoVersion is the version of the go command in the PATH.
func GoVersion(ctx context.Context, dir string) (string, error) {
	c := exec.CommandContext(ctx, "go", "env", "GOVERSION")
	c.Dir, c.Env = dir, cleanEnv("GOTOOLCHAIN=local")
	out, err := c.Output()
	return strings.TrimSpace(string(out)), err
}

// Pack compresses a runtime as it is embedded.
func Pack(b []byte) ([]byte, error) {
	var out bytes.Buffer
	e, err := zstd.NewWriter(&out, zstd.WithEncoderLevel(zstd.SpeedBestCompression), zstd.WithEncoderConcurrency(1), zstd.WithWindowSize(8<<20))
	if err != nil {
		return nil, err
	}
	if _, err := e.Write(b); err != nil {
		return nil, err
	}
	err = e.Close()
	return out.Bytes(), err
}
