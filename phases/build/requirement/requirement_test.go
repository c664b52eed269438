package requirement

import (
	"errors"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/pipeline"
)

func TestConfig_Short(t *testing.T) {
	t.Parallel()
	c := Config{Pattern: "x", Flags: []string{"--x"}}
	if err := c.UnmarshalText([]byte(">=3.24")); err != nil || c.Range != ">=3.24" || c.Pattern != "" || c.Flags != nil || c.Validate("flutter") != nil {
		t.Errorf("%+v, %v", c, err)
	}
	if err := c.UnmarshalText(nil); err == nil || !strings.Contains(err.Error(), "want a range") {
		t.Errorf("%v", err)
	}
	for _, c := range []Config{
		{Range: ">=6.0", Command: []string{"pyinstaller", "--version"}, Pattern: `([0-9.]+)`},
		{Command: []string{"flutter", "build", "linux", "--help"}, Flags: []string{"--release", "-d"}},
		{Range: "^6 || 7.1.x"},
		{Range: "~3.24"},
		{Range: ">=3.24, <4"},
		{},
	} {
		if err := c.Validate("flutter-build"); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
}

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		name, want string
		config     Config
	}{
		{"", "is not the name", Config{Range: "*"}},
		{"-x", "is not the name", Config{Range: "*"}},
		{"../x", "is not the name", Config{Range: "*"}},
		{"a b", "is not the name", Config{Range: "*"}},
		{"$(x)", "is not the name", Config{Range: "*"}},
		{"x", "range: want", Config{Range: "new"}},
		{"x", "range: it is too long", Config{Range: strings.Repeat("1.", 600)}},
		{"x", "command: want the name", Config{Command: []string{"./x"}}},
		{"x", "command: want the name", Config{Command: []string{"--help"}}},
		{"x", "command: want the name", Config{Command: []string{""}}},
		{"x", "NUL", Config{Command: []string{"x", "\x00"}}},
		{"x", "pattern: want", Config{Pattern: "("}},
		{"x", "flags: want flags", Config{Command: []string{"x"}, Flags: []string{""}}},
		{"x", "flags: want flags", Config{Command: []string{"x"}, Flags: []string{"--a\n--b"}}},
		{"x", "flags: want a command", Config{Flags: []string{"--a"}}},
		{"x", "make two entries", Config{Command: []string{"x"}, Flags: []string{"--a"}, Range: ">=1"}},
	} {
		if err := c.config.Validate(c.name); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q %+v: got %v", c.name, c.config, err)
		}
	}
}

// TestStep_Spec: the plan changes with what is required, and with nothing else.
func TestStep_Spec(t *testing.T) {
	t.Parallel()
	a := Step(map[string]Config{"go": {Range: ">=1.26"}}, 2e9).Spec()
	if a.ID != ID || a.Effect != pipeline.Local || len(a.Checks) != 1 || a.Checks[0] != Check {
		t.Errorf("%+v", a)
	}
	for _, other := range []pipeline.Step{
		Step(map[string]Config{"go": {Range: ">=1.27"}}, 2e9), Step(map[string]Config{"go": {Range: ">=1.26"}}, 3e9), Step(nil, 2e9),
		Step(map[string]Config{"go": {Range: ">=1.26", Command: []string{"go version"}}}, 2e9),
	} {
		if same(a, other.Spec()) {
			t.Errorf("%+v", other.Spec())
		}
	}
	if !same(a, Step(map[string]Config{"go": {Range: ">=1.26"}}, 2e9).Spec()) {
		t.Error("the plan is not the same twice")
	}
}

func same(a, b pipeline.Spec) bool {
	if len(a.Params) != len(b.Params) {
		return false
	}
	for k, v := range a.Params {
		if b.Params[k] != v {
			return false
		}
	}
	return true
}

func TestRoom(t *testing.T) {
	t.Parallel()
	free, err := Free(t.TempDir())
	if errors.Is(err, errors.ErrUnsupported) {
		t.Skip(err)
	}
	if err != nil || free <= 0 {
		t.Fatal(free, err)
	}
	if f := Room(t.TempDir(), 1); !f.OK {
		t.Errorf("%+v", f)
	}
	if f := Room(t.TempDir(), size.Bytes(1e18)); f.OK || !strings.Contains(f.String(), "wanted 1000000000GB free (make room") {
		t.Errorf("%+v", f)
	}
	if f := Room(t.TempDir()+"/nowhere", 1); f.OK || !strings.Contains(f.Found, "not known") {
		t.Errorf("%+v", f)
	}
}
