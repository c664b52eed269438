package hub

import (
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
)

// A Token is a credential that shows where it came from and never what it is, however it is printed.
type Token struct {
	// Source is the name of the environment variable or the file.
	Source string
	// A function, since printing a structure shows its unexported fields.
	secret func() string
}

// NewToken makes a token of a secret. Space around it is dropped; inside it nothing but visible ASCII is allowed,
// because it becomes a header.
func NewToken(secret, source string) (Token, error) {
	secret = strings.TrimSpace(secret)
	bad := func(r rune) bool { return r <= ' ' || r > '~' }
	switch {
	case secret == "":
		return Token{}, fmt.Errorf("cannot use the token from %s: it is empty", source)
	case len(secret) > maxToken || strings.ContainsFunc(secret, bad):
		return Token{}, fmt.Errorf("cannot use the token from %s: want one word", source)
	}
	return Token{Source: source, secret: func() string { return secret }}, nil
}

// maxToken is longer than any of GitHub's, the JSON web tokens of its apps included.
const maxToken = 4 << 10

// ErrNoToken says that there is no token anywhere.
var ErrNoToken = errors.New("there is no token: set GITHUB_TOKEN or GH_TOKEN, or GITHUB_TOKEN_FILE to the path of a file with it")

// FindToken picks the token: GITHUB_TOKEN, else GH_TOKEN, else the file. getenv is [os.Getenv]; file may be "".
func FindToken(getenv func(string) string, file string) (Token, error) {
	for _, name := range []string{"GITHUB_TOKEN", "GH_TOKEN"} {
		if v := getenv(name); strings.TrimSpace(v) != "" {
			return NewToken(v, name)
		}
	}
	if file == "" {
		return Token{}, ErrNoToken
	}
	f, err := os.Open(file)
	if err != nil {
		return Token{}, fmt.Errorf("cannot read the token: %w", err)
	}
	defer f.Close()
	content, err := io.ReadAll(io.LimitReader(f, maxToken+2))
	if err != nil {
		return Token{}, fmt.Errorf("cannot read the token: %w", err)
	}
	return NewToken(string(content), file)
}

func (t Token) value() string {
	if t.secret == nil {
		return ""
	}
	return t.secret()
}

// Reveal returns the secret, for protocols other than the API's: git over https.
func (t Token) Reveal() string { return t.value() }

// Set reports whether there is a token.
func (t Token) Set() bool { return t.secret != nil }

// String says where the token is from.
func (t Token) String() string {
	if !t.Set() {
		return "no token"
	}
	return "token from " + t.Source
}

// GoString is String.
func (t Token) GoString() string { return t.String() }
