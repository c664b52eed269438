package published

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"github.com/imrightguy/slipway/phases/aur/subject"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/pipeline"
)

// Asset is a public file of a release that has been published before.
type Asset struct {
	Phase    string // whose step fetches it; "": aur
	Artifact string // its name among the artifacts, which is its file's name where it is published
	Kind     string // of the artifact
	Arch     string // of the artifact, GOARCH name
	URL      string
	// SHA256 is what was recorded when the release was published. Empty where no record is at hand: then SHA256SUMS beside
	// the file decides, if it is there.
	SHA256 string
	// Sums reads a SHA256SUMS: the sums by file name. Nil: none is looked for.
	Sums func(io.Reader) (map[string]string, error)
	// Instead says what else can be done where the file cannot be had.
	Instead string
}

// FetchID is the ID of the step of the phase aur that fetches an asset.
func FetchID(artifact string) string { return Asset{Artifact: artifact}.StepID() }

// StepID is the ID of the step that fetches the asset.
func (a Asset) StepID() string { return cmp.Or(a.Phase, subject.Phase) + "/fetch/" + a.Artifact }

// sumsFile is the name of the list that is looked for beside an asset.
const sumsFile = "SHA256SUMS"

// Fetch returns the step that downloads an asset and keeps it. Bytes other than those that were published are an error.
func Fetch(a Asset) pipeline.Step { return fetch{a} }

type fetch struct{ Asset }

func (f fetch) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID: f.StepID(), Effect: pipeline.Local, Outputs: []string{f.Artifact},
		Params: map[string]string{"url": f.URL, "sha256": f.SHA256},
	}
}

func (f fetch) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return nil, err
	}
	path, err := ws.Create(pipeline.Artifact{Name: f.Artifact, Kind: f.Kind, OS: "linux", Arch: f.Arch})
	if err != nil {
		return nil, err
	}
	src := Source{f.Artifact, f.URL, f.SHA256}
	if src.SHA256 == "" && f.Sums != nil {
		src.SHA256, err = f.listed(ctx, e, ws)
	}
	if err == nil {
		err = Download(ctx, e, ws, src, path)
	}
	if err != nil && ctx.Err() == nil && f.Instead != "" {
		err = fmt.Errorf("%w; %s", err, f.Instead)
	}
	return nil, err
}

// listed is what SHA256SUMS beside the asset says of it; "" where there is no such file, or not a word of the asset in it.
func (f fetch) listed(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace) (string, error) {
	tmp, err := ws.Temp()
	if err != nil {
		return "", err
	}
	address := plain(f.URL)
	list := Source{sumsFile, address[:strings.LastIndexByte(address, '/')+1] + sumsFile, ""}
	path := filepath.Join(tmp, "sums")
	err = Download(ctx, e, ws, list, path)
	if _, none := errors.AsType[absent](err); none {
		ws.Logf("there is no %s to compare with: it is taken as it is", list.URL)
		return "", nil
	}
	if err != nil {
		return "", err
	}
	in, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer in.Close()
	sums, err := f.Sums(in)
	if err != nil {
		return "", fmt.Errorf("cannot read %s: %w", list.URL, err)
	}
	if sum := sums[f.Artifact]; sum != "" {
		return sum, nil
	}
	ws.Logf("%s does not list %s: it is taken as it is", list.URL, f.Artifact)
	return "", nil
}

// Download writes a public file to a path. Other bytes than those that are wanted are an error; without a SHA-256 all are
// wanted.
func Download(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace, src Source, path string) error {
	_, err := download(e, ws).get(ctx, src.URL, src.SHA256, func() (io.WriteCloser, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	})
	switch {
	case err != nil && src.SHA256 != "":
		return fmt.Errorf("cannot fetch %s: %w; want SHA-256 %s", plain(src.URL), err, src.SHA256)
	case err != nil:
		return fmt.Errorf("cannot fetch %s: %w", plain(src.URL), err)
	}
	return nil
}
