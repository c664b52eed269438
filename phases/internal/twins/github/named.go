package github

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// named are plans for rehearsals: one failure each that a release must survive
// or stop at with a clear error.
var named = map[string]string{
	"draft-502":           "POST api:/repos/*/*/releases #1: 502",
	"draft-lost-answer":   "POST api:/repos/*/*/releases #1: cut though done",
	"draft-late":          "POST api:/repos/*/*/releases #1: late 3 calls",
	"upload-502":          "POST uploads:/** #1: 502 after 1000 bytes",
	"upload-cut":          "POST uploads:/** #1: cut after 1000 bytes",
	"upload-lost-answer":  "POST uploads:/** #1: 502 though done",
	"upload-exists":       "POST uploads:/** #1: 422 already_exists",
	"upload-renamed":      "POST uploads:/** #1: renamed another-name.bin",
	"upload-slow":         "POST uploads:/** #1: slow upload 10000000 bytes/s",
	"asset-late":          "POST uploads:/** #1: late 3 calls",
	"asset-stale":         "POST uploads:/** #1: stale 3 calls",
	"digest-late":         "POST uploads:/**: digest late 3 calls",
	"publish-500":         "PATCH api:/repos/*/*/releases/* #1: 500",
	"publish-lost-answer": "PATCH api:/repos/*/*/releases/* #1: 500 though done",
	"limit-secondary":     "POST uploads:/** #2: 403 secondary retry-after 1s",
	"limit-429":           "POST uploads:/** #2: 429 retry-after 1s",
	"limit-primary":       "GET api:/repos/** #3: 403 primary reset 1s",
	"token-expired":       "POST uploads:/** #2+: 401",
	"download-truncated":  "GET downloads:/** #1: truncated after 100 bytes",
	"download-flipped":    "GET downloads:/** #1: flipped byte 10",
}

// FaultNames lists the names that [NamedFaults] knows, sorted.
func FaultNames() []string { return slices.Sorted(maps.Keys(named)) }

// NamedFaults returns the plan with a name.
func NamedFaults(name string) ([]Fault, error) {
	plan, ok := named[name]
	if !ok {
		return nil, fmt.Errorf("cannot find fault %q: there are %s", name, strings.Join(FaultNames(), ", "))
	}
	return ParseFaults(plan)
}
