// Package crash kills the process at a chosen moment, so that tests can prove that any moment will do. No program that
// is shipped contains it.
package crash

import (
	"fmt"
	"os"
	"strconv"

	"github.com/imrightguy/slipway/pipeline"
)

// Variable is the environment variable that says after how many records the process dies.
const Variable = "SLIPWAY_CRASH_AFTER"

// Journal returns j with the property that the process is killed, without any chance to tidy up, right after the n-th
// record was appended, where [Variable] is set to n.
func Journal(j pipeline.Journal) pipeline.Journal {
	text := os.Getenv(Variable)
	if text == "" {
		return j
	}
	n, err := strconv.Atoi(text)
	if err != nil || n < 1 {
		panic(fmt.Sprintf("%s=%q is not a positive number", Variable, text))
	}
	return &doomed{j, n}
}

type doomed struct {
	pipeline.Journal
	left int
}

func (d *doomed) Append(r pipeline.Record) error {
	err := d.Journal.Append(r)
	if d.left--; err == nil && d.left == 0 {
		self, err := os.FindProcess(os.Getpid())
		if err != nil {
			panic(err)
		}
		if err := self.Kill(); err != nil {
			panic(err)
		}
		select {} // until the signal arrives
	}
	return err
}
