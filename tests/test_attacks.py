"""Attacks, a thousand times each: guessed numbers, forged senders, rewritten mails. bench/threads.py runs ten thousand.

An attack gets a home, readers and how often to try, and returns what went wrong.
"""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable, Iterable
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from pipeline import tables
from pipeline.letter import Outcome
from pipeline.readers import Pool

from .talk import AGENT, ANN, TRUSTED, Talk, found, written
from .talk import some_readers as some_readers

TIMES = 1_000
TICKETS = 40  # that are attacked
SEED = 5

Attack = Callable[[Path, Pool, int], list[str]]


def falls_upon(talk: Talk, raws: Iterable[bytes]) -> None:
    """Put mails into the drop box as files, and work them."""
    for number, raw in enumerate(raws):
        (talk.runner.boxes["."].root / "new" / f"{number}.eml").write_bytes(raw)
    talk.heard.clear()
    talk.runner.sweep()


def a_busy_desk(home: Path, readers: Pool, **settings: str) -> Talk:
    """Open a desk with tickets of many customers and an answer of ours on each, all closed."""
    talk = Talk(home, readers, **settings)
    talk.hires(AGENT)
    proof = {"authentication_results": found("pass")}
    falls_upon(
        talk,
        (
            written(
                f"c{n}@example.com",
                f"Secret {n}",
                f"The vault {n}.",
                message_id=f"<q{n}@example.com>",
                cc="ann@example.com",
                **proof,
            )
            for n in range(TICKETS)
        ),
    )
    assert talk.tickets() == TICKETS
    for number in range(1, TICKETS + 1):
        talk.we_answered(number, f"ours-{number}@desk.example", str(talk.ticket(number)["requester_address"]))
        talk.set(number, status="closed")
    return talk


def state(talk: Talk) -> str:
    """Tell all that may not change on the attacked tickets; version and time of the last touch may not either."""
    asked = (
        tables.Ticket.select().where(tables.Ticket.id <= TICKETS),
        tables.Message.select().where(tables.Message.ticket <= TICKETS).order_by(tables.Message.id),
        tables.Participant.select().where(tables.Participant.ticket <= TICKETS).order_by(tables.Participant.id),
        tables.Tag.select().where(tables.Tag.ticket <= TICKETS),
    )
    return json.dumps([talk.store.rows(query) for query in asked])


def mailed(talk: Talk) -> int:
    """Count what the desk sent, or means to: the answers that the attack found there are not among it."""
    sent = talk.store.count(tables.Message.select().where((tables.Message.kind == "reply") & (tables.Message.id > 0)))
    if "outbox" in talk.store.database.get_tables():
        sent += talk.store.database.execute_sql("SELECT count(*) FROM outbox").fetchone()[0]
    return sent


FORMS = (
    "[TICKET-{}]",
    "Re: [ticket-{:09}] Secret",
    "#{}",
    "AW: Ticket #{}",
    "Fwd: (#{:05}) [TICKET-{}]",
    "回复：#{}",
    "[#{}] [Ticket #{}]",
)


def guesses(home: Path, readers: Pool, times: int) -> list[str]:
    """Strangers guess numbers and ids of tickets: no message enters one, and no guesser is told anything."""
    rnd = random.Random(SEED)
    wrong: list[str] = []

    def guess(number: int) -> bytes:
        aim = rnd.randint(1, TICKETS)
        subject = rnd.choice(FORMS).format(aim, rnd.randint(1, TICKETS))
        sender = rnd.choice(
            ("eve@stranger.example", f"eve{number}@stranger.example", f"c{aim}@example.org", "Ann <аnn@example.com>")
        )
        headers = {"in_reply_to": f"<q{aim}@example.com>"} if rnd.random() < 0.3 else {}
        if rnd.random() < 0.3:
            headers["references"] = f"<ours-{aim}@desk.example.org> <Ours-{aim}@desk.example> <{aim}@desk.example>"
        return written(sender, subject, f"Guess {number}.", message_id=f"<g{number}@stranger.example>", **headers)

    with closing(a_busy_desk(home, readers)) as talk:
        before = state(talk)
        falls_upon(talk, (guess(number) for number in range(times)))
        if state(talk) != before:
            wrong.append("a ticket that was guessed has changed")
        outcomes = Counter(str(settled.letter.outcome) for settled in talk.heard)
        if outcomes.keys() - {"opened", "commented"} or sum(outcomes.values()) != times:
            wrong.append(f"outcomes {outcomes}")
        wrong += [f"a guess is on {s.letter.ticket}" for s in talk.heard if (s.letter.ticket or 0) <= TICKETS]
        told = talk.store.rows(tables.Message.select().where(tables.Message.ticket > TICKETS))
        wrong += [f"told to the guesser: {row['text']}" for row in told if not str(row["text"]).startswith("Guess ")]
        wrong += ["a customer takes part in a guesser's ticket"] * len(customers_on_others(talk))
        wrong += [f"{mailed(talk)} mails sent"] if mailed(talk) else []
    return wrong


