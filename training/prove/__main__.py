"""The command `python -m natsdb.training.prove`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from natsdb.schema.errors import NatsdbError
from natsdb.training.prove.running import prove

ENDS = """
Exits with 0 when all is done, 1 when something failed, 3 when nothing failed but time was up: the same command goes on.
Without --data pictures are made up, and the step that compares accuracies with published ones is left out.
"""


def main() -> int:
    """Read the command line, prove, and say how it went."""
    parser = argparse.ArgumentParser(
        "python -m natsdb.training.prove", description="Prove the GPU path on this machine.", epilog=ENDS
    )
    parser.add_argument("out", type=Path, metavar="OUT", help="folder of results: proof.md, proof.json, and runs")
    parser.add_argument("--minutes", type=float, default=25.0, help="time that it may take (default: 25)")
    parser.add_argument("--data", type=Path, help="folder of CIFAR-10's pictures, as `natsdb train --data` reads it")
    parser.add_argument("--device", help="as PyTorch names it; a GPU if there is one, else a tiny version on the CPU")
    asked = parser.parse_args()
    try:
        return prove(asked.out, minutes=asked.minutes, data=asked.data, device=asked.device)
    except NatsdbError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1


if __name__ == "__main__":
    sys.exit(main())
