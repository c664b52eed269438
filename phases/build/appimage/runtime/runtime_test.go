package runtime_test

import (
	"bytes"
	"debug/elf"
	"os"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime/rebuild"
)

// TestEmbedded looks at the committed bytes: static, for the right machine, small enough.
func TestEmbedded(t *testing.T) {
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		b, err := runtime.For(arch)
		if err != nil {
			t.Fatal(err)
		}
		if len(b) > 3_400_000 {
			t.Errorf("%s: %d bytes, the limit is 3.4 MB", arch, len(b))
		}
		t.Logf("%s: %d bytes", arch, len(b))
		if err := elfsect.Check(bytes.NewReader(b), uint16(machine)); err != nil {
			t.Errorf("%s: %v", arch, err)
		}
		f, err := elf.NewFile(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		for _, p := range f.Progs {
			if p.Type == elf.PT_INTERP || p.Type == elf.PT_DYNAMIC {
				t.Errorf("%s: not static", arch)
			}
		}
	}
	if _, err := runtime.For("riscv64"); err == nil {
		t.Error("a runtime that is not there")
	}
}

// TestRebuild makes the runtimes from their source and compares. Another Go version makes other bytes: then only the
// maker of the recorded version can tell.
func TestRebuild(t *testing.T) {
	rec, err := runtime.Recorded()
	if err != nil {
		t.Fatal(err)
	}
	version, err := rebuild.GoVersion(t.Context(), ".")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatalf("no go command: %v", err)
		}
		t.Skipf("no go command: %v", err)
	}
	if version != rec.Go {
		t.Skipf("the committed runtimes were made with %s and this is %s, so their bytes cannot be compared; make runtime makes them with this version", rec.Go, version)
	}
	for _, arch := range rebuild.Archs {
		got, err := rebuild.Build(t.Context(), ".", arch)
		if err != nil {
			t.Fatal(err)
		}
		want, err := runtime.For(arch)
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s: the source gives another runtime of %d bytes: run make runtime and commit what it writes", arch, len(got))
		}
	}
}
