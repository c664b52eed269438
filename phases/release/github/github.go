// Package github are the steps that bring a release to GitHub, or to a GitHub Enterprise server.
//
//	release/check/github   who the token stands for, what stands in the way; nothing has been sent yet
//	release/draft          a draft with this run's marker, found again by its id
//	release/asset/NAME     one file each: what the build made, and documents of the repository
//	release/inspect        the draft's assets, listed again and compared with the plan
//	release/publish        the point of no return; the assets are listed once more before it
//	release/download       every asset as anybody downloads it, and which release is the latest
//
// What makes a release ours is the marker in its body, a line that names the run; an asset is ours when it lies in such
// a draft with the planned name and bytes. Two runs that make a draft of one tag at the same moment see each other: the
// one whose draft came first goes on, the other takes its own back. Anything else that has the tag is a conflict which
// names its id, and nothing of it is touched, by undoing neither.
//
// A published release that lacks an asset can be made by nobody's mistake here: publishing compares all assets with the
// plan right before it, and again when it finds the release published.
package github

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net/url"
	"path"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/templates"
)

// IDs of the steps, and of those of other packages that they read from.
const (
	CheckID    = "release/check/github"
	DraftID    = "release/draft"
	AssetID    = "release/asset/" // and the asset's name
	InspectID  = "release/inspect"
	PublishID  = "release/publish"
	DownloadID = "release/download"

	versionStep = "build/version"
	sourceTree  = "work/source" // the checkout, made by versionStep
	notesStep   = "release/notes"
	notesFile   = "notes.md" // made by notesStep
)

// Names of the checks.
const (
	Ready  = "github" // the token, the repository, the tag and the assets' names allow the release
	Assets = "assets" // the draft has the planned assets, with the planned bytes, and nothing else
	Public = "public" // anybody can download each asset, and gets the planned bytes
	Latest = "latest" // the release is the repository's latest, or is not, as planned
)

// Config is what release.yaml says of the release on GitHub.
type Config struct {
	// Owner of the repository: a user or an organisation.
	Owner string `yaml:"owner" jsonschema:"required"`
	// Repo is the repository's name.
	Repo string `yaml:"repo" jsonschema:"required"`
	// BaseURL is the API of a GitHub Enterprise server, https://HOST/api/v3/. Left out: github.com.
	BaseURL string `yaml:"base_url,omitempty"`
	// Extra are documents of the repository that become assets too, like LICENSE or docs/INSTALL.md.
	Extra []string `yaml:"extra,omitempty"`
	// Title of the release. {{ .Project }}, {{ .Version }} and {{ .Tag }} are filled in. Left out:
	// "{{ .Project }} {{ .Version }}".
	Title string `yaml:"title,omitempty"`
	// Prerelease says whether it is shown as one. Left out: as the version has it, 1.2.0-rc.1 is one and 1.2.0 is not.
	Prerelease *bool `yaml:"prerelease,omitempty"`
}

// Validate refuses a configuration that cannot work. The error joins one for each fault, which begins with its key.
func (c Config) Validate() error {
	var errs []error
	add := func(key string, err error) {
		if err != nil {
			errs = append(errs, fmt.Errorf("%s: %w", key, err))
		}
	}
	for key, value := range map[string]string{"owner": c.Owner, "repo": c.Repo} {
		if value == "" {
			add(key, errors.New("it is missing: want the names in https://github.com/OWNER/REPO"))
		}
	}
	if c.Owner != "" && c.Repo != "" {
		_, err := hub.New(hub.Options{Owner: c.Owner, Repo: c.Repo})
		add("owner", err)
	}
	if c.BaseURL != "" {
		_, err := hub.New(hub.Options{Owner: "owner", Repo: "repo", BaseURL: c.BaseURL})
		add("base_url", err)
	}
	var names []string
	for _, file := range c.Extra {
		if !fs.ValidPath(file) || file == "." || strings.ContainsAny(file, "\\\x00\r\n") {
			add("extra", fmt.Errorf("%.100q is not the path of a file in the repository", file))
			continue
		}
		names = append(names, path.Base(file))
	}
	add("extra", hub.CheckNames(names))
	_, err := c.title("p", "1.0.0", "v1.0.0")
	add("title", err)
	return errors.Join(errs...)
}

// DefaultTitle is the title of releases where release.yaml gives none.
const DefaultTitle = "{{ .Project }} {{ .Version }}"

// maxTitle bounds a release's title, in characters: what fits a page, far below what a server takes.
const maxTitle = 250

