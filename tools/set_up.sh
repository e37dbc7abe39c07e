#!/bin/sh
# Runs tools/set_up.py with the first Python of version 3.11 or newer: tools/set_up.sh VENV EXTRAS
# PYTHON_FOR_VENV names another. A name on the PATH need not run (pyenv's shims may not), so each is tried.
set -eu
for python in ${PYTHON_FOR_VENV:-python3.11 python3 python3.12 python3.13 "$1/bin/python"}; do
    if "$python" -I -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
        exec "$python" -I "$(dirname "$0")/set_up.py" "$@"
    fi
done
echo "set-up: no Python 3.11 or newer found; install python3.11, or name one with PYTHON_FOR_VENV=/path/to/python." >&2
exit 1
