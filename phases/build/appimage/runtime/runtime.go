// Package runtime holds the heads that AppImages made here begin with: static programs that mount the image behind
// them and start the application (see launch). They are committed in compressed form; mk makes them anew, and a test
// rebuilds them and compares the bytes.
package runtime

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"

	"github.com/klauspost/compress/zstd"
)

//go:embed runtime.json runtime-*.zst
var files embed.FS

// Record says how the embedded runtimes were made.
type Record struct {
	Go     string            `json:"go"`     // the compiler's version
	SHA256 map[string]string `json:"sha256"` // of each runtime, by architecture
}

// Recorded returns the record of the embedded runtimes.
func Recorded() (Record, error) {
	var r Record
	b, err := files.ReadFile("runtime.json")
	if err == nil {
		err = json.Unmarshal(b, &r)
	}
	return r, err
}

// maxSize bounds what a runtime may unpack to.
const maxSize = 16 << 20

// For returns the runtime for an architecture, in Go's name for it.
func For(arch string) ([]byte, error) {
	rec, err := Recorded()
	if err != nil {
		return nil, err
	}
	packed, err := files.ReadFile("runtime-" + arch + ".zst")
	if err != nil {
		return nil, fmt.Errorf("no AppImage runtime for %s is built in: give one as a file with its SHA-256", arch)
	}
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return nil, err
	}
	defer d.Close()
	b, err := io.ReadAll(io.LimitReader(d, maxSize))
	if err != nil {
		return nil, fmt.Errorf("cannot unpack the AppImage runtime for %s: %w", arch, err)
	}
	if sum := sha256.Sum256(b); hex.EncodeToString(sum[:]) != rec.SHA256[arch] {
		return nil, fmt.Errorf("the built-in AppImage runtime for %s is damaged", arch)
	}
	return b, nil
}
