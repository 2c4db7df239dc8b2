"""Death and errors at every call that changes a file, with figures: python bench/crashpoints.py process --strikes before torn."""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.crashing import KINDS, PLANTED, PLANTED_MAILS, Campaign, Strike, Tally

STRIKES = {str(strike): strike for strike in map(Strike, ("before", "after", "torn", "short"))}
STRIKES |= {f"{error}{'+' * sticky}": Strike("error", error, sticky) for error in KINDS for sticky in (False, True)}


def main() -> int:
    """Strike at the points; exit 1 if anything does not hold."""
    options = _options()
    print(f"in {options.folder}; `+`: from then on", flush=True)
    if options.mistakes:
        return _mistakes(options)
    found = 0
    for command in ("process", "worker") if options.command == "both" else (options.command,):
        (options.folder / command).mkdir()
        with Campaign(options.folder / command, command, options.mails, hands=options.hands) as campaign:
            print(f"{command}, {options.mails} mails; undisturbed: {campaign.undisturbed or 'all holds'}", flush=True)
            for name in options.strikes:
                found += _told(name, campaign.strike(STRIKES[name], options.every))
    return 1 if found else 0


def _told(name: str, tally: Tally) -> int:
    figures = f"{tally.points:5} points {tally.runs:5} runs {tally.missed:3} missed {tally.moved:4} moved {tally.seconds:6.0f} s"
    print(f"  {name:8} {figures}  exits {dict(tally.ends)}  violations {len(tally.violations)}", flush=True)
    for kind, count in Counter(line.split(":")[0] for line in tally.violations).items():
        print(f"    {count} x {kind[:200]}")
    print(*tally.violations[:10], sep="\n", end="\n" if tally.violations else "", flush=True)
    return len(tally.violations)


def _mistakes(options: argparse.Namespace) -> int:
    missed = 0
    for number, name in enumerate(PLANTED):
        folder = options.folder / str(number)
        folder.mkdir()
        with Campaign(folder, "process", PLANTED_MAILS, PLANTED[name], options.hands) as campaign:
            found = campaign.undisturbed or campaign.strike(Strike("before"), options.every).violations
            when = "undisturbed" if campaign.undisturbed else f"{len({line.partition(' | ')[2] for line in found})} points"
        kinds = sorted({" ".join(line.removeprefix("AT ONCE ").split()[:1]) for line in found})
        print(f"{name}: {len(found)} violations ({', '.join(kinds)}), {when}", flush=True)
        missed += not found
    return 1 if missed else 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("command", choices=("process", "worker", "both"), nargs="?", default="both")
    parser.add_argument("--strikes", choices=STRIKES, nargs="+", default=list(STRIKES))
    parser.add_argument("--mails", type=int, default=3)
    parser.add_argument("--every", type=int, default=1, help="only each so many-th point")
    parser.add_argument("--hands", type=int, help="how many run side by side; one a core")
    parser.add_argument("--folder", type=Path, help="an empty folder; kept afterwards")
    parser.add_argument("--mistakes", action="store_true", help="over each planted mistake instead")
    options = parser.parse_args()
    options.folder = options.folder or Path(tempfile.mkdtemp(prefix="crashpoints."))
    return options


if __name__ == "__main__":
    sys.exit(main())
