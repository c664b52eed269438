package daemon

import (
	"log/slog"
	"os"
	"sync"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/disk"
)

const (
	logSize = 1 << 20
	logKept = 2
)

// logFile is tray.log: private, and never more than three files of 1 MiB.
type logFile struct {
	path string
	mu   sync.Mutex
	f    *os.File
	size int64
}

// openLog opens the log; where it cannot be written the daemon works without.
func openLog(path string) *logFile {
	l := &logFile{path: path}
	disk.Tighten(path)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.openLocked()
	return l
}

func (l *logFile) openLocked() {
	f, err := os.OpenFile(l.path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		l.f = nil
		return
	}
	l.f, l.size = f, 0
	if fi, err := f.Stat(); err == nil {
		l.size = fi.Size()
	}
}

// Reopen begins to write where the path leads now.
func (l *logFile) Reopen() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f != nil {
		_ = l.f.Close()
	}
	l.openLocked()
}

// Write writes one record, and turns the log over when it is full.
func (l *logFile) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.f == nil {
		return len(p), nil
	}
	if l.size > 0 && l.size+int64(len(p)) > logSize {
		_ = l.f.Close()
		for i := logKept; i > 0; i-- {
			from := l.path
			if i > 1 {
				from += "." + string(rune('0'+i-1))
			}
			_ = os.Rename(from, l.path+"."+string(rune('0'+i)))
		}
		l.openLocked()
		if l.f == nil {
			return len(p), nil
		}
	}
	n, err := l.f.Write(p)
	l.size += int64(n)
	return n, err
}

func level(name string) slog.Level {
	switch name {
	case "debug":
		return slog.LevelDebug
	case "warn":
		return slog.LevelWarn
	case "error":
		return slog.LevelError
	}
	return slog.LevelInfo
}
