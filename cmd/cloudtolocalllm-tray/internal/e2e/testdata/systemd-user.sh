#!/bin/bash
# Runs the unit under a real systemd --user as an unprivileged user. Needs root;
# run as: unshare --cgroup --mount systemd-user.sh PROGRAM UNIT FOLDER
# Exit 77: it cannot run here.
set -u
program=$1 unit=$2 T=$3
umount -R /sys/fs/cgroup 2>/dev/null
mount -t cgroup2 none /sys/fs/cgroup 2>/dev/null || exit 77
mkdir -p "/sys/fs/cgroup/tray-test-$$" 2>/dev/null && echo 0 > "/sys/fs/cgroup/tray-test-$$/cgroup.procs" || exit 77
made=; [ -d /run/systemd/system ] || { mkdir -p /run/systemd/system && made=1; }
export HOME=$T/home XDG_RUNTIME_DIR=$T/run
mkdir -p "$HOME/.config/systemd/user" "$XDG_RUNTIME_DIR"; chmod 755 "$T"; chmod 700 "$XDG_RUNTIME_DIR"
sed "s#/usr/bin/cloudtolocalllm-tray#$program#" "$unit" > "$HOME/.config/systemd/user/cloudtolocalllm-tray.service"
chown -R games:games "$HOME" "$XDG_RUNTIME_DIR" "/sys/fs/cgroup/tray-test-$$"
unset DBUS_SESSION_BUS_ADDRESS
R="setpriv --reuid=games --regid=games --clear-groups env HOME=$HOME XDG_RUNTIME_DIR=$XDG_RUNTIME_DIR"
cd /
$R dbus-daemon --session --nofork --address="unix:path=$XDG_RUNTIME_DIR/bus" & B=$!
$R /lib/systemd/systemd --user & S=$!
finish() { kill "$S" "$B" 2>/dev/null; wait "$S" "$B" 2>/dev/null; [ -n "$made" ] && rmdir /run/systemd/system 2>/dev/null; exit "$1"; }
for _ in $(seq 200); do [ -e "$XDG_RUNTIME_DIR/systemd/private" ] && break; kill -0 "$S" 2>/dev/null || finish 77; sleep .05; done
[ -e "$XDG_RUNTIME_DIR/systemd/private" ] || finish 77
$R systemctl --user daemon-reload || finish 77
$R systemctl --user start cloudtolocalllm-tray || { echo "does not start"; $R systemctl --user status cloudtolocalllm-tray; finish 1; }
show() { $R systemctl --user show cloudtolocalllm-tray -p "$1" --value; }
for _ in $(seq 200); do $R "$program" status >/dev/null 2>&1 && break; sleep .05; done
pid=$(show MainPID)
echo "state $(show ActiveState) pid $pid"
grep -E 'NoNewPrivs|Seccomp:|CapEff' "/proc/$pid/status"
$R "$program" status || finish 1
echo "second start:"; $R "$program"; echo "exit $?"
$R systemctl --user reload cloudtolocalllm-tray && echo "reloaded, state $(show ActiveState)"
kill -SEGV "$pid"
for _ in $(seq 200); do [ "$(show NRestarts)" = 1 ] && [ "$(show ActiveState)" = active ] && $R "$program" status >/dev/null 2>&1 && break; sleep .05; done
echo "after a crash: state $(show ActiveState) restarts $(show NRestarts)"
$R systemctl --user stop cloudtolocalllm-tray
echo "stopped: $(show Result) $(show ExecMainStatus)"
ls "$HOME/.cloudtolocalllm"
finish 0
