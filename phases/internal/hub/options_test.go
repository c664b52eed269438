package hub

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func TestFindToken(t *testing.T) {
	dir := t.TempDir()
	write := func(name, content string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	file := write("token", secret+"\n")
	for _, c := range []struct {
		env    map[string]string
		file   string
		source string // "": an error
		want   string
	}{
		{map[string]string{"GITHUB_TOKEN": "a", "GH_TOKEN": "b"}, file, "GITHUB_TOKEN", "a"},
		{map[string]string{"GITHUB_TOKEN": " \n", "GH_TOKEN": "b"}, file, "GH_TOKEN", "b"},
		{nil, file, file, secret},
		{nil, "", "", ""},
		{nil, filepath.Join(dir, "none"), "", ""},
		{nil, dir, "", ""},
		{nil, write("empty", "\n"), "", ""},
		{nil, write("lines", secret+"\n"+secret), "", ""},
		{nil, write("long", strings.Repeat("x", 100_000)), "", ""},
		{map[string]string{"GITHUB_TOKEN": secret + "\r\nX: y"}, file, "", ""},
		{map[string]string{"GITHUB_TOKEN": secret + "é"}, file, "", ""},
	} {
		got, err := FindToken(func(name string) string { return c.env[name] }, c.file)
		if (err == nil) != (c.source != "") || got.Source != c.source || got.value() != c.want {
			t.Errorf("%v, %s: %v, %v", c.env, c.file, got, err)
		}
		if err != nil {
			quiet(t, err)
		}
	}
	if _, err := FindToken(func(string) string { return "" }, ""); !errors.Is(err, ErrNoToken) {
		t.Errorf("error %v", err)
	}
}

// TestTokenIsNeverShown prints a token, and what holds one, in every way.
func TestTokenIsNeverShown(t *testing.T) {
	token, err := NewToken(secret, "GH_TOKEN")
	if err != nil {
		t.Fatal(err)
	}
	client, err := New(Options{Owner: owner, Repo: repo, Token: token})
	if err != nil {
		t.Fatal(err)
	}
	var log strings.Builder
	logger := slog.New(slog.NewJSONHandler(&log, nil))
	for _, v := range []any{token, &token, Options{Token: token}, client, client.t, hidden{errors.New("x"), token}} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%d"} {
			fmt.Fprintf(&log, verb, v)
		}
		logger.Info("x", "v", v)
	}
	j, err := json.Marshal(token)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(j)
	if strings.Contains(all, secret) || strings.Contains(all, fmt.Sprintf("%x", secret)) {
		t.Error("the token is shown")
	}
	if token.String() != "token from GH_TOKEN" || (Token{}).String() != "no token" {
		t.Errorf("%v, %v", token, Token{})
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct{ base, upload, wantBase, wantUpload string }{
		{"", "", "https://api.github.com/", "https://uploads.github.com/"},
		{"https://ghe.example.com/api/v3", "", "https://ghe.example.com/api/v3/", "https://ghe.example.com/api/uploads/"},
		{"https://api.octo.ghe.com", "", "https://api.octo.ghe.com/", "https://uploads.octo.ghe.com/"},
		{"http://127.0.0.1:1234", "http://localhost:9/x", "http://127.0.0.1:1234/", "http://localhost:9/x/"},
		{"http://ghe.example.com/api/v3/", "", "", ""},
		{"https://user:" + secret + "@ghe.example.com/", "", "", ""},
		{"https://ghe.example.com/?token=" + secret, "", "", ""},
		{"ftp://ghe.example.com/", "", "", ""},
		{"ghe.example.com", "", "", ""},
		{"https://\x7f" + secret, "", "", ""},
		{"https://ghe.example.com/", "http://evil.example.com/", "", ""},
	} {
		got, err := New(Options{Owner: owner, Repo: repo, BaseURL: c.base, UploadURL: c.upload})
		if c.wantBase == "" {
			if err == nil {
				t.Errorf("%q, %q: accepted", c.base, c.upload)
			} else {
				quiet(t, err)
			}
			continue
		}
		if err != nil || got.api.BaseURL.String() != c.wantBase || got.api.UploadURL.String() != c.wantUpload {
			t.Errorf("%q, %q: %v", c.base, c.upload, err)
		}
	}
	for _, bad := range [][2]string{{"", "a"}, {"a", ""}, {"a", ".."}, {"a", "b/c"}, {"-a", "b"}, {"a", "b?c"}, {"a b", "c"}, {"..", "c"}} {
		if _, err := New(Options{Owner: bad[0], Repo: bad[1]}); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
}

func TestCheckNames(t *testing.T) {
	for _, good := range []string{"a", "slipway-1.2.3-x86_64.tar.gz", "SHA256SUMS", "A_b.deb.sha256"} {
		if err := CheckName(good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", ".a", "a.", "-a", "a-", "a..b", "a/b", "a b", "a~b", "a+b", "é", "a\n", "$(id)", "`id`", "a'b", strings.Repeat("a", 256)} {
		if err := CheckName(bad); err == nil {
			t.Errorf("%q: accepted", bad)
		}
	}
	if err := CheckNames([]string{"a", "b", "A"}); err == nil {
		t.Error("accepted a and A")
	}
	if err := CheckNames([]string{"a", "b/"}); err == nil {
		t.Error("accepted b/")
	}
	if err := CheckNames([]string{"a", "b"}); err != nil {
		t.Error(err)
	}
}

// FuzzCheckName: what is accepted needs no escape in a URL, a shell or a file system.
func FuzzCheckName(f *testing.F) {
	f.Add("a.tar.gz")
	f.Fuzz(func(t *testing.T, s string) {
		if CheckName(s) == nil && (s == "" || strings.Trim(s, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789._-") != "" || s[0] == '-' || s[0] == '.') {
			t.Errorf("accepted %q", s)
		}
	})
}
