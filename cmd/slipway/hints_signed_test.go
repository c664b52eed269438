package main

import (
	"strings"
	"testing"
)

// TestHints_Signed: whoever asks about the gate of a rollback or a hold that somebody has signed, and that has not passed
// yet, is told the command of that plan: run would go on publishing.
func TestHints_Signed(t *testing.T) {
	needTools(t, "git", "ssh-keygen")
	x := newRollbackTemplate(t, false)
	key := x.approvedBy(t, "{rollback: {approve: lead}}")
	_, r := x.out(t)
	for _, c := range []struct{ gate, goesOn string }{
		{"gate/rollback", "rollback " + released},
		{"gate/hold", "hold " + released + " --reason slow"},
	} {
		begin := []string{"rollback", released, "--to", older, "--yes"}
		if c.gate == "gate/hold" {
			begin = []string{"hold", released, "--reason", "slow", "--yes"}
		}
		code, said := r.slipway(begin...)
		r.refused(code, said, "waits for lead")
		code, said = r.slipway("approve", c.gate, "--key", key, "--version", released)
		r.must(code, said, "recorded")
		code, said = r.slipway("approve", c.gate, "--key", key, "--version", released)
		r.refused(code, said, c.gate+" is approved already", c.goesOn+" goes on")
		if strings.Contains(said, " run") {
			t.Errorf("run is named:\n%s", said)
		}
		code, said = r.slipway("why", c.gate, "--version", released)
		r.must(code, said, "has not passed yet", "→ slipway -C "+r.dir+" "+c.goesOn+"\n")
		if strings.Contains(said, "it is done") {
			t.Errorf("it is called done:\n%s", said)
		}
		code, said = r.follow(t.Context(), said, "→ ")
		r.must(code, said)
		code, said = r.slipway("why", c.gate, "--version", released)
		r.must(code, said, "nothing blocks "+c.gate+": it is done")
	}
	code, said := r.slipway("approve", "--key", key, "--version", released)
	r.refused(code, said, "no gate waits for an approval", "why --version "+released+" tells what blocks")
}
