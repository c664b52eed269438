package archive

import (
	"errors"
	"fmt"
	"io"
	"time"
)

// Member is one part of an ar archive.
type Member struct {
	Name string // at most 16 bytes
	Size int64  // of the body, bytes
	Body io.Reader
}

// WriteAr writes an ar archive as deb(5) describes it: the common format with short names, owner 0/0, mode 0644 and one
// time for all members, which must not be before 1970. A body that has another length than its size is an error.
func WriteAr(w io.Writer, mtime time.Time, members ...Member) error {
	if _, err := io.WriteString(w, arMagic); err != nil {
		return err
	}
	for _, m := range members {
		header := fmt.Sprintf("%-16s%-12d%-6d%-6d%-8o%-10d`\n", m.Name, mtime.Unix(), 0, 0, 0o100644, m.Size)
		if len(header) != arHeader || mtime.Unix() < 0 {
			return fmt.Errorf("cannot put %q with %d bytes and time %s into an ar archive", m.Name, m.Size, mtime.UTC().Format(time.RFC3339))
		}
		if _, err := io.WriteString(w, header); err != nil {
			return err
		}
		if n, err := io.Copy(w, io.LimitReader(m.Body, m.Size+1)); err != nil || n != m.Size {
			return errors.Join(err, fmt.Errorf("%q has %d bytes or more, want %d", m.Name, n, m.Size))
		}
		if m.Size%2 == 1 {
			if _, err := io.WriteString(w, "\n"); err != nil {
				return err
			}
		}
	}
	return nil
}