var control = regexp.MustCompile(`[\x00-\x1f\x7f]`)

func (c Config) title(project, version, tag string) (string, error) {
	title, err := templates.Expand(cmp.Or(c.Title, DefaultTitle), map[string]string{"Project": project, "Version": version, "Tag": tag})
	if err == nil && (strings.TrimSpace(title) != title || title == "" || control.MatchString(title) || len([]rune(title)) > maxTitle) {
		err = fmt.Errorf("want one line of at most %d characters, without space around it", maxTitle)
	}
	return title, err
}

// Options are what a plan decides about the release.
type Options struct {
	Project string
	Version string  // X.Y.Z[-pre]
	Tag     string  // the tag's name
	Assets  []Asset // in the order in which they are uploaded; documents follow
	// Tagged says that people have tagged the base commit; otherwise the tag is of the version commit.
	Tagged bool
	// Prerelease and Latest are what the rules of the version's channel say. A prerelease is never the latest.
	Prerelease, Latest bool
	// Older says that release.yaml lets a version become the latest release although a newer one is.
	Older bool
}

// An Asset is a file that a step made and that is uploaded under the last part of its name.
type Asset struct {
	Artifact string // the artifact's name
	Step     string // ID of the step that makes it
}

// A Release makes the steps of one release.
type Release struct {
	cfg    Config
	o      Options
	title  string
	target string // the production name
	files  []file
}

// file is one asset of the plan.
type file struct {
	name     string
	artifact string // "" for a document
	document string // path in the repository; "" for an artifact
	step     string // that makes the artifact, or the checkout
}

func (f file) id() string { return AssetID + f.name }

// New plans a release. The error joins one for each fault.
func New(c Config, o Options) (*Release, error) {
	if err := c.Validate(); err != nil {
		return nil, err
	}
	r := &Release{cfg: c, o: o}
	if c.Prerelease != nil {
		r.o.Prerelease = *c.Prerelease
	}
	r.o.Latest = o.Latest && !r.o.Prerelease
	var err error
	if r.title, err = c.title(o.Project, o.Version, o.Tag); err != nil {
		return nil, fmt.Errorf("title: %w", err)
	}
	if o.Tag == "" {
		return nil, errors.New("the release has no tag")
	}
	for _, a := range o.Assets {
		r.files = append(r.files, file{name: path.Base(a.Artifact), artifact: a.Artifact, step: a.Step})
	}
	for _, d := range c.Extra {
		r.files = append(r.files, file{name: path.Base(d), document: d, step: versionStep})
	}
	var names []string
	for _, f := range r.files {
		names = append(names, f.name)
	}
	if err := hub.CheckNames(names); err != nil {
		return nil, fmt.Errorf("extra: %w", err)
	}
	if len(names) == 0 {
		return nil, errors.New("the release has no assets")
	}
	if len(names) > maxAssets {
		return nil, fmt.Errorf("the release has %d assets, GitHub takes %d", len(names), maxAssets)
	}
	r.target = strings.TrimPrefix(c.web(), "https://") + c.Owner + "/" + c.Repo + " release " + o.Tag
	return r, nil
}

// maxAssets is the most that a release can have ("About releases" of GitHub's documentation).
const maxAssets = 1000

// web is the root of the pages for people, with a slash at its end.
func (c Config) web() string {
	u, err := url.Parse(c.BaseURL)
	if c.BaseURL == "" || err != nil {
		return "https://github.com/"
	}
	return u.Scheme + "://" + strings.TrimPrefix(u.Host, "api.") + "/"
}

// Page is the repository's page, which is where git finds it too.
func (c Config) Page() string { return c.web() + c.Owner + "/" + c.Repo }

// URL is where anybody downloads an asset of the published release: what PKGBUILDs name.
func (r *Release) URL(asset string) string {
	return r.cfg.Page() + "/releases/download/" + (&url.URL{Path: r.o.Tag}).EscapedPath() + "/" + asset
}

// uploads lists the IDs of the steps that bring the assets.
func (r *Release) uploads() (ids []string) {
	for _, f := range r.files {
		ids = append(ids, f.id())
	}
	return ids
}

// names lists the names of the assets.
func (r *Release) names() (names []string) {
	for _, f := range r.files {
		names = append(names, f.name)
	}
	return names
}

// planned are the references to what the assets have to be: the artifacts themselves, and what was uploaded of documents.
func (r *Release) planned() (inputs []string) {
	for _, f := range r.files {
		if f.artifact != "" {
			inputs = append(inputs, "artifact:"+f.artifact)
		} else {
			inputs = append(inputs, "receipt:"+f.id())
		}
	}
	return inputs
}

