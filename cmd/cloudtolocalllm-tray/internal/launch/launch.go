// Package launch finds and starts the app, and opens links.
//
// Programs are looked up in fixed places, never in the current directory. What
// is started is no child of the daemon in any way that matters: under systemd
// it becomes a unit of its own, since a child would inherit the daemon's
// sandbox and die with it; elsewhere it gets a session of its own.
package launch

import (
	"context"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
)

// App is the executable's name, exactly.
const App = "cloudtolocalllm"

// ErrNotFound says that the app is not installed where we look.
var ErrNotFound = errors.New("CloudToLocalLLM was not found in /usr/bin, /usr/local/bin, ~/.local/bin or beside the daemon")

// Find returns the app's executable.
func Find() (string, error) {
	dirs := []string{"/usr/bin", "/usr/local/bin"}
	if home, err := os.UserHomeDir(); err == nil && filepath.IsAbs(home) {
		dirs = append(dirs, filepath.Join(home, ".local/bin"))
	}
	for _, d := range dirs {
		if p := filepath.Join(d, App); runnable(p) {
			return p, nil
		}
	}
	// In an AppImage the launcher sets the libraries up; the image itself is it.
	if image := os.Getenv("APPIMAGE"); filepath.IsAbs(image) && runnable(image) {
		return image, nil
	}
	if self, err := os.Executable(); err == nil {
		if p := filepath.Join(filepath.Dir(self), App); runnable(p) {
			return p, nil
		}
	}
	return "", ErrNotFound
}

func runnable(path string) bool {
	fi, err := os.Stat(path)
	return err == nil && fi.Mode().IsRegular() && fi.Mode().Perm()&0o111 != 0
}

// Start starts a program that outlives the daemon.
func Start(path string, args ...string) error {
	if !filepath.IsAbs(path) {
		return errors.New("cannot start a program by a relative name")
	}
	if supervised() {
		if err := transient(path, args); err == nil {
			return nil
		}
	}
	cmd := exec.CommandContext(context.Background(), path, args...)
	cmd.Dir = "/"
	if home, err := os.UserHomeDir(); err == nil {
		cmd.Dir = home
	}
	detach(cmd)
	if err := cmd.Start(); err != nil {
		return err
	}
	go func() { _ = cmd.Wait() }() // no zombie stays behind
	return nil
}

// Open shows a link in the user's browser.
func Open(url string) error {
	for _, p := range []string{"/usr/bin/xdg-open", "/usr/local/bin/xdg-open", "/usr/bin/open"} {
		if runnable(p) {
			return Start(p, url)
		}
	}
	return errors.New("cannot open a browser: xdg-open is not installed")
}
