#!/bin/sh
# Starts the tray with the session of the user who calls this.
set -eu
exec systemctl --user enable --now cloudtolocalllm-tray.service
