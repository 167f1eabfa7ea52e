"""Run proofs: `python -m tests.proofs [NAME ...]`, all of them by default."""

import argparse
import importlib
import sys
from pathlib import Path

PROOFS = (
    "costs",
    "coverage",
    "families",
    "finetune",
    "foreign_models",
    "peers",
    "pretraining",
    "recipes",
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"of {', '.join(PROOFS)}")
    parser.add_argument("--folder", type=Path, default=Path(".proof"), help="keeps what is done")
    options = parser.parse_args()
    unknown = sorted(set(options.names) - set(PROOFS))
    if unknown:
        parser.error(f"NAME must be one of {', '.join(PROOFS)}. Received: {', '.join(unknown)}")
    failed = False
    for name in options.names or PROOFS:
        proof = importlib.import_module(f"tests.proofs.{name}")
        failed |= not proof.run(options.folder / name)
    return int(failed)


if __name__ == "__main__":
    sys.exit(main())
