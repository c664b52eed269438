package phases

import (
	"github.com/imrightguy/slipway/phases/aur"
	"github.com/imrightguy/slipway/phases/build"
	"github.com/imrightguy/slipway/phases/build/bundle"
	"github.com/imrightguy/slipway/phases/build/component"
	"github.com/imrightguy/slipway/phases/build/requirement"
	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/channel"
	"github.com/imrightguy/slipway/phases/internal/endpoint"
	"github.com/imrightguy/slipway/phases/internal/size"
	"github.com/imrightguy/slipway/phases/release"
	"github.com/imrightguy/slipway/templates"
)

// Config is a release.yaml: how a project is released. Make one with [Load].
type Config struct {
	// Project is the name of the product.
	Project string `yaml:"project" jsonschema:"required"`
	// About is the head of the deployment tracker.
	About About `yaml:"about,omitempty"`
	// Version says where the version stands.
	Version version.Config `yaml:"version" jsonschema:"required"`
	// Requires are programs that have to be there before anything is built, each with the range of versions that will do,
	// like ">=1.26", or with keys.
	Requires map[string]requirement.Config `yaml:"requires,omitempty"`
	// Disk is the room that has to be there on the disk before anything is built, like 2GB.
	Disk size.Bytes `yaml:"disk,omitempty" jsonschema:"oneof_type=string;integer"`
	// Components are what is built, by name.
	Components map[string]component.Config `yaml:"components,omitempty"`
	// Bundles are the trees of files that packages are made of, by name.
	Bundles map[string]bundle.Config `yaml:"bundles" jsonschema:"required"`
	// Packages are what is released, each of one format.
	Packages []build.Package `yaml:"packages" jsonschema:"required"`
	// Checks are the project's own, by name: texts and files of the commit, or programs that are run.
	Checks map[string]build.Check `yaml:"checks,omitempty"`
	// Judges are tools of distributions that judge the packages: lintian, dpkg, desktop-file-validate, appstreamcli, makepkg
	// and pacman. One that is missing leaves its check unknown, which does not pass.
	Judges []string `yaml:"judges,omitempty"`
	// Release says how it is published: branch and tag, and the release on GitHub. Left out: it is not.
	Release *release.Config `yaml:"release,omitempty"`
	// AUR says where packages of format aur are published, by their names. Those that are not named are made only.
	AUR map[string]aur.Config `yaml:"aur,omitempty"`
	// Channels says where versions go that are not simply the newest. Left out: neither to the AUR nor to "latest".
	Channels channel.Config `yaml:"channels,omitempty"`
	// Sign says with what key the release's commits and its tag are signed. Left out: they are not.
	Sign *endpoint.Signing `yaml:"sign,omitempty"`
	// Gates say what has to hold before a release goes on.
	Gates Gates `yaml:"gates,omitempty"`
	// Approvers are the public keys of the people who may approve, attest and waive, by role: lines as in a .pub file.
	// They count as they stand in the commit that is released.
	Approvers map[string][]string `yaml:"approvers,omitempty"`
	// Risks are shown in the deployment tracker.
	Risks []Risk `yaml:"risks,omitempty"`
	// Metrics are figures by which the release is judged afterwards, shown in the deployment tracker.
	Metrics []Metric `yaml:"metrics,omitempty"`

	src *source // where all that stands; nil for a Config that was not loaded

	unjudged bool // AUR packages are published without aur/judge: see [RehearsedOlder]
	olderToo bool // older versions were released with it as well: see [RehearsedConfig]
}

// About is what the head of the deployment tracker says of a release.
type About struct {
	// Type is the kind of release, like patch, minor or major.
	Type string `yaml:"type,omitempty"`
	// Summary says in one sentence what the release brings.
	Summary string `yaml:"summary,omitempty"`
	// Lead is who is responsible.
	Lead string `yaml:"lead,omitempty"`
}

// Gates are the gates of the phases.
type Gates struct {
	// Build is the gate that packages have to pass. Left out: all checks, and nobody's approval.
	Build *build.GateConfig `yaml:"build,omitempty"`
	// Release is the gate of the release phase, before anything becomes public. Left out: all checks of that phase, and
	// nobody's approval. Every check of the phase counts, whether criteria name it or not.
	Release *build.GateConfig `yaml:"release,omitempty"`
	// AUR is the gate of the AUR phase, after the release was proven. Left out: all checks, and nobody's approval.
	AUR *build.GateConfig `yaml:"aur,omitempty"`
	// Rollback is the gate of a rollback. Left out: all checks, and nobody's approval.
	Rollback *build.GateConfig `yaml:"rollback,omitempty"`
}

// Risk is something that may go wrong with a release.
type Risk struct {
	// Title names it.
	Title string `yaml:"title" jsonschema:"required"`
	// Level is high, medium or low.
	Level string `yaml:"level" jsonschema:"required,enum=high,enum=medium,enum=low"`
	// Impact says what would come of it.
	Impact string `yaml:"impact,omitempty"`
	// Probability says how likely it is.
	Probability string `yaml:"probability,omitempty"`
	// Mitigation lists what is done about it.
	Mitigation []string `yaml:"mitigation,omitempty"`
}

// Metric is a figure by which a release is judged.
type Metric struct {
	// Group is the heading that it stands under, like Technical Metrics.
	Group string `yaml:"group" jsonschema:"required"`
	// Name says what is measured.
	Name string `yaml:"name" jsonschema:"required"`
	// Target is the value that is wanted, with its unit.
	Target string `yaml:"target" jsonschema:"required"`
}

// Tracker is what the configuration knows of the deployment tracker: its head, risks and metrics. How the release
// stands is for others to fill in.
func (c *Config) Tracker() templates.Tracker {
	t := templates.Tracker{Project: c.Project, Type: c.About.Type, Summary: c.About.Summary, Lead: c.About.Lead}
	for _, r := range c.Risks {
		t.Risks = append(t.Risks, templates.TrackerRisk{Title: r.Title, Level: r.Level, Impact: r.Impact, Probability: r.Probability, Mitigation: r.Mitigation})
	}
	at := map[string]int{}
	for _, m := range c.Metrics {
		i, ok := at[m.Group]
		if !ok {
			i = len(t.Metrics)
			at[m.Group], t.Metrics = i, append(t.Metrics, templates.TrackerMetrics{Title: m.Group})
		}
		t.Metrics[i].Metrics = append(t.Metrics[i].Metrics, templates.TrackerMetric{Name: m.Name, Target: m.Target})
	}
	return t
}
