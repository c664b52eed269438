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

// TestReport: what is shown stays short and plain.
func TestReport(t *testing.T) {
	t.Parallel()
	r := report{subjects: subject(), expected: "one file", passed: "fine"}
	e := r.evidence()
	if e.Verdict != gate.Pass || e.Found != "one file" || e.Subjects["x.tar.gz"] != "abc" || e.Summary != "fine" {
		t.Errorf("got %+v", e)
	}
	r = report{subjects: subject()}
	for range 5000 {
		r.differences(strings.Repeat("ü", 500))
	}
	e = r.evidence()
	if e.Verdict != gate.Fail || !strings.HasSuffix(e.Found, "; and 4995 more of 5000 differences") || len(e.Found) > 6*maxText || !utf8.ValidString(e.Found) {
		t.Errorf("got %d bytes: %.300s", len(e.Found), e.Found)
	}
}

// TestUnpacked: damage is a failure, a disk that cannot be read is not.
func TestUnpacked(t *testing.T) {
	t.Parallel()
	rd := &reading{subjects: subject(), packed: &report{subjects: subject(), expected: "one file"}}
	got, err := rd.unpacked(&archive.BadError{Why: "it is\ndamaged \xff\x1b[31m"}, nil, nil, nil, nil, nil, nil)
	if err != nil || got.open != nil {
		t.Fatalf("got %+v, %v", got, err)
	}
	if e := got.packed.evidence(); e.Verdict != gate.Fail || e.Found != "it is damaged \uFFFD [31m" || e.Expected != "one file" {
		t.Errorf("got %+v", e)
	}
	if _, err := rd.unpacked(fs.ErrPermission, nil, nil, nil, nil, nil, nil); !errors.Is(err, fs.ErrPermission) {
		t.Errorf("got %v", err)
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
