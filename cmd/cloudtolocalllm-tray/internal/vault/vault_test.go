package vault

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

// fake is a keyring that can be locked, absent or asleep.
type fake struct {
	mu     sync.Mutex
	held   map[string]string
	err    error
	asleep chan struct{}
}

func (f *fake) wait() error {
	f.mu.Lock()
	a, err := f.asleep, f.err
	f.mu.Unlock()
	if a != nil {
		<-a
	}
	return err
}

func (f *fake) get(n string) (string, error) {
	if err := f.wait(); err != nil {
		return "", err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if t, ok := f.held[n]; ok {
		return t, nil
	}
	return "", errNotFound
}

func (f *fake) set(n, t string) error {
	if err := f.wait(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	f.held[n] = t
	return nil
}

func (f *fake) remove(n string) error {
	if err := f.wait(); err != nil {
		return err
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.held, n)
	return nil
}

func (f *fake) fail(err error) { f.mu.Lock(); f.err = err; f.mu.Unlock() }

func newVault(t *testing.T) (*Vault, *fake, string) {
	t.Helper()
	dir := t.TempDir()
	f := &fake{held: map[string]string{}}
	v := New(dir, slog.New(slog.NewTextHandler(io.Discard, nil)))
	v.ring = f
	return v, f, filepath.Join(dir, "tokens.json")
}

const name = "cloud_proxy"

func TestKeyringFirst(t *testing.T) {
	v, f, file := newVault(t)
	ctx := t.Context()
	if err := v.Load(ctx, name); err != nil {
		t.Fatal(err)
	}
	if err := v.Set(ctx, name, "a"); err != nil {
		t.Fatal(err)
	}
	if where, _ := v.Storage(name); where != SecretService || f.held[name] != "a" {
		t.Error(where)
	}
	if _, err := os.Stat(file); err == nil {
		t.Error("a file as well")
	}
	if err := v.Set(ctx, name, ""); err != nil || len(f.held) != 0 {
		t.Error(err)
	}
}

func TestFileWhenThereIsNoKeyring(t *testing.T) {
	v, f, file := newVault(t)
	ctx := t.Context()
	f.fail(ErrNoKeyring)
	if err := v.Load(ctx, name); !errors.Is(err, ErrNoKeyring) {
		t.Error(err)
	}
	if tok, known := v.Token(name); tok != "" || !known {
		t.Error("not known to be none")
	}
	if err := v.Set(ctx, name, "a"); err != nil {
		t.Fatal(err)
	}
	fi, err := os.Stat(file)
	if err != nil || fi.Mode().Perm() != 0o600 {
		t.Errorf("%v %v", fi, err)
	}
	if where, _ := v.Storage(name); where != File {
		t.Error(where)
	}
	// The keyring appears: the token moves and the file goes.
	f.fail(nil)
	v.Promote(ctx)
	if _, err := os.Stat(file); err == nil || f.held[name] != "a" {
		t.Errorf("%v %v", err, f.held)
	}
}

// Not to reach the keyring is not to have no token.
func TestLockedIsNotEmpty(t *testing.T) {
	v, f, _ := newVault(t)
	f.held[name] = "a"
	f.fail(ErrUnavailable)
	if err := v.Load(t.Context(), name); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if _, known := v.Token(name); known {
		t.Error("a locked keyring was taken for an empty one")
	}
	if _, problem := v.Storage(name); problem == "" {
		t.Error("the status says nothing")
	}
	f.fail(nil)
	if err := v.Load(t.Context(), name); err != nil {
		t.Fatal(err)
	}
	if tok, _ := v.Token(name); tok != "a" {
		t.Error(tok)
	}
}

// A logout while the keyring is away must not come undone when it is back.
func TestLogoutWhileAway(t *testing.T) {
	v, f, file := newVault(t)
	ctx := t.Context()
	if err := v.Set(ctx, name, "old"); err != nil {
		t.Fatal(err)
	}
	f.fail(ErrNoKeyring)
	if err := v.Set(ctx, name, ""); err != nil {
		t.Fatal(err)
	}
	f.fail(nil)
	again := New(filepath.Dir(file), v.log)
	again.ring = f
	if err := again.Load(ctx, name); err != nil {
		t.Fatal(err)
	}
	if tok, _ := again.Token(name); tok != "" || len(f.held) != 0 {
		t.Errorf("%q is back, %v", tok, f.held)
	}
}

func TestHangingKeyring(t *testing.T) {
	v, f, _ := newVault(t)
	v.timeout = 20 * time.Millisecond
	late := make(chan struct{}, 1)
	v.Late = func() { late <- struct{}{} }
	f.asleep = make(chan struct{})
	if err := v.Load(t.Context(), name); !errors.Is(err, ErrUnavailable) {
		t.Error(err)
	}
	if err := v.Set(t.Context(), name, "a"); err != nil { // goes to the file
		t.Fatal(err)
	}
	if where, _ := v.Storage(name); where != File {
		t.Error(where)
	}
	close(f.asleep)
	select {
	case <-late:
	case <-time.After(20 * time.Second):
		t.Error("nobody is told that it woke up")
	}
}

func TestForeignFileIsRefused(t *testing.T) {
	v, f, file := newVault(t)
	f.fail(ErrNoKeyring)
	if err := os.WriteFile(file, []byte(`{"cloud_proxy":"x"}`), 0o644); err != nil {
		t.Fatal(err)
	}
	_ = os.Chmod(file, 0o644)
	if err := v.Load(t.Context(), name); err == nil || strings.Contains(err.Error(), `"x"`) {
		t.Error(err)
	}
	if tok, _ := v.Token(name); tok != "" {
		t.Error("a file open to others was trusted")
	}
	if err := v.Set(t.Context(), name, "mine"); err != nil {
		t.Fatal(err)
	}
	if fi, _ := os.Stat(file); fi.Mode().Perm() != 0o600 {
		t.Error(fi.Mode())
	}
}

func TestNewestWins(t *testing.T) {
	v, f, _ := newVault(t)
	first, second := v.Begin(name, "1"), v.Begin(name, "2")
	if tok, _ := v.Token(name); tok != "2" {
		t.Error(tok)
	}
	if err := errors.Join(second(t.Context()), first(t.Context())); err != nil {
		t.Fatal(err)
	}
	if f.held[name] != "2" {
		t.Error(f.held)
	}
	third := v.Begin(name, "3")
	if err := v.Load(context.Background(), name); err != nil { // asked while a newer one waits
		t.Fatal(err)
	}
	if tok, _ := v.Token(name); tok != "3" {
		t.Errorf("%q: an old token came back", tok)
	}
	if err := third(t.Context()); err != nil || f.held[name] != "3" {
		t.Error(err)
	}
}
