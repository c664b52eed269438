package command

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/pipeline"
)

func TestConfig_Validate(t *testing.T) {
	t.Parallel()
	for _, c := range []Config{
		{Command: []string{"flutter", "test", "test/settings_screen_test.dart"}, Timeout: component.Duration(5 * time.Minute)},
		{Command: []string{"lib/app/app"}, Bundle: "desktop", Display: true, RunsFor: component.Duration(3 * time.Second)},
		{Command: []string{"make", "-n", "", "$(x)", "a\nb"}, Exit: 2, Env: map[string]string{"A_1": "x y"}, Pass: []string{"PUB_CACHE"}},
	} {
		if err := c.Validate(); err != nil {
			t.Errorf("%+v: %v", c, err)
		}
	}
	cmd := []string{"x"}
	for _, c := range []struct {
		config Config
		want   string
	}{
		{Config{}, "command: want a list"},
		{Config{Command: []string{""}}, "command: want the name"},
		{Config{Command: []string{"-x"}}, "command: want the name"},
		{Config{Command: []string{"/bin/sh"}}, "stays in the tree"},
		{Config{Command: []string{"../x"}}, "stays in the tree"},
		{Config{Command: []string{"a/../../x"}}, "stays in the tree"},
		{Config{Command: []string{"a\nb"}}, "command: want the name"},
		{Config{Command: []string{`a\b`}}, "command: want the name"},
		{Config{Command: []string{"x", "\x00"}}, "NUL byte"},
		{Config{Command: []string{"x", strings.Repeat("x", 5000)}}, "command[1]: it is longer"},
		{Config{Command: cmd, Timeout: component.Duration(7 * time.Hour)}, "timeout: want"},
		{Config{Command: cmd, RunsFor: component.Duration(10 * time.Minute)}, "runs_for: want a time below"},
		{Config{Command: cmd, RunsFor: component.Duration(time.Second), Exit: 1}, "exit: a program that"},
		{Config{Command: cmd, Exit: 256}, "exit: want a status"},
		{Config{Command: cmd, Arch: "amd64"}, "arch: want a bundle"},
		{Config{Command: cmd, Output: []string{""}}, "output[0]: want a text"},
		{Config{Command: cmd, Output: []string{"a", "a"}}, "stands there twice"},
		{Config{Command: cmd, Env: map[string]string{"A-B": ""}}, "env: \"A-B\" is not"},
		{Config{Command: cmd, Env: map[string]string{"PATH": ""}}, "env: PATH is made"},
		{Config{Command: cmd, Env: map[string]string{"X": "\x00"}}, "env.X: it is longer"},
		{Config{Command: cmd, Pass: []string{"HOME"}}, "pass: HOME is made"},
		{Config{Command: cmd, Pass: []string{"A=B"}}, "is not the name of a variable"},
		{Config{Command: cmd, Pass: []string{"A"}, Env: map[string]string{"A": ""}}, "A is set twice"},
	} {
		if err := c.config.Validate(); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v", c.config, err)
		}
	}
}

// TestStep_Spec: which architecture a plan names does not depend on the machine that plans.
func TestStep_Spec(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		config Config
		arches []string
		input  string
	}{
		{Config{}, nil, "artifact:work/source"},
		{Config{Bundle: "b"}, []string{"amd64", "arm64"}, "artifact:work/bundle/b/amd64"},
		{Config{Bundle: "b"}, []string{"arm64", "amd64"}, "artifact:work/bundle/b/amd64"},
		{Config{Bundle: "b"}, []string{"arm64"}, "artifact:work/bundle/b/arm64"},
		{Config{Bundle: "b", Arch: "arm64"}, []string{"amd64", "arm64"}, "artifact:work/bundle/b/arm64"},
	} {
		sp := Step("x", c.config, c.arches, "build/requirements").Spec()
		if !slices.Equal(sp.Inputs, []string{c.input}) || sp.ID != "build/check/x" || sp.Effect != pipeline.Local || !slices.Contains(sp.Needs, "build/requirements") || len(sp.Needs) != 2 {
			t.Errorf("%+v: %+v", c, sp)
		}
	}
	a, b := Step("x", Config{Command: []string{"a b"}}, nil).Spec(), Step("x", Config{Command: []string{"a", "b"}}, nil).Spec()
	if fmt.Sprint(a.Params) == fmt.Sprint(b.Params) {
		t.Error("two commands have one plan")
	}
}

// FuzzWatch prints a text in pieces: what is in the whole is found.
func FuzzWatch(f *testing.F) {
	f.Add("first frame", "frame", "st", 3)
	f.Add("aaab", "aab", "b", 1)
	f.Fuzz(func(t *testing.T, s, a, b string, piece int) {
		if a == "" || b == "" || piece < 1 || piece > 1000 {
			return
		}
		w := newWatch([]string{a, b})
		for chunk := range slices.Chunk([]byte(s), piece) {
			if n, err := w.Write(chunk); n != len(chunk) || err != nil {
				t.Fatal(n, err)
			}
		}
		var want []string
		for _, text := range []string{a, b} {
			if !strings.Contains(s, text) {
				want = append(want, text)
			}
		}
		if got := w.missing(); !slices.Equal(got, want) {
			t.Errorf("%q in pieces of %d: missing %q, want %q", s, piece, got, want)
		}
		select {
		case <-w.all:
			if len(want) > 0 {
				t.Error("it says that all was printed")
			}
		default:
			if len(want) == 0 {
				t.Error("it does not say that all was printed")
			}
		}
		if w.n != int64(len(s)) {
			t.Errorf("%d bytes of %d", w.n, len(s))
		}
	})
}
