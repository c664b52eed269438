//go:build unix

package build

import (
	"archive/tar"
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// planted is a step that makes what another run made, with a fault in it.
type planted struct {
	pipeline.Step
	good  *project
	fault func(name string, b []byte) []byte
}

func (s planted) Run(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	for _, name := range s.Spec().Outputs {
		b, err := os.ReadFile(s.good.path(name))
		if err != nil {
			return nil, err
		}
		path, err := ws.Create(pipeline.Artifact{Name: name})
		if err == nil {
			err = os.WriteFile(path, s.fault(name, b), 0o644)
		}
		if err != nil {
			return nil, err
		}
	}
	return nil, nil
}

// faulty is the phase with one step planted.
type faulty struct {
	pipeline.Phase
	id    string
	good  *project
	fault func(name string, b []byte) []byte
}

func (f faulty) Plan(ctx context.Context, env *pipeline.Env) ([]pipeline.Step, error) {
	steps, err := f.Phase.Plan(ctx, env)
	for i, s := range steps {
		if s.Spec().ID == f.id {
			steps[i] = planted{s, f.good, f.fault}
		}
	}
	return steps, err
}

// retar unpacks an archive, has each entry edited, and packs it again; more is added at the end.
func retar(t *testing.T, b []byte, edit func(h *tar.Header, body []byte) (*tar.Header, []byte), more ...tar.Header) []byte {
	t.Helper()
	zr, err := gzip.NewReader(bytes.NewReader(b))
	must(t, err)
	var out bytes.Buffer
	zw := gzip.NewWriter(&out)
	tr, tw := tar.NewReader(zr), tar.NewWriter(zw)
	write := func(h *tar.Header, body []byte) {
		if h.Typeflag == tar.TypeReg {
			h.Size = int64(len(body))
		}
		must(t, tw.WriteHeader(h))
		_, err := tw.Write(body)
		must(t, err)
	}
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		must(t, err)
		body, err := io.ReadAll(tr)
		must(t, err)
		if h, body = edit(h, body); h != nil {
			write(h, body)
		}
	}
	for _, h := range more {
		write(&h, nil)
	}
	must(t, errors.Join(tw.Close(), zw.Close()))
	return out.Bytes()
}

// redeb has the members of a Debian package edited.
func redeb(t *testing.T, b []byte, edit func(name string, data []byte) []byte) []byte {
	t.Helper()
	out := []byte("!<arch>\n")
	for rest := b[8:]; len(rest) > 0; {
		name := strings.TrimRight(string(rest[:16]), " /")
		var size int
		_, err := fmt.Sscan(string(rest[48:58]), &size)
		must(t, err)
		data := edit(name, rest[60:60+size])
		out = append(out, rest[:48]...)
		out = append(out, fmt.Sprintf("%-10d`\n", len(data))...)
		out = append(out, data...)
		if len(data)%2 == 1 {
			out = append(out, '\n')
		}
		rest = rest[min(len(rest), 60+size+size%2):]
	}
	return out
}

