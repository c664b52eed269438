package inspect

import (
	"debug/elf"
	"io/fs"
	"path"
	"path/filepath"
	"slices"

	"github.com/imrightguy/slipway/phases/internal/needs"
)

// bits are permissions as chmod(1) counts them.
func bits(m fs.FileMode) uint32 {
	n := uint32(m.Perm())
	for i, bit := range []fs.FileMode{fs.ModeSticky, fs.ModeSetgid, fs.ModeSetuid} {
		if m&bit != 0 {
			n |= 0o1000 << i
		}
	}
	return n
}

// machines are the ELF machines of architectures in Go's words.
var machines = map[string]elf.Machine{
	"386": elf.EM_386, "amd64": elf.EM_X86_64, "arm": elf.EM_ARM, "arm64": elf.EM_AARCH64, "loong64": elf.EM_LOONGARCH,
	"ppc64le": elf.EM_PPC64, "riscv64": elf.EM_RISCV, "s390x": elf.EM_S390,
}

// libraries follows the needs of programs and libraries.
func (l *look) libraries() error {
	links := map[string]string{}
	for _, e := range l.tree.Entries {
		if e.Mode&fs.ModeSymlink != 0 {
			links[e.Path] = e.Link
		}
	}
	want, known := machines[l.tree.Arch]
	for _, o := range l.objects {
		if known && o.Machine != want && (o.Type == elf.ET_EXEC || o.Type == elf.ET_DYN) {
			l.fault(Libraries, "%s is made for %s, want %s (%s)", o.Path, o.Machine, want, l.tree.Arch)
		}
	}
	limits := needs.Limits{GLIBC: l.rules.Glibc, Host: l.rules.Host.libraries()}
	r, err := needs.Closure(l.ctx, l.objects, links, limits)
	if err != nil {
		return err
	}
	for _, m := range r.Missing {
		l.fault(Libraries, "%s", m.String()+"; "+l.remedy(m))
	}
	r.Missing = nil
	newer, err := r.Check(limits)
	for _, line := range newer {
		l.fault(Libraries, "%s (rules.glibc): build it on an older system", line)
	}
	return err
}

// remedy says what to do about a missing library.
func (l *look) remedy(m needs.Missing) string {
	if m.Elsewhere != "" {
		rel, err := filepath.Rel(path.Dir(m.File), path.Dir(m.Elsewhere))
		if err != nil {
			rel = path.Dir(m.Elsewhere)
		}
		return "link it with RUNPATH " + "$ORIGIN/" + filepath.ToSlash(rel) + ", or lay both out as they were built"
	}
	if slices.Contains(needs.GTK3, m.Library) {
		return "say host: gtk3 in the rules if the packages depend on GTK 3"
	}
	return "put it into the bundle, or list it in rules.host.libraries if the packages depend on it"
}
