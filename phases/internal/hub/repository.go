package hub

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"strings"
	"time"
)

// Immutability is the setting "immutable releases" of the repository or its organisation.
type Immutability struct {
	// Known is false where the token may not read the setting, or it is off: GitHub answers both with 404.
	Known   bool
	Enabled bool
	ByOwner bool // enforced by the organisation
}

// Immutability asks for the setting. It needs to read the repository's administration.
func (c *Client) Immutability(ctx context.Context) (Immutability, error) {
	var w struct {
		Enabled bool `json:"enabled"`
		ByOwner bool `json:"enforced_by_owner"`
	}
	_, err := c.do(ctx, http.MethodGet, c.path+"immutable-releases", nil, &w)
	if errors.Is(err, ErrNotFound) || errors.Is(err, ErrForbidden) {
		return Immutability{}, nil
	}
	return Immutability{Known: err == nil, Enabled: w.Enabled, ByOwner: w.ByOwner}, err
}

// Rate is what is left of the token's primary limit.
type Rate struct {
	Limit, Remaining int // requests
	Reset            time.Time
}

// RateLimit asks for the limit, which costs nothing. An enterprise server without limits answers [ErrNotFound].
func (c *Client) RateLimit(ctx context.Context) (Rate, error) {
	var w struct {
		Resources struct {
			Core struct {
				Limit     int   `json:"limit"`
				Remaining int   `json:"remaining"`
				Reset     int64 `json:"reset"`
			} `json:"core"`
		} `json:"resources"`
	}
	if _, err := c.do(ctx, http.MethodGet, "rate_limit", nil, &w); err != nil {
		return Rate{}, err
	}
	core := w.Resources.Core
	return Rate{Limit: core.Limit, Remaining: core.Remaining, Reset: time.Unix(core.Reset, 0).UTC()}, nil
}

// Access is who the token stands for in the repository, as far as GitHub tells.
type Access struct {
	FullName      string // OWNER/REPO as GitHub writes it: a renamed repository has another
	DefaultBranch string
	Private       bool
	Push          bool // may push, and so make releases
	Archived      bool // takes no writes
}

// Access asks what the token may do in the repository.
func (c *Client) Access(ctx context.Context) (Access, error) {
	var w struct {
		FullName      string          `json:"full_name"`
		DefaultBranch string          `json:"default_branch"`
		Private       bool            `json:"private"`
		Archived      bool            `json:"archived"`
		Permissions   map[string]bool `json:"permissions"`
	}
	if _, err := c.do(ctx, http.MethodGet, c.path[:len(c.path)-1], nil, &w); err != nil {
		return Access{}, err
	}
	return Access{w.FullName, w.DefaultBranch, w.Private, w.Permissions["push"], w.Archived}, nil
}

// Login asks who the token stands for. An app's token, such as that of GitHub Actions, stands for nobody: "".
func (c *Client) Login(ctx context.Context) (string, error) {
	var w struct {
		Login string `json:"login"`
	}
	_, err := c.do(ctx, http.MethodGet, "user", nil, &w)
	if errors.Is(err, ErrForbidden) {
		return "", nil
	}
	return w.Login, err
}

// A Tag is what a tag's ref leads to.
type Tag struct {
	Annotated bool   // there is a tag object; otherwise the tag is a name for Commit and no more
	Object    string // the tag object, or the commit
	Commit    string // what it leads to in the end
}

// Tag looks a tag up: [ErrNotFound].
func (c *Client) Tag(ctx context.Context, name string) (Tag, error) {
	path, err := escapeRef(name)
	if err != nil {
		return Tag{}, fmt.Errorf("cannot look for tag %.100q: %w", name, err)
	}
	type object struct {
		Object struct {
			SHA  string `json:"sha"`
			Type string `json:"type"`
		} `json:"object"`
	}
	var w object
	if _, err := c.do(ctx, http.MethodGet, c.path+"git/ref/tags/"+path, nil, &w); err != nil {
		return Tag{}, err
	}
	t := Tag{Annotated: w.Object.Type == "tag", Object: w.Object.SHA}
	for range 10 { // a tag may be of a tag
		if w.Object.Type == "commit" {
			t.Commit = w.Object.SHA
			return t, nil
		}
		if w.Object.Type != "tag" || !commitRE.MatchString(w.Object.SHA) {
			break
		}
		next := object{}
		if _, err := c.do(ctx, http.MethodGet, c.path+"git/tags/"+w.Object.SHA, nil, &next); err != nil {
			return Tag{}, err
		}
		w = next
	}
	return Tag{}, fmt.Errorf("cannot use tag %.100q: it leads to no commit", name)
}

var commitRE = regexp.MustCompile(`^[0-9a-f]{40}([0-9a-f]{24})?$`)

// escapeRef makes part of a URL's path of the name of a tag.
func escapeRef(name string) (string, error) {
	parts := strings.Split(name, "/")
	for i, p := range parts {
		if p == "" || p == "." || p == ".." {
			return "", errors.New("git allows no such name")
		}
		parts[i] = url.PathEscape(p)
	}
	return strings.Join(parts, "/"), nil
}
