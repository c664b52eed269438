//go:build linux

package e2e

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

const dist = "../../dist"

func distFile(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dist, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// The program comes up on a machine without anything within a deadline, and
// answers: the black screen came of a tray that blocked.
func TestFailure_35_StartsWithinADeadline(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Env = append(h.Env, "DISPLAY=:99", "DBUS_SESSION_BUS_ADDRESS=unix:path="+h.Run+"/nobody") // and with a bus that is not there
	d := h.Start()
	c := d.Dial()
	c.Say(`{"command":"PING"}`)
	c.Reply()
}

// A bus that accepts and never answers holds up nothing but the icon.
func TestFailure_35_AHangingBusBlocksNothing(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	hole := strings.TrimPrefix(rig.BlackHole(t), "http://127.0.0.1:")
	h.Env = append(h.Env, "DBUS_SESSION_BUS_ADDRESS=tcp:host=127.0.0.1,port="+hole)
	h.Connections("", "")
	d := h.Start()
	c := d.Dial()
	for range 50 {
		c.Say(`{"command":"UPDATE_ICON","state":"error"}`)
		c.Say(`{"command":"PING"}`)
		c.Reply()
	}
	if out, code := h.Shell("status"); code != 0 {
		t.Error(out)
	}
	if code := d.Stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit %d", code)
	}
}

// Nonsense on every door does not bring it down.
func TestFailure_36_NothingCrashesIt(t *testing.T) {
	t.Parallel()
	d, _ := local(t)
	for _, line := range []string{
		`{}`, `{"command":null}`, `{"command":7}`, `{"command":"UPDATE_ICON","state":[]}`, `{"command":"UPDATE_TOOLTIP","text":{}}`, `{"command":"AUTH_STATUS","authenticated":"x"}`,
		`{"command":"UPDATE_AUTH_TOKEN","token":7}`, `{"command":"PROXY_REQUEST","method":7}`, `{"command":"PROXY_REQUEST","path":7}`, `{"command":"PROXY_REQUEST","method":"POST","path":"/api/chat","data":"x"}`,
		`{"command":"PROXY_REQUEST","id":{},"timeout_ms":"x"}`, `{"command":"PROXY_REQUEST","id":1,"timeout_ms":-1}`, `{"command":"PROXY_STREAM"}`, `{"command":"PROXY_STREAM","id":2,"path":"//x"}`, `{"command":"PROXY_STREAM","id":3,"path":"/api/cut"}`,
		`{"command":"CANCEL"}`, `{"command":"CANCEL","id":[]}`, `{"command":"SUBSCRIBE"}`, `{"command":"SUBSCRIBE","topics":["x"]}`, `{"command":"SET_SETTINGS"}`, `{"command":"SET_SETTINGS","revision":-1,"settings":{}}`,
		`{"command":"SET_SETTINGS","id":4,"revision":0,"settings":{"broker":null}}`, `{"command":"TEST_CONNECTION","connection":7}`, `{"command":"HELLO","id":9}`, `{"command":"` + strings.Repeat("x", 100000) + `"}`, strings.Repeat(`{"a":`, 9000) + "1" + strings.Repeat("}", 9000),
	} {
		for _, c := range []*rig.Client{d.Dial(), d.Hello("other")} {
			if strings.Contains(line, "HELLO") { // as a first line it ends the connection
				c.Say(`{"command":"PING"}`)
			}
			c.Say(line)
			c.Say(`{"command":"PING","id":77}`)
			c.Next("pong", func(m rig.Message) bool { return string(m["status"]) == `"pong"` })
			_ = c.Close()
		}
	}
	if out, _ := d.Shell("status", "--json"); !strings.Contains(out, `"panics":0`) || strings.Contains(d.Stderr.String(), "panic") {
		t.Errorf("%s %s", out, d.Stderr)
	}
}