// TestFaults plants one fault after the other in a finished package: the gate fails for that reason, and for no other.
func TestFaults(t *testing.T) {
	t.Parallel()
	good := newProject(t, prebuiltConfig(), sourceFiles)
	_, err := good.run(t.Context())
	must(t, err)
	entry := func(name string, edit func(h *tar.Header, body []byte) (*tar.Header, []byte)) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			return retar(t, b, func(h *tar.Header, body []byte) (*tar.Header, []byte) {
				if strings.HasSuffix(h.Name, name) {
					return edit(h, body)
				}
				return h, body
			})
		}
	}
	more := func(headers ...tar.Header) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			return retar(t, b, func(h *tar.Header, body []byte) (*tar.Header, []byte) { return h, body }, headers...)
		}
	}
	data := func(edit func(*testing.T, []byte) []byte) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			return redeb(t, b, func(name string, d []byte) []byte {
				if name == "data.tar.gz" {
					return edit(t, d)
				}
				return d
			})
		}
	}
	control := func(edit func(*testing.T, []byte) []byte) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			return redeb(t, b, func(name string, d []byte) []byte {
				if name == "control.tar.gz" {
					return edit(t, d)
				}
				return d
			})
		}
	}
	replace := func(old, text string) func(*testing.T, []byte) []byte {
		return func(t *testing.T, b []byte) []byte {
			if !bytes.Contains(b, []byte(old)) {
				t.Fatalf("%q is not there", old)
			}
			return bytes.Replace(b, []byte(old), []byte(text), 1)
		}
	}
	field := func(old, text string) func(*testing.T, []byte) []byte {
		return control(entry("control", func(h *tar.Header, body []byte) (*tar.Header, []byte) { return h, replace(old, text)(t, body) }))
	}
	drop := func(*tar.Header, []byte) (*tar.Header, []byte) { return nil, nil }
	const (
		tarball, tarballFile = "build/tarball/demo/amd64", "demo-1.2.3-x86_64.tar.gz"
		debian, debianFile   = "build/deb/demo/amd64", "demo_1.2.3_amd64.deb"
		sums                 = "build/checksums"
		arch                 = "build/aur/demo-bin"
		top                  = "demo-1.2.3-x86_64/"
	)
	for _, c := range []struct {
		name, step, file, check, want string
		fault                         func(*testing.T, []byte) []byte
	}{
		{"none", tarball, tarballFile, "", "", func(_ *testing.T, b []byte) []byte { return b }},
		{"packed in another way", tarball, tarballFile, "", "", more()},
		{"one byte", tarball, tarballFile, "contents", `"demo-1.2.3-x86_64/bin/demo": SHA-256 `, entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { b[0] ^= 1; return h, b })},
		{"longer", tarball, tarballFile, "contents", `README.md": size 8, want 7`, entry("README.md", func(h *tar.Header, b []byte) (*tar.Header, []byte) { return h, append(b, 'x') })},
		{"mode", tarball, tarballFile, "contents", `bin/demo": mode 0644, want 0755`, entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.Mode = 0o644; return h, b })},
		{"setuid", tarball, tarballFile, "contents", `bin/demo": mode 4755, want 0755`, entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.Mode = 0o4755; return h, b })},
		{"owner", tarball, tarballFile, "contents", `bin/demo": owner 1000/100, want 0/0`, entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.Uid, h.Gid = 1000, 100; return h, b })},
		{"time", tarball, tarballFile, "contents", `LICENSE": time 2026-11-21T20:31:40Z, want 2026-11-21T20:30:40Z`, entry("LICENSE", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.ModTime = h.ModTime.Add(60e9); return h, b })},
		{"missing", tarball, tarballFile, "contents", `bin/demo" is missing`, entry("bin/demo", drop)},
		{"everything missing", tarball, tarballFile, "contents", `and 7 more of 12 differences`, entry("", func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			if h.Name != top {
				return nil, nil
			}
			return h, b
		})},
		{"extra", tarball, tarballFile, "contents", `"demo-1.2.3-x86_64/bin/settings" is not expected`, more(tar.Header{Name: top + "bin/settings", Typeflag: tar.TypeReg})},
		{"beside the folder", tarball, tarballFile, "contents", `"stray" is not expected`, more(tar.Header{Name: "stray", Typeflag: tar.TypeReg})},
		{"another folder", tarball, tarballFile, "contents", `"demo-1.2.3-x86_64" is missing`, entry("", func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			h.Name = strings.Replace(h.Name, "1.2.3", "1.2.4", 1)
			return h, b
		})},
		{"a link for a file", tarball, tarballFile, "contents", `README.md": it is a link, want file`, entry("README.md", func(h *tar.Header, b []byte) (*tar.Header, []byte) {
			h.Typeflag, h.Linkname, h.Size, h.Mode = tar.TypeSymlink, "../../../bin/demo", 0, 0o777
			return h, nil
		})},
		{"dotdot", tarball, tarballFile, "contents", "not a clean relative path", more(tar.Header{Name: top + "../../etc/x", Typeflag: tar.TypeReg})},
		{"a link out", tarball, tarballFile, "contents", "which is outside", more(tar.Header{Name: top + "l", Linkname: "../../x", Typeflag: tar.TypeSymlink})},
		{"a device", tarball, tarballFile, "contents", "neither file, folder nor symbolic link", more(tar.Header{Name: top + "l", Typeflag: tar.TypeChar})},
		{"cut", tarball, tarballFile, "contents", "it is damaged", func(_ *testing.T, b []byte) []byte { return b[:len(b)-8] }},
		{"more after it", tarball, tarballFile, "contents", "it is damaged", func(_ *testing.T, b []byte) []byte { return append(b, "more"...) }},
		{"nothing", tarball, tarballFile, "contents", "it is damaged", func(*testing.T, []byte) []byte { return []byte{0} }},
		{"a page of the host", tarball, tarballFile, "contents", "it is damaged", func(*testing.T, []byte) []byte { return []byte("<html>404 \xff\x1b[31m") }},

		{"none", debian, debianFile, "", "", func(_ *testing.T, b []byte) []byte { return b }},
		{"wrong version", debian, debianFile, "contents", `Version is "1.2.4-1", want "1.2.3-1"`, field("Version: 1.2.3-1", "Version: 1.2.4-1")},
		{"wrong name", debian, debianFile, "contents", `Package is "other", want "demo"`, field("Package: demo", "Package: other")},
		{"wrong architecture", debian, debianFile, "contents", `Architecture is "arm64", want "amd64"`, field("Architecture: amd64", "Architecture: arm64")},
		{"no architecture", debian, debianFile, "contents", `Architecture is "", want "amd64"`, field("Architecture: amd64\n", "")},
		{"two versions", debian, debianFile, "contents", "Version is there twice", field("Version: 1.2.3-1\n", "Version: 1.2.3-1\nVersion: 1.2.4-1\n")},
		{"a script", debian, debianFile, "contents", `"postinst" is not expected`, control(more(tar.Header{Name: "./postinst", Mode: 0o755, Typeflag: tar.TypeReg}))},
		{"no md5sums", debian, debianFile, "contents", `its md5sums say ""`, control(entry("md5sums", drop))},
		{"one byte", debian, debianFile, "contents", "its md5sums say", data(entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { b[0] ^= 1; return h, b }))},
		{"mode", debian, debianFile, "contents", `"usr/bin/demo": mode 0777, want 0755`, data(entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.Mode = 0o777; return h, b }))},
		{"owner", debian, debianFile, "contents", `owner 1/0, want 0/0`, data(entry("bin/demo", func(h *tar.Header, b []byte) (*tar.Header, []byte) { h.Uid = 1; return h, b }))},
		{"extra folder", debian, debianFile, "contents", `"usr/local" is not expected`, data(more(tar.Header{Name: "./usr/local/", Typeflag: tar.TypeDir}))},
		{"absolute", debian, debianFile, "contents", "not a clean relative path", data(more(tar.Header{Name: "/etc/cron.d/x", Typeflag: tar.TypeReg}))},
		{"cut", debian, debianFile, "contents", "it is damaged", func(_ *testing.T, b []byte) []byte { return b[:len(b)-8] }},
		{"a tarball instead", debian, debianFile, "contents", "it is not a Debian package", func(*testing.T, []byte) []byte { return []byte("\x1f\x8b\x08\x00\x00\x00\x00\x00\x00\x00") }},

		{"none", sums, "SHA256SUMS", "", "", func(_ *testing.T, b []byte) []byte { return b }},
		{"byte order mark", sums, "SHA256SUMS", "checksums", "SHA256SUMS: line 1: it begins with a byte order mark", func(_ *testing.T, b []byte) []byte { return append([]byte("\ufeff"), b...) }},
		{"carriage returns", sums, tarballFile + ".sha256", "checksums", tarballFile + ".sha256: line 1: it ends with a carriage return", replace("\n", "\r\n")},
		{"wrong digest", sums, debianFile + ".sha256", "checksums", `demo_1.2.3_amd64.deb.sha256 has 000000000000 for "demo_1.2.3_amd64.deb", which has `, func(_ *testing.T, b []byte) []byte { return append(bytes.Repeat([]byte("0"), 64), b[64:]...) }},
		{"wrong name", sums, debianFile + ".sha256", "checksums", `names "demo_1.2.4_amd64.deb", which is not one of its packages`, replace("1.2.3", "1.2.4")},
		{"a line missing", sums, "SHA256SUMS", "checksums", "SHA256SUMS names 1 packages, want 2", func(_ *testing.T, b []byte) []byte { return b[:bytes.IndexByte(b, '\n')+1] }},
		{"empty", sums, "SHA256SUMS", "checksums", "SHA256SUMS: it is empty", func(*testing.T, []byte) []byte { return nil }},

		{"none", arch, "aur/demo-bin/PKGBUILD", "", "", func(_ *testing.T, b []byte) []byte { return b }},
		{"a command", arch, "aur/demo-bin/PKGBUILD", "aur", "pkgbuild-grammar", replace("pkgrel='1'", "pkgrel=$(touch canary)")},
		{"another release", arch, "aur/demo-bin/PKGBUILD", "aur", `pkgrel: want ["2"], found ["1"]`, replace("pkgrel='1'", "pkgrel='2'")},
		{"another digest", arch, "aur/demo-bin/.SRCINFO", "aur", ".SRCINFO: pkgbase: sha256sums_x86_64: want", func(t *testing.T, b []byte) []byte { return digestRE.ReplaceAll(b, bytes.Repeat([]byte("a"), 64)) }},
		{"another comment", arch, "aur/demo-bin/PKGBUILD", "aur", "PKGBUILD is not as it was printed", replace("# Maintainer: Demo", "# Maintainer: Other")},
		{"not as makepkg writes it", arch, "aur/demo-bin/.SRCINFO", "aur", "canonical", replace("\n\npkgname", "\n\n\npkgname")},
		{"huge", arch, "aur/demo-bin/PKGBUILD", "aur", "blob size", func(_ *testing.T, b []byte) []byte { return append(b, bytes.Repeat([]byte("#"), 300000)...) }},
		{"not text", arch, "aur/demo-bin/.SRCINFO", "aur", "not UTF-8", func(_ *testing.T, b []byte) []byte { return append(b, 0xff, '\n') }},
	} {
		t.Run(strings.ReplaceAll(c.step[len("build/"):], "/", "_")+"/"+c.name, func(t *testing.T) {
			t.Parallel()
			p := newProject(t, prebuiltConfig(), sourceFiles)
			p.wrap = func(ph pipeline.Phase) pipeline.Phase {
				return faulty{ph, c.step, good, func(name string, b []byte) []byte {
					if name == c.file {
						return c.fault(t, b)
					}
					return b
				}}
			}
			s, err := p.run(t.Context())
			if c.check == "" {
				if err != nil {
					t.Errorf("without a fault: %v", err)
				}
				return
			}
			var stopped *pipeline.GateError
			if !errors.As(err, &stopped) {
				t.Fatalf("got %v", err)
			}
			if first := stopped.State.Blocks[0]; first.Kind != "failed" || first.What != c.check {
				t.Errorf("the gate says %v: %+v", err, stopped.State.Blocks)
			}
			if !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
			}
			for _, ss := range s.Steps {
				for _, e := range ss.Last.Evidence {
					if len(e.Found) > 2000 || len(e.Summary) > 2000 {
						t.Errorf("%s: the evidence has %d bytes", ss.Spec.ID, len(e.Found))
					}
					// Only what is damaged cannot be looked into.
					if ss.Spec.ID != "gate/build" && e.Verdict == gate.Unknown && e.Summary != "it cannot be looked at: see contents" {
						t.Errorf("%s: unknown: %s", ss.Spec.ID, e.Summary)
					}
				}
			}
		})
	}
}
