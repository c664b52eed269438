package templates

// Release is what a first release.yaml is made of.
type Release struct {
	Kind        string      // of repository: Go, Flutter, Node, Python, Rust or plain
	Todo        []string    // what could not be found out, told at the top
	Project     string      // name of the product, which packages can have too
	Source      string      // the file that is the version's source of truth
	Carriers    []string    // files that repeat the version
	Requires    [][2]string // tools with their ranges of versions
	Components  []ReleaseComponent
	Arch        []string         // GOARCH names
	Contents    []ReleaseContent // more of what a package installs, from the repository
	License     string           // SPDX
	LicenseFile string           // empty where there is none
	Readme      string           // likewise
	Homepage    string
	URL         string // of the folder where the release's files will be; {{ .Version }} is filled in later
}

// ReleaseComponent is a program of the repository.
type ReleaseComponent struct {
	Name    string
	Builder string   // go, flutter, command or prebuilt
	Notes   []string // what to know of it, as comments
	Package string   // of builder go
	Program string   // the program's file name where it is not Name
	Path    string   // of builder prebuilt
	Command []string // of builder command
	Output  string   // likewise
	Pass    []string // likewise; may be empty
	Made    string   // the program's path in the component where it is not its file name
	Tree    bool     // the component is a folder with all that the program needs
}

// File is the program's file name, as people call it.
func (c ReleaseComponent) File() string {
	if c.Program != "" {
		return c.Program
	}
	return c.Name
}

// In is the program's path in the component.
func (c ReleaseComponent) In() string {
	if c.Made != "" {
		return c.Made
	}
	return c.File()
}

// ReleaseContent is a file of the repository that a package installs.
type ReleaseContent struct {
	Src string
	Dst string // below /usr
}

// RenderRelease writes a release.yaml with comments that say what to fill in.
func RenderRelease(r Release) ([]byte, error) { return render("release.yaml.tmpl", r) }
