#!/usr/bin/env bash
# The demo: this project's own README and docs, the embedded model, the embedded store.
# GATEWAY_DATA_DIR says where the data goes; default: .demo in this folder.
set -euo pipefail
cd "$(dirname "$0")/.."

VENV="${VENV:-$PWD/.venv}"
export PATH="$VENV/bin:$PATH"
export GATEWAY_DATA_DIR="${GATEWAY_DATA_DIR:-$PWD/.demo}"
export GATEWAY_ENCODER=minilm GATEWAY_STORE=edge
mkdir -p "$GATEWAY_DATA_DIR"

say() { printf '\n\033[1m%s\033[0m\n' "$*"; }

ask() {
    say "gateway search \"$1\" --collection demo --limit 2"
    gateway search "$1" --collection demo --limit 2
}

say "gateway ingest README.md docs --collection demo"
gateway ingest README.md docs --collection demo

ask "Why is float16 refused?"
ask "What happens to an acknowledged write when the process is killed?"
ask "How does an OpenAI client say whether a text is a query or a document?"

say "Where the data lies, and what to type next"
cat <<NEXT
The collection 'demo' lies in $GATEWAY_DATA_DIR (delete the folder to start over).

  source $VENV/bin/activate
  export GATEWAY_DATA_DIR=$GATEWAY_DATA_DIR
  gateway search "your own question" --collection demo
  gateway ingest ~/notes --collection notes       # .md .txt .html .jsonl .csv
  gateway serve                                   # http://127.0.0.1:8080/docs

Ingest again and nothing is embedded twice. The embedded model reads English only; for
EmbeddingGemma set GATEWAY_TEI__URLS: see docs/how-to/run-with-tei-and-qdrant.md.
NEXT
