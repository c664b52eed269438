package appimage_test

import (
	"math/rand/v2"
	"os"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
)

// TestDamagedImages runs AppImages with flipped bits, mounted and unpacked: whatever comes, it comes soon, and nothing
// stays behind.
func TestDamagedImages(t *testing.T) {
	needFuse(t)
	rounds := 20
	if os.Getenv("SLIPWAY_LONG") == "1" {
		rounds = 300
	}
	a := newApp(t, "app", 0)
	good := read(t, a.path)
	f, err := os.Open(a.path)
	if err != nil {
		t.Fatal(err)
	}
	offset, err := elfsect.ImageOffset(f)
	f.Close()
	if err != nil {
		t.Fatal(err)
	}
	r := rand.New(rand.NewPCG(1, 2))
	for i := range rounds {
		b := append([]byte(nil), good...)
		image := b[offset:]
		if i == 0 {
			b = b[:int(offset)+len(image)/2]
		} else {
			for range 1 + r.IntN(6) {
				image[r.IntN(len(image))] ^= 1 << r.IntN(8)
			}
		}
		// a new file each time: one that still runs cannot be written
		if err := os.Remove(a.path); err != nil {
			t.Fatal(err)
		}
		writeProgram(t, a.path, b)
		for _, args := range [][]string{{"sum"}, {"--appimage-extract-and-run", "sum"}} {
			if o := a.run(t, args...); o.signal != 0 { // a hang is killed after a minute
				t.Errorf("round %d, %q: %+v", i, args, o)
			}
		}
		if left := a.waitClean(10e9); left != "" {
			t.Fatalf("round %d: left behind: %s", i, left)
		}
	}
}
