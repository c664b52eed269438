package config

import (
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func open(t *testing.T, conn, set string) (*Store, string) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{"connection_config.json": conn, "settings.json": set} {
		if text != "" {
			if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	s, err := Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	return s, dir
}

func read(t *testing.T, dir, name string) string {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(dir, name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func TestFirstStartWritesTheOriginalsForm(t *testing.T) {
	_, dir := open(t, "", "")
	want := `{
  "local_ollama": {
    "connection_type": "local_ollama",
    "host": "localhost",
    "port": 11434,
    "api_base_url": "http://localhost:11434",
    "auth_token": "",
    "timeout": 30,
    "enabled": true
  },
  "cloud_proxy": {
    "connection_type": "cloud_proxy",
    "host": "api.cloudtolocalllm.online",
    "port": 443,
    "api_base_url": "https://api.cloudtolocalllm.online",
    "auth_token": "",
    "timeout": 30,
    "enabled": false
  }
}`
	if got := read(t, dir, "connection_config.json"); got != want {
		t.Error(got)
	}
}

func TestUnknownKeysAreKept(t *testing.T) {
	s, dir := open(t, `{"local_ollama":{"connection_type":"local_ollama","api_base_url":"http://localhost:1","enabled":true,"mystery":{"a":[1]}},"other":7}`, "")
	n := s.Now()
	if len(n.Problems) != 2 || n.Connections[Local].BaseURL != "http://localhost:1" {
		t.Errorf("%v %+v", n.Problems, n.Connections)
	}
	if err := s.Edit(func(c map[string]Connection) { x := c[Cloud]; x.Enabled = true; c[Cloud] = x }); err != nil {
		t.Fatal(err)
	}
	var back map[string]any
	if err := json.Unmarshal([]byte(read(t, dir, "connection_config.json")), &back); err != nil {
		t.Fatal(err)
	}
	if back["other"] != 7.0 || back[Local].(map[string]any)["mystery"] == nil {
		t.Errorf("%v", back)
	}
	if len(back[Cloud].(map[string]any)) != 7 {
		t.Errorf("keys were added: %v", back[Cloud])
	}
}

func TestDamagedFilesAreKeptAside(t *testing.T) {
	for _, text := range []string{"not json", `["x"]`, `{"local_ollama":5}`, `{"local_ollama":{"port":"x"}}`, `{"cloud_proxy":{"api_base_url":"ftp://x"}}`, "null", "\x00"} {
		s, dir := open(t, text, "also not json")
		if n := s.Now(); len(n.Problems) < 2 || n.Connections[Local].BaseURL != "http://localhost:11434" || n.Settings.Broker.Mode != Auto {
			t.Errorf("%q: %+v", text, n)
		}
		if err := s.Edit(func(c map[string]Connection) { x := c[Cloud]; x.Enabled = true; c[Cloud] = x }); err != nil {
			t.Fatal(err)
		}
		if read(t, dir, "connection_config.json.bad") != text || read(t, dir, "settings.json.bad") != "also not json" {
			t.Errorf("%q was not kept", text)
		}
	}
}

func TestPatchIsAllOrNothing(t *testing.T) {
	s, dir := open(t, "", "")
	rev, err := s.Patch(s.Now().Revision, []byte(`{"broker":{"mode":"local_only"},"connections":{"local_ollama":{"api_base_url":"http://127.0.0.1:9999","timeout":5}}}`))
	if err != nil {
		t.Fatal(err)
	}
	n := s.Now()
	if n.Settings.Broker.Mode != LocalOnly || n.Connections[Local].Port != 9999 || n.Connections[Local].Host != "127.0.0.1" || n.Connections[Local].Timeout != 5 || n.Revision != rev {
		t.Errorf("%+v", n)
	}
	if _, err := s.Patch(rev-1, []byte(`{"broker":{"mode":"auto"}}`)); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	before := read(t, dir, "connection_config.json") + read(t, dir, "settings.json")
	for _, bad := range []string{
		`{"broker":{"mode":"auto"},"nonsense":1}`, `{"broker":{"mode":"auto","health_every_s":1}}`, `{"broker":5}`, `null`, `[]`, `{`, `{"connections":{"x":{}}}`,
		`{"connections":{"cloud_proxy":{"auth_token":"x"}}}`, `{"connections":{"cloud_proxy":{"api_base_url":"http://u:p@x"}}}`, `{"connections":{"cloud_proxy":{"api_base_url":"https://x/a/../b"}}}`,
		`{"connections":{"cloud_proxy":{"api_base_url":"https://x/?q"}}}`, `{"connections":{"cloud_proxy":{"api_base_url":"file:///etc"}}}`, `{"connections":{"local_ollama":{"timeout":0}}}`, `{"http":{"port":70000}}`,
		`{"http":{"origins":["null"]}}`, `{"http":{"origins":["http://x/"]}}`, `{"broker":{"cloud_prefix":"//evil"}}`, `{"broker":{"cloud_paths":{"/a":"http://evil"}}}`, `{"broker":{"cloud_paths":{"/a":"/../x"}}}`, `{"connections":null}`,
	} {
		if _, err := s.Patch(rev, []byte(bad)); err == nil {
			t.Errorf("%s was taken", bad)
		}
	}
	if after := read(t, dir, "connection_config.json") + read(t, dir, "settings.json"); after != before || s.Now().Revision != rev {
		t.Error("something was changed all the same")
	}
	again, err := Open(dir)
	if err != nil || again.Now().Revision != rev || again.Now().Settings.Broker.Mode != LocalOnly {
		t.Errorf("%v %+v", err, again.Now())
	}
}

func TestOutsideEdits(t *testing.T) {
	s, dir := open(t, "", "")
	var told []Snapshot
	s.Listen(func(n Snapshot) { told = append(told, n) })
	edit := func(from, to string) {
		t.Helper()
		p := filepath.Join(dir, "connection_config.json")
		text := read(t, dir, "connection_config.json")
		if !strings.Contains(text, from) {
			t.Fatalf("%s lacks %s", text, from)
		}
		if err := os.WriteFile(p, []byte(strings.Replace(text, from, to, 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		_ = os.Chtimes(p, time.Time{}, time.Now().Add(time.Duration(len(told)+1)*time.Second))
	}
	rev := s.Now().Revision
	edit("localhost:11434", "localhost:2222")
	// A client that has not seen the edit is refused; a save by code goes on top.
	if _, err := s.Patch(rev, []byte(`{"broker":{"mode":"local_only"}}`)); !errors.Is(err, ErrConflict) {
		t.Error(err)
	}
	edit("localhost:2222", "localhost:3333")
	if err := s.Edit(func(c map[string]Connection) { x := c[Cloud]; x.Enabled = true; c[Cloud] = x }); err != nil {
		t.Fatal(err)
	}
	if text := read(t, dir, "connection_config.json"); !strings.Contains(text, "localhost:3333") || strings.Count(text, `"enabled": true`) != 2 {
		t.Error(text)
	}
	edit("localhost:3333", "localhost:4444")
	if changed, err := s.Reload(); !changed || err != nil {
		t.Errorf("%v %v", changed, err)
	}
	if changed, _ := s.Reload(); changed {
		t.Error("changed twice")
	}
	if n := s.Now(); n.Connections[Local].BaseURL != "http://localhost:4444" || len(told) < 3 || told[len(told)-1].Revision != n.Revision {
		t.Errorf("%+v", n)
	}
	_ = os.Remove(filepath.Join(dir, "connection_config.json"))
	if changed, err := s.Reload(); changed || err != nil {
		t.Errorf("a missing file: %v %v", changed, err)
	}
}

// No text makes it fall over, and what it takes it can write and read again.
func FuzzConnections(f *testing.F) {
	f.Add([]byte(`{"local_ollama":{"connection_type":"local_ollama","host":"","port":443,"api_base_url":"https://x","auth_token":"t","timeout":30,"enabled":true,"x":1},"y":{}}`))
	f.Add([]byte("{}"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		conns, extra, _, damaged := parseConnections(raw)
		out, err := printConnections(conns, extra)
		if err != nil {
			t.Fatal(err)
		}
		again, _, _, bad := parseConnections(out)
		if bad && !damaged {
			t.Fatalf("what was written cannot be read: %s", out)
		}
		for _, n := range Names {
			a, b := conns[n], again[n]
			if a.BaseURL != b.BaseURL || a.Timeout != b.Timeout || a.Enabled != b.Enabled || len(a.extra) != len(b.extra) {
				t.Fatalf("%+v became %+v", a, b)
			}
			if _, err := Endpoint(a.BaseURL); err != nil {
				t.Fatal(err)
			}
		}
	})
}

func FuzzPatch(f *testing.F) {
	f.Add([]byte(`{"broker":{"mode":"auto"}}`))
	f.Add([]byte(`{"http":{"origins":["http://localhost:1"]},"connections":{"local_ollama":{"enabled":false}}}`))
	s := Snapshot{Settings: defaultSettings(), Connections: map[string]Connection{Local: defaultConnection(Local), Cloud: defaultConnection(Cloud)}}
	f.Fuzz(func(t *testing.T, raw []byte) {
		n, err := s.patched(raw)
		if err != nil {
			return
		}
		if err := n.Settings.validate(); err != nil {
			t.Fatal(err)
		}
	})
}
