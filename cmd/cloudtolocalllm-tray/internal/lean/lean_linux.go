package lean

import (
	"bufio"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// dropPages unmaps the clean pages of the executable's read-only parts. A part
// that holds anything of its own (a relocated one, a breakpoint) is left alone:
// its pages could not be had back from the file.
func dropPages() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	f, err := os.Open("/proc/self/smaps")
	if err != nil {
		return
	}
	defer f.Close()
	var start, end uintptr
	s := bufio.NewScanner(f)
	for s.Scan() {
		w := strings.Fields(s.Text())
		switch {
		case len(w) >= 6 && strings.Contains(w[0], "-"):
			start, end = 0, 0
			if w[5] != exe || w[1] != "r-xp" && w[1] != "r--p" {
				continue
			}
			a, b, _ := strings.Cut(w[0], "-")
			from, err1 := strconv.ParseUint(a, 16, 64)
			to, err2 := strconv.ParseUint(b, 16, 64)
			if err1 == nil && err2 == nil {
				start, end = uintptr(from), uintptr(to)
			}
		case len(w) >= 2 && w[0] == "Anonymous:" && w[1] == "0" && end > start:
			_, _, _ = unix.Syscall(unix.SYS_MADVISE, start, end-start, unix.MADV_DONTNEED)
			start, end = 0, 0
		}
	}
}
