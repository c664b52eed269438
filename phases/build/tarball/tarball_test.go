package tarball

import (
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/pipeline"
)

func TestNames(t *testing.T) {
	t.Parallel()
	c := Config{Name: "demo", Bundle: "demo", Version: "1.2.3-rc.1", Arch: "arm64"}
	if c.Top() != "demo-1.2.3-rc.1-aarch64" || c.File() != c.Top()+".tar.gz" || c.StepID() != "build/tarball/demo/arm64" {
		t.Errorf("got %s, %s, %s", c.Top(), c.File(), c.StepID())
	}
	for _, goarch := range component.Arches {
		if Machine(goarch) == "" {
			t.Errorf("%s has no name in file names", goarch)
		}
	}
	for name, want := range map[string]string{"": "name: want", "a/b": "name: want", "-x": "name: want", ".x": "name: want", "a+b": "name: want", "a b": "name: want", "é": "name: want"} {
		if err := (Config{Name: name}).Validate(); err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "bundle: want") {
			t.Errorf("%q: got %v", name, err)
		}
	}
	if err := (Config{Name: "Demo_1.x-y", Bundle: "b"}).Validate(); err != nil {
		t.Error(err)
	}
}

// TestTime: no zone and no fraction of a second gets into a package.
func TestTime(t *testing.T) {
	t.Parallel()
	at := time.Date(2026, 1, 1, 0, 30, 0, 999, time.FixedZone("", 3600))
	if got := Time(&pipeline.Env{Time: at}); !got.Equal(time.Date(2025, 12, 31, 23, 30, 0, 0, time.UTC)) || got.Location() != time.UTC {
		t.Errorf("got %v", got)
	}
}
