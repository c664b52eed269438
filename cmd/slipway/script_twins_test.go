package main

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/imrightguy/slipway/phases"
)

// staged is the environment variable that names a file with the map of the twins which a story's program reaches.
const staged = "SLIPWAY_TWINS"

// worldOf is the world of a story's program: twins where the story has staged them, else a host that nobody can reach.
// No story reaches the real one.
func worldOf() *phases.Endpoints {
	var m phases.TwinMap
	b, err := os.ReadFile(os.Getenv(staged))
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	if err != nil && os.Getenv(staged) != "" {
		panic(err)
	}
	return m.Endpoints()
}

// theTwins is the key of the worlds of a story, by folder.
type theTwins struct{}

// twins REPO DIR [FAULT...] stages twins of the remotes that a repository's release.yaml names, at its HEAD, until the
// story ends or says ! twins DIR. What they hold is in the folder; the program reaches nothing else.
func twins(ts *testscript.TestScript, neg bool, args []string) {
	worlds := ts.Value(theTwins{}).(map[string]*phases.Rehearsal)
	if neg && len(args) == 1 {
		ts.Check(worlds[ts.MkAbs(args[0])].Close())
		return
	}
	if neg || len(args) < 2 {
		ts.Fatalf("usage: twins REPO DIR [FAULT...]")
	}
	repoDir, dir := ts.MkAbs(args[0]), ts.MkAbs(args[1])
	ts.Check(os.MkdirAll(dir, 0o755))
	text, err := os.ReadFile(filepath.Join(repoDir, "release.yaml"))
	ts.Check(err)
	config, err := phases.Load("release.yaml", text)
	ts.Check(err)
	r, err := phases.OpenRepository(repoDir)
	ts.Check(err)
	head, err := r.Head()
	ts.Check(err)
	v, err := phases.VersionAt(config, r, head.ID)
	ts.Check(err)
	// A story has no context of its own; what is staged ends with it.
	w, err := phases.Rehearse(context.Background(), phases.RehearsalOptions{
		Config: config, Repository: r, Base: head, Version: v.String(), Dir: dir, Faults: args[2:],
	})
	ts.Check(err)
	ts.Defer(func() { _ = w.Close() })
	worlds[dir] = w
	m := w.World().Map
	b, err := json.Marshal(m)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "twins.json"), b, 0o600))
	m.Token = ""
	b, err = json.Marshal(m)
	ts.Check(err)
	ts.Check(os.WriteFile(filepath.Join(dir, "anonymous.json"), b, 0o600))
	ts.Setenv(staged, filepath.Join(dir, "twins.json"))
}

// draft DIR REPO TAG lets somebody else make a draft of a release at the twin in DIR.
func draft(ts *testscript.TestScript, neg bool, args []string) {
	if neg || len(args) != 3 {
		ts.Fatalf("usage: draft DIR OWNER/REPO TAG")
	}
	w := ts.Value(theTwins{}).(map[string]*phases.Rehearsal)[ts.MkAbs(args[0])]
	m := w.World().Map
	body, err := json.Marshal(map[string]any{"tag_name": args[2], "draft": true, "name": "somebody's"})
	ts.Check(err)
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, "https://api.github.com/repos/"+args[1]+"/releases", bytes.NewReader(body))
	ts.Check(err)
	req.Header.Set("Authorization", "Bearer "+m.Token)
	resp, err := m.Endpoints().HTTP.RoundTrip(req)
	ts.Check(err)
	resp.Body.Close()
	if resp.StatusCode != http.StatusCreated {
		ts.Fatalf("the twin answered %s", resp.Status)
	}
}
