// Package vault keeps the connections' tokens: in the desktop's Secret Service
// when there is one, else in a file only this user can open.
//
// The keyring library knows no deadline and would start a bus of its own where
// none is found, so it is only called when a bus address is known, at most one
// call at a time, in a goroutine that is given up on after a while.
package vault

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/zalando/go-keyring"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/disk"
)

// Where a token lies.
const (
	SecretService = "secret-service"
	File          = "file"
	Nowhere       = "none"
)

const service = "cloudtolocalllm"

// ErrUnavailable says that neither the keyring nor the file can be used now.
// It never means that there is no token.
var ErrUnavailable = errors.New("token storage is not available")

// ErrNoKeyring says that there is no keyring here, as far as can be seen now.
var ErrNoKeyring = fmt.Errorf("%w: there is no keyring", ErrUnavailable)

var errNotFound = errors.New("no such token")

// ring is what the vault needs of a keyring.
type ring interface {
	get(name string) (string, error) // errNotFound when there is none
	set(name, token string) error
	remove(name string) error // nothing there is success
}

// Vault holds tokens by the name of their connection.
type Vault struct {
	path    string
	ring    ring
	timeout time.Duration
	log     *slog.Logger

	// Late is called when a call that was given up on has ended after all, for
	// instance because the person has unlocked the keyring.
	Late func()

	work sync.Mutex // one change at a time
	call chan struct{}

	mu      sync.Mutex
	tokens  map[string]string
	storage map[string]string
	loaded  map[string]bool
	begun   map[string]int
	stored  map[string]int
	problem string
}

// New returns a vault whose file is in dir. Nothing is read yet.
func New(dir string, log *slog.Logger) *Vault {
	return &Vault{
		path: filepath.Join(dir, "tokens.json"), ring: desktop{}, timeout: 10 * time.Second, log: log, call: make(chan struct{}, 1),
		tokens: map[string]string{}, storage: map[string]string{}, loaded: map[string]bool{}, begun: map[string]int{}, stored: map[string]int{},
	}
}

// Token returns a token from memory, and whether storage has been asked yet.
func (v *Vault) Token(name string) (token string, known bool) {
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.tokens[name], v.loaded[name]
}

// Storage says where name's token lies, and what is wrong, if anything is.
func (v *Vault) Storage(name string) (where, problem string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	if where = v.storage[name]; where == "" {
		where = Nowhere
	}
	return where, v.problem
}

// Load reads the tokens of these connections. The file counts more than the
// keyring: it was written when the keyring could not be reached, and an empty
// entry in it is a logout that the keyring has still to learn.
func (v *Vault) Load(ctx context.Context, names ...string) error {
	v.work.Lock()
	defer v.work.Unlock()
	saved, err := v.readFile()
	if err != nil {
		v.setProblem(err.Error())
		v.log.Warn("token file refused", "err", err)
	}
	var errs []error
	for _, name := range names {
		if token, ok := saved[name]; ok {
			v.put(name, token, File)
			continue
		}
		token, gerr := v.get(ctx, name)
		switch {
		case gerr == nil:
			v.put(name, token, SecretService)
		case errors.Is(gerr, errNotFound):
			v.put(name, "", Nowhere)
		case errors.Is(gerr, ErrNoKeyring):
			errs = append(errs, gerr)
			if err == nil && !v.Loaded(name) {
				v.put(name, "", Nowhere)
			}
		default:
			errs = append(errs, gerr)
			v.setProblem("the keyring does not answer or is locked")
		}
	}
	if len(saved) > 0 {
		v.promote(ctx, saved)
	}
	return errors.Join(append(errs, err)...)
}

// Loaded reports whether storage has answered for every name.
func (v *Vault) Loaded(names ...string) bool {
	v.mu.Lock()
	defer v.mu.Unlock()
	for _, n := range names {
		if !v.loaded[n] {
			return false
		}
	}
	return true
}

// Begin takes a token at once, so that the next call uses it, and returns what
// stores it. Of several begun for one name only the newest is stored.
func (v *Vault) Begin(name, token string) (store func(context.Context) error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.tokens[name], v.loaded[name] = token, true
	v.begun[name]++
	n := v.begun[name]
	return func(ctx context.Context) error {
		v.work.Lock()
		defer v.work.Unlock()
		v.mu.Lock()
		newest := v.begun[name] == n
		v.mu.Unlock()
		if !newest {
			return nil
		}
		where, err := v.save(ctx, name, token)
		if err != nil {
			v.setProblem("the token could not be stored and will be lost at the end")
			return err
		}
		v.mu.Lock()
		defer v.mu.Unlock()
		if token == "" {
			where = Nowhere
		}
		v.storage[name] = where
		if v.begun[name] == n {
			v.stored[name] = n
		}
		return nil
	}
}

// Set stores a token; an empty one removes it.
func (v *Vault) Set(ctx context.Context, name, token string) error { return v.Begin(name, token)(ctx) }

