package bus

import (
	"net"
	"path/filepath"
	"testing"
)

// Only a bus that is named or there counts: nothing that would start one.
func TestAddress(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct{ env, run, want string }{
		{"unix:path=/x", dir, "unix:path=/x"}, {"autolaunch:", dir, ""}, {"autolaunch:scope=*", dir, ""}, {"", dir, ""}, {"", "", ""}, {"", "relative", ""},
	} {
		t.Setenv("DBUS_SESSION_BUS_ADDRESS", c.env)
		t.Setenv("XDG_RUNTIME_DIR", c.run)
		if got := Address(); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
	ln, err := net.Listen("unix", filepath.Join(dir, "bus"))
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	t.Setenv("DBUS_SESSION_BUS_ADDRESS", "")
	t.Setenv("XDG_RUNTIME_DIR", dir)
	if got := Address(); got != "unix:path="+dir+"/bus" {
		t.Errorf("%q", got)
	}
}
