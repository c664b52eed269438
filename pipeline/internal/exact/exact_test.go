package exact

import "testing"

func TestCopy(t *testing.T) {
	type pair struct{ A, B string }
	if got, err := Copy(pair{"a", "\u20ac\n"}); err != nil || got != (pair{"a", "\u20ac\n"}) {
		t.Errorf("%+v, %v", got, err)
	}
	if _, err := Copy(map[string]any{"f": func() {}}); err == nil {
		t.Error("a function was written down")
	}
	if _, err := Copy(lossy{3}); err == nil {
		t.Error("what reads back as something else was taken")
	}
}

// lossy forgets what it was.
type lossy struct{ n int }

func (l lossy) MarshalJSON() ([]byte, error) { return []byte{'0' + byte(l.n)}, nil }
func (l *lossy) UnmarshalJSON([]byte) error  { l.n = 1; return nil }
