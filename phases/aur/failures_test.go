package aur

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/aur/lint"
	"github.com/imrightguy/slipway/phases/aur/published"
	"github.com/imrightguy/slipway/phases/aur/push"
	"github.com/imrightguy/slipway/phases/aur/remote"
	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	aurtwin "github.com/imrightguy/slipway/phases/internal/twins/aur"
	hubtwin "github.com/imrightguy/slipway/phases/internal/twins/github"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/gate"
)

// stops runs a release that must stop at the gate, with a check of a step that has this verdict and says these words,
// and without a push.
func (r *release) stops(step, check string, verdict gate.Verdict, words ...string) {
	r.w.t.Helper()
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) {
		r.w.t.Fatalf("error %v, want the gate's", err)
	}
	e := r.evidence(step, check)
	if e.Verdict != verdict {
		r.w.t.Errorf("%+v, want %v", e, verdict)
	}
	for _, text := range words {
		if !strings.Contains(e.Summary+"\n"+e.Found, text) {
			r.w.t.Errorf("%+v, want %q", e, text)
		}
	}
	if rec := r.last(push.StepID(pkg)); rec.Event != "" {
		r.w.t.Errorf("the push has begun: %+v", rec)
	}
}

// The AUR package was pushed before the tarball was public. Here the sources are looked at first: no push.
func TestFailure_004_PushedBeforePublic(t *testing.T) {
	w := newWorld(t)
	r := w.release(first)
	r.stops(published.StepID(pkg), published.Check, gate.Fail, "there is no such file for the public (status 404)", "publish the release first")
	w.once(0, first)
	w.publish(first)
	r.ends()
	w.once(1, first)
}

// The PKGBUILD named an address at which the file does not lie.
func TestFailure_016_WrongAddress(t *testing.T) {
	w := newWorld(t)
	w.publish(product{Name: pkg, Version: "9.9.9"}) // a release is out, with another file
	w.release(first).stops(published.StepID(pkg), published.Check, gate.Fail, "status 404", "/v1.2.3/hello-1.2.3-x86_64.tar.gz")
	w.once(0, first)
}

// The PKGBUILD named a tarball that was never made, with the sum of another version's.
func TestFailure_017_SumOfAnotherVersion(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.hubFaults("GET downloads:/** #1-2: flipped byte 3")
	r := w.release(first)
	r.stops(published.StepID(pkg), published.Check, gate.Fail, "SHA-256", "the PKGBUILD wants")
	w.once(0, first)
	r.ends() // once is an accident of the wire, and looked at again
	w.hubFaults("GET downloads:/** #1: flipped byte 3")
	w.release(first).ends()
	w.once(1, first)
}

// A failed submission was declared harmless and the report said "available". Here the AUR itself is asked, and what
// cannot be asked is unknown, which does not pass.
func TestFailure_029_FailClosed(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.faults("receive-pack " + pkg + " #1+: declined no\nrpc ** #20+: 503")
	r := w.release(first)
	if err := r.run(); err == nil || !strings.Contains(err.Error(), "the remote refused") {
		t.Fatalf("%v", err)
	}
	if rec := r.last("proof/aur"); rec.Event != "" {
		t.Errorf("the proof was evaluated: %+v", rec)
	}
	w.faults("upload-pack ** #4+: cut")
	err := r.run()
	if !errors.Is(err, pipeline.ErrGate) || !strings.Contains(err.Error(), "proof/aur") {
		t.Fatalf("%v", err)
	}
	if e := r.evidence("aur/readback/"+pkg, "aur-clone"); e.Verdict != gate.Unknown {
		t.Errorf("%+v", e)
	}
	w.faults("")
	r.ends()
	w.once(1, first)
}

// The script that submits needed files that were gone. Here that is said when planning.
func TestFailure_030_InputsMissing(t *testing.T) {
	for _, c := range []struct {
		change func(*Options)
		want   string
	}{
		{func(o *Options) { o.Packages[0].Files = []string{"aur/" + pkg + "/.SRCINFO"} }, "nothing makes its PKGBUILD"},
		{func(o *Options) { o.Packages[0].Files = []string{"aur/" + pkg + "/PKGBUILD"} }, "nothing makes its .SRCINFO"},
		{func(o *Options) { o.Packages[0].Files = append(o.Packages[0].Files, "dist/x") }, "is not one of its files"},
		{func(o *Options) { o.Packages[0].Step = "" }, "want the step of an earlier phase"},
		{func(o *Options) { o.Packages = nil }, "there is no package to publish"},
		{func(o *Options) { o.Packages = append(o.Packages, o.Packages[0]) }, "it is there twice"},
		{func(o *Options) { o.Author = "nobody" }, "is not an author"},
		{func(o *Options) { o.Gate = nil }, "there is no gate"},
		{func(o *Options) { o.Packages[0].Config.Remote = "ssh://aur@aur.archlinux.org/other.git" }, `it is the repository of "other"`},
		{func(o *Options) { o.Packages[0].Config.Remote = "ssh://aur@host/$(id).git" }, "aur.hello-bin.remote: "},
		{func(o *Options) { o.Packages[0].Config.Remote = "https://user:secret@host/hello-bin.git" }, "credentials are given in other ways"},
		{func(o *Options) { o.Packages[0].Config.KnownHosts = "../hosts" }, "aur.hello-bin.known_hosts: want a file of this repository"},
		{func(o *Options) { o.Packages[0].Config.KnownHosts = "/etc/hosts" }, "aur.hello-bin.known_hosts: want a file of this repository"},
		{func(o *Options) { o.Packages[0].Config.KeyFile = "~/.ssh/id" }, "is not the name of an environment variable"},
		{func(o *Options) { o.Packages[0].Config.Maintainer = "a b" }, "aur.hello-bin.maintainer: "},
		{func(o *Options) { o.Packages[0].Config.Start = [][]string{{"hello"}} }, "aur.hello-bin.start: "},
		{func(o *Options) { o.Packages[0].Name = "-Hello" }, "want a name of a-z"},
	} {
		o := Options{RepoDir: "/", Author: author, Gate: anyCheck, Packages: []Package{{Name: pkg, Step: "build/aur/" + pkg, Files: first.artifacts(t)}}}
		c.change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "secret") {
			t.Errorf("error %v, want %q", err, c.want)
		}
	}
}

