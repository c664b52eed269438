package guard

import (
	"net/http/httptest"
	"testing"
)

func TestJudge(t *testing.T) {
	for _, c := range []struct {
		host, origin, site string
		ok                 bool
	}{
		{"127.0.0.1:7", "", "", true},
		{"localhost:7", "", "none", true},
		{"[::1]:7", "", "same-origin", true},
		{"", "", "", false},
		{"127.0.0.1", "", "", false},
		{"127.0.0.1:8", "", "", false},
		{"evil.test:7", "", "", false},
		{"localhost.evil.test:7", "", "", false},
		{"0.0.0.0:7", "", "", false},
		{"127.1:7", "", "", false},
		{"LOCALHOST.:7", "", "", false},
		{"127.0.0.1:7", "http://evil.test", "", false},
		{"127.0.0.1:7", "null", "", false},
		{"127.0.0.1:7", "http://127.0.0.1:9", "same-site", false},
		{"127.0.0.1:7", "", "cross-site", false},
		{"127.0.0.1:7", "", "same-site", false},
		{"127.0.0.1:7", "http://good:1", "cross-site", true},
		{"evil.test:7", "http://good:1", "", false},
	} {
		r := httptest.NewRequest("POST", "/", nil)
		r.Host = c.host
		if c.origin != "" {
			r.Header.Set("Origin", c.origin)
		}
		if c.site != "" {
			r.Header.Set("Sec-Fetch-Site", c.site)
		}
		if why := Judge(r, 7, []string{"http://good:1"}); (why == "") != c.ok {
			t.Errorf("%+v: %q", c, why)
		}
	}
}
