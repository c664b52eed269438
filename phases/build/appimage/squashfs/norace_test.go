//go:build !race

package squashfs

const raceEnabled = false
