package files

import (
	"fmt"
	"io/fs"
	"syscall"
)

// identity returns inode and change time, which no ordinary program can set back.
func identity(info fs.FileInfo) string {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return ""
	}
	return fmt.Sprintf("%d %d.%d", st.Ino, st.Ctim.Sec, st.Ctim.Nsec)
}
