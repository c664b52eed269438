//go:build linux

// Package e2e tests the compiled program from outside, with real parts around
// it. TestBug_NN names a bug of the original by its number in the list of
// design notes; TestFailure_NN a release that went wrong.
package e2e

import (
	"fmt"
	"os"
	"testing"

	"github.com/imrightguy/slipway/cmd/cloudtolocalllm-tray/internal/rig"
)

func TestMain(m *testing.M) {
	if len(os.Args) > 2 && os.Args[1] == "hostile" { // the second uid
		hostile(os.Args[2:])
		return
	}
	code := m.Run()
	rig.RemoveBinary()
	os.Exit(code)
}

const chat = `{"model":"llama3:8b","messages":[{"role":"user","content":"hi"}]}`

func stream(id any, path string) string {
	return fmt.Sprintf(`{"command":"PROXY_STREAM","id":%v,"method":"POST","path":%q,"data":%s}`, id, path, chat)
}