// The launchers as they are packaged: what they call exists, takes the flags
// they pass, and answers.
func TestFailure_37_LaunchersAsPackaged(t *testing.T) {
	t.Parallel()
	bin := rig.Binary(t)
	var lines []string
	for l := range strings.SplitSeq(distFile(t, "autostart/cloudtolocalllm-tray.desktop")+"\n"+distFile(t, "systemd/cloudtolocalllm-tray.service"), "\n") {
		for _, key := range []string{"Exec=", "ExecStart="} {
			if rest, ok := strings.CutPrefix(l, key); ok {
				lines = append(lines, rest)
			}
		}
	}
	if len(lines) != 2 {
		t.Fatalf("%v", lines)
	}
	lines = append(lines, "/usr/bin/cloudtolocalllm-tray --daemon", "/usr/bin/cloudtolocalllm-tray --port 0", "/usr/bin/cloudtolocalllm-tray --port 0 --debug") // what older launchers pass
	for _, l := range lines {
		w := strings.Fields(l)
		if w[0] != "/usr/bin/cloudtolocalllm-tray" {
			t.Errorf("another program is started: %s", l)
		}
		help, _ := exec.Command(bin, "--help").Output()
		for _, flag := range w[1:] {
			if strings.HasPrefix(flag, "--") && !strings.Contains(string(help), flag+" ") {
				t.Errorf("%s is not in --help", flag)
			}
		}
		h := rig.NewHome(t)
		h.Connections("", "")
		c := h.Start(w[1:]...).Dial()
		c.Say(`{"command":"PING"}`)
		c.Reply()
	}
}

// One program, one name, and none of the names of others.
func TestFailure_56_OneName(t *testing.T) {
	t.Parallel()
	if name := filepath.Base(rig.Binary(t)); name != "cloudtolocalllm-tray" {
		t.Errorf("the program is called %s", name)
	}
	_ = filepath.Walk(dist, func(p string, fi os.FileInfo, err error) error {
		if err == nil && !fi.IsDir() && fi.Name() != "README.md" && fi.Name() != "namespaces.conf" && !strings.HasPrefix(fi.Name(), "cloudtolocalllm-tray") {
			t.Errorf("%s has another name", p)
		}
		if strings.Contains(fi.Name(), "settings") {
			t.Errorf("a settings program: %s", p)
		}
		return nil
	})
}

// The original's client looks for this very name.
func TestBug_18_TheNameClientsLookFor(t *testing.T) {
	t.Parallel()
	if !strings.Contains(distFile(t, "README.md"), "`/usr/bin/cloudtolocalllm-tray`") {
		t.Error("the package's path is not the client's")
	}
}

func TestBug_21_DaemonFlag(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Connections("", "")
	d := h.Start("--daemon", "--headless")
	if !d.Alive() {
		t.Error("it went to the background by itself")
	}
}

func TestBug_22_UnitAndHangup(t *testing.T) {
	t.Parallel()
	rig.Need(t, "systemd-analyze")
	// The unit as it is, but for where the program lies on this machine.
	unit := strings.ReplaceAll(distFile(t, "systemd/cloudtolocalllm-tray.service"), "/usr/bin/cloudtolocalllm-tray", rig.Binary(t))
	for _, bad := range []string{"User=", "DISPLAY", "%i", "Type=notify"} {
		if strings.Contains(unit, bad) {
			t.Errorf("the unit holds %s", bad)
		}
	}
	h := rig.NewHome(t)
	h.Connections("", "")
	path := filepath.Join(h.Dir, "cloudtolocalllm-tray.service")
	if err := os.WriteFile(path, []byte(unit), 0o644); err != nil {
		t.Fatal(err)
	}
	verify := exec.Command("systemd-analyze", "--user", "verify", path)
	verify.Env = h.Environ()
	if out, err := verify.CombinedOutput(); err != nil || strings.Contains(string(out), "cloudtolocalllm") {
		t.Errorf("%v %s", err, out)
	}
	d := h.Start("--headless")
	for range 3 {
		_ = d.Cmd.Process.Signal(syscall.SIGHUP)
		time.Sleep(10 * time.Millisecond)
	}
	c := d.Dial()
	c.Say(`{"command":"PING"}`)
	c.Reply()
}

