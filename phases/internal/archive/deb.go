package archive

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"

	"github.com/mholt/archiver/v4"
)

// Deb is what was read of a Debian package, the format of deb(5).
type Deb struct {
	Control   []Field  // of the control file, in its order
	Conffiles []string // paths of the file of that name, in its order, without the leading slash
	Members   []Entry  // files of the control archive, sorted by path
	Entries   []Entry  // of the data archive, sorted by path
}

// Field returns the value of a control field, or "".
func (d *Deb) Field(name string) string {
	for _, f := range d.Control {
		if strings.EqualFold(f.Name, name) {
			return f.Value
		}
	}
	return ""
}

// controlLimits bound the control archive: md5sums has a line for each file.
var controlLimits = Limits{Entries: 64, Bytes: 64 << 20}

const maxControl = 1 << 20 // bytes of the control file

// ReadDeb reads a Debian package. Keep, which may be nil, is called for the files of the data archive. Refused with a [*BadError], beside what [ReadTarGz] refuses: other members than
// debian-binary, control.tar.gz and data.tar, data.tar.gz or data.tar.xz in this order, a control file that is not
// well formed, MD5 sums that do not fit the files, and conffiles that are not among the files.
func ReadDeb(ctx context.Context, r io.Reader, lim Limits, keep Content) (*Deb, error) {
	src := &source{r: r}
	d, err := readDeb(ctx, src, lim, src.own(keep))
	return d, src.judge(ctx, err)
}

func readDeb(ctx context.Context, r io.Reader, lim Limits, keep Content) (*Deb, error) {
	ar, err := newArReader(r)
	if err != nil {
		return nil, err
	}
	d := &Deb{}
	name, body, err := ar.next()
	if err != nil {
		return nil, err
	}
	version, err := io.ReadAll(io.LimitReader(body, 16))
	if err != nil {
		return nil, err
	}
	if name != "debian-binary" || string(version) != "2.0\n" {
		return nil, bad("it does not begin with debian-binary 2.0 but with %.40q, %q", name, version)
	}

	if name, body, err = ar.next(); err != nil {
		return nil, err
	}
	if name != "control.tar.gz" {
		return nil, bad("its second part is %.40q, want control.tar.gz", name)
	}
	var control, sums, conffiles bytes.Buffer
	d.Members, _, err = readCompressed(ctx, body, gunzip, controlLimits, tarOptions{debian: true, content: func(e Entry, r io.Reader) error {
		switch e.Path {
		case "control":
			if e.Size > maxControl {
				return bad("its control file is larger than %d bytes", maxControl)
			}
			_, err := io.Copy(&control, r)
			return err
		case "md5sums":
			_, err := io.Copy(&sums, r)
			return err
		case "conffiles":
			_, err := io.Copy(&conffiles, r)
			return err
		}
		return nil
	}})
	if err != nil {
		return nil, err
	}
	if d.Control, err = ParseControl(control.Bytes()); err != nil {
		return nil, bad("its control file is malformed: %v", err)
	}
	wanted, err := parseMD5Sums(sums.String())
	if err != nil {
		return nil, bad("its md5sums are malformed: %v", err)
	}

	if name, body, err = ar.next(); err != nil {
		return nil, err
	}
	c, ok := map[string]archiver.Decompressor{"data.tar": nil, "data.tar.gz": gunzip, "data.tar.xz": archiver.Xz{}}[name]
	if !ok {
		return nil, bad("its third part is %.40q, want data.tar.gz, data.tar.xz or data.tar", name)
	}
	var found map[string]string
	if d.Entries, found, err = readCompressed(ctx, body, c, lim, tarOptions{debian: true, content: keep}); err != nil {
		return nil, err
	}
	if name, _, err = ar.next(); !errors.Is(err, io.EOF) {
		return nil, cmpErr(err, bad("it has a fourth part, %.40q", name))
	}
	if d.Conffiles, err = parseConffiles(conffiles.String(), found); err != nil {
		return nil, bad("its conffiles are malformed: %v", err)
	}
	return d, compareMD5(wanted, found)
}

