package pipeline_test

import (
	"testing"

	"github.com/imrightguy/slipway/pipeline"
	"github.com/imrightguy/slipway/pipeline/pipelinetest"
)

func TestContract(t *testing.T) {
	var w *world
	pipelinetest.Contract(t, pipelinetest.Subject{
		Env:     env,
		Phases:  func() []pipeline.Phase { return release("") },
		Reset:   func() { w = newWorld(t) },
		Options: func() pipeline.Options { return pipeline.Options{Jobs: 2, Endpoints: w.URL} },
		Watch:   []string{"."},
	})
}