// save tries the keyring first, then the file.
func (v *Vault) save(ctx context.Context, name, token string) (where string, err error) {
	saved, ferr := v.readFile()
	err = v.store(ctx, name, token)
	if err == nil {
		if _, ok := saved[name]; ok {
			delete(saved, name)
			if err := v.writeFile(saved); err != nil {
				return "", err
			}
		}
		v.setProblem("")
		return SecretService, nil
	}
	if !errors.Is(err, ErrNoKeyring) {
		v.log.Info("keyring cannot take the token: the file is used", "err", err)
	}
	if ferr != nil || saved == nil { // not ours or open to others: replaced by one that is
		saved = map[string]string{}
	}
	saved[name] = token // an empty one too: a keyring may still hold the old token
	if err := v.writeFile(saved); err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	return File, nil
}

// Promote moves what lies in the file to the keyring, when there is one by now.
func (v *Vault) Promote(ctx context.Context) {
	v.work.Lock()
	defer v.work.Unlock()
	if saved, err := v.readFile(); err == nil && len(saved) > 0 {
		v.promote(ctx, saved)
	}
}

func (v *Vault) promote(ctx context.Context, saved map[string]string) {
	left := maps.Clone(saved)
	for name, token := range saved {
		if err := v.store(ctx, name, token); err != nil {
			continue
		}
		// Only what can be read back counts as moved.
		if got, err := v.get(ctx, name); token != "" && (err != nil || got != token) {
			continue
		}
		delete(left, name)
		v.put(name, token, SecretService)
	}
	if len(left) == len(saved) {
		return
	}
	if err := v.writeFile(left); err != nil {
		v.log.Warn("cannot empty the token file", "err", err)
		return
	}
	v.setProblem("")
	v.log.Info("tokens moved to the keyring", "count", len(saved)-len(left))
}

func (v *Vault) put(name, token, where string) {
	if token == "" {
		where = Nowhere
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	if v.begun[name] != v.stored[name] {
		return // a newer one waits to be stored
	}
	v.tokens[name], v.storage[name], v.loaded[name] = token, where, true
}

func (v *Vault) setProblem(p string) {
	v.mu.Lock()
	defer v.mu.Unlock()
	v.problem = p
}

func (v *Vault) readFile() (map[string]string, error) {
	b, err := disk.ReadSecret(v.path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var m map[string]string
	if err := json.Unmarshal(b, &m); err != nil {
		return nil, fmt.Errorf("cannot read the token file: not JSON") // never the decoder's text: it may quote
	}
	return m, nil
}

func (v *Vault) writeFile(m map[string]string) error {
	if len(m) == 0 {
		if err := os.Remove(v.path); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
		return nil
	}
	b, err := json.Marshal(m)
	if err != nil {
		return err
	}
	return disk.Write(v.path, b)
}

func (v *Vault) store(ctx context.Context, name, token string) error {
	_, err := v.ask(ctx, func() (string, error) {
		if token == "" {
			return "", v.ring.remove(name)
		}
		return "", v.ring.set(name, token)
	})
	return err
}

func (v *Vault) get(ctx context.Context, name string) (string, error) {
	return v.ask(ctx, func() (string, error) { return v.ring.get(name) })
}

// ask runs one call of the keyring. A call that hangs (an unlock prompt nobody
// answers) is left behind, and until it ends no other is begun.
func (v *Vault) ask(ctx context.Context, f func() (string, error)) (string, error) {
	type answer struct {
		token string
		err   error
	}
	select {
	case v.call <- struct{}{}:
	default:
		return "", fmt.Errorf("%w: the keyring still waits for an earlier call", ErrUnavailable)
	}
	done := make(chan answer, 1)
	var left, good atomic.Bool
	go func() {
		var a answer
		defer func() {
			if p := recover(); p != nil {
				a = answer{err: fmt.Errorf("%w: the keyring library failed", ErrUnavailable)}
			}
			<-v.call // before the answer is out: whoever has it may ask again at once
			done <- a
			if left.Load() && good.Load() && v.Late != nil { // a prompt that was dismissed is not shown again
				v.Late()
			}
		}()
		a.token, a.err = f()
		good.Store(a.err == nil || errors.Is(a.err, errNotFound))
	}()
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	select {
	case a := <-done:
		return a.token, a.err
	case <-ctx.Done():
		left.Store(true)
		return "", fmt.Errorf("%w: the keyring does not answer", ErrUnavailable)
	}
}

// desktop is the Secret Service, through the keyring library.
type desktop struct{}

func (desktop) get(name string) (string, error) {
	if !busKnown() {
		return "", ErrNoKeyring
	}
	token, err := keyring.Get(service, name)
	return token, keyringError(err)
}

func (desktop) set(name, token string) error {
	if !busKnown() {
		return ErrNoKeyring
	}
	return keyringError(keyring.Set(service, name, token))
}

func (desktop) remove(name string) error {
	if !busKnown() {
		return ErrNoKeyring
	}
	if err := keyringError(keyring.Delete(service, name)); !errors.Is(err, errNotFound) {
		return err
	}
	return nil
}

func keyringError(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keyring.ErrNotFound):
		return errNotFound
	case strings.Contains(err.Error(), "org.freedesktop.secrets was not provided"), strings.Contains(err.Error(), "org.freedesktop.DBus.Error.ServiceUnknown"):
		return ErrNoKeyring
	}
	return fmt.Errorf("%w: %w", ErrUnavailable, err)
}
