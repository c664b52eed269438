package release

import (
	"strings"
	"testing"

	"github.com/imrightguy/slipway/phases/release/gitflow"
	"github.com/imrightguy/slipway/phases/release/github"
)

// TestTokenStaysAtHome: git over https is shown the token for GitHub, so no other host is asked that way.
func TestTokenStaysAtHome(t *testing.T) {
	for _, c := range []struct {
		remote, base string
		refused      bool
	}{
		{"", "", false},
		{"https://github.com/octo/app.git", "", false},
		{"https://GitHub.com/octo/app", "", false},
		{"ssh://git@git.example.com/octo/app.git", "", false},
		{"https://git.example.com/octo/app.git", "", true},
		{"https://github.com.example.com/octo/app.git", "", true},
		{"https://ghe.example.com/octo/app.git", "https://ghe.example.com/api/v3/", false},
		{"https://github.com/octo/app.git", "https://ghe.example.com/api/v3/", true},
	} {
		err := Config{Git: gitflow.Config{Remote: c.remote}, GitHub: github.Config{Owner: "octo", Repo: "app", BaseURL: c.base}}.Validate()
		if (err != nil) != c.refused || c.refused && !strings.HasPrefix(err.Error(), "release.git.remote: over https the token") {
			t.Errorf("%q with %q: %v", c.remote, c.base, err)
		}
	}
}
