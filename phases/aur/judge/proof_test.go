package judge

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// TestProof is the whole proof of this repository's own package, upgraded from a version before. It must take less than a
// minute on two processors that have nothing else to do; where SLIPWAY_LONG is not set it is left out.
func TestProof(t *testing.T) {
	if os.Getenv("SLIPWAY_LONG") == "" {
		t.Skip("SLIPWAY_LONG is not set")
	}
	need(t)
	program := filepath.Join(t.TempDir(), "slipway")
	build := exec.CommandContext(t.Context(), "go", "build", "-trimpath", "-ldflags=-s -w -X main.version=1.2.3", "-o", program, "github.com/imrightguy/slipway/cmd/slipway")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	older, newer := slipway(t, program, "1.2.2"), slipway(t, program, "1.2.3")
	newer.o.Previous = older.published(t)
	begun := time.Now()
	v := newer.judge(t)
	took := time.Since(begun)
	v.want(t, map[string]string{Upgrade: "pass: pacman -Syu from 1.2.2-1"})
	t.Logf("the whole proof took %v", took)
	if took > time.Minute {
		t.Errorf("it took %v, want less than a minute", took)
	}
}

// slipway is this repository's program in a tarball as a release has it, for two architectures.
func slipway(t *testing.T, program, version string) pkg {
	t.Helper()
	dir := t.TempDir()
	m := &pkgbuild.Model{
		Maintainers: []string{"Demo <demo at example dot org>"}, PkgName: "demo-bin", PkgVer: version, PkgRel: "1",
		PkgDesc: "Release and packaging pipeline with gates", URL: "https://demo.example/", License: []string{"MIT"},
		Arch: []string{"x86_64", "aarch64"}, Options: []string{"!strip", "!debug"},
	}
	p := pkg{sources: map[string]string{}}
	for _, arch := range m.Arch {
		name := "slipway-" + version + "-" + arch + ".tar.gz"
		file := filepath.Join(dir, name)
		sum, size := pack(t, file, program, arch)
		t.Logf("%s: %d bytes", name, size)
		b, err := os.ReadFile(file)
		must(t, err)
		p.sources[name] = "=" + string(b)
		m.Sources = append(m.Sources, pkgbuild.Source{
			Arch: arch, SHA256: sum, Name: pkgbuild.Text{pkgbuild.Lit("slipway-"), pkgbuild.Payload, pkgbuild.Lit("-" + arch + ".tar.gz")},
			URL: pkgbuild.Text{pkgbuild.Lit("https://demo.example/v"), pkgbuild.Payload, pkgbuild.Lit("/slipway-"), pkgbuild.Payload, pkgbuild.Lit("-" + arch + ".tar.gz")},
		})
	}
	m.Package = []pkgbuild.Action{
		pkgbuild.Unpack{Source: pkgbuild.Text{pkgbuild.Lit("slipway-"), pkgbuild.Payload, pkgbuild.Lit("-"), pkgbuild.Arch, pkgbuild.Lit(".tar.gz")}, Strip: 1, To: "/usr"},
		pkgbuild.InstallLicense{From: "/usr/share/licenses/slipway/LICENSE"},
	}
	var text, info bytes.Buffer
	must(t, errors.Join(pkgbuild.PrintPKGBUILD(&text, m), pkgbuild.PrintSRCINFO(&info, m)))
	p.files = map[string]string{"PKGBUILD": text.String(), ".SRCINFO": info.String(), "LICENSE": "0BSD\n"}
	p.o.Start = [][]string{{"/usr/bin/slipway", "--version"}}
	p.o.Previous = func(context.Context, *pipeline.Workspace) (Published, error) { return Published{None: true}, nil }
	return p
}

// pack makes a tarball of a program and the repository's documents.
func pack(t *testing.T, file, program, note string) (sum string, size int64) {
	t.Helper()
	out, err := os.Create(file)
	must(t, err)
	hash := sha256.New()
	zw := gzip.NewWriter(io.MultiWriter(out, hash))
	tw := tar.NewWriter(zw)
	for name, from := range map[string]string{"bin/slipway": program, "share/licenses/slipway/LICENSE": "../../../LICENSE", "share/doc/slipway/" + note: "../../../LICENSE"} {
		b, err := os.ReadFile(from)
		must(t, err)
		mode := int64(0o644)
		if from == program {
			mode = 0o755
		}
		must(t, tw.WriteHeader(&tar.Header{Name: "slipway/" + name, Mode: mode, Size: int64(len(b))}))
		_, err = tw.Write(b)
		must(t, err)
	}
	must(t, errors.Join(tw.Close(), zw.Close()))
	info, err := out.Stat()
	must(t, errors.Join(err, out.Close()))
	return fmt.Sprintf("%x", hash.Sum(nil)), info.Size()
}
