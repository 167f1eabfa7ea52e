"""The process of one trainer: for each line with a number, so many steps, and their seconds."""

import sys
import time

from tests.bench.pretraining.trainers import TRAINERS


def main() -> None:
    """Compile, then answer."""
    answers, sys.stdout = sys.stdout, sys.stderr
    step = TRAINERS[sys.argv[1]]()
    for _ in range(2):
        step()
    print("ready", file=answers, flush=True)
    for line in sys.stdin:
        start = time.perf_counter()
        for _ in range(int(line)):
            step()
        print(time.perf_counter() - start, file=answers, flush=True)


if __name__ == "__main__":
    main()
