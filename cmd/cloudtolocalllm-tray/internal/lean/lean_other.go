//go:build !linux

package lean

func dropPages() {}