def customers_on_others(talk: Talk) -> list[Any]:
    part = tables.Participant
    return talk.store.values(part.select(part.id).where((part.ticket > TICKETS) & (part.address == "ann@example.com")))


def forgeries(home: Path, readers: Pool, times: int) -> list[str]:
    """Mails in the name of requester, participant and agent, disproven or not proven: none is verified, none reopens."""
    rnd = random.Random(SEED)
    wrong: list[str] = []

    def forgery(number: int) -> bytes:
        aim = rnd.randint(1, TICKETS)
        sender = rnd.choice((f"c{aim - 1}@example.com", ANN, AGENT))
        domain = sender.rpartition("@")[2].rstrip(">")
        verdict = rnd.choice(("fail", "none"))
        below = rnd.choice(("", f"\nAuthentication-Results: {found('pass', of=domain)}"))
        named = rnd.choice(
            (
                {"subject": f"Re: [TICKET-{aim}]"},
                {"in_reply_to": f"<q{aim - 1}@example.com>"},
                {"references": f"<ours-{aim}@desk.example>"},
            )
        )
        results = found(verdict, of=domain) + below
        return written(
            sender, body=f"Pay {number}.", message_id=f"<f{number}@x.example>", authentication_results=results, **named
        )

    with closing(a_busy_desk(home, readers, TRUSTED_AUTHSERV_ID=TRUSTED)) as talk:
        participants = [talk.participants(number) for number in range(1, TICKETS + 1)]
        falls_upon(talk, (forgery(number) for number in range(times)))
        for settled in talk.heard:
            letter = settled.letter
            failed = "dmarc-failed" in letter.marks
            if failed != (letter.outcome is Outcome.HELD):
                wrong.append(f"{'disproven' if failed else 'not disproven'}, and {letter.outcome}: {letter.trail}")
            if letter.verified is not False:
                wrong.append(f"verified is {letter.verified}: {letter.trail}")
        shown = tables.Message.select().where(tables.Message.text.startswith("Pay") & tables.Message.verified)
        wrong += [f"{talk.store.count(shown)} shown as verified"] if talk.store.count(shown) else []
        statuses = {talk.status(number) for number in range(1, TICKETS + 1)}
        wrong += [f"statuses {statuses}"] if statuses != {"closed"} else []
        if [talk.participants(number) for number in range(1, TICKETS + 1)] != participants:
            wrong.append("participants have changed")
        wrong += [f"{mailed(talk)} mails sent"] if mailed(talk) else []
        wrong += [f"only {len(talk.heard)} of {times} were worked"] if len(talk.heard) != times else []
    return wrong


ALTERNATIVE = 'multipart/alternative; boundary="=_b"'


def in_two_forms(html: str, **headers: str) -> bytes:
    """Write a mail as text and as HTML."""
    body = f"--=_b\nContent-Type: text/plain\n\nPay to account 1.\n--=_b\nContent-Type: text/html\n\n{html}\n--=_b--\n"
    return written(ANN, "Invoice", body, message_id="<i@example.com>", content_type=ALTERNATIVE, **headers)


def rewritten(home: Path, readers: Pool, times: int) -> list[str]:
    """The same id, date and text come again with other HTML: the stored message stays as it was, each copy is flagged."""
    wrong: list[str] = []
    with closing(Talk(home, readers)) as talk:
        talk.brings(in_two_forms("<p>Pay to account 1.</p>"))
        [message] = talk.messages(1)
        mail = talk.store.row(tables.Mail.select().where(tables.Mail.id == message["mail"]))
        html = readers.html(talk.store.raw(message["mail"]))
        copies: tuple[dict[str, str], ...] = ({}, {"in_reply_to": "<i@example.com>"}, {"received": "from x"})
        falls_upon(
            talk, (in_two_forms(f"<p>Pay to account {number}.</p>", **copies[number % 3]) for number in range(2, times + 2))
        )
        if message not in talk.messages(1) or readers.html(talk.store.raw(message["mail"])) != html:
            wrong.append("the message has changed")
        if talk.store.row(tables.Mail.select().where(tables.Mail.id == message["mail"])) != mail:
            wrong.append("the mail has changed")
        unflagged = [settled for settled in talk.heard if "reused-id" not in settled.letter.marks]
        wrong += [f"not flagged: {settled.letter.trail}" for settled in unflagged]
        outcomes = Counter(str(settled.letter.outcome) for settled in talk.heard)
        wrong += [f"outcomes {outcomes}"] if outcomes.keys() - {"opened", "commented"} else []
        wrong += [f"only {len(talk.heard)} of {times} were worked"] if len(talk.heard) != times else []
    return wrong


ATTACKS: dict[str, Attack] = {"guessed numbers": guesses, "forged senders": forgeries, "rewritten mails": rewritten}


@pytest.mark.parametrize("attack", ATTACKS.values(), ids=ATTACKS.keys())
def test_an_attack_fails(attack: Attack, tmp_path: Path, readers: Pool) -> None:
    """A thousand tries change no ticket, prove nobody and tell nothing."""
    wrong = attack(tmp_path, readers, TIMES)
    assert not wrong, "\n".join(itertools.islice(wrong, 10))
