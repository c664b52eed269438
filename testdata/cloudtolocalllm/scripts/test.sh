#!/bin/sh
# Runs every test.
set -eu
cd "$(dirname "$0")/.."
for file in test/*_test.dart; do
	flutter test "$file"
done
