// Command prune cuts GitHub's OpenAPI description down to the operations that
// the twin serves and writes it, gzipped, where package apicheck embeds it.
//
//	npm pack @octokit/openapi@23.0.2
//	tar xzf octokit-openapi-23.0.2.tgz package/generated/api.github.com.json
//	go run ./phases/internal/twins/github/apicheck/prune package/generated/api.github.com.json \
//		phases/internal/twins/github/apicheck/testdata/api.github.com.json.gz
//
// What it leaves out: paths that are not in [keep], web hooks, examples and
// descriptions (documentation, most of the bytes), and components that nothing
// refers to any more. Types, required keys, enumerations and statuses stay as
// GitHub wrote them. The same input gives the same bytes.
package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"os"
	"slices"
	"strings"
)

// keep lists the operations of the description that the twin answers.
var keep = map[string][]string{
	"/user":                              {"get"},
	"/rate_limit":                        {"get"},
	"/repos/{owner}/{repo}":              {"get"},
	"/repos/{owner}/{repo}/actions/runs": {"get"},
	"/repos/{owner}/{repo}/actions/runs/{run_id}":                      {"get"},
	"/repos/{owner}/{repo}/actions/runs/{run_id}/pending_deployments":  {"get", "post"},
	"/repos/{owner}/{repo}/actions/workflows/{workflow_id}/dispatches": {"post"},
	"/repos/{owner}/{repo}/attestations":                               {"post"},
	"/repos/{owner}/{repo}/attestations/{subject_digest}":              {"get"},
	"/repos/{owner}/{repo}/compare/{basehead}":                         {"get"},
	"/repos/{owner}/{repo}/git/commits/{commit_sha}":                   {"get"},
	"/repos/{owner}/{repo}/git/matching-refs/{ref}":                    {"get"},
	"/repos/{owner}/{repo}/git/ref/{ref}":                              {"get"},
	"/repos/{owner}/{repo}/git/refs":                                   {"post"},
	"/repos/{owner}/{repo}/git/refs/{ref}":                             {"patch", "delete"},
	"/repos/{owner}/{repo}/git/tags":                                   {"post"},
	"/repos/{owner}/{repo}/git/tags/{tag_sha}":                         {"get"},
	"/repos/{owner}/{repo}/immutable-releases":                         {"get", "put", "delete"},
	"/repos/{owner}/{repo}/labels":                                     {"get", "post"},
	"/repos/{owner}/{repo}/releases":                                   {"get", "post"},
	"/repos/{owner}/{repo}/releases/assets/{asset_id}":                 {"get", "patch", "delete"},
	"/repos/{owner}/{repo}/releases/generate-notes":                    {"post"},
	"/repos/{owner}/{repo}/releases/latest":                            {"get"},
	"/repos/{owner}/{repo}/releases/tags/{tag}":                        {"get"},
	"/repos/{owner}/{repo}/releases/{release_id}":                      {"get", "patch", "delete"},
	"/repos/{owner}/{repo}/releases/{release_id}/assets":               {"get", "post"},
	"/repos/{owner}/{repo}/tarball/{ref}":                              {"get"},
}

func main() {
	if len(os.Args) != 3 {
		fmt.Fprintln(os.Stderr, "usage: prune api.github.com.json OUT.json.gz")
		os.Exit(2)
	}
	if err := run(os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, "cannot prune:", err)
		os.Exit(1)
	}
}

func run(in, out string) error {
	raw, err := os.ReadFile(in)
	if err != nil {
		return err
	}
	// Numbers stay as they are written.
	var doc map[string]any
	d := json.NewDecoder(bytes.NewReader(raw))
	d.UseNumber()
	if err := d.Decode(&doc); err != nil {
		return err
	}
	paths, _ := doc["paths"].(map[string]any)
	for p, v := range paths {
		item, _ := v.(map[string]any)
		for m := range item {
			if !wanted(keep[p], m) {
				delete(item, m)
			}
		}
		if len(item) == 0 {
			delete(paths, p)
		}
	}
	pruned := map[string]any{
		"openapi": doc["openapi"], "info": doc["info"], "servers": doc["servers"], "paths": paths,
		"components": doc["components"],
	}
	strip(pruned["paths"], false)
	components, _ := doc["components"].(map[string]any)
	delete(components, "examples")
	strip(components, false)
	drop(pruned, components)

	var buf bytes.Buffer
	z, err := gzip.NewWriterLevel(&buf, gzip.BestCompression)
	if err != nil {
		return err
	}
	if err := json.NewEncoder(z).Encode(pruned); err != nil {
		return err
	}
	if err := z.Close(); err != nil {
		return err
	}
	return os.WriteFile(out, buf.Bytes(), 0o644)
}

func wanted(methods []string, key string) bool {
	return slices.Contains(methods, key) || (key == "parameters" && len(methods) > 0)
}

// strip removes documentation: examples, and descriptions except where the
// specification requires one (response objects), which become empty. Inside
// "properties" these words are names of data and stay.
func strip(v any, names bool) {
	switch v := v.(type) {
	case map[string]any:
		for k, e := range v {
			if !names {
				switch k {
				case "example", "examples", "externalDocs", "x-github":
					delete(v, k)
					continue
				case "description":
					if _, text := e.(string); text {
						v[k] = ""
						continue
					}
				}
			}
			strip(e, k == "properties" && !names)
		}
	case []any:
		for _, e := range v {
			strip(e, false)
		}
	}
}

// drop removes the components that neither paths nor a kept component refers to.
func drop(doc, components map[string]any) {
	used := map[string]bool{}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case map[string]any:
			if ref, ok := v["$ref"].(string); ok && !used[ref] {
				used[ref] = true
				if part := strings.Split(strings.TrimPrefix(ref, "#/components/"), "/"); len(part) == 2 {
					kind, _ := components[part[0]].(map[string]any)
					walk(kind[part[1]])
				}
			}
			for _, e := range v {
				walk(e)
			}
		case []any:
			for _, e := range v {
				walk(e)
			}
		}
	}
	walk(doc["paths"])
	for kind, v := range components {
		group, _ := v.(map[string]any)
		for name := range group {
			if !used["#/components/"+kind+"/"+name] {
				delete(group, name)
			}
		}
		if len(group) == 0 {
			delete(components, kind)
		}
	}
}
