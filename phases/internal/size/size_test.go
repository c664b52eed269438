package size

import "testing"

func TestParse(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]Bytes{
		"0": 0, "7": 7, "7B": 7, "120MB": 120e6, "120 MB": 120e6, "1.5MB": 15e5, "64KiB": 65536, "2GiB": 2 << 30, "1kB": 1000, "34.65MB": 34650e3,
	} {
		if got, err := Parse(text); err != nil || got != want {
			t.Errorf("%q: got %d, %v", text, got, err)
		}
		var b Bytes
		if err := b.UnmarshalYAML([]byte(`"` + text + `"`)); err != nil || b != want {
			t.Errorf("%q in quotes: got %d, %v", text, b, err)
		}
		if back, err := Parse(want.String()); err != nil || back != want {
			t.Errorf("%s is not read as it was written: %d, %v", want, back, err)
		}
	}
	for _, text := range []string{"", "MB", "-1", "1e6", "1.5", "1.5B", "0x10", "120mb", "12TB", "999999999999999GiB", "1 2MB", "120MB\n"} {
		if got, err := Parse(text); err == nil {
			t.Errorf("%q: got %d, want an error", text, got)
		}
	}
}

func TestBand(t *testing.T) {
	t.Parallel()
	b := Band{Min: 120e6, Max: 130e6}
	for n, want := range map[int64]bool{119_999_999: false, 120e6: true, 130e6: true, 130_000_001: false} {
		if b.Contains(n) != want {
			t.Errorf("%d: want %v", n, want)
		}
	}
	if b.String() != "120MB to 130MB" || (Band{Min: 5}).String() != "at least 5" || (Band{Max: 5}).String() != "at most 5" {
		t.Errorf("got %s", b)
	}
	if (Band{Min: 2, Max: 1}).Validate() == nil || b.Validate() != nil || !(Band{Min: 5}).Contains(1<<60) {
		t.Error("wrong")
	}
}

func FuzzParse(f *testing.F) {
	f.Add("1.5MB")
	f.Add("999999999999999GiB")
	f.Fuzz(func(t *testing.T, s string) {
		b, err := Parse(s)
		if err != nil {
			return
		}
		if back, err := Parse(b.String()); b < 0 || err != nil || back != b {
			t.Errorf("%q: %d, then %d, %v", s, b, back, err)
		}
	})
}
