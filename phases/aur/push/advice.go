package push

import (
	"errors"
	"fmt"
	"strings"

	"github.com/imrightguy/slipway/phases/internal/gitremote"
)

// advice is what to do about what the AUR says when it refuses, by words of its messages (aurweb/git/serve.py and
// aurweb/git/update.py).
var advice = []struct{ words, todo string }{
	{"down due to maintenance", "run again later: nothing has been pushed"},
	{"email is not verified", "verify the account's address on the AUR's website, then run again"},
	{"interface is disabled", "the AUR lets nobody in from this address: ask its staff, or run from elsewhere"},
	{"suspended", "the account is suspended: ask the AUR's staff"},
	{"orphaned", "a push adopts nothing: ask for the package on its page of the AUR"},
	{"permission denied", "the key's account may not push this package: use the maintainer's key, or become a co-maintainer"},
	{"non-fast-forward", "somebody else has pushed: run again"},
	{"cannot lock ref", "another push holds the branch, or left it held when it was cut off: run again"},
	{"blacklisted", "the AUR does not take this name: choose another one"},
	{"already provided by", "an official package has this name: choose another one"},
	{"cannot overwrite package", "another package base has this name: choose another one"},
}

// advise adds what to do to the error of a push or of a look, in the words of the server.
func advise(err error) error {
	var refused *gitremote.RefusedError
	switch {
	case err == nil:
		return nil
	case errors.Is(err, gitremote.ErrLost):
		return fmt.Errorf("%w; run again: it looks first whether the commit has arrived", err)
	case errors.Is(err, gitremote.ErrAuth) || errors.Is(err, gitremote.ErrUnknownHost) || errors.Is(err, gitremote.ErrHostChanged):
		return err // they say what to do
	case errors.As(err, &refused):
		for _, line := range refused.Lines {
			for _, rule := range advice {
				if strings.Contains(line, rule.words) {
					return fmt.Errorf("%w; %s", err, rule.todo)
				}
			}
		}
		return fmt.Errorf("%w; nothing has been pushed", err)
	}
	return err
}
