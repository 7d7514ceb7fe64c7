#!/bin/sh
# Three experiments with real images: first everything runs, then what changed, then nothing.
set -eu
show() { printf '\n$ %s\n' "$*"; "$@"; }

show dodo init
show dodo exp run
show dodo exp run -S train.gamma=0.001
show dodo exp run -S train.gamma=0.0005
show dodo exp show