// A tarball of 19 MB was committed to the AUR repository.
func TestFailure_034_PayloadInTheRepository(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	fat := first
	fat.Extra = map[string]string{"hello-1.2.3.tar.gz": strings.Repeat("x", 19<<20)}
	r := w.release(fat)
	r.stops(lint.StepID(pkg), lint.Check, gate.Fail, "hello-1.2.3.tar.gz: it has 19922944 bytes, and the AUR takes 256000", "blob-size")
	r.stops(remote.StepID(pkg), remote.CheckNewer, gate.Pass, "hello-1.2.3.tar.gz: nothing, afterwards 19922944 bytes")
	w.once(0, first)
	// Nor does a smaller file that has no business there.
	for name, text := range map[string]string{"notes.txt": "x", "src/main.c": "x", ".gitignore": "x", "other.install": "x"} {
		odd := first
		odd.Extra = map[string]string{name: text}
		w.release(odd).stops(lint.StepID(pkg), lint.Check, gate.Fail, name, "file-list")
	}
	w.once(0, first)
}

// Local proofs passed while users' downloads failed. What is proven here is proven with what the public has: the proof
// does not pass on the files of this machine.
func TestFailure_060_WhatUsersReceive(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.hubFaults("GET downloads:/** #1+: 503")
	r := w.release(first)
	r.stops(published.StepID(pkg), published.Check, gate.Unknown, "status 503")
	w.hubFaults("")
	r.ends()
	// What a user clones and downloads is what was approved, byte for byte.
	files, err := first.files()
	if err != nil {
		t.Fatal(err)
	}
	w.once(1, first)
	info, err := pkgbuild.ParseSRCINFO(bytes.NewReader(files[".SRCINFO"]))
	if err != nil {
		t.Fatal(err)
	}
	src, faults := published.Sources(info)
	if len(src) != 1 || len(faults) > 0 || src[0].Name != first.tarball() {
		t.Errorf("%v %v", src, faults)
	}
}

// hubFaults sets GitHub's plan.
func (w *world) hubFaults(lines string) {
	w.t.Helper()
	faults, err := hubtwin.ParseFaults(lines)
	if err == nil {
		err = w.hub.SetFaults(faults)
	}
	if err != nil {
		w.t.Fatal(err)
	}
}

// What is published decides what may come next, and the message names the value to set.
func TestNewer(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.release(first).ends()
	changed := first
	changed.Depends = []string{"glibc"}
	w.release(changed).stops(remote.StepID(pkg), remote.CheckNewer, gate.Fail, "set pkgrel: 2", "+\tdepends = glibc")
	old := product{Name: pkg, Version: "1.0.0", PkgRel: "1"}
	w.publish(old)
	w.release(old).stops(remote.StepID(pkg), remote.CheckNewer, gate.Fail, "release a version above", "set epoch: 1")
	changed.PkgRel = "2"
	w.release(changed).ends()
	w.once(2, changed)
	old.Epoch = 1
	w.release(old).ends()
	w.once(3, old)
	next := product{Name: pkg, Version: "2.0.0", PkgRel: "1"}
	w.publish(next)
	w.release(next).stops(remote.StepID(pkg), remote.CheckNewer, gate.Fail, "set epoch: 1", "can never be dropped")
	next.Epoch = 1
	w.release(next).ends()
	w.once(4, next)
}

