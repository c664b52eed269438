// Package subject is one package of the Arch User Repository as the steps of the phase see it: the files that are to be
// published, who publishes them, and where.
package subject

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/go-git/go-git/v5/plumbing/transport"

	"github.com/imrightguy/slipway/phases/internal/aurweb"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/pipeline"
)

// Branch is the only one that the AUR takes.
const (
	Branch = "master"
	Ref    = "refs/heads/" + Branch
)

// Package is a package and where it is published.
type Package struct {
	Phase   string           // whose steps these are; "": aur
	Name    string           // the AUR repository's, which is the pkgbase
	Remote  gitremote.Remote // its git repository
	Account string           // whose it is; "": the AUR is asked
	Author  string           // of commits, "Name <address>"
	Step    string           // the step that makes the files
	Files   []string         // their artifacts, aur/NAME/...
}

// Phase is the name of the phase that publishes a release.
const Phase = "aur"

// StepID is the ID of a package's step that does something.
func (p Package) StepID(does string) string {
	return cmp.Or(p.Phase, Phase) + "/" + does + "/" + p.Name
}

// File is the path in the AUR repository of an artifact.
func (p Package) File(artifact string) string { return strings.TrimPrefix(artifact, "aur/"+p.Name+"/") }

// Inputs are the references to the files.
func (p Package) Inputs() []string {
	var refs []string
	for _, f := range p.Files {
		refs = append(refs, "artifact:"+f)
	}
	return refs
}

// SRCINFO is the artifact of the .SRCINFO.
func (p Package) SRCINFO() string { return "aur/" + p.Name + "/.SRCINFO" }

// Target names the remote's branch as plans show it.
func (p Package) Target() string { return p.Remote.URL + " " + Ref }

// Where are the fields of a Spec that say where the package is published. The absolute path of known_hosts is not one.
func (p Package) Where() map[string]string { return map[string]string{"remote": p.Remote.URL} }

// Web is the address of the server's website: the host that the git repository is on, over https.
func (p Package) Web() (string, error) {
	e, err := transport.NewEndpoint(p.Remote.URL)
	if err != nil || e.Host == "" || e.Protocol == "file" {
		return "", fmt.Errorf("cannot tell the host of %q", p.Remote.URL)
	}
	host := strings.Trim(e.Host, "[]")
	if strings.Contains(host, ":") {
		host = "[" + host + "]"
	}
	if e.Protocol == "https" && e.Port != 0 && e.Port != 443 {
		host = net.JoinHostPort(strings.Trim(host, "[]"), fmt.Sprint(e.Port))
	}
	return "https://" + host, nil
}

// Index is the client for the server's index of packages.
func (p Package) Index(e *endpoint.Endpoints) (*aurweb.Client, error) {
	web, err := p.Web()
	if err != nil {
		return nil, err
	}
	return aurweb.New(aurweb.Options{BaseURL: web, Transport: e.HTTP, Clock: Clock(e)})
}

// Access finds the way to the git repository.
func (p Package) Access(ctx context.Context, e *endpoint.Endpoints) (gitremote.Access, error) {
	if e.Git == nil {
		return gitremote.Access{}, errors.New("cannot reach a git remote: the run has no way to one")
	}
	return e.Git(ctx, p.Remote)
}

// Content is what is to be published.
type Content struct {
	Files   map[string][]byte // by path in the AUR repository
	Large   map[string]int64  // files that are too large to be read, with their size in bytes
	Digests map[string]string // SHA-256 by artifact
	Info    *pkgbuild.SRCINFO // nil where the .SRCINFO cannot be read, see Bad
	Bad     error
}

// MaxFile is the size in bytes beyond which a file is not read: the AUR takes less.
const MaxFile = pkgbuild.MaxFile

// Read reads the files. They must be inputs of the step.
func (p Package) Read(ws *pipeline.Workspace) (*Content, error) {
	c := &Content{Files: map[string][]byte{}, Large: map[string]int64{}, Digests: map[string]string{}}
	for _, name := range p.Files {
		a, path, err := ws.Input(name)
		if err != nil {
			return nil, err
		}
		c.Digests[name] = a.SHA256
		if a.Size > MaxFile {
			c.Large[p.File(name)] = a.Size
			continue
		}
		if c.Files[p.File(name)], err = read(path); err != nil {
			return nil, err
		}
	}
	c.Info, c.Bad = pkgbuild.ParseSRCINFO(bytes.NewReader(c.Files[".SRCINFO"]))
	if c.Bad != nil {
		c.Info, c.Bad = nil, fmt.Errorf("cannot read the .SRCINFO: %w", c.Bad)
	}
	return c, nil
}

func read(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, MaxFile+1))
	if err == nil && len(b) > MaxFile {
		err = fmt.Errorf("%s has grown while it was read", path)
	}
	return b, err
}

// Names are the names of the packages that the repository makes, sorted.
func (c *Content) Names() []string {
	var names []string
	for _, p := range c.Info.Packages {
		names = append(names, p.PkgName)
	}
	slices.Sort(names)
	return names
}

// Clock is the run's clock, the system's where it has none.
func Clock(e *endpoint.Endpoints) hub.Clock {
	if e.Clock != nil {
		return e.Clock
	}
	return systemClock{}
}

type systemClock struct{}

func (systemClock) Now() time.Time { return time.Now() }

func (systemClock) Sleep(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
