package phases

import (
	"fmt"
	"io/fs"
	"maps"
	"regexp"
	"slices"
	"strings"

	"github.com/imrightguy/slipway/phases/build"
	buildaur "github.com/imrightguy/slipway/phases/build/aur"
	"github.com/imrightguy/slipway/phases/build/tarball"
	"github.com/imrightguy/slipway/phases/build/version"
	"github.com/imrightguy/slipway/phases/internal/approval"
	"github.com/imrightguy/slipway/phases/internal/carrier"
	"github.com/imrightguy/slipway/phases/internal/repo"
	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/templates"
)

// Validate looks for everything that is wrong with the configuration by itself, without the repository. The error is
// an [Errors].
func (c *Config) Validate() error {
	v := &validation{c, faults{source: c.src}}
	if v.source == nil {
		v.source = &source{}
	}
	v.texts()
	v.version()
	v.add(c.build().Validate())
	v.expansions()
	v.aur()
	v.outward()
	v.roles()
	v.gates()
	return v.errs.or()
}

type validation struct {
	c *Config
	faults
}

// bad notes a fault of the value at path, as near to it as its place is known.
func (v *validation) bad(path, hint, format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	at, ok := v.at[path]
	for parent := path; !ok && parent != ""; at, ok = v.at[parent] {
		parent = parent[:max(0, strings.LastIndexAny(parent, ".["))]
	}
	v.fail(at, hint, "%s: %s", path, message(text))
}

// add notes each fault that err joins. What a fault is about stands at its beginning, as in "packages[2]: section: ...".
func (v *validation) add(err error) {
	for _, text := range flatten("", err) {
		path, rest := "", text
		for {
			m := step.FindStringSubmatch(rest)
			if m == nil {
				break
			}
			if _, known := v.at[join(path, m[1])]; !known {
				break
			}
			path, rest = join(path, m[1]), rest[len(m[0]):]
		}
		v.fail(v.at[path], v.meant(text), "%s", message(text))
	}
}

var notAmong = regexp.MustCompile(`(component|bundle) "([^"]*)",? (?:which )?is not among`)

// meant is a hint where a fault is about a name that is nearly one of those that there are.
func (v *validation) meant(text string) string {
	m := notAmong.FindStringSubmatch(text)
	switch {
	case m == nil:
		return ""
	case m[1] == "bundle":
		return didYouMean(m[2], slices.Collect(maps.Keys(v.c.Bundles)))
	}
	return didYouMean(m[2], slices.Collect(maps.Keys(v.c.Components)))
}

var step = regexp.MustCompile(`^([A-Za-z0-9_.-]+(?:\[[0-9]+\])?)(?:: | )`)

// flatten lists the errors that err joins, however deep, each with what was put in front of the joint.
func flatten(prefix string, err error) (texts []string) {
	switch e := err.(type) { //nolint:errorlint // it is the chain itself that is walked
	case nil:
		return nil
	case interface{ Unwrap() []error }:
		for _, err := range e.Unwrap() {
			texts = append(texts, flatten(prefix, err)...)
		}
		return texts
	case interface{ Unwrap() error }:
		if inner := e.Unwrap(); inner != nil {
			if before, ok := strings.CutSuffix(err.Error(), inner.Error()); ok {
				return flatten(prefix+before, inner)
			}
		}
	}
	return []string{prefix + err.Error()}
}

