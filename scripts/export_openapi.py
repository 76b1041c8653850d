"""Write the OpenAPI document to docs/reference/openapi.json; `--check` only compares."""

import argparse
import difflib
import json
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

from gateway.api.app import create_app  # noqa: E402
from gateway.api.openapi import describe  # noqa: E402
from gateway.settings import Settings  # noqa: E402

TARGET = ROOT / "docs" / "reference" / "openapi.json"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit 1 when the file is not current")
    check = parser.parse_args().check
    text = json.dumps(describe(create_app(Settings())), indent=2, ensure_ascii=False) + "\n"
    if not check:
        TARGET.parent.mkdir(parents=True, exist_ok=True)
        TARGET.write_text(text, encoding="utf-8")
        print(f"wrote {TARGET.relative_to(ROOT)}")
        return 0
    stored = TARGET.read_text(encoding="utf-8") if TARGET.is_file() else ""
    if stored == text:
        return 0
    changes = difflib.unified_diff(stored.splitlines(), text.splitlines(), "stored", "now", n=1)
    print("\n".join([line for line, _ in zip(changes, range(40), strict=False)]))
    print("\nthe API changed; run: python scripts/export_openapi.py, and commit the file")
    return 1


if __name__ == "__main__":
    sys.exit(main())
