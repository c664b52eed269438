package pkgbuild

import (
	"bufio"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
)

// seeded gives random numbers of a fresh seed, which it prints, or of SLIPWAY_SEED.
func seeded(t *testing.T) *rand.Rand {
	t.Helper()
	seed := uint64(time.Now().UnixNano())
	if s := os.Getenv("SLIPWAY_SEED"); s != "" {
		_, err := fmt.Sscan(s, &seed)
		must(t, err)
	}
	t.Logf("SLIPWAY_SEED=%d", seed)
	return rand.New(rand.NewPCG(seed, 0))
}

// findBash answers with the path of bash.
func findBash(t testing.TB) string {
	t.Helper()
	path, err := exec.LookPath("bash")
	if err != nil {
		must(t, &makepkg.MissingError{Tool: "bash", Package: "bash"})
	}
	return path
}

// sourceAll sources each file it is given in a shell of its own and tells, each followed
// by NUL: C and every command that ran meanwhile, F and every function there is
// afterwards, A or S and the name of every variable that is new, E and each of its
// elements, and X at the end.
const sourceAll = `
exec 3>&1 # a command substitution has another standard output
for file in "$@"; do (
	before=" $(compgen -A variable | tr '\n' ' ') file before name value "
	set -o functrace
	trap 'printf "C%s\0" "$BASH_COMMAND" >&3' DEBUG
	. "$file"
	trap - DEBUG
	while read -r _ _ name; do printf 'F%s\0' "$name"; done < <(declare -F)
	for name in $(compgen -A variable); do
		[[ $before == *" $name "* ]] && continue
		[[ $name == BASH_* || $name == _ || $name == FUNCNAME || $name == PIPESTATUS ]] && continue
		case $(declare -p "$name") in 'declare -a'*) printf 'A%s\0' "$name";; *) printf 'S%s\0' "$name";; esac
		declare -n value=$name
		printf 'E%s\0' "${value[@]}"
		declare +n value
		unset value
	done
	printf 'X\0'
); done`

// bashSources runs bash over files with an empty environment in a folder of its own, and
// answers with what sourceAll tells of each file.
func bashSources(t *testing.T, dir string, files []string) [][]string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), findBash(t), append([]string{"--norc", "--noprofile", "-c", sourceAll, "bash"}, files...)...)
	cmd.Dir, cmd.Env = dir, []string{"PATH=/usr/bin:/bin", "HOME=" + dir, "LC_ALL=C.UTF-8"}
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || stderr.Len() > 0 {
		t.Fatalf("bash: %v: %s", err, &stderr)
	}
	var told [][]string
	var one []string
	for item := range strings.SplitSeq(strings.TrimSuffix(string(out), "\x00"), "\x00") {
		if item == "X" {
			told, one = append(told, one), nil
			continue
		}
		one = append(one, item)
	}
	if len(told) != len(files) {
		t.Fatalf("bash told of %d files, not of %d", len(told), len(files))
	}
	return told
}

// TestBash_NothingRuns is the promise of the grammar: whatever a valid model holds, bash
// gets exactly those values from the PKGBUILD and runs nothing but assignments.
func TestBash_NothingRuns(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	dir, models := t.TempDir(), slices.Collect(maps.Values(variants()))
	for range 260 {
		models = append(models, randomModel(rng))
	}
	var files []string
	for i, m := range models {
		p, _ := print(t, m)
		files = append(files, fmt.Sprintf("%d.PKGBUILD", i))
		must(t, os.WriteFile(filepath.Join(dir, files[i]), []byte(p), 0o644))
	}
	assignment := regexp.MustCompile(`^[a-z0-9_]+=`)
	for i, told := range bashSources(t, dir, files) {
		want := map[string][]string{"pkgname": {models[i].PkgName}}
		maps.Copy(want, models[i].unchecked().Base)
		if b := models[i].PkgBase; b != "" && b != models[i].PkgName {
			want["pkgbase"] = []string{b}
		}
		got, name := map[string][]string{}, ""
		for _, item := range told {
			kind, text := item[0], item[1:]
			switch kind {
			case 'C':
				if !assignment.MatchString(text) && !strings.HasPrefix(text, `. "$file"`) && text != "trap - DEBUG" {
					t.Errorf("bash ran %q", text)
				}
			case 'F':
				if text != "package" {
					t.Errorf("there is a function %q", text)
				}
			case 'A', 'S':
				name = text
				if array := slices.Contains(arrayKeys, plainKey(text)); array != (kind == 'A') {
					t.Errorf("%s is of kind %c", text, kind)
				}
			case 'E':
				got[name] = append(got[name], text)
			}
		}
		if !maps.EqualFunc(got, want, slices.Equal[[]string]) {
			t.Fatalf("bash has\n%q\nwant\n%q", got, want)
		}
	}
	entries, err := os.ReadDir(dir)
	must(t, err)
	if len(entries) != len(files) {
		t.Errorf("there are %d files, want %d: something was written", len(entries), len(files))
	}
}

// TestBash_Canary proves that the test above would see a value that runs.
func TestBash_Canary(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	must(t, os.WriteFile(filepath.Join(dir, "bad"), []byte("pkgdesc=\"$(touch canary)\"\n"), 0o644))
	told := bashSources(t, dir, []string{"bad"})
	if !slices.Contains(told[0], "Ctouch canary") {
		t.Errorf("told %q", told)
	}
	if _, err := os.Stat(filepath.Join(dir, "canary")); err != nil {
		t.Error(err)
	}
}

// evaluator is a bash that evaluates one quoted word after the other.
type evaluator struct {
	in  io.WriteCloser
	out *bufio.Reader
}

func newEvaluator(t testing.TB) *evaluator {
	t.Helper()
	cmd := exec.Command(findBash(t), "--norc", "--noprofile", "-c",
		`while IFS= read -r -d '' word; do eval "v=$word"; printf '%s\0' "$v"; eval "v=($word)"; printf '%s %s\0' "${#v[@]}" "${v[0]}"; done`)
	cmd.Dir, cmd.Env = t.TempDir(), []string{"LC_ALL=C.UTF-8"}
	in, err := cmd.StdinPipe()
	must(t, err)
	out, err := cmd.StdoutPipe()
	must(t, err)
	must(t, cmd.Start())
	t.Cleanup(func() {
		must(t, in.Close())
		must(t, cmd.Wait())
	})
	return &evaluator{in, bufio.NewReader(out)}
}

// check quotes s and asks bash what it reads, as a scalar and as an element of an array.
func (e *evaluator) check(t testing.TB, s string) {
	t.Helper()
	_, err := e.in.Write([]byte(Quote(s) + "\x00"))
	must(t, err)
	for _, want := range []string{s, "1 " + s} {
		got, err := e.out.ReadString(0)
		must(t, err)
		if got != want+"\x00" {
			t.Fatalf("bash reads %q from %s, want %q", got, Quote(s), want)
		}
	}
}

func TestQuote(t *testing.T) {
	if got, want := Quote("it's"), `'it'"'"'s'`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	e := newEvaluator(t)
	for _, s := range append([]string{"", "\n", "a\nb\n", "\x01", "\xff"}, hostile...) {
		e.check(t, s)
	}
}
