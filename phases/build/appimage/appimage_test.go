package appimage_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"debug/elf"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ProtonMail/go-crypto/openpgp"
	"github.com/ProtonMail/go-crypto/openpgp/armor"
	"github.com/ProtonMail/go-crypto/openpgp/packet"
	"github.com/imrightguy/slipway/phases/build/appimage"
	"github.com/imrightguy/slipway/phases/build/appimage/elfsect"
	"github.com/imrightguy/slipway/phases/build/appimage/runtime"
	"github.com/imrightguy/slipway/phases/build/appimage/squashfs"
)

const updateInformation = "gh-releases-zsync|owner|repo|latest|App-*x86_64.AppImage.zsync"

func read(t testing.TB, path string) []byte {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBuild(t *testing.T) {
	tree := []squashfs.Entry{file("AppRun", 0o755, []byte("#!/bin/sh\n")), file("a.desktop", 0o644, []byte("x"))}
	for arch, machine := range map[string]elf.Machine{"amd64": elf.EM_X86_64, "arm64": elf.EM_AARCH64} {
		o := appimage.Options{Arch: arch, AppDir: tree, UpdateInformation: updateInformation}
		path, res := build(t, "app", o)
		b := read(t, path)
		if int64(len(b)) != res.Size || string(b[res.ImageOffset:][:4]) != "hsqs" || !bytes.Equal(b[8:11], elfsect.Magic) {
			t.Errorf("%s: %+v of %d bytes", arch, res, len(b))
		}
		if off, err := elfsect.ImageOffset(bytes.NewReader(b)); err != nil || off != res.ImageOffset {
			t.Errorf("%s: image at %d, %v", arch, off, err)
		}
		if err := elfsect.Check(bytes.NewReader(b), uint16(machine)); err != nil {
			t.Error(err)
		}
		if s, err := elfsect.Text(bytes.NewReader(b), elfsect.UpdateInfo); err != nil || s != updateInformation {
			t.Errorf("%q %v", s, err)
		}
		digest, err := elfsect.Find(bytes.NewReader(b), elfsect.Digest)
		if err != nil || bytes.Equal(b[digest.Offset:][:16], make([]byte, 16)) {
			t.Errorf("no digest: %v", err)
		}
		r, err := appimage.Open(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		if root, err := r.Root(); err != nil || root.Time != uint32(fixedTime.Unix()) {
			t.Errorf("%+v %v", root, err)
		}
		o.Workers = 1
		again, _ := build(t, "another name", o)
		if !bytes.Equal(read(t, again), b) {
			t.Errorf("%s: a second build gives other bytes", arch)
		}
	}
}

// TestOverOldFile: what stood in the file before does not stay behind the image.
func TestOverOldFile(t *testing.T) {
	tree := []squashfs.Entry{file("AppRun", 0o755, []byte("#!/bin/sh\n"))}
	path, res := build(t, "app", appimage.Options{AppDir: tree})
	want := read(t, path)
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := f.WriteAt(make([]byte, 100_000), res.Size); err != nil {
		t.Fatal(err)
	}
	if _, err := appimage.Build(context.Background(), f, appimage.Options{Arch: "amd64", AppDir: tree, Time: fixedTime}); err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(read(t, path), want) {
		t.Error("an old file shows in the new one")
	}
}

func TestCheckUpdateInformation(t *testing.T) {
	for s, ok := range map[string]bool{
		"":                                    true,
		updateInformation:                     true,
		"zsync|https://example.com/a.zsync":   true,
		"pling-v1-zsync|123|App*.AppImage":    true,
		"zsync":                               false,
		"zsync|":                              false,
		"zsync|a|b":                           false,
		"bintray-zsync|a|b|c|d":               false,
		"gh-releases-zsync|owner|repo|latest": false,
		"zsync|https://a\nb":                  false,
		"zsync|" + strings.Repeat("x", 1017):  true,
		"zsync|" + strings.Repeat("x", 1018):  false,
	} {
		if err := appimage.CheckUpdateInformation(s); (err == nil) != ok {
			t.Errorf("%.60q: %v", s, err)
		}
	}
}

func TestOwnRuntime(t *testing.T) {
	b, err := runtime.For("amd64")
	if err != nil {
		t.Fatal(err)
	}
	tree := []squashfs.Entry{file("AppRun", 0o755, []byte("#!/bin/sh\n"))}
	try := func(arch string, content []byte, sum string) error {
		path := filepath.Join(t.TempDir(), "runtime")
		if err := os.WriteFile(path, content, 0o755); err != nil {
			t.Fatal(err)
		}
		f, err := os.Create(filepath.Join(t.TempDir(), "out"))
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		if sum == "" {
			h := sha256.Sum256(content)
			sum = hex.EncodeToString(h[:])
		}
		_, err = appimage.Build(context.Background(), f, appimage.Options{Arch: arch, AppDir: tree, Runtime: &appimage.Runtime{Path: path, SHA256: sum}})
		return err
	}
	if err := try("amd64", b, ""); err != nil {
		t.Error(err)
	}
	noMagic := slices.Clone(b)
	noMagic[8] = 0
	for name, err := range map[string]error{
		"has SHA-256":              try("amd64", b, strings.Repeat("0", 64)),
		"needs its SHA-256":        try("amd64", b, "abc"),
		"not 183":                  try("arm64", b, ""),
		"not the head":             try("amd64", noMagic, ""),
		"not an ELF file":          try("amd64", []byte(strings.Repeat("no", 100)), ""),
		"but its ELF part ends at": try("amd64", append(slices.Clone(b), 'x'), ""),
		"no AppImage can be made":  try("mips", b, ""),
	} {
		if err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("%v, expected %q", err, name)
		}
	}
}

// TestOptions asks an AppImage about itself.
func TestOptions(t *testing.T) {
	signer, err := appimage.OpenPGP(signingKey(t), nil, fixedTime)
	if err != nil {
		t.Fatal(err)
	}
	tree := []squashfs.Entry{
		file("AppRun", 0o755, []byte("#!/bin/sh\necho \"$HOME $XDG_CONFIG_HOME\"\n")), file("app.desktop", 0o644, []byte("x")),
		file("usr/share/a.txt", 0o640, []byte("text")), file("usr/share/doc/b.txt", 0o400, []byte("b")), dir("usr/lib"),
		{Path: "usr/share/doc", Mode: os.ModeDir | 0o500},
		link("usr/share/l", "a.txt"), link("usr/out", "/etc"),
		file("hole", 0o644, make([]byte, 1_000_000)),
	}
	path, res := build(t, "app", appimage.Options{AppDir: tree, UpdateInformation: updateInformation, Sign: signer})
	sig, err := elfsect.Text(bytes.NewReader(read(t, path)), elfsect.Signature)
	if err != nil || !strings.HasPrefix(sig, "-----BEGIN PGP SIGNATURE-----") {
		t.Fatal(sig, err)
	}
	work := t.TempDir()
	do := func(args ...string) (string, string, int) {
		t.Helper()
		c := exec.Command(path, args...)
		c.Dir = work
		var out, errs bytes.Buffer
		c.Stdout, c.Stderr = &out, &errs
		if err := c.Run(); err != nil && c.ProcessState == nil {
			t.Fatal(err)
		}
		return out.String(), errs.String(), c.ProcessState.ExitCode()
	}
	for _, c := range []struct {
		option, out, errs string
		code              int
	}{
		{"--appimage-offset", strconv.FormatInt(res.ImageOffset, 10) + "\n", "", 0},
		{"--appimage-updateinfo", updateInformation + "\n", "", 0},
		{"--appimage-updateinformation", updateInformation + "\n", "", 0},
		{"--appimage-signature", sig + "\n", "", 0},
		{"--appimage-version", "", "AppImage runtime version: slipway ", 0},
		{"--appimage-help", "", "--appimage-extract-and-run", 0},
		{"--appimage-nonsense", "", "unknown option --appimage-nonsense", 1},
		{"--appimage-", "", "", -1}, // no option: it goes to the application
		{"--appimage-portable-home", "", "Portable folder made: " + path + ".home", 0},
		{"--appimage-portable-config", "", "Portable folder made: " + path + ".config", 0},
		{"--appimage-portable-home", "", "cannot make the portable folder", 1},
	} {
		if c.code < 0 {
			continue
		}
		out, errs, code := do(c.option)
		if out != c.out || !strings.Contains(errs, c.errs) || c.errs == "" && errs != "" || code != c.code {
			t.Errorf("%s: %q %q %d", c.option, out, errs, code)
		}
	}
	if out, _, _ := do("--appimage-extract-and-run"); out != path+".home "+path+".config\n" {
		t.Errorf("portable folders: %q", out)
	}

	// extract all
	out, errs, code := do("--appimage-extract")
	if code != 0 || errs != "" || !strings.Contains(out, "squashfs-root/usr/share/doc/b.txt\n") {
		t.Fatalf("%q %q %d", out, errs, code)
	}
	root := filepath.Join(work, "squashfs-root")
	for p, mode := range map[string]os.FileMode{"AppRun": 0o755, "usr/share/a.txt": 0o640, "usr/share/doc": os.ModeDir | 0o500, "usr/share/doc/b.txt": 0o400, "usr/out": os.ModeSymlink | 0o777} {
		fi, err := os.Lstat(filepath.Join(root, p))
		if err != nil || fi.Mode() != mode {
			t.Errorf("%s: %v %v", p, fi, err)
		} else if mode.IsRegular() && !fi.ModTime().Equal(fixedTime) {
			t.Errorf("%s: %v", p, fi.ModTime())
		}
	}
	if b := read(t, filepath.Join(root, "hole")); !bytes.Equal(b, make([]byte, 1_000_000)) {
		t.Error("the hole is not zeros")
	}
	if _, errs, code := do("--appimage-extract"); code != 0 { // over the first
		t.Errorf("again: %q %d", errs, code)
	}

	// with a pattern
	for pattern, want := range map[string][]string{
		"usr/share":   {"usr/share/a.txt", "usr/share/doc/b.txt", "usr/share/l"},
		"*.desktop":   {"app.desktop"},
		"usr/share/*": {"usr/share/a.txt", "usr/share/doc/b.txt", "usr/share/l"},
		"nothing*":    nil,
	} {
		os.RemoveAll(root)
		if _, errs, code := do("--appimage-extract", pattern); code != 0 {
			t.Errorf("%s: %q %d", pattern, errs, code)
		}
		var got []string
		entries, err := squashfs.ScanDir(root)
		if err != nil {
			t.Fatal(err)
		}
		for _, e := range entries {
			if !e.Mode.IsDir() {
				got = append(got, e.Path)
			}
		}
		if slices.Sort(got); !slices.Equal(got, want) {
			t.Errorf("%s: %q", pattern, got)
		}
	}
	if _, errs, code := do("--appimage-extract", "[a"); code != 1 || !strings.Contains(errs, "not a shell pattern") {
		t.Errorf("bad pattern: %q %d", errs, code)
	}

	// what is planted in the target leads nowhere
	os.RemoveAll(root)
	outside := t.TempDir()
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(outside, filepath.Join(root, "usr")); err != nil {
		t.Fatal(err)
	}
	if _, errs, code := do("--appimage-extract"); code != 1 || !strings.Contains(errs, "usr exists and is not a folder") {
		t.Errorf("through a planted link: %q %d", errs, code)
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("written outside: %v %v", list, err)
	}
	os.RemoveAll(root)
	if err := os.Symlink(outside, root); err != nil {
		t.Fatal(err)
	}
	if _, _, code := do("--appimage-extract"); code != 1 {
		t.Error("squashfs-root may be a link")
	}
	if list, err := os.ReadDir(outside); err != nil || len(list) > 0 {
		t.Errorf("written outside: %v %v", list, err)
	}

	// another AppImage as the target
	other, res2 := build(t, "other", appimage.Options{AppDir: tree, UpdateInformation: "zsync|https://example.com/other"})
	t.Setenv("TARGET_APPIMAGE", other)
	if out, _, _ := do("--appimage-updateinfo"); out != "zsync|https://example.com/other\n" {
		t.Errorf("TARGET_APPIMAGE: %q", out)
	}
	if out, _, _ := do("--appimage-offset"); out != fmt.Sprintln(res2.ImageOffset) {
		t.Errorf("TARGET_APPIMAGE: %q", out)
	}
	t.Setenv("TARGET_APPIMAGE", "/nonexistent")
	if _, errs, code := do(); code != 127 || !strings.Contains(errs, "cannot open the AppImage") {
		t.Errorf("TARGET_APPIMAGE: %q %d", errs, code)
	}
}

// signingKey makes an armored private key.
func signingKey(t testing.TB) []byte {
	t.Helper()
	e, err := openpgp.NewEntity("AppImage test", "", "test@example.com", &packet.Config{
		Algorithm: packet.PubKeyAlgoEdDSA, Time: func() time.Time { return fixedTime.AddDate(-1, 0, 0) },
	})
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w, err := armor.Encode(&b, openpgp.PrivateKeyType, nil)
	if err == nil {
		err = errors.Join(e.SerializePrivate(w, nil), w.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// TestSignature has gpg verify against the key it is given, and sees a change of any covered part.
func TestSignature(t *testing.T) {
	gpg := need(t, "gpg", "gnupg")
	key := signingKey(t)
	signer, err := appimage.OpenPGP(key, nil, fixedTime)
	if err != nil {
		t.Fatal(err)
	}
	o := appimage.Options{AppDir: []squashfs.Entry{file("AppRun", 0o755, []byte("#!/bin/sh\n"))}, Sign: signer, UpdateInformation: updateInformation}
	path, res := build(t, "app", o)
	again, _ := build(t, "app", o)
	b := read(t, path)
	if !bytes.Equal(b, read(t, again)) {
		t.Error("signing makes other bytes each time")
	}
	home := t.TempDir()
	if err := os.Chmod(home, 0o700); err != nil {
		t.Fatal(err)
	}
	gpgRun := func(args ...string) (string, error) {
		out, err := exec.Command(gpg, append([]string{"--homedir", home, "--batch", "--no-autostart", "--trust-model", "always"}, args...)...).CombinedOutput()
		return string(out), err
	}
	public, err := elfsect.Text(bytes.NewReader(b), elfsect.SignatureKey)
	if err != nil || strings.Contains(public, "PRIVATE") {
		t.Fatal(public, err)
	}
	pub := filepath.Join(home, "public.asc")
	if err := os.WriteFile(pub, []byte(public), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := gpgRun("--import", pub); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	verify := func(b []byte) error {
		digest, err := appimage.SigningDigest(bytes.NewReader(b), res.Size)
		if err != nil {
			return err
		}
		sig, err := elfsect.Text(bytes.NewReader(b), elfsect.Signature)
		if err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(home, "sig"), []byte(sig), 0o600); err != nil {
			return err
		}
		if err := os.WriteFile(filepath.Join(home, "digest"), []byte(digest), 0o600); err != nil {
			return err
		}
		out, err := gpgRun("--verify", filepath.Join(home, "sig"), filepath.Join(home, "digest"))
		if err != nil {
			return fmt.Errorf("%w\n%s", err, out)
		}
		return nil
	}
	if err := verify(b); err != nil {
		t.Error(err)
	}
	info, err := elfsect.Find(bytes.NewReader(b), elfsect.UpdateInfo)
	if err != nil {
		t.Fatal(err)
	}
	for name, at := range map[string]int64{"program": 5000, "update information": info.Offset, "image": res.ImageOffset + 200} {
		changed := bytes.Clone(b)
		changed[at] ^= 1
		if err := verify(changed); err == nil {
			t.Errorf("a changed %s verifies", name)
		}
	}
	// a signature that does not fit is an error, not a cut
	o.Arch, o.Time = "amd64", fixedTime
	o.Sign = func(context.Context, string) ([]byte, []byte, error) { return make([]byte, 1025), nil, nil }
	f, err := os.Create(filepath.Join(t.TempDir(), "x"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := appimage.Build(context.Background(), f, o); err == nil || !strings.Contains(err.Error(), "do not fit") {
		t.Error(err)
	}
	if _, err := appimage.OpenPGP([]byte(public), nil, fixedTime); err == nil {
		t.Error("a public key signs")
	}
	if _, err := appimage.OpenPGP(key, nil, time.Unix(1000, 0)); err == nil {
		t.Error("a key signs before it was made")
	}
}
