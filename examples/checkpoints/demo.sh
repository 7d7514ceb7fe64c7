#!/bin/sh
# Training that dies at its sixth epoch and goes on; then a branch from an earlier step.
set -eu
show() { printf '\n$ %s\n' "$*"; "$@"; }

show dodo init
printf '\n$ DIE_AT=6 dodo exp run -n first\n'
DIE_AT=6 dodo exp run -n first || echo "(it died, with exit code $?)"
show dodo exp show --only-changed
show dodo exp run
show dodo exp apply first@4
show dodo exp run -n slower -S train.rate=0.01
show dodo exp show --only-changed
