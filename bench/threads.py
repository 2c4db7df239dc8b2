"""Replay the threads of 4,150 real mails, and attack tickets: does every mail land where its headers say, and nobody else's?

    python bench/threads.py [threads] [--mails N]
    python bench/threads.py attacks [--times N]

The truth is made here, from the headers by `email`, without the product's reader. Exit 1 on any violation. The mails are those
of bench/corpus.py (its ham).
"""

from __future__ import annotations

import argparse
import email.header
import email.message
import email.policy
import email.utils
import re
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from corpus import fill, mails

from pipeline import tables
from pipeline.runner import Runner, Settled
from pipeline.settings import load
from pipeline.store import Store

HAM = ("easy-ham", "hard-ham")
_BRACKETED = re.compile(r"<([^<>]+)>")
_REPLY = re.compile(r"(?:\s*(?:re|aw|fwd?|sv|antw?)\s*(?:\[\d+\])?\s*:)+\s*", re.IGNORECASE)


@dataclass
class Written:
    """A mail, as its headers say: who wrote it, and what it names."""

    name: str
    raw: bytes
    date: float
    id: str
    in_reply_to: list[str]
    references: list[str]
    title: str
    authors: set[str]
    people: set[str]  # of From, To and Cc

    @property
    def named(self) -> list[str]:
        """The ids it names, the likeliest parent first."""
        return list(dict.fromkeys((*self.in_reply_to, *reversed(self.references))))


def read(name: str, raw: bytes) -> Written:
    """Read the headers of a mail."""
    message = email.message_from_bytes(raw, policy=email.policy.compat32)
    date = email.utils.parsedate_tz(_text(message, "date"))
    return Written(
        name,
        raw,
        email.utils.mktime_tz(date) if date else 0.0,
        next(iter(_ids(_text(message, "message-id"))), ""),
        _ids(_text(message, "in-reply-to")),
        _ids(_text(message, "references")),
        _REPLY.sub("", " ".join(_decoded(_text(message, "subject")).split())).lower(),
        _addresses(message, "from"),
        _addresses(message, "from", "to", "cc"),
    )


def _text(message: email.message.Message, name: str) -> str:
    return " ".join(str(value) for value in message.get_all(name, []))


def _decoded(text: str) -> str:
    try:
        return str(email.header.make_header(email.header.decode_header(text)))
    except (LookupError, ValueError):
        return text


def _ids(text: str) -> list[str]:
    """Return the ids in a field: what stands in angle brackets, else the words with an @."""
    found = _BRACKETED.findall(text) or [word.strip("<>\"',;()") for word in text.split() if "@" in word]
    return [bare for one in found if (bare := "".join(one.split()))]


def _addresses(message: email.message.Message, *names: str) -> set[str]:
    values = [str(value) for name in names for value in message.get_all(name, [])]
    return {address.lower() for _, address in email.utils.getaddresses(values) if "@" in address}


class Threads:
    """What the headers hold together: mails and the ids they name, as sets that grow into one another."""

    def __init__(self, written: Iterable[Written]) -> None:
        self._parent: dict[str, str] = {}
        for mail in written:
            for one in mail.named:
                self._parent[self.of(mail)] = self.root(one)

    def of(self, mail: Written) -> str:
        return self.root(mail.id or mail.name)

    def root(self, one: str) -> str:
        while (above := self._parent.get(one, one)) != one:
            self._parent[one] = self._parent.get(above, above)
            one = above
        return one


@dataclass
class Replay:
    """What became of the mails, in order."""

    written: list[Written]
    settled: list[Settled] = field(default_factory=list)
    linked: set[int] = field(default_factory=set)  # tickets that are linked to another
    seconds: float = 0.0

    @property
    def pairs(self) -> Iterable[tuple[Written, Settled]]:
        return zip(self.written, self.settled, strict=True)


def replay(written: list[Written], **settings: str) -> Replay:
    """Run the mails through the line, from files, in order."""
    done = Replay(written)
    with tempfile.TemporaryDirectory(prefix="letterdesk-threads-") as folder:
        home = Path(folder)
        fill(home, [(f"{position:05}.eml", mail.raw) for position, mail in enumerate(written)])
        loaded = load({"EMAIL_HOST_USER": "support@desk.example", **settings}, home)
        start = time.monotonic()
        with Store.open(loaded) as store, Runner(store, loaded, lambda settled, ms: done.settled.append(settled)) as runner:
            runner.sweep()
            done.linked = {row["ticket"] for row in store.rows(tables.Link.select(tables.Link.ticket))}
        done.seconds = time.monotonic() - start
    names = [Path(settled.taken.found.path).name for settled in done.settled]
    assert names == sorted(names), "the mails were not worked in order"
    return done


