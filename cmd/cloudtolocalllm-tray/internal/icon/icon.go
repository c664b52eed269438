// Package icon draws the tray's icons: a cloud standing on a short bar, the
// machine it comes down to. Hollow: idle. Filled: connected. Filled, with
// an exclamation mark cut out: error.
//
// The shapes are distances to circles and boxes, so one drawing serves every
// size; lines are never thinner than a pixel and a bit, and straight edges lie
// on the pixel grid.
package icon

import "math"

// The states there are drawings of. Any other is drawn as Idle.
const (
	Idle      = "idle"
	Connected = "connected"
	Error     = "error"
)

// Sizes are those panels ask for.
var Sizes = [...]int{16, 22, 24, 32, 48}

// Pixmap is one picture: ARGB32 in network byte order, not premultiplied.
type Pixmap struct {
	W, H int32
	Pix  []byte
}

// Light and Dark are the two colours: for dark and for light panels.
var (
	Light = [3]byte{0xf2, 0xf2, 0xf2}
	Dark  = [3]byte{0x2e, 0x34, 0x36}
)

// Draw renders a state in every size.
func Draw(state string, colour [3]byte) []Pixmap {
	out := make([]Pixmap, 0, len(Sizes))
	for _, n := range Sizes {
		out = append(out, render(state, n, colour))
	}
	return out
}

// samples is how often a pixel is looked at in each direction; large pictures
// have small edges.
func samples(n int) int {
	if n >= 48 {
		return 4
	}
	return 8
}

func render(state string, n int, colour [3]byte) Pixmap {
	s, k := shapeFor(state, n), samples(n)
	pix := make([]byte, 4*n*n)
	for y := range n {
		for x := range n {
			hit := 0
			for j := range k {
				for i := range k {
					if s.in(float64(x)+(float64(i)+.5)/float64(k), float64(y)+(float64(j)+.5)/float64(k)) {
						hit++
					}
				}
			}
			at := 4 * (y*n + x)
			pix[at] = byte(hit * 255 / (k * k))
			copy(pix[at+1:at+4], colour[:])
		}
	}
	return Pixmap{int32(n), int32(n), pix}
}

// shape is a drawing on n by n pixels.
type shape struct {
	state     string
	cloud     cloud
	line      float64
	bar       box
	stem, dot box
}

type box struct{ x0, y0, x1, y1, r float64 }

func (b box) dist(x, y float64) float64 {
	cx, cy := (b.x0+b.x1)/2, (b.y0+b.y1)/2
	dx, dy := math.Abs(x-cx)-(b.x1-b.x0)/2+b.r, math.Abs(y-cy)-(b.y1-b.y0)/2+b.r
	return math.Min(math.Max(dx, dy), 0) + math.Hypot(math.Max(dx, 0), math.Max(dy, 0)) - b.r
}

// cloud is two bumps on a rounded base.
type cloud struct {
	big, small [3]float64 // x, y, radius
	base       box
}

func (c cloud) dist(x, y float64) float64 {
	d := c.base.dist(x, y)
	d = math.Min(d, math.Hypot(x-c.big[0], y-c.big[1])-c.big[2])
	return math.Min(d, math.Hypot(x-c.small[0], y-c.small[1])-c.small[2])
}

func shapeFor(state string, n int) shape {
	u := float64(n) / 16
	px := math.Round // edges onto the grid
	line := math.Max(1.5, px(1.5*u))
	if n == 16 {
		line = 1.5
	}
	bottom := px(11 * u)
	s := shape{state: state, line: line}
	s.cloud = cloud{
		big:   [3]float64{9 * u, 5.5 * u, 4.5 * u},
		small: [3]float64{4.6 * u, 7 * u, 3 * u},
		base:  box{px(1 * u), px(5 * u), px(15 * u), bottom, (bottom - px(5*u)) / 2},
	}
	bar := math.Max(2, px(1.6*u))
	s.bar = box{px(4 * u), bottom + math.Max(1, px(1.4*u)), px(12 * u), bottom + math.Max(1, px(1.4*u)) + bar, bar / 2}
	w := math.Max(2, px(1.6*u))
	x0 := px(8*u - w/2)
	s.stem = box{x0, px(3 * u), x0 + w, px(7 * u), 0}
	s.dot = box{x0, px(8 * u), x0 + w, px(8*u) + w, 0}
	return s
}

func (s shape) in(x, y float64) bool {
	if s.bar.dist(x, y) < 0 {
		return true
	}
	d := s.cloud.dist(x, y)
	switch s.state {
	case Connected:
		return d < 0
	case Error: // the mark is cut out of a filled cloud: readable at any size
		return d < 0 && s.stem.dist(x, y) > 0 && s.dot.dist(x, y) > 0
	}
	return d < 0 && d > -s.line
}
