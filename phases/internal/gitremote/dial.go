package gitremote

import (
	"context"
	"fmt"

	"golang.org/x/crypto/ssh"
)

// Dial opens an ssh connection to the remote as git would, with the same key and the same trust, for what a server tells
// besides git. The caller closes it.
func (a Access) Dial(ctx context.Context) (*ssh.Client, error) {
	p, err := parse(a.URL)
	if err != nil {
		return nil, err
	}
	if p.scheme != "ssh" {
		return nil, fmt.Errorf("cannot open a connection to %s: it is not reached over ssh", a.shown())
	}
	return a.connect(ctx, p)
}
