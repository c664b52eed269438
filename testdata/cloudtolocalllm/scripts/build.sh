#!/bin/sh
# Builds the application for this machine.
set -eu
cd "$(dirname "$0")/.."
exec flutter build linux --release
