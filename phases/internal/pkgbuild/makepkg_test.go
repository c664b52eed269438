package pkgbuild

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/internal/makepkg"
	"github.com/imrightguy/slipway/phases/internal/tool"
)

// printAll asks the functions of makepkg's own library for the faults and the .SRCINFO of
// the PKGBUILD in each folder, each followed by NUL. makepkg itself takes over a second for
// one, nearly all of it to search the text of package() for assignments, once for each key
// that there is. Here that is done once, for all keys; where there is one, it is a fault.
const printAll = `
shopt -s extglob
for lib in /usr/share/makepkg/*.sh; do source "$lib"; done
extract_function_variable() { return 1; }
IGNOREARCH=1 CARCH=x86_64 startdir=$PWD
for dir in */; do (
	cd "$dir" && source ./PKGBUILD && pkgbase=${pkgbase:-$pkgname} BUILDFILE=$PWD/PKGBUILD
	declare -f package | grep -E '^[[:space:]]* [a-z0-9_]+\+?='
	lint_pkgbuild 2>&1; printf '\0'
	write_srcinfo_content; printf '\0'
); done`

// TestMakepkg_Library compares our .SRCINFO with that of makepkg's library, byte for byte,
// over the fixed models and random ones, and has makepkg's own linter look at each.
func TestMakepkg_Library(t *testing.T) {
	t.Parallel()
	rng := seeded(t)
	models := slices.Collect(maps.Values(variants()))
	for range 16 {
		models = append(models, randomModel(rng))
	}
	dir, want := t.TempDir(), []string{}
	for i, m := range models {
		want = append(want, lay(t, filepath.Join(dir, fmt.Sprintf("%03d", i)), m))
	}
	r, err := makepkg.Script(t.Context(), makepkg.Options{Dir: dir}, printAll)
	must(t, err)
	said := strings.Split(r.Stdout, "\x00")
	if len(said) != 2*len(models)+1 {
		t.Fatalf("%d answers for %d models: %s", len(said), len(models), r.Output)
	}
	for i := range models {
		if said[2*i] != "" {
			t.Errorf("makepkg's linter: %s", said[2*i])
		}
		if said[2*i+1] != want[i] {
			t.Errorf("makepkg has\n%s\nwe have\n%s", said[2*i+1], want[i])
		}
	}
}

// lay writes the files of a model's repository and answers with the .SRCINFO.
func lay(t *testing.T, dir string, m *Model) string {
	t.Helper()
	must(t, os.MkdirAll(dir, 0o755))
	files := repository(t, m)
	for name, text := range files {
		must(t, os.WriteFile(filepath.Join(dir, name), text, 0o644))
	}
	return string(files[".SRCINFO"])
}

// TestFold compares with makepkg's folding of values that no model may hold.
func TestFold(t *testing.T) {
	t.Parallel()
	values := []string{"a\nb", "\n\n a \t\v\f b\n", "a", "", " ", "\u00a0a\u00a0", "a  b   c", "\x01 \x01"}
	var script strings.Builder
	script.WriteString("shopt -s extglob\nsource /usr/share/makepkg/srcinfo.sh\n")
	for _, v := range values {
		script.WriteString("srcinfo_write_attr key " + Quote(v) + "; printf '\\0'\n")
	}
	r, err := makepkg.Script(t.Context(), makepkg.Options{Dir: t.TempDir()}, script.String())
	must(t, err)
	for i, said := range strings.Split(strings.TrimSuffix(r.Stdout, "\x00"), "\x00") {
		if want := "\tkey = " + Fold(values[i]) + "\n"; said != want {
			t.Errorf("makepkg makes %q of %q, we make %q", said, values[i], want)
		}
	}
}

// file is an entry of an archive made for a test.
type file struct {
	name, text string
	mode       int64
}

// targz packs files, the same bytes each time.
func targz(t *testing.T, files ...file) []byte {
	t.Helper()
	var buf bytes.Buffer
	zw := gzip.NewWriter(&buf)
	tw := tar.NewWriter(zw)
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Size: int64(len(f.text))}
		if strings.HasSuffix(f.name, "/") {
			h.Typeflag = tar.TypeDir
		}
		must(t, tw.WriteHeader(h))
		_, err := tw.Write([]byte(f.text))
		must(t, err)
	}
	must(t, errors.Join(tw.Close(), zw.Close()))
	return buf.Bytes()
}

// ar packs the members of a Debian package.
func ar(members ...file) []byte {
	var buf bytes.Buffer
	buf.WriteString("!<arch>\n")
	for _, m := range members {
		fmt.Fprintf(&buf, "%-16s%-12d%-6d%-6d%-8o%-10d`\n%s", m.name, 0, 0, 0, 0o100644, len(m.text), m.text)
		if len(m.text)%2 == 1 {
			buf.WriteByte('\n')
		}
	}
	return buf.Bytes()
}

// under puts a folder before the name of each file.
func under(dir string, files []file) []file {
	moved := []file{{dir, "", 0o755}}
	for _, f := range files {
		moved = append(moved, file{dir + f.name, f.text, f.mode})
	}
	return moved
}

