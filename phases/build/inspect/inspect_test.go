package inspect

import (
	"errors"
	"io/fs"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/imrightguy/slipway/phases/internal/archive"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

func subject() []input {
	return []input{{pipeline.Artifact{Name: "x.tar.gz", SHA256: "abc"}, "/nowhere/x.tar.gz"}}
}

// TestReport: damage is a failure, a disk that cannot be read is not; and what is shown stays short.
func TestReport(t *testing.T) {
	t.Parallel()
	r := report{subjects: subject(), expected: "one file", passed: "fine"}
	e, err := r.evidence(nil)
	if err != nil || e.Verdict != gate.Pass || e.Found != "one file" || e.Subjects["x.tar.gz"] != "abc" || e.Summary != "fine" {
		t.Errorf("got %+v, %v", e, err)
	}
	r = report{subjects: subject(), expected: "one file"}
	e, err = r.evidence(&archive.BadError{Why: "it is\ndamaged \xff\x1b[31m"})
	if err != nil || e.Verdict != gate.Fail || e.Found != "it is damaged \uFFFD [31m" || e.Expected != "one file" {
		t.Errorf("got %+v, %v", e, err)
	}
	r = report{subjects: subject()}
	if _, err = r.evidence(fs.ErrPermission); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
	}
	r = report{subjects: subject()}
	for range 5000 {
		r.differences(strings.Repeat("ü", 500))
	}
	e, err = r.evidence(nil)
	if err != nil || e.Verdict != gate.Fail || !strings.HasSuffix(e.Found, "; and 4995 more of 5000 differences") || len(e.Found) > 6*maxText || !utf8.ValidString(e.Found) {
		t.Errorf("got %d bytes: %.300s, %v", len(e.Found), e.Found, err)
	}
}

// TestInput_Unreadable: a package that is not there is an error, not evidence.
func TestInput_Unreadable(t *testing.T) {
	t.Parallel()
	err := subject()[0].open(nil)
	if !errors.Is(err, fs.ErrNotExist) || errors.As(err, new(*archive.BadError)) {
		t.Errorf("got %v", err)
	}
}