// Whose the package is, the AUR is asked: nothing is pushed into an orphan or into somebody else's package.
func TestOwner(t *testing.T) {
	next := product{Name: pkg, Version: "1.3.0", PkgRel: "1"}
	w := newWorld(t)
	w.publish(first)
	w.release(first).ends()
	w.publish(next)
	give := func(account string, co ...string) {
		t.Helper()
		if err := w.aur.SetMaintainer(pkg, account, co...); err != nil {
			t.Fatal(err)
		}
	}
	give("")
	w.release(next).stops(remote.StepID(pkg), remote.CheckOwner, gate.Fail, "orphaned", "a push adopts nothing")
	give("them")
	w.release(next).stops(remote.StepID(pkg), remote.CheckOwner, gate.Fail, "maintained by them", "ask to become a co-maintainer")
	w.once(1, first)
	give("them", "us")
	r := w.release(next)
	r.phases = phasesWith(t, Config{Maintainer: "us"}, next)
	r.ends()
	w.once(2, next)
	if e := r.evidence(remote.StepID(pkg), remote.CheckOwner); e.Found != "this account's" {
		t.Errorf("%+v", e)
	}
	r = w.release(next)
	r.phases = phasesWith(t, Config{Maintainer: "nobody"}, next)
	if err := r.run(); !errors.Is(err, pipeline.ErrGate) {
		t.Errorf("another account's package: %v", err)
	}
}

// A deleted package leaves its history: the first push of a new one goes on top of it.
func TestDeletedPackage(t *testing.T) {
	old := product{Name: pkg, Version: "1.0.0", PkgRel: "1"}
	files, err := old.files()
	if err != nil {
		t.Fatal(err)
	}
	files["stray.txt"] = []byte("gone with the next release\n")
	var dir string
	w := newWorld(t, func(o *aurtwin.Options) { dir = o.Dir; foreign(t, filepath.Join(dir, pkg+".git"), files) })
	w.publish(first)
	r := w.release(first)
	r.ends()
	w.once(2, first)
	if e := r.evidence(remote.StepID(pkg), remote.CheckOwner); e.Found != "free, with a history" {
		t.Errorf("%+v", e)
	}
	if e := r.evidence(remote.StepID(pkg), remote.CheckNewer); !strings.Contains(e.Summary, "-gone with the next release") {
		t.Errorf("%+v", e)
	}
}

// Two packages of one release are two commits in two repositories; a crash between them repeats neither.
func TestTwoPackages(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	other := product{Name: "other-bin", Version: released, PkgRel: "1"}
	r := w.release(first, other)
	w.faults("receive-pack other-bin #1: cut though done")
	if err := r.run(); !errors.Is(err, gitremote.ErrLost) {
		t.Fatalf("%v", err)
	}
	r.ends()
	w.once(1, first)
	w.once(1, other)
}

// A republication makes the files anew for a release that is out, with a plan and a journal of its own.
func TestRepublish(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.release(first).ends()
	again := first
	again.PkgRel, again.Depends = "2", []string{"glibc"}
	render, err := again.render(RenderID(pkg))
	if err != nil {
		t.Fatal(err)
	}
	sum := fmt.Sprintf("%x", sha256.Sum256(first.bytes()))
	asset := published.Asset{Artifact: first.tarball(), URL: "https://github.com/o/r/releases/download/v1.2.3/" + first.tarball(), SHA256: sum, Arch: "amd64"}
	// What is published: in the order of the step's outputs.
	o := Options{RepoDir: "/", Author: author, Gate: anyCheck, Assets: []published.Asset{asset}, Packages: []Package{{Name: pkg, Files: render.Spec().Outputs, Render: render}}}
	phase, err := Republish(o)
	if err != nil {
		t.Fatal(err)
	}
	r := w.release(again)
	r.phases = []pipeline.Phase{phase}
	r.ends()
	w.once(2, again)
	if a := r.last(published.FetchID(first.tarball())).Artifacts; len(a) != 1 || a[0].SHA256 != sum {
		t.Errorf("%+v", a)
	}
	// Other bytes than those that were published are refused.
	o.Assets[0].SHA256 = strings.Repeat("0", 64)
	if phase, err = Republish(o); err != nil {
		t.Fatal(err)
	}
	r = w.release(again)
	r.phases = []pipeline.Phase{phase}
	if err := r.run(); err == nil || !strings.Contains(err.Error(), sum) {
		t.Errorf("%v", err)
	}
	if _, err := New(o); err == nil {
		t.Error("New took the packages of a republication")
	}
	o.Packages[0].Render = nil
	if _, err := Republish(o); err == nil {
		t.Error("Republish took a package without its own step")
	}
}

// The server's account is asked over the same door as git.
func TestWhoami(t *testing.T) {
	w := newWorld(t)
	w.publish(first)
	w.release(first).ends()
	access, err := w.endpoints().Git(t.Context(), Config{}.remote(pkg, "/"))
	if err != nil {
		t.Fatal(err)
	}
	a, err := aurweb.Whoami(t.Context(), access)
	if err != nil || !a.Maintains(pkg) || a.Maintains("other-bin") {
		t.Errorf("%+v %v", a, err)
	}
	for fault, words := range map[string]string{"command ** #1: maintenance": "maintenance", "connect ** #1: refused": "does not let us in", "command ** #1: banned": "disabled"} {
		w.faults(fault)
		if _, err := aurweb.Whoami(t.Context(), access); err == nil || !strings.Contains(err.Error(), words) {
			t.Errorf("%s: %v", fault, err)
		}
	}
}
