package endpoint

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/imrightguy/slipway/phases/internal/hub"
	"github.com/imrightguy/slipway/pipeline"
)

func TestOf(t *testing.T) {
	for _, x := range []any{nil, "x", (*Endpoints)(nil)} {
		if _, err := Of(&pipeline.Workspace{Endpoints: x}); err == nil {
			t.Errorf("%v are no endpoints", x)
		}
	}
	e := &Endpoints{}
	if got, err := Of(&pipeline.Workspace{Endpoints: e}); got != e || err != nil {
		t.Errorf("%v, %v", got, err)
	}
}

// TestHub: one repository has one client, so that all writes keep one pace.
func TestHub(t *testing.T) {
	e := &Endpoints{Token: func() (hub.Token, error) { return hub.NewToken("t", "test") }}
	a, err := e.Hub("o", "r", "")
	if err != nil {
		t.Fatal(err)
	}
	if b, err := e.Hub("o", "r", ""); b != a || err != nil {
		t.Errorf("another client: %v", err)
	}
	if b, err := e.Hub("o", "other", ""); b == a || err != nil {
		t.Errorf("the same client for another repository: %v", err)
	}
	e.Token = func() (hub.Token, error) { return hub.Token{}, hub.ErrNoToken }
	if _, err := e.Hub("o", "r", ""); !errors.Is(err, hub.ErrNoToken) {
		t.Error(err)
	}
}

func TestHurried(t *testing.T) {
	c := &Hurried{}
	before, began := c.Now(), time.Now()
	if err := c.Sleep(t.Context(), time.Hour); err != nil {
		t.Fatal(err)
	}
	if waited := time.Since(began); waited > time.Minute {
		t.Errorf("waited %s", waited)
	}
	if passed := c.Now().Sub(before); passed < time.Hour {
		t.Errorf("%s have passed", passed)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Sleep(ctx, time.Hour); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}

// TestSystem: nothing is asked for before a step needs it.
func TestSystem(t *testing.T) {
	e := System(func(string) string { return "" }, t.TempDir())
	if _, err := e.Token(); !errors.Is(err, hub.ErrNoToken) {
		t.Error(err)
	}
	if _, err := e.Hub("o", "r", ""); !errors.Is(err, hub.ErrNoToken) {
		t.Error(err)
	}
	env := map[string]string{"GH_TOKEN": "secret-of-a-test"}
	e = System(func(name string) string { return env[name] }, t.TempDir())
	if token, err := e.Token(); err != nil || token.Source != "GH_TOKEN" {
		t.Errorf("%v, %v", token, err)
	}
}
