package main

import (
	"crypto/sha256"
	"testing"
	"time"
)

func sum(text string) [32]byte { return sha256.Sum256([]byte(text)) }

func TestProbe(t *testing.T) {
	for _, v := range []variant{{}, {ssh: true}, {aur: true}} {
		t.Run(v.String(), func(t *testing.T) {
			began := time.Now()
			lap := func(what string) { t.Logf("%s %v", what, time.Since(began).Round(time.Millisecond)); began = time.Now() }
			_, _ = crashtest()
			lap("program")
			x := newTemplate(t, v)
			lap("template")
			s := newStage(t, x, "", nil)
			lap("stage")
			r := s.trial(x)
			lap("copy")
			code, said := r.run()
			lap("run")
			t.Logf("%d %s", code, said)
			r.ends()
			lap("ends")
			s.holds(r)
			if v.aur {
				s.holdsAUR(r)
			}
			lap("holds")
			for _, x := range s.seen {
				t.Log(x)
			}
			t.Logf("%d records", len(r.records()))
		})
	}
}
