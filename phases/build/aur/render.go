package aur

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
)

// The keys of the receipt of a [Render]'s Version.
const (
	KeyPkgVer = "pkgver"
	KeyPkgRel = "pkgrel"
	KeyEpoch  = "epoch" // a number; 0 for none
)

// Of returns the configuration of a step that [Step] made.
func Of(s pipeline.Step) (Config, bool) {
	st, ok := s.(*step)
	if !ok {
		return Config{}, false
	}
	return st.Config, true
}

// At is the same package with what was released as another version: the package's own version becomes that one's, too,
// unless a [Render] says it.
func (c Config) At(text string) (Config, error) {
	v, err := version.Parse(text)
	if err != nil {
		return c, err
	}
	c.Version = v.String()
	c.Tarballs, c.Debs, c.AppImages = append(c.Tarballs[:0:0], c.Tarballs...), append(c.Debs[:0:0], c.Debs...), append(c.AppImages[:0:0], c.AppImages...)
	for i := range c.Tarballs {
		c.Tarballs[i].Version = v.Release()
	}
	for i := range c.Debs {
		c.Debs[i].Version, c.Debs[i].Upstream = v.Release(), v.Deb()
	}
	for i := range c.AppImages {
		c.AppImages[i].Version = v.Release()
	}
	return c, nil
}

// URLOf is the address at which a source is published.
func (c Config) URLOf(env *pipeline.Env, s Source) (string, error) {
	text, err := c.address(env, s)
	if err != nil {
		return "", fmt.Errorf("url: %w", err)
	}
	var url strings.Builder
	for _, p := range text {
		if p == pkgbuild.Payload {
			p.Literal = c.payload()
		}
		url.WriteString(p.Literal)
	}
	return url.String(), nil
}

// Render makes the same files as [Step] for packages that were released before. What a PKGBUILD says of single files is
// taken from these packages themselves: there is no bundle of them any more, and today's may be another one.
type Render struct {
	Config
	ID string
	// Needs are the steps that fetch the packages.
	Needs []string
	// Scriptlet is the text of the install scriptlet where there is one.
	Scriptlet []byte
	// From is a step whose receipt says the package's version: see [KeyPkgVer]. Empty: it is made of Config.
	From string
	// Release is the release that published the packages, as far as texts like their addresses are made of it. Nil: the
	// plan's own.
	Release *pipeline.Env
	// MadeFrom says to people where Config comes from; empty where that is the plan's own release.yaml.
	MadeFrom string
}

// NewRender returns the step. The scriptlet is read as pacman and bash read it.
func NewRender(ctx context.Context, r Render) (pipeline.Step, error) {
	if r.Install != "" {
		if err := checkScriptlet(ctx, r.Scriptlet); err != nil {
			return nil, fmt.Errorf("install: %s: %w", r.Install, err)
		}
	}
	return &render{r}, nil
}

type render struct{ Render }

func (s *render) Spec() pipeline.Spec {
	sp := pipeline.Spec{ID: s.ID, Needs: s.Needs, Effect: pipeline.Local, Outputs: s.Artifacts(), Params: map[string]string{}}
	for _, from := range s.Sources() {
		sp.Inputs = append(sp.Inputs, "artifact:"+from.Artifact)
	}
	if s.From != "" {
		sp.Needs = append(append([]string{}, s.Needs...), s.From)
		for _, key := range []string{KeyPkgVer, KeyPkgRel, KeyEpoch} {
			sp.Inputs = append(sp.Inputs, "receipt:"+s.From+"."+key)
		}
	}
	if s.Install != "" {
		sum := sha256.Sum256(s.Scriptlet)
		sp.Params["scriptlet"] = hex.EncodeToString(sum[:])
	}
	if s.Release != nil {
		sp.Params["release"] = s.Release.Commit + " " + s.Release.Time.UTC().Format(time.RFC3339)
	}
	if s.MadeFrom != "" {
		sp.Params["made from"] = s.MadeFrom
	}
	if b, err := json.Marshal(s.Config); err == nil { // texts and numbers only: there is no error
		sp.Params["config"] = string(b)
	}
	return sp
}

func (s *render) Run(ctx context.Context, ws *pipeline.Workspace) (pipeline.Receipt, error) {
	if s.MadeFrom != "" {
		ws.Logf("%s is made from %s", s.Name, s.MadeFrom)
	}
	sums := map[Source]string{}
	var of content
	data := ""
	for i, from := range s.Sources() {
		a, file, err := ws.Input(from.Artifact)
		if err != nil {
			return nil, err
		}
		sums[from] = a.SHA256
		found, member, err := s.opened(ctx, i, file)
		if err == nil {
			err = s.checkArch(i, file)
		}
		if err == nil && i > 0 {
			err = found.agree(of)
			if err == nil && member != data {
				err = fmt.Errorf("its data archive is %s, that of another architecture %s", member, data)
			}
		}
		if err != nil {
			return nil, fmt.Errorf("cannot make a package of %s: %w", from.Artifact, err)
		}
		of, data = found, member
	}
	env := cmp.Or(s.Release, &ws.Env)
	m, err := s.model(env, func(from Source) string { return sums[from] }, of)
	if err != nil {
		return nil, err
	}
	for i, a := range m.Package {
		if deb, is := a.(pkgbuild.UnpackDeb); is {
			deb.Data = data
			m.Package[i] = deb
		}
	}
	if s.From != "" {
		if err := s.versioned(ws, m); err != nil {
			return nil, err
		}
	}
	return nil, s.write(ws, env, m, s.Scriptlet)
}

// versioned takes the package's version from the receipt of another step.
func (s *render) versioned(ws *pipeline.Workspace, m *pkgbuild.Model) (err error) {
	if m.PkgVer, err = ws.Receipt(s.From, KeyPkgVer); err != nil {
		return err
	}
	if m.PkgRel, err = ws.Receipt(s.From, KeyPkgRel); err != nil {
		return err
	}
	epoch, err := ws.Receipt(s.From, KeyEpoch)
	if err == nil {
		m.Epoch, err = strconv.Atoi(epoch)
	}
	return err
}

// write prints the files of a package's repository.
func (c Config) write(ws *pipeline.Workspace, env *pipeline.Env, m *pkgbuild.Model, scriptlet []byte) error {
	texts, err := c.print(env, m)
	if err != nil {
		return err
	}
	if c.Install != "" {
		texts[c.Scriptlet()] = scriptlet
	}
	for _, file := range c.FileNames() {
		path, err := ws.Create(pipeline.Artifact{Name: Artifact(c.Name, file), Kind: Kind})
		if err != nil {
			return err
		}
		if err := os.WriteFile(path, texts[file], 0o666); err != nil {
			return err
		}
	}
	return nil
}

// InstallOf is the path of the install scriptlet in the parameter config of a step that [Step] or [NewRender] made; "" for
// none.
func InstallOf(config string) (string, error) {
	var c struct{ Install string }
	if err := json.Unmarshal([]byte(config), &c); err != nil {
		return "", fmt.Errorf("cannot read the plan of an AUR package: %w", err)
	}
	return c.Install, nil
}
