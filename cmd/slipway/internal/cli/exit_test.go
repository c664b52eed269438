package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/cmd/slipway/internal/ui"
	"github.com/imrightguy/slipway/phases"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/journal"
)

// The README repeats the table of exit codes.
func TestExits_README(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("..", "..", "..", "..", "README.md"))
	if err != nil {
		t.Fatal(err)
	}
	rows := regexp.MustCompile(`(?m)^\| (\d+) \| (.*) \|$`).FindAllStringSubmatch(string(b), -1)
	if len(rows) != len(exits) {
		t.Fatalf("the README has %d exit codes, the program %d", len(rows), len(exits))
	}
	for i, row := range rows {
		if e := exits[i]; row[1] != strconv.Itoa(e.code) || row[2] != e.meaning {
			t.Errorf("the README says %s: %s, the program %d: %s", row[1], row[2], e.code, e.meaning)
		}
	}
}

func TestExit(t *testing.T) {
	_, bad := phases.Load("release.yaml", []byte("x: 1\n"))
	plain := errors.New("x")
	for _, c := range []struct {
		err  error
		code int
		hint string
	}{
		{plain, 1, ""},
		{usage("try", "x"), 2, "try"},
		{bad, 2, ""},
		{fmt.Errorf("x: %w", &pipeline.GateError{}), 3, ""},
		{&pipeline.PlanError{Old: &pipeline.Plan{}, New: &pipeline.Plan{}}, 4, ""},
		{fmt.Errorf("x: %w", pipeline.ErrConflict), 5, ""},
		{errors.Join(plain, pipeline.ErrConflict), 5, ""},
		{fmt.Errorf("x: %w", journal.ErrLocked), 6, "wait"},
		{&journal.DamagedError{Path: "p", Line: 1, Why: "w"}, 1, "state load"},
		{errInterrupted, 130, "carries on"},
		{errors.Join(context.Canceled, plain), 130, "carries on"},
		{ui.ErrRefused, 3, ""},
		{ui.ErrNobody, 2, ""},
		{withHint(usage("inner", "x"), "outer"), 2, "outer"},
		{withHint(fmt.Errorf("x: %w", refused("inner", "y")), ""), 3, "inner"},
		{withHint(pipeline.ErrDiffers, "amend"), 4, "amend"},
	} {
		code, hint := exit(c.err)
		if code != c.code || !strings.Contains(hint, c.hint) || c.hint == "" && hint != "" {
			t.Errorf("%v leads to exit code %d and hint %q, want %d and %q", c.err, code, hint, c.code, c.hint)
		}
	}
}
