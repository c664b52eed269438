package judge

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/imrightguy/slipway/pipeline/gate"
)

// hostile are texts of a PKGBUILD that does harm as soon as it is read. Each ends, in vain, within the time.
var hostile = map[string]string{
	"fork bomb":       `bomb() { bomb | bomb & }; bomb; sleep 60`,
	"fork and detach": `for i in $(seq 20); do setsid -f sleep SECONDS; (setsid sleep SECONDS & ) & done; disown -a; sleep 60`,
	"endless output":  `while :; do echo "yyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyyy"; done`,
	"memory":          `x=$(head -c 6000000000 /dev/zero | tr '\0' x); sleep 60`,
	"waiting":         `read -r x </dev/tty; sleep 3600`,
}

// harmless are texts that try something, are kept from it, and note in $tried what they got.
const prober = `
tried=()
touch "$HOME/../../canary" /canary /tmp/canary "OUTSIDE/canary" /home/canary /root/canary 2>/dev/null
for f in /root/.ssh/id_ed25519 /root/.bashrc /etc/shadow /etc/passwd /etc/hostname "SECRET" /proc/1/root/etc/shadow /proc/1/environ; do
	cat "$f" 2>/dev/null | grep -qa . && [ "$f" != /proc/1/environ ] && tried+=("read $f")
done
grep -qa TOKEN /proc/1/environ /proc/self/environ /proc/*/environ 2>/dev/null && tried+=("token")
env | grep -q TOKEN && tried+=("token in environment")
(exec 3<>/dev/tcp/127.0.0.1/PORT && echo x >&3) 2>/dev/null && tried+=("network")
(exec 3<>/dev/tcp/192.0.2.1/80) 2>/dev/null && tried+=("network")
kill -9 PID 2>/dev/null && tried+=("kill")
(exec 3<>/dev/tty) 2>/dev/null && tried+=("terminal")
unshare -Ur true 2>/dev/null && tried+=("user namespace")
mount -t tmpfs x /mnt 2>/dev/null && tried+=("mount")
for d in / /usr /box /dev /etc /lib; do touch $d/canary 2>/dev/null && tried+=("write $d"); done
fallocate -l 40G "$BUILDDIR/big" 2>/dev/null && tried+=("disk")
for i in $(seq 100); do fallocate -l 500M "$BUILDDIR/big$i" 2>/dev/null || break; done; [ $i -lt 60 ] || tried+=("disk by parts")
for d in /tmp /dev/shm; do fallocate -l 1G $d/big 2>/dev/null && tried+=("memory in $d"); rm -f $d/big; done
rm -f "$BUILDDIR"/big*
pkgdesc="Say the version${tried[*]:+ GOT ${tried[*]}}"
`

// TestHostile evaluates PKGBUILDs that mean harm. Nothing outside of the box is touched, the verdict comes in time, and
// nothing is left running.
func TestHostile(t *testing.T) {
	need(t)
	n := 0
	for name, text := range hostile {
		n++
		seconds := strconv.Itoa(100000*n + os.Getpid())
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := demo(t, "1.2.3", payload, strings.ReplaceAll(text, "SECONDS", seconds), "")
			p.o.Limit = 3 * time.Second // burnt by two of them on every processor
			if name == "endless output" {
				p.o.Limit = 0 // it is not waited for
			}
			begun := time.Now()
			v := p.judge(t)
			if took := time.Since(begun); took > 40*time.Second {
				t.Errorf("took %v", took)
			}
			for _, name := range Checks() {
				if v[name].Verdict == gate.Pass {
					t.Errorf("%+v", v[name])
				}
			}
			t.Log(v[SRCINFO].Verdict, v[SRCINFO].Summary)
			for range 50 {
				if running(t, seconds) == "" {
					return
				}
				time.Sleep(20 * time.Millisecond)
			}
			t.Errorf("still there: %s", running(t, seconds))
		})
	}
}

// running names a process that was started with this argument.
func running(t *testing.T, argument string) string {
	t.Helper()
	all, err := filepath.Glob("/proc/[0-9]*/cmdline")
	must(t, err)
	for _, p := range all {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), "\x00"+argument+"\x00") {
			return fmt.Sprintf("%s %q", p, b)
		}
	}
	return ""
}

// TestHostile_Probe: a PKGBUILD that looks around, at every evaluation, gets nothing: neither files nor keys, tokens,
// network, other processes or room.
func TestHostile_Probe(t *testing.T) {
	need(t)
	t.Setenv("SLIPWAY_TEST_TOKEN", "hunter2hunter2")
	l, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	defer l.Close()
	reached := make(chan struct{}, 100)
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			c.Close()
			reached <- struct{}{}
		}
	}()
	outside := filepath.Join(t.TempDir(), "outside")
	must(t, os.Mkdir(outside, 0o755))
	must(t, os.Chmod(outside, 0o777))
	secret := filepath.Join(outside, "secret")
	must(t, os.WriteFile(secret, []byte("secret"), 0o644))
	_, port, err := net.SplitHostPort(l.Addr().String())
	must(t, err)
	text := strings.NewReplacer("OUTSIDE", outside, "SECRET", secret, "PORT", port, "PID", strconv.Itoa(os.Getpid())).Replace(prober)
	// In package(): links that lead out, where makepkg puts its results.
	p := demo(t, "1.2.3", payload, text, `
	ln -s `+outside+` "$pkgdir/usr/share/demo/out"; echo x > "$pkgdir/usr/share/demo/out/canary" 2>/dev/null || :
	ln -s /etc/shadow "$SRCDEST/more"; ln -s `+outside+`/canary "$PKGDEST/$pkgname-$pkgver-$pkgrel-x86_64.pkg.tar.zst"`)
	begun := time.Now()
	v := p.judge(t)
	t.Log(time.Since(begun))
	if e := v[SRCINFO]; e.Verdict != gate.Pass {
		t.Errorf("it got something: %+v", e)
	}
	for _, name := range Checks() {
		t.Log(name, v[name].Verdict, v[name].Summary)
	}
	if len(reached) > 0 {
		t.Error("it reached this machine's network")
	}
	if e := v[Build]; e.Verdict == gate.Pass {
		t.Errorf("its links were followed: %+v", e)
	}
	left, err := os.ReadDir(outside)
	must(t, err)
	if len(left) != 1 {
		t.Errorf("it wrote %v", left)
	}
}
