package inspect

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"

	"github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/checksum"
	"github.com/imrightguy/slipway/phases/internal/check"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// ChecksumFiles returns the step that inspects the checksum files of the packages.
func ChecksumFiles(packages []checksum.Package) pipeline.Step {
	sp := pipeline.Spec{ID: "build/inspect/" + checksum.File, Effect: pipeline.Local, Needs: []string{checksum.StepID}}
	for _, p := range packages {
		sp.Needs, sp.Inputs = append(sp.Needs, p.Step), append(sp.Inputs, "artifact:"+p.Artifact)
	}
	for _, name := range checksum.Outputs(packages) {
		sp.Inputs = append(sp.Inputs, "artifact:"+name)
	}
	return check.Step(sp, checksumCheck(packages))
}

type checksumCheck []checksum.Package

func (checksumCheck) Name() string { return Checksums }

func (c checksumCheck) Check(ctx context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error) {
	r := report{
		expected: fmt.Sprintf("the SHA-256 of %d packages, in %s and one file each", len(c), checksum.File),
		passed:   fmt.Sprintf("%s and one file each have the SHA-256 of %d packages", checksum.File, len(c)),
	}
	var err error
	if r.subjects, err = inputs(ws, checksum.Outputs(c)...); err != nil {
		return pipeline.Evidence{}, err
	}
	sums := r.subjects
	digests := map[string]string{} // as the packages are on the disk now
	for i, p := range c {
		if err := ctx.Err(); err != nil {
			return pipeline.Evidence{}, err
		}
		in, err := inputs(ws, p.Artifact)
		if err != nil {
			return pipeline.Evidence{}, err
		}
		err = in[0].open(func(f io.Reader) error {
			hash := sha256.New()
			_, err := io.Copy(hash, f)
			digests[p.Artifact] = hex.EncodeToString(hash.Sum(nil))
			return err
		})
		if err == nil {
			err = r.sums(sums[i+1], map[string]string{p.Artifact: digests[p.Artifact]})
		}
		if err != nil {
			return pipeline.Evidence{}, err
		}
		r.subjects = append(r.subjects, in...)
	}
	err = r.sums(sums[0], digests)
	return r.evidence(), err
}

// sums compares a checksum file with what it should say.
func (r *report) sums(file input, want map[string]string) error {
	b, err := os.ReadFile(file.path)
	if err != nil {
		return err
	}
	list, err := checksum.Parse(bytes.NewReader(b))
	if err != nil {
		r.differences(fmt.Sprintf("%s: %v", file.artifact.Name, err))
		return nil
	}
	for _, s := range list {
		switch digest, known := want[s.Name]; {
		case !known:
			r.differences(fmt.Sprintf("%s names %q, which is not one of its packages", file.artifact.Name, s.Name))
		case digest != s.SHA256:
			r.differences(fmt.Sprintf("%s has %.12s for %q, which has %.12s", file.artifact.Name, s.SHA256, s.Name, digest))
		}
	}
	if len(list) < len(want) {
		r.differences(fmt.Sprintf("%s names %d packages, want %d", file.artifact.Name, len(list), len(want)))
	}
	return nil
}

// AURFiles returns the step that inspects the files of an AUR package.
func AURFiles(c aur.Config) pipeline.Step {
	sp := pipeline.Spec{ID: "build/inspect/" + c.Name, Effect: pipeline.Local, Needs: []string{c.StepID()}}
	for _, name := range c.Artifacts() {
		sp.Inputs = append(sp.Inputs, "artifact:"+name)
	}
	for _, s := range c.Sources() {
		sp.Needs = append(sp.Needs, s.Step, bundle.StepID(s.Bundle, s.Arch))
		sp.Inputs = append(sp.Inputs, "artifact:"+s.Artifact, "artifact:"+bundle.Artifact(s.Bundle, s.Arch))
	}
	return check.Step(sp, aurCheck{c})
}

type aurCheck struct{ aur.Config }

func (aurCheck) Name() string { return AUR }

func (c aurCheck) Check(_ context.Context, ws *pipeline.Workspace) (pipeline.Evidence, error) {
	in, err := inputs(ws, c.Artifacts()...)
	if err != nil {
		return pipeline.Evidence{}, err
	}
	model, err := c.Model(ws)
	if err != nil {
		return pipeline.Evidence{}, err
	}
	r := report{
		subjects: in,
		expected: fmt.Sprintf("%s %s, PKGBUILD and .SRCINFO of one model, with the SHA-256 of %d packages", c.Config.Name, model.Version(), len(c.Sources())),
		passed:   fmt.Sprintf("%s %s: PKGBUILD, .SRCINFO and %d packages agree", c.Config.Name, model.Version(), len(c.Sources())),
	}
	files := map[string][]byte{}
	for i, name := range c.FileNames() {
		if files[name], err = readSmall(in[i].path); err != nil {
			return pipeline.Evidence{}, err
		}
	}
	for _, s := range c.Sources() {
		installed, err := inputs(ws, s.Artifact)
		if err != nil {
			return pipeline.Evidence{}, err
		}
		r.subjects = append(r.subjects, installed...)
	}
	for _, f := range pkgbuild.Lint(c.Config.Name, files) {
		r.differences(f.String())
	}
	if info, err := pkgbuild.ParseSRCINFO(bytes.NewReader(files[".SRCINFO"])); err == nil { // else Lint has said so
		ds, err := pkgbuild.Compare(model, info)
		if err != nil {
			return pipeline.Evidence{}, err
		}
		for _, d := range ds {
			r.differences(".SRCINFO: " + d.String())
		}
	}
	var printed bytes.Buffer
	if err := pkgbuild.PrintPKGBUILD(&printed, model); err != nil {
		return pipeline.Evidence{}, err
	}
	if !bytes.Equal(printed.Bytes(), files["PKGBUILD"]) {
		r.differences("PKGBUILD is not as it was printed")
	}
	return r.evidence(), nil
}

// readSmall reads a file of an AUR repository; what is larger than the AUR takes is cut, and then refused as too large.
func readSmall(path string) (b []byte, err error) {
	err = input{path: path}.open(func(f io.Reader) error {
		b, err = io.ReadAll(io.LimitReader(f, pkgbuild.MaxFile+1))
		return err
	})
	return b, err
}