// The unit under a real systemd --user, as an unprivileged user: started,
// hardened, started twice, reloaded, crashed, stopped.
func TestSystemdUser(t *testing.T) {
	rig.NeedRoot(t)
	rig.Need(t, "unshare", "setpriv", "systemctl", "dbus-daemon")
	dir, err := os.MkdirTemp("", "systemd-") //nolint:usetesting // another user enters it, and t.TempDir lies in a folder that only we can enter
	if err != nil {
		t.Fatal(err)
	}
	defer os.RemoveAll(dir)
	unit, err := filepath.Abs(filepath.Join(dist, "systemd/cloudtolocalllm-tray.service"))
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("unshare", "--cgroup", "--mount", "testdata/systemd-user.sh", rig.Binary(t), unit, dir)
	raw, err := cmd.CombinedOutput()
	out := string(raw)
	if cmd.ProcessState.ExitCode() == 77 || strings.Contains(out, "unshare failed") {
		t.Skipf("no systemd --user on this machine; the unit's syntax is checked elsewhere: %s", out)
	}
	if err != nil {
		t.Fatalf("%v %s", err, out)
	}
	for _, want := range []string{"state active pid", "CapEff:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2", "already running\nexit 0", "reloaded, state active", "after a crash: state active restarts 1", "stopped: success 0"} {
		if !strings.Contains(out, want) {
			t.Errorf("no %q in:\n%s", want, out)
		}
	}
	if strings.Contains(out, "look at") {
		t.Errorf("its own unit is taken for the original's:\n%s", out)
	}
}

// What an installation of the original left behind is named.
func TestMigration_RemnantsAreNamed(t *testing.T) {
	t.Parallel()
	h := rig.NewHome(t)
	h.Connections("", "")
	units := filepath.Join(h.Dir, ".config/systemd/user")
	_ = os.MkdirAll(units, 0o755)
	_ = os.WriteFile(filepath.Join(units, "cloudtolocalllm-tray.service"), []byte("[Service]\nUser=%i\nEnvironment=DISPLAY=:0\nExecStart=/usr/bin/python3 x.py\n"), 0o644)
	etc := filepath.Join(h.Dir, "etc/xdg") // as a removed package leaves it
	entry := filepath.Join(etc, "autostart/cloudtolocalllm-enhanced-tray.desktop")
	_ = os.MkdirAll(filepath.Dir(entry), 0o755)
	_ = os.WriteFile(entry, []byte("[Desktop Entry]\nType=Application\nName=x\nExec=/usr/bin/cloudtolocalllm-enhanced-tray\n"), 0o644)
	h.Env = append(h.Env, "XDG_CONFIG_DIRS="+etc)
	h.Start()
	rig.Until(t, "the status to name them", func() bool {
		out, _ := h.Shell("status")
		return strings.Contains(out, "look at   "+units) && strings.Contains(out, "look at   "+entry)
	})
}

func TestDesktopEntry(t *testing.T) {
	t.Parallel()
	rig.Need(t, "desktop-file-validate")
	if out, err := exec.Command("desktop-file-validate", filepath.Join(dist, "autostart/cloudtolocalllm-tray.desktop")).CombinedOutput(); err != nil || len(out) > 0 {
		t.Errorf("%v %s", err, out)
	}
}

// The daemon imports nothing of the pipeline, and no module that was not chosen for it.
func TestImports(t *testing.T) {
	t.Parallel()
	out, err := exec.Command("go", "list", "-deps", "-f", "{{if not .Standard}}{{.ImportPath}}{{end}}", "github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray").Output()
	if err != nil {
		t.Fatal(err)
	}
	for p := range strings.FieldsSeq(string(out)) {
		ok := false
		for _, allowed := range []string{"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray", "github.com/godbus/dbus/v5", "github.com/zalando/go-keyring", "golang.org/x/sys/", "github.com/cenkalti/backoff/v5"} {
			ok = ok || strings.HasPrefix(p, allowed)
		}
		if !ok {
			t.Errorf("%s is imported", p)
		}
	}
}
