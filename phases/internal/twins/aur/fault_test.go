package aur

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"
	"time"
)

// TestParseFault reads lines and writes them again.
func TestParseFault(t *testing.T) {
	for _, line := range []string{
		"rpc ** #1: 502", "rpc pkg #2-3: 429", "rpc ** #2+: error Please try again later.", "rpc **: page", "rpc ** #1: cut", "rpc ** #1: delay 1m30s",
		"* ** #1: maintenance", "receive-pack pkg-* #1: rival", "receive-pack ** #1: rival in hook", "receive-pack ** #1: late 3 calls", "receive-pack ** #1: late 2m0s",
		`receive-pack ** #1: says warning: one\nwarning: two`, "command list-repos #1: banned", "receive-pack ** #1: unverified",
		"receive-pack ** #1: cut though done", "connect ** #1: host key changed", "receive-pack ** #1: declined error: no", "upload-pack pkg #1: cut after 10 bytes",
	} {
		f, err := ParseFault(line)
		if err != nil {
			t.Error(err)
			continue
		}
		if f.String() != line {
			t.Errorf("%q became %q", line, f)
		}
		text, err := json.Marshal(f)
		var back Fault
		if err != nil || json.Unmarshal(text, &back) != nil || back.String() != line {
			t.Errorf("%q as JSON is %s: %v", line, text, err)
		}
	}
	for _, line := range []string{
		"", "rpc", "rpc **", "rpc ** #1: nothing", "rpc ** #0: 502", "rpc ** #3-2: 502", "rpc ** #1+-2: 502", "rpc [ #1: 502", "rpc ** #1: 599x", "rpc ** #1: 499",
		"rpc ** #1: rival", "upload-pack ** #1: rival", "receive-pack ** #1: 502", "receive-pack ** #1: late", "receive-pack ** #1: late -1s", "receive-pack ** #1: late x calls",
		"rpc ** #1: error", "rpc ** #1: delay x", "command x #1: cut", "elsewhere ** #1: maintenance", "receive-pack ** #1: page",
	} {
		if f, err := ParseFault(line); err == nil {
			t.Errorf("%q became %q", line, f)
		} else if !strings.HasPrefix(err.Error(), "cannot read fault") {
			t.Errorf("%q: %v", line, err)
		}
	}
	if _, err := ParseFaults("# a plan\n\nrpc ** #1: 502\nrpc x\n"); err == nil || !strings.Contains(err.Error(), "line 4") {
		t.Errorf("the bad line is not named: %v", err)
	}
}

// TestNamedFaults: every name is a plan, gitd's too.
func TestNamedFaults(t *testing.T) {
	names := FaultNames()
	if !slices.Contains(names, "aur-rival") || !slices.Contains(names, "git-push-lost-answer") || !slices.IsSorted(names) {
		t.Errorf("the names are %q", names)
	}
	s := start(t, Options{}, newKey(t))
	for _, name := range names {
		list, err := NamedFaults(name)
		if err != nil || len(list) == 0 {
			t.Errorf("%s: %v", name, err)
		}
		if err := s.SetFaults(list); err != nil {
			t.Error(err)
		}
		if p := s.Pending(); len(p) != len(list) {
			t.Errorf("%s leaves %q pending", name, p)
		}
	}
	if _, err := NamedFaults("none"); err == nil {
		t.Error("there is a fault called none")
	}
}