// makers lists the steps that make the artifacts, each once.
func (r *Release) makers(documents bool) (ids []string) {
	seen := map[string]bool{}
	for _, f := range r.files {
		if !seen[f.step] && (documents || f.artifact != "") {
			seen[f.step], ids = true, append(ids, f.step)
		}
	}
	return ids
}

// plan reads what planned refers to.
func (r *Release) plan(ws *pipeline.Workspace) ([]hub.File, error) {
	var all []hub.File
	for _, f := range r.files {
		want := hub.File{Name: f.name}
		if f.artifact != "" {
			a, _, err := ws.Input(f.artifact)
			if err != nil {
				return nil, err
			}
			want.Size, want.SHA256 = a.Size, a.SHA256
		} else {
			size, err := ws.Receipt(f.id(), "size")
			if err == nil {
				want.Size, err = strconv.ParseInt(size, 10, 64)
			}
			if err == nil {
				want.SHA256, err = ws.Receipt(f.id(), "sha256")
			}
			if err != nil {
				return nil, err
			}
		}
		all = append(all, want)
	}
	return all, nil
}

// world is what a step acts with.
type world struct {
	*hub.Client
	*endpoint.Endpoints
	marker string
}

func (r *Release) world(ws *pipeline.Workspace) (world, error) {
	e, err := endpoint.Of(ws)
	if err != nil {
		return world{}, err
	}
	c, err := e.Hub(r.cfg.Owner, r.cfg.Repo, r.cfg.BaseURL)
	return world{c, e, hub.Marker(ws.Run)}, err
}

// commit is the one that the tag leads to.
func (r *Release) commit(ws *pipeline.Workspace) (string, error) {
	if r.o.Tagged {
		return ws.Env.Commit, nil
	}
	return ws.Receipt(versionStep, "commit")
}

// settling is how long is waited for what GitHub shows late, where nobody but the server is waited for.
const settling = time.Minute

// await looks again and again, with growing pauses, while what is not so may become so, for the time given.
func (w world) await(ctx context.Context, patience time.Duration, look func() (again bool)) {
	clock := w.Clock
	if clock == nil {
		clock = hub.SystemClock
	}
	end := clock.Now().Add(patience)
	for pause := time.Second; look(); pause = min(2*pause, 30*time.Second) {
		left := end.Sub(clock.Now())
		if left <= 0 || clock.Sleep(ctx, min(pause, left)) != nil {
			return
		}
	}
}

// gone tells whether an error means that something is not there. GitHub says that too of a draft where the token may not
// push: that is no answer.
func (w world) gone(ctx context.Context, err error) (bool, error) {
	if !errors.Is(err, hub.ErrNotFound) {
		return false, err
	}
	return true, w.sees(ctx)
}

// sees returns an error where the token cannot see drafts.
func (w world) sees(ctx context.Context) error {
	a, err := w.Access(ctx)
	if err == nil && !a.Push {
		err = fmt.Errorf("the token may not push to %s, and so sees no drafts: %w", a.FullName, hub.ErrForbidden)
	}
	return err
}

// draftID reads the draft's id out of its receipt.
func draftID(ws *pipeline.Workspace) (int64, error) {
	id, err := ws.Receipt(DraftID, "id")
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(id, 10, 64)
}

// ours finds the release that this run drafted, by its id. That it is gone, or somebody else's by now, is a conflict; in the
// second case the release is returned beside it.
func (r *Release) ours(ctx context.Context, ws *pipeline.Workspace, w world) (hub.Release, error) {
	id, err := draftID(ws)
	if err != nil {
		return hub.Release{}, err
	}
	rel, err := w.Release(ctx, id)
	if err != nil {
		if gone, err := w.gone(ctx, err); !gone || err != nil {
			return hub.Release{}, fmt.Errorf("cannot look at release %s: %w", r.o.Tag, err)
		}
		return hub.Release{}, &hub.ConflictError{What: "the draft of " + r.o.Tag + " that this run made is gone: slipway rollback takes back the rest, then run again", IDs: []int64{id}}
	}
	if !rel.Bears(w.marker) || rel.Tag != r.o.Tag {
		return rel, &hub.ConflictError{What: "the draft of " + r.o.Tag + " that this run made has lost its marker or its tag: whoever edited it can put them back; else delete it there, slipway rollback, and run again", IDs: []int64{id}}
	}
	return rel, nil
}
