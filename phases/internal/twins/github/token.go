package github

import (
	"maps"
	"net/http"
	"strings"
	"time"
)

// A Right is one repository permission of a token, named as GitHub names it.
type Right string

// The rights that the twin asks for.
const (
	Contents       Right = "contents" // write is "push access": drafts are seen with it
	Workflows      Right = "workflows"
	Actions        Right = "actions"
	Deployments    Right = "deployments"
	Administration Right = "administration"
	Attestations   Right = "attestations"
	Issues         Right = "issues"
)

// A Level is how far a right goes.
type Level int

// None is no access, Read looking, Write changing.
const (
	None Level = iota
	Read
	Write
)

// A Kind is the sort of a token. It decides how a missing right is answered.
type Kind int

const (
	// FineGrained is a personal token with rights of its own: 403 without one.
	FineGrained Kind = iota
	// Classic is a personal token with scopes: 404 without one (unconfirmed
	// for each single endpoint).
	Classic
	// Installation is an app's or a workflow's token, such as GITHUB_TOKEN:
	// 403 without a right.
	Installation
)

// A Token is a credential the server accepts, as "Bearer" or "token".
type Token struct {
	Value string
	// Login is the user it stands for.
	Login  string
	Kind   Kind
	Rights map[Right]Level
	// Repositories are the "owner/name" it is good for; all when empty.
	Repositories []string
	// Expires ends it: 401 from then on. The zero time never comes.
	Expires time.Time
}

// Maintainer returns the rights a release needs, and those to look at settings.
func Maintainer() map[Right]Level {
	return map[Right]Level{
		Contents: Write, Workflows: Write, Actions: Write, Deployments: Write,
		Administration: Write, Attestations: Write, Issues: Write,
	}
}

// SetTokens replaces the tokens that are accepted.
func (s *Server) SetTokens(tokens []Token) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tokens = nil
	for _, t := range tokens {
		t.Rights = maps.Clone(t.Rights)
		s.tokens = append(s.tokens, &t)
	}
}

// authorization finds the token of a request. A header that names no valid
// token is not the same as none: ok is false then.
func (s *Server) authorization(r *http.Request) (t *Token, ok bool) {
	header := r.Header.Get("Authorization")
	if header == "" {
		return nil, true
	}
	scheme, value, _ := strings.Cut(header, " ")
	if scheme = strings.ToLower(scheme); scheme != "bearer" && scheme != "token" {
		return nil, false
	}
	for _, t := range s.tokens {
		if t.Value != "" && t.Value == strings.TrimSpace(value) {
			return t, t.Expires.IsZero() || s.clock.Now().Before(t.Expires)
		}
	}
	return nil, false
}

// may tells whether the bearer can do something in a repository. Everybody may
// look at a public one's contents.
func (t *Token) may(r *repository, right Right, level Level) bool {
	if right == "" {
		return true
	}
	if !r.Private && level == Read && right != Administration && right != Workflows {
		return true
	}
	return t != nil && t.covers(r) && t.Rights[right] >= level
}

func (t *Token) covers(r *repository) bool {
	if len(t.Repositories) == 0 {
		return true
	}
	for _, name := range t.Repositories {
		if strings.EqualFold(name, r.Owner+"/"+r.Name) {
			return true
		}
	}
	return false
}

// sees tells whether the bearer knows that a repository exists.
func (t *Token) sees(r *repository) bool {
	if !r.Private {
		return true
	}
	if t == nil || !t.covers(r) {
		return false
	}
	for _, l := range t.Rights {
		if l > None {
			return true
		}
	}
	return false
}

// scopes is the header X-OAuth-Scopes, which classic tokens' answers carry.
func (t *Token) scopes() string {
	var list []string
	if t.Rights[Contents] == Write {
		list = append(list, "repo")
	}
	if t.Rights[Workflows] == Write {
		list = append(list, "workflow")
	}
	return strings.Join(list, ", ")
}
