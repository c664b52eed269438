package published

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/pipeline"
)

// Asset is a public file of a release that has been published before.
type Asset struct {
	Artifact string // its name among the artifacts
	Kind     string // of the artifact
	Arch     string // of the artifact, GOARCH name
	URL      string
	SHA256   string // as it was recorded when the release was published
}

// FetchID is the ID of the step that fetches an asset.
func FetchID(artifact string) string { return "aur/source/" + artifact }

// Fetch returns the step that downloads an asset and keeps it. Bytes other than those that were published are an error.
func Fetch(a Asset) pipeline.Step { return fetch{a} }

type fetch struct{ Asset }

func (f fetch) Spec() pipeline.Spec {
	return pipeline.Spec{
		ID: FetchID(f.Artifact), Effect: pipeline.Local, Outputs: []string{f.Artifact},
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
	return nil, Download(ctx, e, ws, Source{f.Artifact, f.URL, f.SHA256}, path)
}

// Download writes a public file to a path. Other bytes than those that are wanted are an error.
func Download(ctx context.Context, e *endpoint.Endpoints, ws *pipeline.Workspace, src Source, path string) error {
	_, err := download(e, ws).get(ctx, src.URL, src.SHA256, func() (io.WriteCloser, error) {
		return os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o666)
	})
	if err != nil {
		return fmt.Errorf("cannot fetch %s: %w; want SHA-256 %s", plain(src.URL), err, src.SHA256)
	}
	return nil
}
