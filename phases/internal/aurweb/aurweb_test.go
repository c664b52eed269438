package aurweb

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
)

// answers gives one prepared answer after the other, the last one for ever.
type answers struct {
	list  []string // "STATUS BODY", or "cut"
	asked []string
}

func (a *answers) RoundTrip(r *http.Request) (*http.Response, error) {
	a.asked = append(a.asked, r.URL.String())
	next := a.list[0]
	if len(a.list) > 1 {
		a.list = a.list[1:]
	}
	status, body, _ := strings.Cut(next, " ")
	code := map[string]int{"200": 200, "302": 302, "404": 404, "429": 429, "503": 503}[status]
	if code == 0 {
		return nil, errors.New("cut off")
	}
	return &http.Response{StatusCode: code, Header: http.Header{"Retry-After": {"7"}}, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
}

type clock struct{ slept []time.Duration }

func (*clock) Now() time.Time { return time.Time{} }
func (c *clock) Sleep(ctx context.Context, d time.Duration) error {
	c.slept = append(c.slept, d)
	return ctx.Err()
}

const one = `{"version":5,"type":"multiinfo","resultcount":1,"results":[{"Name":"a","PackageBase":"b","Version":"1:2-3","Maintainer":"m","CoMaintainers":["n"],"NumVotes":1}]}`

func TestInfo(t *testing.T) {
	for _, c := range []struct {
		list  []string
		want  string // of the error; "": found
		asked int
	}{
		{[]string{"200 " + one}, "", 1},
		{[]string{"503 x", "cut", "200 " + one}, "", 3},
		{[]string{"503 x"}, "status 503", 4},
		{[]string{"cut"}, "cut off", 4},
		{[]string{"429 {}"}, ErrLimited.Error(), 1},
		{[]string{"302 x"}, "status 302", 1},
		{[]string{"404 x"}, "status 404", 1},
		{[]string{`200 {"version":5,"results":[],"resultcount":0,"type":"error","error":"Bad \u001b[31m words"}`}, "it says \"Bad \uFFFD[31m words\"", 1},
		{[]string{"200 <html>"}, "not the JSON", 1},
		{[]string{`200 {"version":5,"type":"multiinfo","resultcount":2,"results":[]}`}, "announces 2 results and has 0", 1},
		{[]string{"200 " + strings.Replace(one, `"a"`, `"z"`, 1)}, `a result "z" too many`, 1},
		{[]string{"200 " + strings.Replace(one, `"1:2-3"`, `""`, 1)}, "without package base or version", 1},
		{[]string{"200 " + strings.Replace(one, `"m"`, `"m\n"`, 1)}, "where a name or a version should be", 1},
		{[]string{"200 " + strings.Replace(one, `:5,`, `:6,`, 1)}, "want type multiinfo of version 5", 1},
		{[]string{"200 " + strings.Repeat(" ", maxBody+1)}, "more than 4194304 bytes", 1},
	} {
		a, k := &answers{list: c.list}, &clock{}
		client, err := New(Options{BaseURL: "https://aur.example.org/", Transport: a, Clock: k})
		if err != nil {
			t.Fatal(err)
		}
		found, err := client.Info(t.Context(), "a", "c+d")
		if c.want == "" && (err != nil || !found["a"].Has("n") || !found["a"].Has("m") || found["a"].Has("") || found["a"].Version != "1:2-3") {
			t.Errorf("%.100v: %+v %v", c.list, found, err)
		}
		if c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%.100v: error %v, want %q", c.list, err, c.want)
		}
		if len(a.asked) != c.asked || a.asked[0] != "https://aur.example.org/rpc/v5/info?arg%5B%5D=a&arg%5B%5D=c%2Bd" {
			t.Errorf("asked %q", a.asked)
		}
		if c.list[0] == "503 x" && k.slept[0] != 7*time.Second {
			t.Errorf("slept %v", k.slept)
		}
	}
	for _, base := range []string{"", "http://aur.example.org", "https://u:p@h", "https://h/?q", "ftp://h", "\x00"} {
		if _, err := New(Options{BaseURL: base, Clock: &clock{}}); err == nil {
			t.Errorf("%q was taken", base)
		}
	}
}

func TestDoor(t *testing.T) {
	for url, want := range map[string]string{
		"ssh://aur@aur.archlinux.org/x.git": "aur.archlinux.org:22", "aur@aur.archlinux.org:x.git": "aur.archlinux.org:22",
		"ssh://aur@127.0.0.1:2222/x.git": "127.0.0.1:2222", "ssh://aur@[::1]:2222/x.git": "[::1]:2222", "https://h/x.git": "", "/tmp/x": "",
	} {
		if got, err := Door(url); got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q %v", url, got, err)
		}
	}
	if _, err := Whoami(t.Context(), gitremote.Access{URL: "https://h/x.git"}); !errors.Is(err, ErrNoDoor) {
		t.Errorf("%v", err)
	}
}

// No answer, however odd, is taken for more than it says.
func FuzzParse(f *testing.F) {
	f.Add([]byte(one))
	f.Add([]byte(`{"version":5,"type":"error","error":"x"}`))
	f.Add([]byte(`{"results":[null]}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		found, err := Parse(body, []string{"a"})
		if err != nil {
			if strings.ContainsAny(err.Error(), "\x00\x1b\n") {
				t.Errorf("%q", err)
			}
			return
		}
		for name, p := range found {
			if name != "a" || p.Name != "a" || p.Version == "" || p.PackageBase == "" || shorten(p.Version+p.Maintainer) != p.Version+p.Maintainer {
				t.Errorf("%+v", p)
			}
		}
	})
}
