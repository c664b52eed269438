//go:build unix

package rehearsal

import (
	"os"
	"syscall"
)

// hold locks a file, and says whether it is locked and still there. The system lets go of it when the process ends,
// however it ends.
func hold(lock *os.File) bool {
	if syscall.Flock(int(lock.Fd()), syscall.LOCK_EX|syscall.LOCK_NB) != nil {
		return false
	}
	ours, err := lock.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(lock.Name())
	return err == nil && os.SameFile(ours, there)
}

// abandoned opens and locks the file of a process of this user that is gone; nil where there is none.
func abandoned(name string) *os.File {
	// Neither links nor pipes that somebody has put there.
	f, err := os.OpenFile(name, os.O_RDWR|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil
	}
	info, err := f.Stat()
	if err == nil && info.Mode().IsRegular() {
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) == os.Geteuid() && hold(f) {
			return f
		}
	}
	_ = f.Close()
	return nil
}
