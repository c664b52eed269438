// Package set holds small sets of numbers that are cheap to share.
package set

import "slices"

// Ints is a set of small numbers from 0 on. It is never written to after it was made, so that many can share one.
// The zero value is empty.
type Ints []uint64

// Union returns a set of what is in either: m or o itself where that holds the other.
func (m Ints) Union(o Ints) Ints {
	if len(m) < len(o) {
		m, o = o, m
	}
	for k := range o {
		if m[k]|o[k] != m[k] {
			n := slices.Clone(m)
			for k := range o {
				n[k] |= o[k]
			}
			return n
		}
	}
	return m
}

// With returns a set that also holds n.
func (m Ints) With(n int) Ints {
	c := make(Ints, max(len(m), n/64+1))
	copy(c, m)
	c[n/64] |= 1 << (n % 64)
	return c
}

// Missing returns the largest number below n that is not in the set, -1 for none.
func (m Ints) Missing(n int) int {
	for n--; n >= 0; n-- {
		if n/64 >= len(m) || m[n/64]&(1<<(n%64)) == 0 {
			return n
		}
	}
	return -1
}
