package build

import (
	"fmt"
	"testing"
)

func TestScratch(t *testing.T) {
	p := projectIn(t, "/tmp/pkgs/scratch", demoConfig(), sourceFiles)
	s, err := p.run(t.Context())
	for _, ss := range s.Steps {
		fmt.Println(ss.Spec.ID, ss.Last.Event, ss.Last.Error)
		for _, e := range ss.Last.Evidence {
			fmt.Printf("   %s %v %s | %s | %s\n", e.Check, e.Verdict, e.Expected, e.Found, e.Summary)
		}
	}
	must(t, err)
}
