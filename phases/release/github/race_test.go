//go:build race

package github

const race = true
