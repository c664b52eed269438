package appimage_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/internal/archive"
)

const metainfo = `<?xml version="1.0" encoding="UTF-8"?>
<component type="desktop-application">
  <id>cloudtolocalllm</id>
  <metadata_license>CC0-1.0</metadata_license>
  <project_license>MIT</project_license>
  <name>CloudToLocalLLM</name>
  <summary>Runs language models on this computer</summary>
  <description><p>Talks to models that run here, and keeps what is said here.</p></description>
  <launchable type="desktop-id">cloudtolocalllm.desktop</launchable>
  <url type="homepage">https://example.com/</url>
  <developer id="com.example"><name>Example</name></developer>
  <content_rating type="oars-1.1"/>
  <releases><release version="3.2.1" date="2025-01-01"/></releases>
</component>
`

// TestJudges has other people's tools look at finished AppImages: unsquashfs unpacks them, and what it finds is what
// [appimage.Expected] says; desktop-file-validate and appstreamcli judge the AppDir.
func TestJudges(t *testing.T) {
	unsquashfs := need(t, "unsquashfs", "squashfs-tools")
	validate := need(t, "desktop-file-validate", "desktop-file-utils")
	appstream := need(t, "appstreamcli", "appstream")
	desktop := desktopBundle(t)
	desktop["share/metainfo/cloudtolocalllm.metainfo.xml"] = metainfo
	delete(desktop, "share/doc/$(touch canary)/`x` 'quoted' \"and\" -rf [a]{b,c}~")
	for _, c := range []struct {
		config  appimage.Config
		bundled map[string]string
	}{
		{appimage.Config{Name: "CloudToLocalLLM", Bundle: "b", Version: "3.2.1", Arch: "amd64"}, desktop},
		{appimage.Config{Name: "slipway", Bundle: "b", Version: "1.0.0", Arch: "amd64", Compression: appimage.Gzip, Categories: []string{"Development"}}, map[string]string{"bin/slipway": "#!/bin/sh\n"}},
	} {
		t.Run(c.config.Name, func(t *testing.T) {
			dirs, err := makeStep(t, c.config, c.bundled, nil)
			if err != nil {
				t.Fatal(err)
			}
			file := dirs.Path(c.config.File())
			f, err := os.Open(file)
			if err != nil {
				t.Fatal(err)
			}
			defer f.Close()
			h, err := appimage.ReadHead(f)
			if err != nil {
				t.Fatal(err)
			}
			root := filepath.Join(t.TempDir(), "root")
			if out, err := exec.Command(unsquashfs, "-no-progress", "-offset", strconv.FormatInt(h.Offset, 10), "-d", root, file).CombinedOutput(); err != nil {
				t.Fatalf("%v\n%s", err, out)
			}
			got, err := archive.Tree(root)
			if err == nil {
				err = archive.Hash(t.Context(), root, got)
			}
			if err != nil {
				t.Fatal(err)
			}
			want, err := appimage.Expected(t.Context(), c.config, &env, dirs.Path(bundle.Artifact("b", "amd64")))
			if err != nil {
				t.Fatal(err)
			}
			for i := range want {
				fi, err := os.Lstat(filepath.Join(root, want[i].Path))
				if err != nil || !fi.ModTime().Equal(want[i].ModTime) || fi.Mode() != want[i].Mode {
					t.Errorf("%s: %v %v, want %v", want[i].Path, fi, err, want[i])
				}
				if i < len(got) {
					got[i].ModTime = want[i].ModTime
				}
			}
			for _, d := range archive.Diff(want, got) {
				t.Error(d)
			}
			entry, err := filepath.Glob(filepath.Join(root, "*.desktop"))
			if err != nil || len(entry) != 1 {
				t.Fatal(entry, err)
			}
			if out, err := exec.Command(validate, entry[0]).CombinedOutput(); err != nil || strings.Contains(string(out), "error") {
				t.Errorf("%v\n%s", err, out)
			}
			if c.bundled["share/metainfo/cloudtolocalllm.metainfo.xml"] == "" {
				return
			}
			// It fails on mere hints, too, of which the missing icon cache of a tree is one.
			out, err := exec.Command(appstream, "validate-tree", "--no-net", filepath.Join(root, "usr")).CombinedOutput()
			if x := (*exec.ExitError)(nil); err != nil && !errors.As(err, &x) || strings.Contains(string(out), "E: ") {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// ranges serves files in the form in which zsync 0.6.2 understands several ranges in one answer: with a line break
// before the first boundary (it loops for ever on the answers of net/http).
type ranges struct {
	files map[string][]byte
	sent  int
}

func (s *ranges) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, ok := s.files[strings.TrimPrefix(r.URL.Path, "/")]
	if !ok {
		http.NotFound(w, r)
		return
	}
	list, ok := strings.CutPrefix(r.Header.Get("Range"), "bytes=")
	if !ok {
		_, _ = w.Write(b)
		return
	}
	parts := strings.Split(list, ",")
	var body bytes.Buffer
	for _, p := range parts {
		var from, to int
		if _, err := fmt.Sscanf(strings.TrimSpace(p), "%d-%d", &from, &to); err != nil || from > to || from >= len(b) {
			http.Error(w, "range", http.StatusRequestedRangeNotSatisfiable)
			return
		}
		to = min(to, len(b)-1) // zsync asks for whole blocks
		if len(parts) == 1 {
			w.Header().Set("Content-Range", fmt.Sprintf("bytes %d-%d/%d", from, to, len(b)))
		} else {
			fmt.Fprintf(&body, "\r\n--next\r\nContent-Type: application/octet-stream\r\nContent-Range: bytes %d-%d/%d\r\n\r\n", from, to, len(b))
		}
		body.Write(b[from : to+1])
	}
	if len(parts) > 1 {
		body.WriteString("\r\n--next--\r\n")
		w.Header().Set("Content-Type", "multipart/byteranges; boundary=next")
	}
	s.sent += body.Len()
	w.Header().Set("Content-Length", strconv.Itoa(body.Len()))
	w.WriteHeader(http.StatusPartialContent)
	_, _ = w.Write(body.Bytes())
}

// TestZsyncUpdate has Debian's zsync update an AppImage of 30 MB, in which one program changed and another is new.
func TestZsyncUpdate(t *testing.T) {
	tool := need(t, "zsync", "zsync")
	random := func(seed byte, n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(rand.NewChaCha8([32]byte{seed}), b)
		return b
	}
	var tree []squashfs.Entry
	for i := range 27 {
		tree = append(tree, file(fmt.Sprintf("usr/lib/%02d.so", i), 0o755, random(byte(i), 1_000_000)))
	}
	tree = append(tree, file("AppRun", 0o755, []byte("#!/bin/sh\n")))
	o := appimage.Options{AppDir: tree, UpdateInformation: updateInformation}
	old, _ := build(t, "old", o)
	tree[13] = file("usr/lib/13.so", 0o755, append(random(13, 900_000), random(99, 150_000)...))
	o.AppDir = append(tree, file("usr/lib/05-new.so", 0o755, random(98, 300_000)))
	path, res := build(t, "new", o)
	now, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer now.Close()
	var meta bytes.Buffer
	if err := appimage.WriteZsync(t.Context(), &meta, now, res.Size, "new", fixedTime); err != nil {
		t.Fatal(err)
	}
	s := &ranges{files: map[string][]byte{"new": read(t, path), "new.zsync": meta.Bytes()}}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	web := &http.Server{Handler: s}
	go web.Serve(l)
	defer web.Close()
	dir := t.TempDir()
	c := exec.Command("timeout", "60", tool, "-i", old, "-o", "updated", "http://"+l.Addr().String()+"/new.zsync")
	c.Dir, c.Env = dir, []string{"PATH=" + os.Getenv("PATH"), "HOME=" + dir}
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	if !bytes.Equal(read(t, filepath.Join(dir, "updated")), s.files["new"]) {
		t.Error("zsync makes another file")
	}
	t.Logf("%d of %d bytes fetched: %.2f %%", s.sent, res.Size, 100*float64(s.sent)/float64(res.Size))
	if int64(s.sent) > res.Size/20 || s.sent == 0 {
		t.Errorf("%d of %d bytes fetched, at most 5 %% are allowed", s.sent, res.Size)
	}
}