var (
	projectRE = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,99}$`)
	roleRE    = regexp.MustCompile(`^[a-z][a-z0-9-]{0,63}$`)
)

// maxTitle is the length of the longest text that stands in one line of a tracker, in bytes.
const maxTitle = 500

// texts looks at what is shown to people.
func (v *validation) texts() {
	if !projectRE.MatchString(v.c.Project) {
		v.bad("project", "", "want a name of letters, digits and . _ - beginning with a letter or digit, found %s", quote(v.c.Project))
	}
	v.line("about.type", v.c.About.Type, false)
	v.line("about.summary", v.c.About.Summary, false)
	v.line("about.lead", v.c.About.Lead, false)
	for i, r := range v.c.Risks {
		at := fmt.Sprintf("risks[%d].", i)
		v.line(at+"title", r.Title, true)
		v.line(at+"impact", r.Impact, false)
		v.line(at+"probability", r.Probability, false)
		for k, m := range r.Mitigation {
			v.line(fmt.Sprintf("%smitigation[%d]", at, k), m, true)
		}
		if !slices.Contains([]string{"high", "medium", "low"}, r.Level) {
			v.bad(at+"level", "", "want high, medium or low, found %s", quote(r.Level))
		}
	}
	for i, m := range v.c.Metrics {
		at := fmt.Sprintf("metrics[%d].", i)
		v.line(at+"group", m.Group, true)
		v.line(at+"name", m.Name, true)
		v.line(at+"target", m.Target, true)
	}
}

// line wants a text of one line.
func (v *validation) line(path, text string, required bool) {
	_, what := badRune(text)
	switch {
	case what != "":
		v.bad(path, "", "%s", what)
	case strings.ContainsAny(strings.TrimSuffix(text, "\n"), "\n\t"):
		v.bad(path, "", "want one line without tabs")
	case len(text) > maxTitle:
		v.bad(path, "", "it has %d bytes: at most %d are shown", len(text), maxTitle)
	case required && strings.TrimSpace(text) == "":
		v.bad(path, "", "want a text")
	}
}

// version looks at the files that say the version.
func (v *validation) version() {
	before, seen := len(v.errs), map[string]bool{}
	file := func(path, name string) {
		switch err := carrier.Known(name); {
		case name == "":
			v.bad(path, "VERSION, pubspec.yaml and package.json are such files; tag stands for the tag of the commit", "want a file that says the version")
		case !fs.ValidPath(name) || name == "." || strings.Contains(name, `\`):
			v.bad(path, "", "want a clean path in the repository, found %s", quote(name))
		case err != nil:
			v.bad(path, "", "%v", err)
		case seen[name]:
			v.bad(path, "", "%s is listed already", quote(name))
		}
		seen[name] = true
	}
	if v.c.Version.Source != version.Tag {
		file("version.source", v.c.Version.Source)
	}
	for i, name := range v.c.Version.Carriers {
		file(fmt.Sprintf("version.carriers[%d]", i), name)
	}
	if _, err := repo.ParsePerson(v.c.Version.Author); err != nil {
		v.bad("version.author", "", "want Name <mail>, found %s", quote(v.c.Version.Author))
	}
	if err := v.c.Version.Validate(); err != nil && len(v.errs) == before {
		v.bad("version", "", "%v", err)
	}
}

// expansions looks whether texts with fields can be filled in.
func (v *validation) expansions() {
	fields := map[string]string{"Version": "1.0.0", "Arch": "amd64", "Project": v.c.Project, "Commit": strings.Repeat("0", 40)}
	check := func(path, text string) {
		if _, err := templates.Expand(text, fields); err != nil {
			v.bad(path, "", "%v", err)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(v.c.Components)) {
		path := join("components", name)
		texts := v.c.Components[name].Texts()
		for _, key := range slices.Sorted(maps.Keys(texts)) {
			check(path+"."+key, texts[key])
		}
	}
}

// inRelease says what release.yaml calls the fields of a PKGBUILD that have other names there.
var inRelease = map[string]string{"pkgname": "name", "pkgdesc": "description", "url": "homepage"}

var pkgbuildField = regexp.MustCompile(`^([a-z]+)(?:\[[0-9]+\])?(?:\.[a-z]+)?: `)

// aur looks at AUR packages with a version that stands for any, since nothing but the plan looks at them otherwise.
func (v *validation) aur() {
	env := &pipeline.Env{Project: v.c.Project, Version: "1.0.0", Commit: strings.Repeat("0", 40)}
	right := buildaur.Config{
		Name: "any-bin", Maintainer: "Any <any@example.org>", Description: "Any", Homepage: "https://example.org", License: "MIT",
		URL: "https://example.org/", Version: env.Version, Project: env.Project,
		Tarballs: []tarball.Config{{Name: "any", Bundle: "any", Version: env.Version, Arch: "amd64"}, {Name: "any", Bundle: "any", Version: env.Version, Arch: "arm64"}},
	}
	for i, p := range v.c.Packages {
		if p.Format != build.FormatAUR {
			continue
		}
		faults := func(c buildaur.Config, key string) {
			for _, text := range flatten("", c.Validate(env)) {
				at := key
				if m := pkgbuildField.FindStringSubmatch(text); m != nil {
					text = text[len(m[0]):]
					if at == "" {
						at = m[1]
					}
					if name := inRelease[m[1]]; key == "" && name != "" {
						at = name
					}
				}
				v.add(fmt.Errorf("packages[%d]: %s: %s", i, at, text))
			}
		}
		whole, url, maintainer := right, right, right
		whole.Name, whole.PkgRel, whole.Epoch, whole.Description, whole.Homepage, whole.License = p.Name, p.PkgRel, p.Epoch, p.Description, p.Homepage, p.License
		whole.Depends, whole.OptDepends, whole.Provides, whole.Conflicts, whole.Replaces = p.Depends, p.OptDepends, p.Provides, p.Conflicts, p.Replaces
		whole.KeepBuild, whole.Install, whole.Groups, whole.Arches = p.KeepBuild, p.Install, p.Groups, p.Arches
		whole.MakeDepends, whole.CheckDepends = p.MakeDepends, p.CheckDepends
		url.URL, maintainer.Maintainer = p.URL, p.Maintainer
		faults(whole, "") // these two would keep it from being looked at
		faults(url, "url")
		faults(maintainer, "maintainer")
	}
}

// roles looks at the approvers and whether every role that is asked for has some.
func (v *validation) roles() {
	for _, role := range slices.Sorted(maps.Keys(v.c.Approvers)) {
		path := join("approvers", role)
		if !roleRE.MatchString(role) {
			v.bad(path, "", "want a role of a-z, 0-9 and - beginning with a letter, found %s", quote(role))
		}
		if len(v.c.Approvers[role]) == 0 {
			v.bad(path, "put in the line of somebody's .pub file", "nobody has the role")
		}
		for i, key := range v.c.Approvers[role] {
			keys := []string{key}
			if first := slices.Index(v.c.Approvers[role], key); first < i {
				keys = append(keys, key) // listed twice
			}
			if _, err := approval.NewVerifier(map[string][]string{"": keys}); err != nil {
				_, why, _ := strings.Cut(flatten("", err)[0], ": ")
				v.bad(fmt.Sprintf("%s[%d]", path, i), "", "%s", why)
			}
		}
	}
}

// role wants somebody to have the role.
func (v *validation) role(path, role string) {
	if _, ok := v.c.Approvers[role]; !ok {
		hint := didYouMean(role, slices.Collect(maps.Keys(v.c.Approvers)))
		if hint == "" {
			hint = "list the keys of those who have it under approvers"
		}
		v.bad(path, hint, "nobody has the role %s", quote(role))
	}
}

// gates looks at what the gates ask.
func (v *validation) gates() {
	checks := v.c.build().Reported()
	for _, g := range []struct {
		phase  string
		config *build.GateConfig
		own    []string
	}{
		{"build", v.c.Gates.Build, nil},
		{"release", v.c.Gates.Release, releaseChecks()},
		{"aur", v.c.Gates.AUR, aurChecks()},
		{"rollback", v.c.Gates.Rollback, nil},
	} {
		if g.config != nil {
			v.gate("gates."+g.phase, g.config, append(slices.Clone(checks), g.own...))
		}
	}
}

// gate looks at what one gate asks.
func (v *validation) gate(at string, g *build.GateConfig, checks []string) {
	v.line(at+".title", g.Title, false)
	if g.Approve != "" {
		v.role(at+".approve", g.Approve)
	}
	titles := map[string]bool{}
	for i, cr := range g.Criteria {
		path := fmt.Sprintf("%s.criteria[%d]", at, i)
		switch {
		case (cr.Check == "") == (cr.Attest == ""):
			v.bad(path, "", "want check, or attest and by")
		case cr.Check != "" && cr.By != "":
			v.bad(path+".by", "", "a check is nobody's to attest")
		case cr.Check != "" && !slices.Contains(checks, cr.Check):
			hint := didYouMean(cr.Check, checks)
			if hint == "" {
				hint = "there are " + strings.Join(checks, ", ")
			}
			v.bad(path+".check", hint, "nothing reports a check %s", quote(cr.Check))
		case cr.Attest != "" && cr.By == "":
			v.bad(path, "", "by: want the role of the person who attests it")
		case cr.Attest != "" && cr.Title != "":
			v.bad(path+".title", "leave it out", "a statement is its own title: what stands there is what is signed")
		case cr.Attest != "":
			v.line(path+".attest", cr.Attest, true)
			v.role(path+".by", cr.By)
		}
		v.line(path+".title", cr.Title, false)
		title := cr.Title
		if title == "" {
			title = cr.Check + cr.Attest
		}
		if titles[title] && title != "" {
			v.bad(path, "give one of them a title", "another criterion is called %s", quote(title))
		}
		titles[title] = true
	}
}
