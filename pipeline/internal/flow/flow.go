// Package flow knows what steps make, and which step it is that another one reads from.
package flow

import (
	"fmt"
	"slices"
	"strings"
)

// Flow is what the steps of a plan make and read, in the order of the plan. The zero value is empty.
type Flow struct {
	Index map[string]int // position by step
	Maker map[string]int // position of the step that makes an artifact, by name

	ids   []string
	names names
}

// Has reports whether a step of that name is there.
func (f *Flow) Has(step string) bool { _, ok := f.Index[step]; return ok }

// Add puts a step behind the others. What it reads has to be made by steps that it needs, and what it makes by no other.
func (f *Flow) Add(step string, needs, inputs, outputs []string) error {
	if f.Index == nil {
		f.Index, f.Maker = map[string]int{}, map[string]int{}
	}
	for _, in := range inputs {
		from, _, ok := f.Source(in)
		if !ok || !slices.Contains(needs, f.ids[from]) {
			return fmt.Errorf("step %s refers to %q, which no step that it needs makes", step, in)
		}
	}
	for _, out := range outputs {
		if err := f.names.add(step, out); err != nil {
			return err
		}
		f.Maker[out] = len(f.ids)
	}
	f.Index[step], f.ids = len(f.ids), append(f.ids, step)
	return nil
}

// Source finds the step that a reference, "artifact:NAME", "receipt:STEP" or "receipt:STEP.key", reads from, and of a
// receipt the key ("" for the whole).
func (f *Flow) Source(ref string) (step int, key string, ok bool) {
	kind, name, _ := strings.Cut(ref, ":")
	switch kind {
	case "artifact":
		step, ok = f.Maker[name]
	case "receipt":
		if step, ok = f.Index[name]; !ok {
			if dot := strings.LastIndexByte(name, '.'); dot > 0 {
				key = name[dot+1:]
				step, ok = f.Index[name[:dot]]
			}
		}
	}
	return step, key, ok
}