// TestPushFaults lets a push meet each fault and looks at what the client may believe and what is there.
func TestPushFaults(t *testing.T) {
	need(t, "git")
	key := newKey(t)
	for i, tc := range []struct {
		plan     string
		accepted bool   // what the client is told
		done     bool   // what is true
		says     string // to the client
		again    bool   // whether the same push goes through afterwards
		steps    int    // states of master in the end, with the first
	}{
		{"receive-pack ** #1: maintenance", false, false, textMaintenance, true, 2},
		{"receive-pack ** #1: banned", false, false, textBanned, true, 2},
		{"receive-pack ** #1: unverified", false, false, textUnverified, true, 2},
		{"connect ** #1: refused", false, false, "", true, 2},
		{"connect ** #1: host key changed", false, false, "", true, 2},
		{"receive-pack ** #1: cut", false, false, "", true, 2},
		{"receive-pack ** #1: cut after 100 bytes", false, false, "", true, 2},
		{"receive-pack ** #1: cut though done", false, true, "", true, 2},
		{"receive-pack ** #1: declined error: package sources must be signed", false, false, "error: package sources must be signed", true, 2},
		{`receive-pack ** #1: says warning: soon\nwarning: really`, true, true, "warning: really", true, 2},
		{"receive-pack ** #1: rival", false, false, "", false, 2},
		{"receive-pack ** #1: rival in hook", false, false, "", false, 2},
		{"receive-pack ** #1: late 1 calls", true, true, "", true, 2},
	} {
		for _, client := range clientsOf(i) {
			t.Run(tc.plan+"/"+client.name, func(t *testing.T) {
				t.Parallel()
				s := start(t, Options{}, key)
				first, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg"))
				if err != nil {
					t.Fatal(err)
				}
				c := newClone(t)
				if err := c.fetch(s, "pkg"); err != nil {
					t.Fatal(err)
				}
				version(t, s, "pkg") // it shows
				commit := c.commit(first, "next", files("pkg", "pkgver = 1.2.3", "pkgver = 1.3.0"))
				if err := s.SetFaults(faults(t, tc.plan)); err != nil {
					t.Fatal(err)
				}
				o := client.push(t, s, key, c, "pkg", commit, master)
				if o.accepted != tc.accepted || !strings.Contains(o.text, tc.says) {
					t.Errorf("accepted is %v: %s", o.accepted, o.text)
				}
				if p := s.Pending(); len(p) > 0 {
					t.Errorf("%q has not struck", p)
				}
				tip, err := s.tip("pkg")
				if err != nil || (tip.String() == commit) != tc.done {
					t.Errorf("master is at %s: %v", tip, err)
				}
				want := "1.2.3-1"
				switch {
				case tc.done && !strings.Contains(tc.plan, "late"):
					want = "1.3.0-1"
				case strings.Contains(tc.plan, "rival"):
					want = "1.2.3-2"
				}
				if got := version(t, s, "pkg"); got != want {
					t.Errorf("the RPC shows %s, want %s", got, want)
				}
				if o := client.push(t, s, key, c, "pkg", commit, master); o.accepted != tc.again {
					t.Errorf("the second time accepted is %v: %s", o.accepted, o.text)
				}
				h, err := s.History("pkg")
				if err != nil || len(h) != tc.steps {
					t.Errorf("the history is %+v: %v", h, err)
				}
				r, _ := s.Record("pkg")
				if r.Maintainer != "me" || r.Version != h.Last().Version {
					t.Errorf("the database has %+v, the history %+v", r, h.Last())
				}
				if !strings.HasPrefix(tc.plan, "connect") && !slices.ContainsFunc(s.Requests(), func(r Request) bool { return r.Fault == tc.plan }) {
					t.Errorf("the log does not tell of it: %+v", s.Requests())
				}
			})
		}
	}
}

// TestRivalOnNewName: somebody takes the name just before.
func TestRivalOnNewName(t *testing.T) {
	need(t, "git")
	key := newKey(t)
	for _, client := range clients {
		s := start(t, Options{Faults: faults(t, "receive-pack ** #1: rival")}, key)
		c := newClone(t)
		o := client.push(t, s, key, c, "new", c.commit("", "one", files("new")), master)
		if o.accepted || !strings.Contains(o.text, "git-receive-pack: permission denied: me") {
			t.Errorf("%s: accepted %v: %s", client.name, o.accepted, o.text)
		}
		if r, _ := s.Record("new"); r.Maintainer != "rival" {
			t.Errorf("the maintainer is %q", r.Maintainer)
		}
	}
}

