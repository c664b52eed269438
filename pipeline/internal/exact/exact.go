// Package exact makes sure that what is written down reads back the same.
package exact

import (
	"bytes"
	"encoding/json"
	"errors"
)

// Copy returns a value as somebody reads it who gets its JSON. The error says that it would be another one, as texts that
// are not valid UTF-8 are.
func Copy[T any](v T) (back T, err error) {
	b, err := json.Marshal(v)
	if err == nil {
		err = json.Unmarshal(b, &back)
	}
	if again, _ := json.Marshal(back); err == nil && !bytes.Equal(again, b) {
		err = errors.New("it would not read back the same (is a text not valid UTF-8?)")
	}
	return back, err
}
