package cli

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/config"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/daemon"
	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/launch"
)

const usage = `cloudtolocalllm-tray: system tray and connection broker of CloudToLocalLLM

usage:
  cloudtolocalllm-tray [flags]             run the daemon in the foreground
  cloudtolocalllm-tray status [--json]     show what it is doing (exit 3: not running)
  cloudtolocalllm-tray stop                end it
  cloudtolocalllm-tray settings [--print]  open the settings page, or print its one-time link
  cloudtolocalllm-tray get [KEY]           show the settings, or one: get broker.mode
  cloudtolocalllm-tray set KEY=VALUE ...   change settings: set http.enabled=true broker.mode=local_only
  cloudtolocalllm-tray test CONNECTION     check local_ollama or cloud_proxy now
  cloudtolocalllm-tray rotate-key          make a new key for the Ollama-compatible endpoint

flags:
  --port N     listen on 127.0.0.1:N (default 0: the kernel chooses)
  --headless   no tray
  --debug      log everything, to stderr too
  --daemon     accepted for old launchers; the program stays in the foreground
  --version    print the version
  --help       print this

Files are in ~/.cloudtolocalllm. A second start exits 0 and changes nothing.
Exit codes: 0 done, 1 failed, 2 wrong usage, 3 not running (status).
`

// The exit codes of the commands.
const (
	ok         = 0
	failed     = 1
	wrongUsage = 2
	notRunning = 3
)

// Main runs the program with these arguments and returns its exit code.
func Main(args []string, version string, stdout, stderr io.Writer) int {
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		return command(args[0], args[1:], version, stdout, stderr)
	}
	f := flag.NewFlagSet("cloudtolocalllm-tray", flag.ContinueOnError)
	f.SetOutput(io.Discard)
	o := daemon.Options{Version: version, Stderr: stderr}
	f.IntVar(&o.Port, "port", 0, "")
	f.BoolVar(&o.Debug, "debug", false, "")
	f.BoolVar(&o.Headless, "headless", false, "")
	f.Bool("daemon", false, "")
	show := f.Bool("version", false, "")
	err := f.Parse(args)
	switch {
	case errors.Is(err, flag.ErrHelp):
		fmt.Fprint(stdout, usage)
		return ok
	case err == nil && f.NArg() > 0:
		err = fmt.Errorf("unexpected argument: %s", f.Arg(0))
	case err == nil && (o.Port < 0 || o.Port > 65535):
		err = errors.New("--port must be 0 to 65535")
	}
	if err != nil {
		return misuse(stderr, err)
	}
	if *show {
		fmt.Fprintln(stdout, "cloudtolocalllm-tray", version)
		return ok
	}
	return daemon.Run(o)
}

func misuse(stderr io.Writer, err error) int {
	fmt.Fprintf(stderr, "cloudtolocalllm-tray: error: %v\n\n%s", err, usage)
	return wrongUsage
}

func command(name string, args []string, version string, stdout, stderr io.Writer) int {
	run, known := map[string]func(*client, []string, io.Writer) error{
		"status": status, "stop": stop, "settings": settings, "get": get, "set": set, "test": test, "rotate-key": rotate,
	}[name]
	if !known {
		return misuse(stderr, fmt.Errorf("unknown command: %s", name))
	}
	c, err := dial(version)
	if errors.Is(err, daemon.ErrNotRunning) {
		fmt.Fprintln(stderr, "cloudtolocalllm-tray: not running")
		switch name {
		case "status":
			return notRunning
		case "stop":
			return ok
		}
		return failed
	}
	if err == nil {
		defer c.Close()
		err = run(c, args, stdout)
	}
	var bad usageError
	switch {
	case errors.As(err, &bad):
		return misuse(stderr, err)
	case err != nil:
		fmt.Fprintf(stderr, "cloudtolocalllm-tray: error: %v\n", err)
		return failed
	}
	return ok
}

type usageError string

func (e usageError) Error() string { return string(e) }

func status(c *client, args []string, w io.Writer) error {
	raw, err := c.ask("GET_DAEMON_STATUS", nil)
	if err != nil {
		return err
	}
	if slices.Contains(args, "--json") {
		_, err := fmt.Fprintf(w, "%s\n", raw)
		return err
	}
	if len(args) > 0 {
		return usageError("unexpected argument: " + args[0])
	}
	var s struct {
		Version     string
		PID         int
		Port        int
		Uptime      int `json:"uptime_s"`
		Clients     int
		Streams     int
		Connections map[string]struct {
			State   string
			Error   string `json:"error_message"`
			Version string
			Models  []string
		}
		Tray  struct{ State, Icon string }
		Token struct {
			Set              bool
			Storage, Problem string
		}
		HTTP     struct{ Port int }
		Problems []string
		Old      []string `json:"left_by_the_original"`
	}
	if err := json.Unmarshal(raw, &s); err != nil {
		return err
	}
	fmt.Fprintf(w, "running   version %s, pid %d, port %d, up %s\n", s.Version, s.PID, s.Port, time.Duration(s.Uptime)*time.Second)
	for _, name := range config.Names {
		k := s.Connections[name]
		fmt.Fprintf(w, "%-9s %s", strings.SplitN(name, "_", 2)[0], k.State)
		switch {
		case k.Error != "":
			fmt.Fprintf(w, " (%s)", k.Error)
		case k.Version != "":
			fmt.Fprintf(w, ", version %s, %d models", k.Version, len(k.Models))
		}
		fmt.Fprintln(w)
	}
	where := "none"
	if s.Token.Set {
		where = "in " + s.Token.Storage
	}
	if s.Token.Problem != "" {
		where += " (" + s.Token.Problem + ")"
	}
	endpoint := "off"
	if s.HTTP.Port != 0 {
		endpoint = fmt.Sprintf("http://127.0.0.1:%d", s.HTTP.Port)
	}
	fmt.Fprintf(w, "token     %s\ntray      %s, icon %s\nendpoint  %s\nclients   %d, streams %d\n", where, s.Tray.State, s.Tray.Icon, endpoint, s.Clients, s.Streams)
	for _, p := range append(s.Problems, s.Old...) {
		fmt.Fprintln(w, "look at  ", p)
	}
	return nil
}

