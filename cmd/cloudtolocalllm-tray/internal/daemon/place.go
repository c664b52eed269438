package daemon

import (
	"encoding/json"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"runtime"
	"strings"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/disk"
)

// ConfigDir is the original's configuration directory.
func ConfigDir() (string, error) {
	home, err := os.UserHomeDir()
	if err != nil || !filepath.IsAbs(home) {
		return "", errors.New("cannot find the home directory: HOME is not set")
	}
	switch runtime.GOOS {
	case "darwin":
		return filepath.Join(home, "Library/Application Support/CloudToLocalLLM"), nil
	case "windows":
		if d := os.Getenv("LOCALAPPDATA"); filepath.IsAbs(d) {
			return filepath.Join(d, "CloudToLocalLLM"), nil
		}
		return filepath.Join(home, "AppData/Local/CloudToLocalLLM"), nil
	}
	return filepath.Join(home, ".cloudtolocalllm"), nil
}

// runDirs lists where the run files may be, best first.
func runDirs(config string) []string {
	if d := os.Getenv("XDG_RUNTIME_DIR"); filepath.IsAbs(d) {
		return []string{filepath.Join(d, "cloudtolocalllm"), config}
	}
	return []string{config}
}

// Discovery is ipc.json: how a client of this user finds the daemon.
type Discovery struct {
	Port     int    `json:"port"`
	Socket   string `json:"socket"`
	PID      int    `json:"pid"`
	Proto    int    `json:"proto"`
	Token    string `json:"token"`
	HTTPPort int    `json:"http_port"`
}

// ErrNotRunning says that no daemon has left word of itself.
var ErrNotRunning = errors.New("the daemon is not running")

// Discover reads ipc.json.
func Discover() (Discovery, error) {
	var d Discovery
	config, err := ConfigDir()
	if err != nil {
		return d, err
	}
	for _, dir := range runDirs(config) {
		b, err := disk.ReadSecret(filepath.Join(dir, "ipc.json"))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return d, err
		}
		return d, json.Unmarshal(b, &d)
	}
	return d, ErrNotRunning
}

// openRunDir takes the runtime directory for this daemon: a daemon of the same
// user with another home keeps its own.
func openRunDir(config string) (dir string, hold *os.File, err error) {
	for _, dir := range runDirs(config) {
		if dir == config {
			return dir, nil, nil // the daemon's own lock holds it
		}
		if fi, err := os.Stat(filepath.Dir(dir)); err != nil || !fi.IsDir() {
			continue
		}
		if disk.Private(dir) != nil {
			continue
		}
		if hold, err := disk.Lock(filepath.Join(dir, "lock")); err == nil {
			return dir, hold, nil
		}
	}
	return config, nil, nil
}

// legacy finds what an installation of the original left in the user's own
// places, and among the system's autostart entries, that would start it instead of us.
func legacy() (found []string) {
	home, err := os.UserHomeDir()
	if err != nil {
		return nil
	}
	config := os.Getenv("XDG_CONFIG_HOME")
	if !filepath.IsAbs(config) {
		config = filepath.Join(home, ".config")
	}
	all := []string{
		filepath.Join(config, "systemd/user/cloudtolocalllm-tray.service"), filepath.Join(config, "systemd/user/cloudtolocalllm.service"),
		filepath.Join(config, "systemd/user/cloudtolocalllm-enhanced-tray.service"), filepath.Join(config, "autostart/cloudtolocalllm-tray.desktop"),
		filepath.Join(home, ".local/bin/cloudtolocalllm-enhanced-tray"), filepath.Join(home, ".local/bin/cloudtolocalllm-settings"),
	}
	// A package manager leaves an entry behind that was one of the package's configuration files.
	dirs := os.Getenv("XDG_CONFIG_DIRS")
	if dirs == "" {
		dirs = "/etc/xdg"
	}
	for _, d := range append([]string{config}, filepath.SplitList(dirs)...) {
		all = append(all, filepath.Join(d, "autostart/cloudtolocalllm-enhanced-tray.desktop"))
	}
	for _, p := range all {
		if _, err := os.Lstat(p); err != nil {
			continue
		}
		if ext := filepath.Ext(p); ext != "" { // a person's own unit for this program is no remnant
			b, err := disk.Read(p)
			if err == nil && !remnant(string(b)) {
				continue
			}
		}
		found = append(found, p)
	}
	return found
}

// remnant knows the original's units and autostart entries by what they start.
func remnant(text string) bool {
	for _, s := range []string{"python", "User=", "DISPLAY=", "/opt/cloudtolocalllm", "enhanced", "settings"} {
		if strings.Contains(text, s) {
			return true
		}
	}
	return false
}
