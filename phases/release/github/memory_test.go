package github

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

// upload brings one large file to a draft by the step that does it in a release, and prints how much memory the process
// had at most.
func (j job) upload() error {
	s := j.Script
	s.Files = map[string]string{j.Upload.Name: "", "small": ""}
	r, err := s.release()
	if err != nil {
		return err
	}
	large := step{pipeline.Spec{ID: "build/pkg/" + j.Upload.Name, Effect: pipeline.Local, Outputs: []string{j.Upload.Name}}, func(_ context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
		to, err := ws.Create(pipeline.Artifact{Name: j.Upload.Name})
		if err == nil {
			err = os.Rename(j.Upload.Path, to)
		}
		return nil, err
	}}
	p, err := pipeline.NewPlan(context.Background(), s.env(), phase{"build", func() ([]pipeline.Step, error) {
		list, err := s.build()
		for i := range list {
			if list[i].Spec().ID == large.spec.ID {
				list[i] = large
			}
		}
		return list, err
	}}, phase{"release", func() ([]pipeline.Step, error) {
		list := []pipeline.Step{r.Draft("gate/build")}
		for _, a := range r.Assets() {
			if a.Spec().ID == AssetID+j.Upload.Name {
				list = append(list, a)
			}
		}
		return list, nil
	}})
	if err != nil {
		return err
	}
	m := &memoryJournal{}
	if err := p.Run(context.Background(), pipeline.Options{
		Journal: m, Endpoints: j.endpoints(), Dirs: pipeline.Dirs{Dist: filepath.Join(j.Dir, "dist"), Work: filepath.Join(j.Dir, "work")},
	}); err != nil {
		return err
	}
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return err
	}
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	fmt.Println("VmHWM:", strings.Fields(after)[0])
	return nil
}

// TestMemoryOfALargeUpload uploads the largest asset that GitHub takes. The process may have 64 MiB.
func TestMemoryOfALargeUpload(t *testing.T) {
	if _, err := os.Stat("/proc/self/status"); err != nil {
		t.Skip("there is no /proc to read the memory from")
	}
	const most = 64 << 10 // KiB
	size := int64(hub.MaxAsset)
	if race {
		size = 64 << 20 // the detector's own memory is counted too, so nothing is demanded; the path is taken all the same
	}
	s := newStage(t, realtime)
	path := filepath.Join(t.TempDir(), "large")
	f, err := os.Create(path)
	if err == nil {
		err = f.Truncate(size)
	}
	if err != nil {
		t.Fatal(err)
	}
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		t.Fatal(err)
	}
	f.Close()
	dir := filepath.Dir(path)
	begun := time.Now()
	c, out := s.start(job{Dir: dir, Upload: &hub.File{Name: "large.img", Path: path}})
	if err := c.Wait(); err != nil {
		t.Fatal(err, out)
	}
	_, after, found := strings.Cut(out.String(), "VmHWM:")
	if !found {
		t.Fatal(out)
	}
	peak, err := strconv.Atoi(strings.Fields(after)[0])
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d bytes uploaded in %s with at most %d KiB", size, time.Since(begun).Round(time.Millisecond), peak)
	if peak > most && !race {
		t.Errorf("it took %d KiB, want at most %d", peak, most)
	}
	assets := s.last().Assets
	if len(assets) != 1 || assets[0].Size != size || assets[0].SHA256 != hex.EncodeToString(h.Sum(nil)) || assets[0].State != hub.Uploaded {
		t.Errorf("arrived: %+v", assets)
	}
}
