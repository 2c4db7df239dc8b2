"""Replies under a storm of SIGKILL over `helpdesk send`, with figures: python bench/outbox.py --mails 1000 --kills 300."""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from tests.conftest import House
from tests.sending import storm
from tests.servers import Smtp


def main() -> int:
    """Blow the storm against a real server that drops lines too; exit 1 if a mail never arrived, or twice without reason."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--mails", type=int, default=1000)
    parser.add_argument("--kills", type=int, default=300)
    parser.add_argument("--trouble", type=float, default=0.3, help="chance of a dropped line or a 4xx in each round")
    parser.add_argument("--seed", type=int, default=int(time.time()))
    options = parser.parse_args()
    start, smtp = time.monotonic(), Smtp()
    smtp.seconds = 0.004
    try:
        house = House(Path(tempfile.mkdtemp(prefix="outbox.")))
        told = storm(house, smtp, options.mails, options.kills, options.seed, options.trouble)
    finally:
        smtp.close()
    print(f"seed {options.seed}, in {house.home}: {told}; {time.monotonic() - start:.0f} s")
    holds = told.arrived.keys() == told.put_in and told.twice <= told.in_the_window
    return 0 if holds else 1


if __name__ == "__main__":
    sys.exit(main())