// TestRivalFunction: the test decides what the rival does.
func TestRivalFunction(t *testing.T) {
	key := newKey(t)
	s := start(t, Options{Rival: func(name string, tip map[string]string) map[string]string {
		return with(tip, "README", "by a rival of "+name)
	}}, key)
	if _, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg")); err != nil {
		t.Fatal(err)
	}
	if err := s.rival("pkg"); err != nil {
		t.Fatal(err)
	}
	if f, err := s.Files("pkg"); err != nil || f["README"] != "by a rival of pkg" || len(f) != 3 {
		t.Errorf("the tip has %q: %v", f, err)
	}
}

// TestRPCFaults lets calls meet each fault.
func TestRPCFaults(t *testing.T) {
	clock := newClock()
	s := start(t, Options{Clock: clock}, newKey(t))
	if _, err := s.Publish(t.Context(), "me", "pkg", "One", files("pkg")); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		plan, want string
		status     int
	}{
		{"rpc ** #1: 502", "<html>\r\n<head><title>Bad Gateway</title></head>", 502},
		{"rpc pkg #1: 429", `{"error":"Rate limit reached","resultcount":0,"results":[],"type":"error","version":5}`, 429},
		{"rpc p* #1: error Please try again later.", `{"error":"Please try again later.","resultcount":0,"results":[],"type":"error","version":5}`, 200},
		{"rpc ** #1: page", "<html>", 200},
		{"rpc ** #1: cut", "", 0},
		{"rpc ** #1: delay 1m", `{"resultcount":1,`, 200},
	} {
		if err := s.SetFaults(faults(t, tc.plan)); err != nil {
			t.Fatal(err)
		}
		before := clock.Now()
		resp, body, err := tryAsk(t, s, "rpc/v5/info/pkg")
		switch {
		case tc.status == 0:
			if err == nil {
				t.Errorf("%s gave %d %s", tc.plan, resp.StatusCode, body)
			}
		case err != nil || resp.StatusCode != tc.status || !strings.HasPrefix(body, tc.want):
			t.Errorf("%s gave %v %v %s", tc.plan, err, resp, body)
		}
		if strings.Contains(tc.plan, "delay") && clock.Now().Sub(before) != time.Minute {
			t.Errorf("it waited %s", clock.Now().Sub(before))
		}
		if r := s.Requests(); r[len(r)-1].Status != tc.status || len(s.Pending()) > 0 {
			t.Errorf("the log says %+v, pending %q", r[len(r)-1], s.Pending())
		}
		if got := version(t, s, "pkg"); got != "1.2.3-1" {
			t.Errorf("after %s it shows %q", tc.plan, got)
		}
	}
	// Another name is not meant.
	if err := s.SetFaults(faults(t, "rpc other #1: 502")); err != nil {
		t.Fatal(err)
	}
	if version(t, s, "pkg"); len(s.Pending()) != 1 {
		t.Error("it struck another name")
	}
}

// FuzzParseFault: what is read is written so that it is read as the same, and no fault is planned that could not strike.
func FuzzParseFault(f *testing.F) {
	for _, name := range FaultNames() {
		list, _ := NamedFaults(name)
		for _, one := range list {
			f.Add(one.String())
		}
	}
	f.Add(`receive-pack ** #1: says a\nb: c`)
	f.Fuzz(func(t *testing.T, line string) {
		one, err := ParseFault(line)
		if err != nil {
			return
		}
		again, err := ParseFault(one.String())
		if err != nil || again.String() != one.String() {
			t.Errorf("%q became %q, and that %q: %v", line, one, again, err)
		}
		if _, _, err := armFaults([]Fault{one}); err != nil {
			t.Errorf("%q cannot be planned: %v", line, err)
		}
	})
}
