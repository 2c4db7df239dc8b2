"""Measure how the time of reading grows with each sort of crafted mail: python bench/linear.py [FAMILY ...] [--seconds 1]

The mails of tests/test_hostile_mails.py are doubled in size until one takes a second. The exponent of time over bytes is
fitted to four sizes in a row, wherever it is worst (least squares on the logarithms of CPU times; where it seems too steep
all is measured again, and the medians count). 1 is linear, 2 is quadratic, a bounded family stays below 1. Exit 1 if one
is above 1.15.
"""

from __future__ import annotations

import argparse
import gc
import math
import os
import statistics
import sys
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.test_hostile_mails import FAMILIES, Family, read_whole

MOST = 1.15
DOUBLINGS = 12
FITTED = 4  # sizes
LARGEST = 32 * 1024 * 1024  # bytes of a mail: more is never read
QUICK = 10e-9  # seconds a byte: what is faster only copies, and how fast memory is depends on the size
START = 64  # of the family's own size, the first is this part

Point = tuple[int, float]  # bytes, seconds


def measured(raw: bytes, runs: int) -> float:
    """Return the median CPU time of reading a mail as a reader process does."""
    took = []
    for _ in range(runs):
        gc.collect()
        started = time.process_time()
        read_whole(raw)
        took.append(time.process_time() - started)
    return statistics.median(took)


def points(family: Family, seconds: float, runs: int) -> list[Point]:
    """Measure a family at doubled sizes until it takes that long, or does not take longer any more."""
    found: list[Point] = []
    size = max(1, family.size // START)
    for _ in range(DOUBLINGS):
        raw = family.make(size)
        found.append((len(raw), measured(raw, runs)))
        bounded = len(found) > 7 and found[-1][1] < 1.2 * found[-4][1]
        if found[-1][1] > seconds or len(raw) > LARGEST // 2 or bounded:
            break
        size *= 2
    return found


def exponent(measured_at: list[Point]) -> float:
    """Fit the exponent of time over bytes to the larger sizes."""
    logs = [(math.log(size), math.log(max(took, 1e-6))) for size, took in measured_at[-FITTED:]]
    middle_x, middle_y = (statistics.fmean(log[axis] for log in logs) for axis in (0, 1))
    width = sum((x - middle_x) ** 2 for x, _ in logs)
    grew = logs[-1][0] - logs[0][0] > math.log(2)  # else it is bounded before it is read
    return sum((x - middle_x) * (y - middle_y) for x, y in logs) / width if grew else 0.0


def steepest(measured_at: list[Point]) -> tuple[float, list[Point]]:
    """Return the worst exponent of any four sizes in a row that take long enough to be measured, and where it was.

    A bound may hide what happens below it: the last sizes alone would not tell.
    """
    slow = [at for at, (_, took) in enumerate(measured_at) if took >= 0.02 and at + 1 >= FITTED]
    windows = [measured_at[at + 1 - FITTED : at + 1] for at in slow if measured_at[at + 1 - FITTED][1] >= 0.004]
    return max(((exponent(window), window) for window in windows or [measured_at]), key=lambda found: found[0])


def judge(name: str, seconds: float) -> float:
    """Print a family's line and return its exponent; what seems too steep is measured again, and the medians count."""
    found = points(FAMILIES[name], seconds, 1)
    power, window = steepest(found)
    if power > MOST and found[-1][1] / found[-1][0] > QUICK:
        power, window = steepest(points(FAMILIES[name], seconds, 5))
    shown = "  ".join(f"{size / 1000:.0f}:{took * 1000:.0f}" for size, took in window)
    size, took = found[-1]
    power = min(power, MOST) if took / size < QUICK else power
    mark = " <-- steeper than allowed" if power > MOST else ""
    print(f"{name:44} {power:5.2f}  {took / size * 1e9:7.1f} ns/B  {shown}{mark}", flush=True)
    return power


def main() -> int:
    """Judge all families, or those that are named."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    parser.add_argument("--seconds", type=float, default=1.0, help="of CPU time, up to which a family grows")
    options = parser.parse_args()
    print(f"load average {os.getloadavg()[0]:.1f}, Python {sys.version.split()[0]}; sizes in KB : CPU-ms")
    powers = {name: judge(name, options.seconds) for name in options.families or FAMILIES}
    steep = [name for name, power in powers.items() if power > MOST]
    print(f"{len(powers)} families, {len(steep)} steeper than {MOST}: {', '.join(steep) or 'none'}")
    return int(bool(steep))


if __name__ == "__main__":
    sys.exit(main())
