package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
)

// Schema is the version of settings.json this program writes.
const Schema = 1

// The ways to choose among the connections.
const (
	Auto        = "auto"         // local first, the cloud when it fails
	LocalOnly   = "local_only"   // no prompt leaves the machine
	CloudOnly   = "cloud_only"   //
	PreferCloud = "prefer_cloud" // cloud first, local when it fails
)

// Settings is settings.json: everything the original had no key for.
type Settings struct {
	Broker BrokerSettings `json:"broker"`
	IPC    IPCSettings    `json:"ipc"`
	HTTP   HTTPSettings   `json:"http"`
	Tray   TraySettings   `json:"tray"`
	Log    LogSettings    `json:"log"`
}

// BrokerSettings says how calls are routed and how long they may be silent.
type BrokerSettings struct {
	Mode          string            `json:"mode"`
	HealthEvery   int               `json:"health_every_s"`
	HeaderTimeout int               `json:"header_timeout_s"`
	IdleTimeout   int               `json:"idle_timeout_s"`
	CloudPrefix   string            `json:"cloud_prefix"`
	CloudPaths    map[string]string `json:"cloud_paths"`
}

// IPCSettings is about clients that never say HELLO.
type IPCSettings struct {
	V1Quit            string `json:"v1_quit"`
	AllowUnverifiedV1 bool   `json:"allow_unverified_v1"`
}

// HTTPSettings is the Ollama-compatible endpoint.
type HTTPSettings struct {
	Enabled bool     `json:"enabled"`
	Port    int      `json:"port"`
	Auth    string   `json:"auth"`
	Origins []string `json:"origins"`
}

// TraySettings is the icon.
type TraySettings struct {
	Enabled bool   `json:"enabled"`
	Icons   string `json:"icons"`
}

// LogSettings is the log.
type LogSettings struct {
	Level string `json:"level"`
}

func defaultSettings() Settings {
	return Settings{
		Broker: BrokerSettings{
			Mode: Auto, HealthEvery: 10, HeaderTimeout: 120, IdleTimeout: 300, CloudPrefix: "/api/ollama",
			CloudPaths: map[string]string{"/api/version": "/api/proxy/status"},
		},
		IPC:  IPCSettings{V1Quit: "detach"},
		HTTP: HTTPSettings{Port: 11435, Auth: "key", Origins: []string{}},
		Tray: TraySettings{Enabled: true, Icons: "auto"},
		Log:  LogSettings{Level: "info"},
	}
}

func (s *Settings) validate() error {
	oneOf := func(key, v string, of ...string) error {
		if slices.Contains(of, v) {
			return nil
		}
		return fmt.Errorf("%s must be one of %s", key, strings.Join(of, ", "))
	}
	within := func(key string, v, low, high int) error {
		if v >= low && v <= high {
			return nil
		}
		return fmt.Errorf("%s must be %d to %d", key, low, high)
	}
	for _, err := range []error{
		oneOf("broker.mode", s.Broker.Mode, Auto, LocalOnly, CloudOnly, PreferCloud),
		within("broker.health_every_s", s.Broker.HealthEvery, 5, 3600),
		within("broker.header_timeout_s", s.Broker.HeaderTimeout, 1, 3600),
		within("broker.idle_timeout_s", s.Broker.IdleTimeout, 1, 86400),
		oneOf("ipc.v1_quit", s.IPC.V1Quit, "detach", "exit"),
		within("http.port", s.HTTP.Port, 1, 65535),
		oneOf("http.auth", s.HTTP.Auth, "key", "same_user"),
		oneOf("tray.icons", s.Tray.Icons, "auto", "light", "dark"),
		oneOf("log.level", s.Log.Level, "debug", "info", "warn", "error"),
	} {
		if err != nil {
			return err
		}
	}
	if p := s.Broker.CloudPrefix; p != "" && (!strings.HasPrefix(p, "/") || strings.Contains(p, "//") || hasDots(p) || strings.ContainsAny(p, "?#\\@%")) {
		return fmt.Errorf("broker.cloud_prefix must be a plain path")
	}
	for from, to := range s.Broker.CloudPaths {
		if !strings.HasPrefix(from, "/") || !strings.HasPrefix(to, "/") || strings.Contains(to, "//") || hasDots(to) || strings.ContainsAny(to, "?#\\@%") {
			return fmt.Errorf("broker.cloud_paths must map paths to plain paths")
		}
	}
	for _, o := range s.HTTP.Origins {
		u, err := url.Parse(o)
		if err != nil || u.Scheme == "" || u.Host == "" || u.Scheme+"://"+u.Host != o {
			return fmt.Errorf("http.origins must hold origins such as http://localhost:3000; %q is none", o)
		}
	}
	return nil
}