// TestMakepkg_Build lays payloads of every form into SRCDEST and has the real makepkg
// build the printed PKGBUILD, then pacman install and remove the package.
func TestMakepkg_Build(t *testing.T) {
	t.Parallel()
	tree := []file{
		{"bin/cloudtolocalllm", "#!/bin/sh\n", 0o755},
		{"share/doc/cloudtolocalllm/LICENSE", "MIT\n", 0o644},
		{"share/doc/cloudtolocalllm/copyright", "MIT\n", 0o644},
		{"share/lintian/overrides/x", "", 0o644},
	}
	deb := func() []byte {
		data := targz(t, under("./", []file{{"usr/bin/cloudtolocalllm", "#!/bin/sh\n", 0o755}, {"usr/share/doc/cloudtolocalllm/copyright", "MIT\n", 0o644}, {"usr/share/lintian/x", "", 0o644}})...)
		control := targz(t, file{"control", "Package: x\n", 0o644})
		return ar(file{"debian-binary", "2.0\n", 0}, file{"control.tar.gz", string(control), 0}, file{"data.tar.gz", string(data), 0})
	}
	for name, c := range map[string]struct {
		payload []byte
		arch    string
		want    []string // files of the package, folders left out
		refused string   // or what makepkg says
	}{
		"tarball": {
			payload: targz(t, under("cloudtolocalllm-3.2.1-x86_64/", tree)...),
			want: []string{
				"usr/bin/cloudtolocalllm", "usr/share/doc/cloudtolocalllm/LICENSE", "usr/share/doc/cloudtolocalllm/copyright",
				"usr/share/licenses/cloudtolocalllm-bin/LICENSE", "usr/share/lintian/overrides/x",
			},
		},
		// A real release failed in this way (failure 9): the archive had no top folder.
		"tarball, flat": {payload: targz(t, tree...), refused: "cloudtolocalllm-3.2.1-x86_64: Not found in archive"},
		"rollback": {
			payload: targz(t, under("cloudtolocalllm-3.2.0-x86_64/", tree)...),
			want: []string{
				"usr/bin/cloudtolocalllm", "usr/share/doc/cloudtolocalllm/LICENSE", "usr/share/doc/cloudtolocalllm/copyright",
				"usr/share/licenses/cloudtolocalllm-bin/LICENSE", "usr/share/lintian/overrides/x",
			},
		},
		"two-architectures": {
			arch:    "aarch64",
			payload: targz(t, under("cloudtolocalllm-3.2.1-aarch64/", tree[:1])...),
			want:    []string{"usr/bin/cloudtolocalllm"},
		},
		"deb": {
			payload: deb(),
			want: []string{
				"usr/bin/cloudtolocalllm", "usr/share/doc/cloudtolocalllm/copyright", "usr/share/licenses/cloudtolocalllm-bin/copyright",
			},
		},
		"appimage": {
			payload: []byte("\x7fELF\x02\x01\x01\x00AI\x02"),
			want: []string{
				"opt/cloudtolocalllm/cloudtolocalllm.AppImage", "usr/bin/cloudtolocalllm", "usr/share/licenses/cloudtolocalllm-bin/COPYING",
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			form, _, _ := strings.Cut(name, ",")
			m := forms()[form]
			downloads := t.TempDir()
			for i, s := range m.Sources {
				data := c.payload
				if len(s.URL) == 0 {
					data = localSource
				}
				m.Sources[i].SHA256 = fmt.Sprintf("%x", sha256.Sum256(data))
				if len(s.URL) > 0 && (c.arch == "" || s.Arch == c.arch) {
					must(t, os.WriteFile(filepath.Join(downloads, m.expand(s.Name, s.Arch)), data, 0o644))
				}
			}
			dir := t.TempDir()
			lay(t, dir, m)
			r, err := makepkg.Build(t.Context(), makepkg.Options{Dir: dir, SrcDest: downloads, PkgDest: t.TempDir(), Arch: c.arch})
			if exit := (*tool.ExitError)(nil); c.refused != "" && errors.As(err, &exit) && strings.Contains(exit.Tail, c.refused) {
				return
			}
			must(t, err)
			if c.refused != "" {
				t.Fatalf("makepkg builds it")
			}
			arch := "x86_64"
			if c.arch != "" {
				arch = c.arch
			}
			if got, want := filepath.Base(r.Packages[0]), m.PkgName+"-"+m.Version()+"-"+arch+".pkg.tar.zst"; got != want {
				t.Errorf("package %s, want %s", got, want)
			}
			report, err := makepkg.InstallRemove(t.Context(), r.Packages[0])
			must(t, err)
			got := slices.DeleteFunc(report.Files, func(f string) bool { return strings.HasSuffix(f, "/") })
			if !slices.Equal(got, c.want) {
				t.Errorf("files %q, want %q", got, c.want)
			}
			if !report.Clean() || report.Version != m.Version() {
				t.Errorf("report %+v", report)
			}
		})
	}
}

// localSource is the content of a source that lies beside the PKGBUILD.
var localSource = []byte("0BSD\n")

// repository makes the files of a model's AUR repository.
func repository(t testing.TB, m *Model) map[string][]byte {
	t.Helper()
	p, s := print(t, m)
	files := map[string][]byte{"PKGBUILD": []byte(p), ".SRCINFO": []byte(s), "LICENSE": []byte("0BSD\n")}
	if m.Install != "" {
		files[m.Install] = []byte("post_install() {\n\t:\n}\n")
	}
	for _, source := range m.Sources {
		if len(source.URL) == 0 {
			files[m.expand(source.Name, source.Arch)] = localSource
		}
	}
	return files
}

// TestActionModes keeps the two ways of writing a mode together.
func TestActionModes(t *testing.T) {
	a := InstallFile{Source: Plain("x"), To: "/y", Mode: fs.FileMode(0o644)}
	if got, want := a.commands(&Model{Arch: []string{"any"}})[0], `install -Dm644 "${srcdir}/x" "${pkgdir}/y"`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
