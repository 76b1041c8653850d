#!/usr/bin/env bash
# Make a virtual environment with the first usable Python, python3 before others: make_venv.sh FOLDER
# PYTHON=/path/to/python names one instead.
set -euo pipefail

folder=$1
usable='import sys, venv, ensurepip; sys.exit(sys.version_info < (3, 11))'

for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python}; do
    if "$candidate" -c "$usable" >/dev/null 2>&1; then
        echo "Making $folder with $("$candidate" --version)"
        exec "$candidate" -m venv "$folder"
    fi
done

echo "No usable Python found: Python 3.11 or newer with venv and pip is needed." >&2
echo "Install one (Debian, Ubuntu: apt-get install python3 python3-venv), or name it:" >&2
echo "    make demo PYTHON=/path/to/python3.11" >&2
exit 1