// file is settings.json as it stands on disk.
type file struct {
	Schema   int    `json:"schema"`
	Revision uint64 `json:"revision"`
	Settings
}

func parseSettings(raw []byte) (s Settings, revision uint64, problems []string, damaged bool) {
	f := file{Schema: Schema, Settings: defaultSettings()}
	f.Broker.CloudPaths = nil
	if err := json.Unmarshal(raw, &f); err != nil {
		return defaultSettings(), 0, []string{"settings.json cannot be read: defaults are used"}, true
	}
	if f.Schema > Schema {
		problems = append(problems, fmt.Sprintf("settings.json has schema %d, this program knows %d: what it knows is used", f.Schema, Schema))
		damaged = true // keep a copy before it is written in the older form
	}
	if f.Broker.CloudPaths == nil {
		f.Broker.CloudPaths = defaultSettings().Broker.CloudPaths
	}
	if f.HTTP.Origins == nil {
		f.HTTP.Origins = []string{}
	}
	if err := f.Settings.validate(); err != nil {
		return defaultSettings(), f.Revision, append(problems, "settings.json: "+err.Error()+": defaults are used"), true
	}
	return f.Settings, f.Revision, problems, damaged
}

func printSettings(s Settings, revision uint64) ([]byte, error) {
	b, err := json.MarshalIndent(file{Schema, revision, s}, "", "  ")
	return append(b, '\n'), err
}

// view is the document that GET_SETTINGS shows and SET_SETTINGS patches: both
// files in one, without secrets.
type view struct {
	Settings
	Connections map[string]connectionView `json:"connections"`
}

type connectionView struct {
	BaseURL string `json:"api_base_url"`
	Timeout int    `json:"timeout"`
	Enabled bool   `json:"enabled"`
}

func (s Snapshot) view() view {
	v := view{Settings: s.Settings, Connections: map[string]connectionView{}}
	for name, c := range s.Connections {
		v.Connections[name] = connectionView{c.BaseURL, c.Timeout, c.Enabled}
	}
	return v
}

// patched returns s with a partial document laid over it; nothing is changed
// unless all of it is good.
func (s Snapshot) patched(patch []byte) (Snapshot, error) {
	was, err := json.Marshal(s.view())
	if err != nil {
		return s, err
	}
	var doc, over map[string]any
	if err := decode(was, &doc); err != nil {
		return s, err
	}
	if err := decode(patch, &over); err != nil || over == nil {
		return s, fmt.Errorf("settings must be an object")
	}
	merge(doc, over)
	if m, ok := over["broker"].(map[string]any); ok && m["cloud_paths"] != nil { // a map of names is replaced, not merged
		doc["broker"].(map[string]any)["cloud_paths"] = m["cloud_paths"]
	}
	merged, err := json.Marshal(doc)
	if err != nil {
		return s, err
	}
	var v view
	d := json.NewDecoder(bytes.NewReader(merged))
	d.DisallowUnknownFields()
	if err := d.Decode(&v); err != nil {
		return s, fmt.Errorf("settings do not fit: %s", strings.TrimPrefix(err.Error(), "json: "))
	}
	if len(v.Connections) != len(Names) {
		return s, fmt.Errorf("settings name an unknown connection")
	}
	if v.HTTP.Origins == nil {
		v.HTTP.Origins = []string{}
	}
	if err := v.Settings.validate(); err != nil {
		return s, err
	}
	next := s
	next.Settings = v.Settings
	next.Connections = map[string]Connection{}
	for _, name := range Names {
		c, n := s.Connections[name], v.Connections[name]
		if n.BaseURL != c.BaseURL {
			if err := c.setBaseURL(n.BaseURL); err != nil {
				return s, fmt.Errorf("connections.%s: %w", name, err)
			}
		}
		c.Timeout, c.Enabled = n.Timeout, n.Enabled
		if err := c.validate(); err != nil {
			return s, fmt.Errorf("connections.%s: %w", name, err)
		}
		next.Connections[name] = c
	}
	return next, nil
}

func decode(raw []byte, to any) error {
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	return d.Decode(to)
}

func merge(doc, over map[string]any) {
	for k, v := range over {
		if a, ok := v.(map[string]any); ok {
			if b, ok := doc[k].(map[string]any); ok {
				merge(b, a)
				continue
			}
		}
		doc[k] = v
	}
}
