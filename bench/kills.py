"""A long storm of SIGKILL over one command, with figures: python bench/kills.py worker --kills 1000 --workers 2 --no-lock."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.killing import MISTAKES, left_running, mistake, storm


def main() -> int:
    """Blow the storm; exit 1 if anything does not hold."""
    options = _options()
    print(f"seed {options.seed}, in {options.folder}", flush=True)
    if options.mistakes:
        return _mistakes(options)
    start = time.monotonic()
    figures, found = storm(
        options.folder, [options.command], options.kills, options.workers, options.seed, lock=not options.no_lock
    )
    lock = "without the line's lock" if options.no_lock else "with the line's lock"
    print(f"{options.workers} x {options.command}, {lock}: {figures.kills} kills in {figures.seconds:.0f} s")
    print(f"  with mail in hand {figures.in_hand}, between commit and rename {figures.decided}, spared {figures.spared}")
    print(f"  {figures.files} files of {figures.mails} mails; exits of their own {dict(figures.ends)}")
    print(f"  violations {len(found)}, readers left {len(left_running(options.folder))}, {time.monotonic() - start:.0f} s in all")
    print(*found, sep="\n", end="\n" if found else "")
    return 1 if found else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("process", "worker"), nargs="?", default="worker")
    parser.add_argument("--kills", type=int, default=1000)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--no-lock", action="store_true", help="without the line's lock: the unique keys alone must do")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    parser.add_argument("--folder", type=Path, help="an empty folder; kept afterwards")
    parser.add_argument("--mistakes", action="store_true", help="blow it over each planted mistake instead")
    options = parser.parse_args()
    options.folder = options.folder or Path(tempfile.mkdtemp(prefix="kills."))
    return options


def _mistakes(options: argparse.Namespace) -> int:
    missed = 0
    for number, name in enumerate(MISTAKES):
        folder = options.folder / str(number)
        folder.mkdir()
        found = mistake(folder, name, options.kills, options.seed)
        kinds = sorted({line.split()[0] for line in found})
        print(f"{name}: {len(found)} violations ({', '.join(kinds)})", flush=True)
        missed += not found
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
