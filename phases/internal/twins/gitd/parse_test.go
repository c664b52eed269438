package gitd

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/iotest"
)

func FuzzParseFaults(f *testing.F) {
	f.Add("receive-pack name #1: cut though done")
	f.Add("upload-pack o/* #1-3: cut after 10 bytes\nconnect ** #2+: host key changed")
	f.Add("* **: declined a: b")
	f.Add("receive-pack x: delay 1.5s")
	f.Fuzz(func(t *testing.T, plan string) {
		list, err := ParseFaults(plan)
		if err != nil {
			return
		}
		for _, fault := range list {
			again, err := ParseFault(fault.String())
			if err != nil || again != fault {
				t.Fatalf("%q became %q (%v)", fault, again, err)
			}
		}
	})
}

func TestSplitWords(t *testing.T) {
	for in, want := range map[string][]string{
		"":                          nil,
		"git-receive-pack '/a.git'": {"git-receive-pack", "/a.git"},
		`x 'it'\''s' 'a'\!'b'`:      {"x", "it's", "a!b"},
		`x "a\"b\$c\d" e\ f ''`:     {"x", `a"b$c\d`, "e f", ""},
		"  a\tb\nc  ":               {"a", "b", "c"},
		"a $(id) `id` ; x > y":      {"a", "$(id)", "`id`", ";", "x", ">", "y"},
	} {
		if got, err := splitWords(in); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{"'", `"`, `"\"`, `\`, "a\x00b", `a 'b`} {
		if got, err := splitWords(in); err == nil {
			t.Errorf("%q was read as %q", in, got)
		}
	}
}

// FuzzSplitWords quotes words as git does (sq_quote_buf of quote.c) and reads them again.
func FuzzSplitWords(f *testing.F) {
	f.Add("git-receive-pack", "/it's!/a.git")
	f.Add(`"\`, "")
	f.Fuzz(func(t *testing.T, a, b string) {
		_, _ = splitWords(a)
		if strings.ContainsRune(a+b, 0) {
			return
		}
		quote := func(s string) string {
			return "'" + strings.NewReplacer("'", `'\''`, "!", `'\!'`).Replace(s) + "'"
		}
		got, err := splitWords(quote(a) + " " + quote(b))
		if err != nil || !slices.Equal(got, []string{a, b}) {
			t.Fatalf("%q, %q became %q, %v", a, b, got, err)
		}
	})
}

func FuzzClean(f *testing.F) {
	for _, s := range []string{"/o/r.git/", "../x", "a/../../b", "a\x00b", "'", "-x", ".git", "a.git.git", "o/r.git/objects", "a//b", "~/x"} {
		f.Add(s)
	}
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, path string) {
		name := clean(path)
		if name == "" {
			return
		}
		if strings.ContainsAny(name, "\x00\n'\"\\$`;~ ") || strings.HasPrefix(name, "-") || strings.Contains(name, "/-") || clean(name) != name {
			t.Fatalf("%q became %q", path, name)
		}
		rel, err := filepath.Rel(dir, folder(dir, name))
		if err != nil || !filepath.IsLocal(rel) || rel != name+".git" {
			t.Fatalf("%q lies at %q", path, rel)
		}
	})
}

func pkt(s string) string { return fmt.Sprintf("%04x%s", len(s)+4, s) }

func TestReportGate(t *testing.T) {
	advert := pkt("abc refs/heads/x\x00report-status\n") + "0000"
	for name, c := range map[string]struct {
		advert        bool
		before, after string // what has left when the report comes, and all that follows
	}{
		"sideband":            {true, advert + pkt("\x02remote text"), pkt("\x01000eunpack ok\n0000") + "0000"},
		"no sideband":         {true, advert, pkt("unpack ok\n") + pkt("ok refs/heads/x\n") + "0000"},
		"second request":      {false, "", pkt("\x01000eunpack ok\n") + "0000"},
		"messages, keepalive": {false, pkt("\x02") + pkt("\x02unpack 1"), pkt("\x01x")},
	} {
		for _, chunked := range []bool{false, true} {
			var out bytes.Buffer
			reported := -1
			g := &reportGate{w: &out, advert: c.advert, report: func() {
				if reported < 0 {
					reported = out.Len()
				}
			}}
			var in io.Reader = strings.NewReader(c.before + c.after)
			if chunked {
				in = iotest.OneByteReader(in)
			}
			if _, err := io.Copy(g, in); err != nil {
				t.Fatal(err)
			}
			if out.String() != c.before+c.after || reported != len(c.before) {
				t.Errorf("%s: %d, %q", name, reported, out.String())
			}
		}
	}
}

