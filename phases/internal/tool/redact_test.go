package tool

import (
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// TestTail writes in pieces of all sizes and compares with the end of the whole.
func TestTail(t *testing.T) {
	t.Parallel()
	rng := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		tl, all := &tail{}, ""
		for len(all) < rng.IntN(5*keep) {
			piece := strings.Repeat(string(rune('a'+rng.IntN(26))), rng.IntN(keep*3/2))
			if rng.IntN(3) == 0 {
				piece += "\n"
			}
			if n, err := tl.Write([]byte(piece)); n != len(piece) || err != nil {
				t.Fatal(n, err)
			}
			all += piece
		}
		got := tl.text(10)
		if !strings.HasSuffix(all, got) || len(got) > keep {
			t.Fatalf("%d bytes are not the end of %d", len(got), len(all))
		}
		if len(all) <= keep && got != all {
			t.Fatalf("lost %d of %d bytes", len(all)-len(got), len(all))
		}
	}
}

// TestTail_SecretAtTheCut: the output is cut in the middle of a secret, of which no part is shown.
func TestTail_SecretAtTheCut(t *testing.T) {
	t.Parallel()
	secret := strings.Repeat("s3cret", 40)
	for cut := 0; cut < len(secret); cut += 7 {
		tl := &tail{}
		rest := strings.Repeat(".", keep-len(secret)+cut)
		if _, err := tl.Write([]byte(strings.Repeat("x", 3*keep) + secret + rest)); err != nil {
			t.Fatal(err)
		}
		r := NewRedactor(secret)
		if got := r.Text(tl.text(r.longest)); strings.Contains(got, "s3cret") {
			t.Fatalf("cut at %d shows part of it: %.300q", cut, got)
		}
	}
}

// FuzzRedact: whatever stands around it, a known secret does not come through.
func FuzzRedact(f *testing.F) {
	f.Add("say ", "hunter22", " again")
	f.Add("https://a:", "p@ss/word", "@host/")
	f.Add(Blot, "[hidden]x", Blot)
	f.Add("Authorization: Basic ", "abcdefgh", "")
	f.Add("\xcd", "\xa9000000", "0") // together one letter and zeros
	f.Fuzz(func(t *testing.T, before, secret, after string) {
		if len(secret) < shortest || strings.Contains(Blot, secret) || strings.Contains(secret, Blot) {
			t.Skip()
		}
		r := NewRedactor(secret)
		got := r.Text(before + secret + after)
		for piece := range strings.SplitSeq(got, Blot) { // what blots and their surroundings happen to spell is no secret
			if strings.Contains(piece, secret) {
				t.Errorf("%q with secret %q gave %q", before+secret+after, secret, got)
			}
		}
		if utf8.ValidString(before+secret+after) && !utf8.ValidString(got) {
			t.Errorf("%q is no longer UTF-8", got)
		}
	})
}
