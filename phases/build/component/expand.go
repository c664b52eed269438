package component

import (
	"github.com/imrightguy/slipway/phases/internal/version"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/templates"
)

// Expand fills in the fields of a text: {{ .Version }} is X.Y.Z[-pre] without the build number, as in names of files
// and tags, {{ .Arch }} the architecture, {{ .Project }} and {{ .Commit }} those of the plan.
func Expand(text string, env *pipeline.Env, arch string) (string, error) {
	v, err := version.Parse(env.Version)
	if err != nil {
		return "", err
	}
	return ExpandWith(text, env, arch, v.Release())
}

// ExpandWith does what [Expand] does, with something else for the version.
func ExpandWith(text string, env *pipeline.Env, arch, version string) (string, error) {
	return templates.Expand(text, map[string]string{"Version": version, "Arch": arch, "Project": env.Project, "Commit": env.Commit})
}