// FuzzReportGate: whatever git says, complete packet lines pass unchanged and in order.
func FuzzReportGate(f *testing.F) {
	f.Add(pkt("a")+"0000"+pkt("\x01x"), true, 3)
	f.Add("zzzzjunk", false, 1)
	f.Fuzz(func(t *testing.T, text string, advert bool, step int) {
		var out bytes.Buffer
		g := &reportGate{w: &out, advert: advert, report: func() {}}
		step = max(1, step%64)
		for rest := []byte(text); len(rest) > 0; rest = rest[min(step, len(rest)):] {
			if n, err := g.Write(rest[:min(step, len(rest))]); err != nil || n != min(step, len(rest)) {
				t.Fatal(n, err)
			}
		}
		if out.String()+string(g.held) != text {
			t.Fatalf("%q became %q and %q", text, out.String(), g.held)
		}
	})
}

func TestPackReader(t *testing.T) {
	commands := pkt("old new refs/heads/x\x00caps") + pkt("old new refs/heads/y") + "0000"
	for n := range 6 {
		for _, chunked := range []bool{false, true} {
			var in io.Reader = strings.NewReader(commands + "PACKabc")
			if chunked {
				in = iotest.OneByteReader(in)
			} else {
				in = iotest.DataErrReader(in) // as the body of a request
			}
			cut := false
			got, err := io.ReadAll(&packReader{r: in, left: int64(n), cut: func() { cut = true }})
			if string(got) != commands+"PACKabc"[:n] || err == nil || !cut {
				t.Errorf("%d: %q, %v", n, got, err)
			}
		}
	}
}

// FuzzPackReader: at most the bytes of the pack that were allowed get through, and the rest unchanged.
func FuzzPackReader(f *testing.F) {
	f.Add(pkt("x")+"0000PACK", int64(2))
	f.Add("000", int64(0))
	f.Fuzz(func(t *testing.T, text string, left int64) {
		left = max(0, left%1000)
		got, _ := io.ReadAll(&packReader{r: strings.NewReader(text), left: left, cut: func() {}})
		if !strings.HasPrefix(text, string(got)) {
			t.Fatalf("%q became %q", text, got)
		}
		if i := strings.Index(text, "0000"); i == 0 && int64(len(got)) > 4+left {
			t.Fatalf("%d bytes of %q", len(got), text)
		}
	})
}

func FuzzReadQuestion(f *testing.F) {
	f.Add("update\nrefs/heads/x\na\nb\n")
	f.Add("transaction\nprepared\na b refs/heads/x\n.\n")
	f.Fuzz(func(t *testing.T, text string) {
		q, err := readQuestion(bufio.NewReader(strings.NewReader(text)))
		if err == nil && strings.ContainsRune(q.ref+q.old+q.new+q.state, '\n') {
			t.Fatalf("%q became %+v", text, q)
		}
	})
}

// TestHookScripts hands every sort of name to the script: it comes back as it was, and nothing runs.
func TestHookScripts(t *testing.T) {
	dir, err := writeHooks(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, ref := range []string{"refs/heads/x", "$(id)", "`id`", "'; id; '", `\n\t\\`, "%s%n", "-n", "*", "", "  a  b ", "é\xff"} {
		for _, yes := range []bool{true, false} {
			cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "update"), ref, "old", "new")
			var said bytes.Buffer
			cmd.Stderr = &said
			var got question
			p, err := newHookPipes(cmd, func(q question) bool {
				got = q
				q.messages.say("text \\n %s " + ref)
				return yes
			})
			if err != nil {
				t.Fatal(err)
			}
			err = cmd.Start()
			p.started()
			if err == nil {
				err = cmd.Wait()
			}
			p.finish()
			if got.ref != ref || got.old != "old" || got.new != "new" || (err == nil) != yes || said.String() != "text \\n %s "+ref+"\n" {
				t.Errorf("%q: %+v, %v, %q", ref, got, err, said.String())
			}
		}
	}
}
