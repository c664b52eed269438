// Program mk makes the embedded runtimes anew. Run it from anywhere in the module:
//
//	go run ./phases/build/appimage/runtime/mk
package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/phases/build/appimage/runtime"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime/rebuild"
)

func main() {
	if err := run(context.Background()); err != nil {
		fmt.Fprintln(os.Stderr, "mk:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context) error {
	out, err := exec.CommandContext(ctx, "go", "list", "-f", "{{.Dir}}", filepath.Dir(rebuild.Program)).Output()
	if err != nil {
		return fmt.Errorf("cannot find the package: %w", err)
	}
	dir := strings.TrimSpace(string(out))
	var rec runtime.Record
	if rec.Go, err = rebuild.GoVersion(ctx, dir); err != nil {
		return err
	}
	rec.SHA256 = map[string]string{}
	for _, arch := range rebuild.Archs {
		b, err := rebuild.Build(ctx, dir, arch)
		if err != nil {
			return err
		}
		packed, err := rebuild.Pack(b)
		if err != nil {
			return err
		}
		sum := sha256.Sum256(b)
		rec.SHA256[arch] = hex.EncodeToString(sum[:])
		if err := os.WriteFile(filepath.Join(dir, "runtime-"+arch+".zst"), packed, 0o644); err != nil {
			return err
		}
		fmt.Printf("%s: %d bytes, %d embedded, sha256 %x\n", arch, len(b), len(packed), sum)
	}
	b, err := json.MarshalIndent(rec, "", "  ")
	if err != nil {
		return err
	}
	return os.WriteFile(filepath.Join(dir, "runtime.json"), append(b, '\n'), 0o644)
}
