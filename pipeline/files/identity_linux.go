package files

import (
	"io/fs"
	"strconv"
	"syscall"
)

// appendIdentity adds inode and change time, which no ordinary program can set back.
func appendIdentity(line []byte, info fs.FileInfo) []byte {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return line
	}
	line = strconv.AppendUint(append(line, ' '), st.Ino, 10)
	line = strconv.AppendInt(append(line, ' '), int64(st.Ctim.Sec), 10)
	return strconv.AppendInt(append(line, '.'), int64(st.Ctim.Nsec), 10)
}
