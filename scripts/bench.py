"""Every speed claim of docs/benchmarks.md, measured in one run: `make bench`."""

import platform
import sys

import bench_embedded
import bench_http

TARGETS = {
    "added p50 ms": ("<=", 1.0),
    "requests/s at 64": (">=", 2_000),
    "texts/s in batches of 32": (">=", 5_000),
    "chunks/s ingested": (">=", 4_000),
    "search p50 ms": ("<=", 15),
    "idle RSS MB": ("<=", 400),
    "import gateway ms": ("<=", 150),
}


def main() -> int:
    print(f"Python {platform.python_version()}, {platform.machine()}, {platform.system()}")
    found = bench_http.main() | bench_embedded.main()
    missed = 0
    for name, value in found.items():
        sign, target = TARGETS.get(name, ("", 0.0))
        met = not sign or (value <= target if sign == "<=" else value >= target)
        missed += not met
        note = f"  (target {sign} {target:g}{'' if met else ': MISSED'})" if sign else ""
        print(f"{name:28} {value:12,.2f}{note}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