// stop ends the daemon and waits until its connection is gone.
func stop(c *client, _ []string, w io.Writer) error {
	if _, err := c.ask("SHUTDOWN", nil); err != nil {
		return err
	}
	_ = c.conn.SetDeadline(time.Now().Add(patience))
	for {
		if _, err := c.lines.Next(); err != nil {
			break
		}
	}
	for range 100 { // the files go before the process does
		if _, err := daemon.Discover(); err != nil {
			break
		}
		time.Sleep(20 * time.Millisecond)
	}
	fmt.Fprintln(w, "stopped")
	return nil
}

func settings(c *client, args []string, w io.Writer) error {
	if len(args) > 1 || len(args) == 1 && args[0] != "--print" {
		return usageError("settings takes --print alone")
	}
	raw, err := c.ask("OPEN_SETTINGS", nil)
	if err != nil {
		return err
	}
	var r struct{ URL string }
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	if len(args) == 1 {
		fmt.Fprintln(w, r.URL)
		return nil
	}
	if err := launch.Open(r.URL); err != nil {
		return fmt.Errorf("%w; open this link within two minutes: %s", err, r.URL)
	}
	return nil
}

type document struct {
	Revision uint64         `json:"revision"`
	Settings map[string]any `json:"settings"`
}

func read(c *client) (d document, err error) {
	raw, err := c.ask("GET_SETTINGS", nil)
	if err == nil {
		err = json.Unmarshal(raw, &d)
	}
	return d, err
}

func get(c *client, args []string, w io.Writer) error {
	if len(args) > 1 {
		return usageError("get takes one key")
	}
	d, err := read(c)
	if err != nil {
		return err
	}
	var v any = d.Settings
	if len(args) == 1 {
		for k := range strings.SplitSeq(args[0], ".") {
			m, isMap := v.(map[string]any)
			if v = m[k]; !isMap || v == nil {
				return fmt.Errorf("no such setting: %s", args[0])
			}
		}
	}
	if s, isText := v.(string); isText {
		fmt.Fprintln(w, s)
		return nil
	}
	b, err := json.MarshalIndent(v, "", "  ")
	fmt.Fprintf(w, "%s\n", b)
	return err
}

func set(c *client, args []string, w io.Writer) error {
	if len(args) == 0 {
		return usageError("set takes KEY=VALUE")
	}
	patch := map[string]any{}
	for _, a := range args {
		key, raw, has := strings.Cut(a, "=")
		if !has || key == "" {
			return usageError("set takes KEY=VALUE, not " + a)
		}
		var v any
		if json.Unmarshal([]byte(raw), &v) != nil {
			v = raw // a word needs no quotes
		}
		at, keys := patch, strings.Split(key, ".")
		for _, k := range keys[:len(keys)-1] {
			next, isMap := at[k].(map[string]any)
			if !isMap {
				next = map[string]any{}
				at[k] = next
			}
			at = next
		}
		at[keys[len(keys)-1]] = v
	}
	d, err := read(c)
	if err != nil {
		return err
	}
	if _, err := c.ask("SET_SETTINGS", map[string]any{"revision": d.Revision, "settings": patch}); err != nil {
		return err
	}
	fmt.Fprintln(w, "saved")
	return nil
}

func test(c *client, args []string, w io.Writer) error {
	if len(args) != 1 {
		return usageError("test takes local_ollama or cloud_proxy")
	}
	raw, err := c.ask("TEST_CONNECTION", map[string]any{"connection": args[0]})
	if err != nil {
		return err
	}
	var r struct {
		State   string
		Latency int `json:"latency_ms"`
		Version string
		Error   string `json:"error_message"`
	}
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	if r.State != "connected" {
		return fmt.Errorf("%s: %s %s", args[0], r.State, r.Error)
	}
	fmt.Fprintf(w, "%s: connected, version %s, %d ms\n", args[0], r.Version, r.Latency)
	return nil
}

func rotate(c *client, args []string, w io.Writer) error {
	if len(args) > 0 {
		return usageError("rotate-key takes nothing")
	}
	raw, err := c.ask("ROTATE_HTTP_KEY", nil)
	if err != nil {
		return err
	}
	var r struct{ Path string }
	if err := json.Unmarshal(raw, &r); err != nil {
		return err
	}
	fmt.Fprintln(w, "a new key is in", r.Path)
	return nil
}
