package flow

import (
	"fmt"
	"io/fs"
	"strings"
)

// names are the outputs of steps: slash-separated paths, each made by one step and none inside another. The zero value
// is empty.
type names struct {
	makers  map[string]string // step by name
	folders map[string]string // one of the names inside, by parent folder
}

// add notes that a step makes something of that name.
func (n *names) add(step, name string) error {
	if n.makers == nil {
		n.makers, n.folders = map[string]string{}, map[string]string{}
	}
	if !fs.ValidPath(name) || name == "." || strings.ContainsAny(name, "\\\x00\n\r") {
		return fmt.Errorf("step %s has output %q, which is not a valid file name", step, name)
	}
	if by, made := n.makers[name]; made {
		return fmt.Errorf("steps %s and %s both make %q", by, step, name)
	}
	if inside, nested := n.folders[name]; nested {
		return fmt.Errorf("step %s makes %q, which holds %q", step, name, inside)
	}
	for k, c := range name {
		if c != '/' {
			continue
		}
		if _, made := n.makers[name[:k]]; made {
			return fmt.Errorf("step %s makes %q inside %q", step, name, name[:k])
		}
		n.folders[name[:k]] = name
	}
	n.makers[name] = step
	return nil
}
