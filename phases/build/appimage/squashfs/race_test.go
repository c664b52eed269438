//go:build race

package squashfs

const raceEnabled = true // memory is no measure then
