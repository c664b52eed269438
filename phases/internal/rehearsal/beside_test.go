package rehearsal

import (
	"path/filepath"
	"strings"
	"testing"
)

// TestBeside_Refuses: what would end a line of a tag is not written into one.
func TestBeside_Refuses(t *testing.T) {
	for _, a := range []Aside{{}, {Tag: "v1\nobject x", Author: "A <a@example.org>"}, {Tag: "v1", Author: "A\x00"}, {Tag: "v1"}} {
		a.Dir = filepath.Join(t.TempDir(), "aside")
		if err := Beside(t.Context(), a); err == nil || !strings.Contains(err.Error(), "cannot make a tag of") {
			t.Errorf("%+v: %v", a, err)
		}
	}
}