// parseConffiles reads one absolute path of a file in each line, as deb-conffiles(5) says, and none of its flags. Files
// has the paths of the package's files.
func parseConffiles(text string, files map[string]string) ([]string, error) {
	var paths []string
	seen := map[string]bool{}
	for line := range strings.Lines(text) {
		p, ended := strings.CutSuffix(line, "\n")
		p, rooted := strings.CutPrefix(p, "/")
		switch {
		case !ended || !rooted || CheckName(p) != nil:
			return nil, fmt.Errorf("want the path of a file with a slash in front, found %.80q", line)
		case files[p] == "":
			return nil, fmt.Errorf("%q is not a file of the package", p)
		case seen[p]:
			return nil, fmt.Errorf("%q is there twice", p)
		}
		paths, seen[p] = append(paths, p), true
	}
	return paths, nil
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

// parseMD5Sums reads lines of 32 hexadecimal digits, two spaces and a path.
func parseMD5Sums(text string) (map[string]string, error) {
	sums := map[string]string{}
	for line := range strings.Lines(text) {
		line, ended := strings.CutSuffix(line, "\n")
		sum, name, ok := strings.Cut(line, "  ")
		name = strings.TrimPrefix(name, "./")
		switch {
		case !ended || !ok || len(sum) != 32 || strings.Trim(sum, "0123456789abcdef") != "":
			return nil, fmt.Errorf("want a sum, two spaces and a path, found %.80q", line)
		case CheckName(name) != nil:
			return nil, CheckName(name)
		case sums[name] != "":
			return nil, fmt.Errorf("%q is there twice", name)
		}
		sums[name] = sum
	}
	return sums, nil
}

func compareMD5(wanted, found map[string]string) error {
	for _, name := range slices.Sorted(maps.Keys(found)) {
		if wanted[name] != found[name] {
			return bad("its md5sums say %q for %q, which has %s", wanted[name], name, found[name])
		}
	}
	for _, name := range slices.Sorted(maps.Keys(wanted)) {
		if found[name] == "" {
			return bad("its md5sums name %q, which is not there", name)
		}
	}
	return nil
}

// arReader reads an ar archive as deb(5) describes it: the common format with short names. It never reads back.
type arReader struct {
	r    io.Reader
	body *io.LimitedReader // of the current member
	pad  bool
}

const (
	arMagic  = "!<arch>\n"
	arHeader = 60 // name 16, time 12, owner 6, group 6, mode 8, size 10, end 2
)

func newArReader(r io.Reader) (*arReader, error) {
	magic := make([]byte, len(arMagic))
	if n, err := io.ReadFull(r, magic); err != nil || string(magic) != arMagic {
		if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
			return nil, err
		}
		return nil, bad("it is not a Debian package: it begins with %q", magic[:n])
	}
	return &arReader{r: r}, nil
}

// next goes to the next member; io.EOF after the last.
func (a *arReader) next() (name string, body io.Reader, err error) {
	if a.body != nil {
		if _, err := io.Copy(io.Discard, a.body); err != nil {
			return "", nil, err
		}
		if a.body.N > 0 {
			return "", nil, bad("it ends in the middle of a part")
		}
		if a.pad {
			if _, err := io.CopyN(io.Discard, a.r, 1); err != nil {
				return "", nil, err
			}
		}
	}
	h := make([]byte, arHeader)
	switch _, err := io.ReadFull(a.r, h); {
	case errors.Is(err, io.EOF) && a.body != nil:
		return "", nil, io.EOF
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF):
		return "", nil, bad("it ends in the middle of a header")
	case err != nil:
		return "", nil, err
	}
	size, err := strconv.ParseUint(strings.TrimRight(string(h[48:58]), " "), 10, 63)
	if err != nil || string(h[58:]) != "`\n" {
		return "", nil, bad("it has a malformed part header %q", h)
	}
	a.body, a.pad = &io.LimitedReader{R: a.r, N: int64(size)}, size%2 == 1
	return strings.TrimSuffix(strings.TrimRight(string(h[:16]), " "), "/"), a.body, nil
}
