#!/usr/bin/env bash
# Resolve constraints.txt for every supported Python and platform: constraints.sh PYTHON
# torch and what only torch brings are left out: the file must suit every build of torch.
set -euo pipefail

python=$1
only_torch='^(torch|triton|sympy|mpmath|networkx|setuptools|(nvidia|cuda)-[a-z0-9-]+)=='

"$python" -m pip install -q --disable-pip-version-check uv
"$python" -m uv pip compile --universal --python-version 3.11 --all-extras \
    --no-header --no-annotate --quiet pyproject.toml |
    grep -vE "$only_torch" >constraints.txt.new
mv constraints.txt.new constraints.txt
echo "constraints.txt: $(wc -l <constraints.txt) lines"
