"""Measure the time from a file's rename into new/ to its committed ticket, with an idle worker.

    python bench/latency.py [--mails 200]

The clock stops when another connection sees the ticket, so the figure includes the poll (about 0.2 ms).
"""

from __future__ import annotations

import argparse
import os
import signal
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def start_worker(home: Path) -> subprocess.Popen[bytes]:
    """Start a worker and wait until it watches."""
    environment = {**os.environ, "HELPDESK_HOME": str(home)}
    worker = subprocess.Popen([sys.executable, "-m", "pipeline", "worker"], env=environment, stderr=subprocess.PIPE)
    assert worker.stderr
    while b"Worker watches" not in worker.stderr.readline():
        pass
    return worker


def deliver(home: Path, number: int) -> float:
    """Rename a mail into new/; return when."""
    draft, target = home / "maildir" / "tmp" / f"{number}", home / "maildir" / "new" / f"{number}.eml"
    draft.write_text(
        f"From: p{number}@example.com\nSubject: Mail {number}\nMessage-ID: <{number}@example.com>\n\nHello {number}\n"
    )
    draft.rename(target)
    return time.perf_counter()


def wait_for_ticket(database: sqlite3.Connection, number: int) -> float:
    """Poll until the ticket is there; return when."""
    while not database.execute("SELECT 1 FROM ticket WHERE id = ?", (number,)).fetchone():
        time.sleep(0.0002)
    return time.perf_counter()


def main() -> None:
    """Deliver mails one by one to an idle worker and print the percentiles."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mails", type=int, default=200)
    options = parser.parse_args()
    home = Path(tempfile.mkdtemp(prefix="letterdesk-latency-"))
    worker = start_worker(home)
    try:
        time.sleep(1)
        database = sqlite3.connect(f"file:{home}/data/helpdesk.db?mode=ro", uri=True, isolation_level=None)
        took = []
        for number in range(1, options.mails + 1):
            started = deliver(home, number)
            took.append((wait_for_ticket(database, number) - started) * 1000)
            time.sleep(0.02)
    finally:
        worker.send_signal(signal.SIGTERM)
        worker.wait()
    took = sorted(took[1:])  # the first starts the readers
    median, p99 = statistics.median(took), took[int(len(took) * 0.99)]
    figures = f"median {median:.1f} ms, p99 {p99:.1f} ms, worst {took[-1]:.1f} ms"
    print(f"load average {os.getloadavg()[0]:.1f}: {len(took)} mails, {figures}")


if __name__ == "__main__":
    main()
