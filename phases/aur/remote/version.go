package remote

import (
	"errors"
	"fmt"
	"regexp"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/pkgbuild"
)

// Version is a package's version in its parts, as a published .SRCINFO has them.
type Version struct{ Epoch, PkgVer, PkgRel string }

var (
	word   = regexp.MustCompile(`^[\x21-\x7e]{1,200}$`)
	number = regexp.MustCompile(`^[0-9]{1,20}$`)
)

func (v Version) checked() (Version, error) {
	switch {
	case v.PkgVer == "" || v.PkgRel == "":
		return v, errors.New("its .SRCINFO has no pkgver or no pkgrel")
	case !word.MatchString(v.PkgVer) || !word.MatchString(v.PkgRel) || strings.ContainsAny(v.PkgVer+v.PkgRel, "-:/"):
		return v, fmt.Errorf("its .SRCINFO has pkgver %.50q and pkgrel %.50q", v.PkgVer, v.PkgRel)
	case v.Epoch != "" && !number.MatchString(v.Epoch):
		return v, fmt.Errorf("its .SRCINFO has epoch %.50q", v.Epoch)
	}
	return v, nil
}

// String is the full version, [epoch:]pkgver-pkgrel. An epoch of zero is none.
func (v Version) String() string {
	epoch := ""
	if strings.Trim(v.Epoch, "0") != "" {
		epoch = v.Epoch + ":"
	}
	return epoch + v.PkgVer + "-" + v.PkgRel
}

// info is a .SRCINFO of which only the version is known.
func (v Version) info(base string) *pkgbuild.SRCINFO {
	section := pkgbuild.Section{"pkgver": {v.PkgVer}, "pkgrel": {v.PkgRel}}
	if strings.Trim(v.Epoch, "0") != "" {
		section["epoch"] = []string{v.Epoch}
	}
	return &pkgbuild.SRCINFO{PkgBase: base, Base: section}
}
