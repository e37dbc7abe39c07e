#!/bin/sh
# Writes requirements_lock.txt from a fresh environment: tools/lock.sh EXTRAS
set -eu
export PIP_REQUIRE_VIRTUALENV=1
venv=.venv-lock
rm -rf "$venv"
"${PYTHON_FOR_VENV:-python3.11}" -m venv "$venv"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --editable ".[$1]"
{
    echo "# The versions that the set-up installs and the figures were measured with; \`make lock\` writes this file."
    "$venv/bin/python" -m pip freeze --exclude keras_dynamic
} >requirements_lock.txt.part
mv requirements_lock.txt.part requirements_lock.txt
rm -rf "$venv"
