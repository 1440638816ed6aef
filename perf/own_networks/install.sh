#!/bin/sh
# An environment for the other packages, in build/own_networks; versions of what they share are those of constraints.txt.
set -e
cd "$(dirname "$0")/../.."
test -x build/own_networks/bin/python || "${PYTHON:-python3}" -m venv build/own_networks
build/own_networks/bin/python -m pip install --quiet -c constraints.txt torch -r perf/own_networks/requirements.txt