def open_house(written: list[Written], threads: Threads) -> list[str]:
    """Replay with REPLY_POLICY=anyone: every reply finds its parent, and no two threads meet."""
    done = replay(written, REPLY_POLICY="anyone")
    wrong: list[str] = []
    tickets: dict[str, set[int | None]] = defaultdict(set)  # by id, of the mails that came
    on_ticket: dict[int, set[str]] = defaultdict(set)  # the threads of the headers
    figures: Counter[str] = Counter()
    for mail, settled in done.pairs:
        letter = settled.letter
        parents = [one for one in mail.named if one in tickets]
        figures["replies"] += bool(parents)
        figures["by In-Reply-To"] += any(one in tickets for one in mail.in_reply_to)
        figures[f"{letter.outcome}"] += 1
        if parents and letter.ticket not in tickets[parents[0]]:
            wrong.append(f"{mail.name}: names {parents[0]} on {tickets[parents[0]]}, but is {letter.outcome} on {letter.ticket}")
        if letter.ticket:
            on_ticket[letter.ticket].add(threads.of(mail))
        tickets[mail.id].add(letter.ticket)
    merged = {ticket: roots for ticket, roots in on_ticket.items() if len(roots) > 1}
    wrong += [f"ticket {ticket} holds {len(roots)} threads: {sorted(roots)}" for ticket, roots in merged.items()]
    print(f"anyone: {dict(figures)} in {done.seconds:.0f} s; threads merged {len(merged)}")
    return wrong


def closed_house(written: list[Written]) -> list[str]:
    """Replay with the default policy: no stranger's mail enters a ticket, and each that named one says why."""
    done = replay(written)
    wrong: list[str] = []
    people: dict[int | None, set[str]] = {}  # who may speak, by ticket
    came: dict[str, list[int]] = defaultdict(list)
    figures: Counter[str] = Counter()
    for mail, settled in done.pairs:
        letter, why = settled.letter, " ".join(str(step) for step in settled.letter.trail)
        named = [ticket for one in mail.named for ticket in came[one]]
        figures[f"{letter.outcome}"] += 1
        if letter.outcome == "opened":
            people[letter.ticket] = mail.people
            figures["refused"] += bool(named)
            if named and ("no participant there" not in why or letter.ticket not in done.linked):
                wrong.append(f"{mail.name}: named a ticket, and does not say why it is not there: {why}")
            if any(mail.authors and mail.authors <= people[ticket] and len(mail.authors) == 1 for ticket in named):
                wrong.append(f"{mail.name}: {mail.authors} belongs to a ticket that it named, and is not there: {why}")
        elif letter.outcome == "commented" and not (mail.authors and mail.authors <= people[letter.ticket]):
            wrong.append(f"{mail.name}: {mail.authors} is a stranger on {letter.ticket}: {why}")
        if letter.ticket:
            came[mail.id].append(letter.ticket)
    print(f"participants: {dict(figures)} in {done.seconds:.0f} s")
    return wrong


def by_title(written: list[Written], threads: Threads) -> int:
    """Count the threads that a helpdesk which goes by titles would put onto another's ticket."""
    roots: dict[str, set[str]] = defaultdict(set)
    for mail in written:
        roots[mail.title].add(threads.of(mail))
    return sum(len(of_title) - 1 for of_title in roots.values())


def real_threads(limit: int | None) -> list[str]:
    """Replay the corpus under both policies; return what is wrong."""
    written = sorted((read(name, raw) for name, raw in mails() if name.startswith(HAM)), key=lambda mail: mail.date)[:limit]
    threads = Threads(written)
    count = len({threads.of(mail) for mail in written})
    print(f"{len(written)} mails, {count} threads by their headers; by title {by_title(written, threads)} would be merged")
    return [*open_house(written, threads), *closed_house(written)]


def attacks(times: int) -> list[str]:
    """Run the long attacks; return what is wrong."""
    from pipeline.readers import Pool
    from tests.test_attacks import ATTACKS

    wrong: list[str] = []
    for name, attack in ATTACKS.items():
        with tempfile.TemporaryDirectory(prefix="letterdesk-attack-") as folder, Pool(("parse",)) as readers:
            start = time.monotonic()
            found = attack(Path(folder), readers, times)
            print(f"{name}: {times} times in {time.monotonic() - start:.0f} s, {len(found)} wrong", flush=True)
            wrong += found
    return wrong


def main() -> int:
    """Run what was asked for."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("what", choices=("threads", "attacks"), nargs="?", default="threads")
    parser.add_argument("--mails", type=int, help="only the first N by date")
    parser.add_argument("--times", type=int, default=10_000, help="how often each attack is tried")
    options = parser.parse_args()
    wrong = real_threads(options.mails) if options.what == "threads" else attacks(options.times)
    print(*wrong[:50], f"{len(wrong)} violations", sep="\n")
    return int(bool(wrong))


if __name__ == "__main__":
    sys.exit(main())
