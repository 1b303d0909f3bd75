#!/bin/sh
# Makes .venv with what the tests and checks need, each package at its locked version and
# checked by its hash, and claudebatch itself so that edits count at once.
set -eu
cd "$(dirname "$0")/.."
python3 -m venv .venv
.venv/bin/python -m pip install -q -r requirements-dev.lock
# No isolation: it would fetch the newest build backend, which nobody has checked.
.venv/bin/python -m pip install -q --no-deps --no-build-isolation -e .
