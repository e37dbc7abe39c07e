#!/bin/sh
# Makes the virtual environment and installs the project into it: tools/set_up.sh VENV EXTRAS
# Called by the Makefile. PYTHON_FOR_VENV names the interpreter; otherwise the first of the list below is taken.
set -eu
venv=$1
extras=$2

fail() {
    echo "set-up: $1" >&2
    exit 1
}

# Prints the first interpreter of Python 3.11 or newer; a name on the PATH need not run (pyenv's shims may not).
find_python() {
    for name in ${PYTHON_FOR_VENV:-python3.11 python3 python3.12 python3.13}; do
        if "$name" -c 'import sys; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1; then
            echo "$name"
            return
        fi
    done
}

# Debian keeps ensurepip, without which venv makes no usable environment, in a package of its own.
install_venv_package() {
    package=$("$python" -c 'import sys; print(f"python{sys.version_info[0]}.{sys.version_info[1]}-venv")')
    if [ "$(id -u)" -ne 0 ] || ! command -v apt-get >/dev/null; then
        fail "$python has no ensurepip, which a virtual environment needs; install the package $package and run the same command again."
    fi
    echo "set-up: installing $package"
    apt-get update -qq
    DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends "$package" >/dev/null
}

if ! "$venv/bin/python" -m pip --version >/dev/null 2>&1; then
    python=$(find_python)
    [ -n "$python" ] || fail "no Python 3.11 or newer found; install python3.11, or name one with PYTHON_FOR_VENV=/path/to/python."
    "$python" -c 'import ensurepip' >/dev/null 2>&1 || install_venv_package
    "$python" -m venv --clear "$venv"
fi

echo "set-up: installing the project and what it needs into $venv (a few minutes, once)"
"$venv/bin/python" -m pip install --quiet --disable-pip-version-check --use-pep517 --constraint requirements_lock.txt --editable ".[$extras]"
