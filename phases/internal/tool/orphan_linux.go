package tool

import (
	"os/exec"
	"runtime"
	"syscall"
)

// bind lets the kernel kill the program when this process dies, however it dies, so that nothing writes on behind a
// run that was killed. The signal is tied to the thread that starts the program (prctl(2), PR_SET_PDEATHSIG), so that
// thread is kept until release is called.
func bind(cmd *exec.Cmd) (release func()) {
	runtime.LockOSThread()
	cmd.SysProcAttr.Pdeathsig = syscall.SIGKILL
	return runtime.UnlockOSThread
}
