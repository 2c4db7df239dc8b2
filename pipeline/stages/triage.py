"""Ask the operator's rules what is to be done with a mail's ticket."""

from __future__ import annotations

from .. import rules
from ..desk import Desk
from ..letter import Letter, Orders, Outcome
from ..settings import Settings


def triage(letter: Letter, desk: Desk, settings: Settings) -> Letter:
    """Find the queue of a mail, and let the rules of RULES_FILE set, hold or ignore; each that fires says so."""
    ruleset = rules.current(settings.rules_file)
    if not ruleset.rules and not ruleset.queues:
        return letter
    facts = facts_of(letter, desk, settings, ruleset)
    decision = ruleset.apply(facts)
    for fired in decision.fired:
        letter = letter.because(f"triage: {fired}")
    if (decision.hold or decision.ignore) and "approved" not in letter.marks:
        outcome = Outcome.HELD if decision.hold else Outcome.IGNORED
        return letter.settle(outcome, f"triage: {decision.hold or decision.ignore}")
    queue = facts.queue if letter.ticket is None else None
    rest = "" if decision.fired else "; no rule fired"
    return letter.because(f"triage: queue {decision.queue or facts.queue}{rest}", orders=_orders(decision, queue))


def facts_of(letter: Letter, desk: Desk, settings: Settings, ruleset: rules.Ruleset) -> rules.Facts:
    """Return what the rules may ask about a mail that is on its way down the line."""
    ticket = desk.ticket(letter.ticket) if letter.ticket else None
    facts = rules.Facts.of(
        letter.mail,
        desk.now,
        settings.time_zone,
        folder=letter.place.box,
        verified=letter.verified,
        is_reply=ticket is not None,
        size=letter.size,
    )
    found = ruleset.queue_of(facts.recipients, letter.place.box)
    return facts.in_queue(ticket["queue"] if ticket else found.name if found else rules.DEFAULT_QUEUE)


def _orders(decision: rules.Decision, queue: str | None) -> Orders:
    return Orders(
        queue=decision.queue or queue,
        priority=decision.priority,
        assignee=decision.assign,
        status=decision.status,
        tags=decision.tags,
        acknowledge=decision.acknowledge,
        notify=decision.notify,
        requester=decision.requester,
    )
