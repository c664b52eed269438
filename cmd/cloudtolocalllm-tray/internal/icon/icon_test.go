package icon

import (
	"bytes"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"testing"
)

var update = flag.Bool("update", false, "write the icons into dist/")

const dist = "../../dist/icons/hicolor"

// The installed icons are what the code draws.
func TestInstalledIcons(t *testing.T) {
	files := map[string][]byte{"scalable/apps/cloudtolocalllm-tray.svg": svg(Connected, "#3b6fb6")}
	for _, s := range []string{Idle, Connected, Error} {
		files["symbolic/apps/cloudtolocalllm-tray-"+s+"-symbolic.svg"] = svg(s, "#2e3436")
	}
	for _, n := range []int{16, 22, 24, 32, 48, 128} {
		files[fmt.Sprintf("%dx%d/apps/cloudtolocalllm-tray.png", n, n)] = picture(t, render(Connected, n, [3]byte{0x3b, 0x6f, 0xb6}))
	}
	for name, want := range files {
		path := filepath.Join(dist, name)
		if *update {
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(path, want, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		got, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if filepath.Ext(name) == ".png" { // the same picture; another Go may press it differently
			a, err1 := png.Decode(bytes.NewReader(got))
			b, err2 := png.Decode(bytes.NewReader(want))
			if err1 != nil || err2 != nil || !bytes.Equal(a.(*image.NRGBA).Pix, b.(*image.NRGBA).Pix) {
				t.Errorf("%s is not what is drawn: run go test -update", name)
			}
		} else if !bytes.Equal(got, want) {
			t.Errorf("%s is not what is drawn: run go test -update", name)
		}
	}
}

func picture(t *testing.T, p Pixmap) []byte {
	t.Helper()
	img := image.NewNRGBA(image.Rect(0, 0, int(p.W), int(p.H)))
	for i := 0; i < len(p.Pix); i += 4 {
		img.SetNRGBA(i/4%int(p.W), i/4/int(p.W), color.NRGBA{p.Pix[i+1], p.Pix[i+2], p.Pix[i+3], p.Pix[i]})
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// svg traces the drawing at 16 pixels: filled outlines only, which is all that
// desktops recolour.
func svg(state, colour string) []byte {
	s := shapeFor(state, 16)
	var d bytes.Buffer
	trace(&d, s, 0)
	switch state {
	case Idle:
		trace(&d, s, -s.line)
	case Error:
		for _, b := range []box{s.stem, s.dot} {
			fmt.Fprintf(&d, "M%g %gV%gH%gV%gZ", b.x0, b.y0, b.y1, b.x1, b.y0)
		}
	}
	return fmt.Appendf(nil, `<svg xmlns="http://www.w3.org/2000/svg" width="16" height="16" viewBox="0 0 16 16">
  <path fill="%s" fill-rule="evenodd" d="%s"/>
  <rect fill="%s" x="%g" y="%g" width="%g" height="%g" rx="%g"/>
</svg>
`, colour, d.String(), colour, s.bar.x0, s.bar.y0, s.bar.x1-s.bar.x0, s.bar.y1-s.bar.y0, s.bar.r)
}

// trace walks round the cloud, which is seen whole from its middle.
func trace(d *bytes.Buffer, s shape, level float64) {
	const cx, cy, steps = 8, 8, 120
	for i := range steps {
		a := 2 * math.Pi * float64(i) / steps
		low, high := 0.0, 12.0
		for range 40 {
			r := (low + high) / 2
			if s.cloud.dist(cx+r*math.Cos(a), cy+r*math.Sin(a)) < level {
				low = r
			} else {
				high = r
			}
		}
		op := "L"
		if i == 0 {
			op = "M"
		}
		fmt.Fprintf(d, "%s%.2f %.2f", op, cx+low*math.Cos(a), cy+low*math.Sin(a))
	}
	d.WriteString("Z")
}

func TestStatesAreToldApart(t *testing.T) {
	for i, n := range Sizes {
		idle, on, bad := Draw(Idle, Light)[i], Draw(Connected, Light)[i], Draw(Error, Light)[i]
		if int(idle.W) != n || int(idle.H) != n || len(idle.Pix) != 4*n*n {
			t.Fatalf("size %d: %d by %d", n, idle.W, idle.H)
		}
		differ := func(a, b Pixmap) (k int) {
			for j := 0; j < len(a.Pix); j += 4 {
				if d := int(a.Pix[j]) - int(b.Pix[j]); d > 128 || d < -128 {
					k++
				}
			}
			return k
		}
		for _, k := range []int{differ(idle, on), differ(on, bad), differ(idle, bad)} {
			if k < n*n/64 {
				t.Errorf("size %d: only %d pixels differ", n, k)
			}
		}
		// Not premultiplied: the colour is whole whatever the alpha.
		for j := 0; j < len(on.Pix); j += 4 {
			if [3]byte(on.Pix[j+1:j+4]) != Light {
				t.Fatal("colour")
			}
		}
	}
	if !bytes.Equal(Draw("whatever", Dark)[0].Pix, Draw(Idle, Dark)[0].Pix) {
		t.Error("an unknown state is not drawn as idle")
	}
}
