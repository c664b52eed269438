//go:build unix

package launch

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"github.com/godbus/dbus/v5"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/bus"
)

func detach(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// supervised reports whether systemd started this very process. A desktop
// session under systemd hands its own variables down, so the pid must fit.
func supervised() bool {
	return os.Getenv("INVOCATION_ID") != "" && os.Getenv("SYSTEMD_EXEC_PID") == strconv.Itoa(os.Getpid())
}

type property struct {
	Name  string
	Value dbus.Variant
}

type execStart struct {
	Path    string
	Args    []string
	Ignored bool
}

type aux struct {
	Name  string
	Props []property
}

// transient starts a program as a unit of the user's systemd.
func transient(path string, args []string) error {
	address := bus.Address()
	if address == "" {
		return errors.New("no session bus")
	}
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	c, err := dbus.Connect(address, dbus.WithContext(ctx))
	if err != nil {
		return err
	}
	defer c.Close()
	var b [4]byte
	_, _ = rand.Read(b[:]) // never fails
	name := "app-" + App + "-" + hex.EncodeToString(b[:]) + ".service"
	v := dbus.MakeVariant
	return c.Object("org.freedesktop.systemd1", "/org/freedesktop/systemd1").CallWithContext(ctx, "org.freedesktop.systemd1.Manager.StartTransientUnit", dbus.FlagNoAutoStart,
		name, "fail", []property{
			{"Description", v("CloudToLocalLLM, started from the tray")},
			{"ExecStart", v([]execStart{{path, append([]string{path}, args...), false}})},
			{"Slice", v("app.slice")},
			{"CollectMode", v("inactive-or-failed")},
		}, []aux{}).Err
}

// Running reports whether a process of our user runs the app: its executable's
// name counts, not its command line, so the daemon never takes itself for it.
func Running() bool {
	entries, err := os.ReadDir("/proc")
	if err != nil {
		return false
	}
	for _, e := range entries {
		if n := e.Name(); n[0] < '1' || n[0] > '9' {
			continue
		}
		fi, err := e.Info()
		if err != nil {
			continue
		}
		if st, ok := fi.Sys().(*syscall.Stat_t); !ok || int(st.Uid) != os.Geteuid() {
			continue
		}
		exe, err := os.Readlink(filepath.Join("/proc", e.Name(), "exe"))
		if err == nil && filepath.Base(strings.TrimSuffix(exe, " (deleted)")) == App {
			return true
		}
	}
	return false
}
