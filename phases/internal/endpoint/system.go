package endpoint

import (
	"context"
	"time"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
	"github.com/imrightguy/slipway/phases/internal/gitsign"
	"github.com/imrightguy/slipway/phases/internal/hub"
)

// TokenFile is the environment variable that names a file with the token for GitHub.
const TokenFile = "GITHUB_TOKEN_FILE"

// DefaultPatience is how long a proof waits for what servers show late.
const DefaultPatience = 3 * time.Minute

// System returns the endpoints of the world itself. getenv is os.Getenv; home is the user's folder, where known_hosts
// lies.
func System(getenv func(string) string, home string) *Endpoints {
	token := func() (hub.Token, error) { return hub.FindToken(getenv, getenv(TokenFile)) }
	return &Endpoints{
		Patience: DefaultPatience,
		Token:    token,
		Git: func(ctx context.Context, r gitremote.Remote) (gitremote.Access, error) {
			return gitremote.Open(ctx, r, gitremote.Options{
				Getenv: getenv, Home: home,
				Token: func() (string, string, error) {
					t, err := token()
					if err != nil {
						return "", "", err
					}
					return "x-access-token", t.Reveal(), nil
				},
			})
		},
		Signer: func(ctx context.Context, s Signing) (gitremote.Signer, error) {
			return gitsign.Open(ctx, gitsign.Key{Format: s.Format, Key: s.Key, KeyFile: s.KeyFile, Passphrase: s.Passphrase}, getenv)
		},
	}
}
