package set

import (
	"math/rand/v2"
	"testing"
)

func TestInts(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		n := rnd.IntN(200)
		var a, b Ints
		want := map[int]bool{}
		for k := range n {
			switch rnd.IntN(3) {
			case 0:
				a, want[k] = a.With(k), true
			case 1:
				b, want[k] = b.With(k), true
			}
		}
		u := a.Union(b)
		missing := -1
		for k := range n {
			if !want[k] {
				missing = k
			}
		}
		if got := u.Missing(n); got != missing {
			t.Fatalf("missing %d of %d, want %d", got, n, missing)
		}
		if b.Union(a).Missing(n) != missing {
			t.Fatal("union depends on the order")
		}
	}
}

func TestShared(t *testing.T) {
	a := Ints{}.With(1).With(70)
	if b := a.Union(Ints{}.With(1)); &b[0] != &a[0] {
		t.Error("a union that adds nothing was copied")
	}
	if c := a.With(3); a.Missing(2) != 0 || c.Missing(4) != 2 || a.Missing(4) != 3 {
		t.Error("With changed the set it was called on")
	}
}
