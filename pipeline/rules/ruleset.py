"""Queues and rules, ready to be asked: which queue a mail is for, and what the rules say is to become of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, NamedTuple

from ..letter import Address, canonical
from .actions import ENDS, MERGE, Requester
from .condition import Condition, all_of
from .facts import Facts

EXAMPLES = 3  # mails that a backtest shows for each rule
NEW, REPLY, ANY = "new", "reply", "any"
ON = (NEW, REPLY, ANY)


@dataclass(frozen=True)
class Queue:
    """A part of the desk's work: what comes to it, how its tickets are numbered, and who writes for it."""

    name: str
    addresses: tuple[str, ...] = ()  # as addresses compare
    folders: tuple[str, ...] = ()
    prefix: str | None = None
    sender: str | None = None  # as written: Billing <billing@example.org>
    members: tuple[str, ...] = ()
    signature: str | None = None
    acknowledgement: str | None = None
    language: str | None = None
    line: int = 0


@dataclass(frozen=True)
class Rule:
    """What is to be done with which mails."""

    name: str
    line: int
    on: str
    when: tuple[Condition, ...]
    then: Mapping[str, Any]  # values by action
    stop: bool = False

    def __str__(self) -> str:
        return f"rule '{self.name}' (line {self.line})"

    @cached_property
    def why(self) -> Callable[[Facts], str]:
        """What says in a sentence that the conditions hold for a mail, or ""."""
        return all_of(self.when).test

    def why_not(self, facts: Facts) -> str:
        """Return in a sentence the first thing that does not hold."""
        if self.on == NEW and facts.is_reply:
            return "it is for new tickets, and this is a reply"
        if self.on == REPLY and not facts.is_reply:
            return "it is for replies, and this is a new ticket"
        failed = next((condition.says for condition in self.when if not condition.test(facts)), "")
        return f"does not hold: {failed}" if failed else ""

    @property
    def ends(self) -> bool:
        """Is no further rule asked after it fired?"""
        return self.stop or any(action in self.then for action in ENDS)


@dataclass(frozen=True)
class Fired:
    """A rule that fired, and why; as a text it is a reason for the trail."""

    rule: Rule
    why: str

    def __str__(self) -> str:
        return f"{self.rule} fired: {self.why}"


class Finding(NamedTuple):
    """What became of a rule: it fired and why, or why it did not."""

    rule: Rule
    fired: bool
    why: str


@dataclass(frozen=True)
class Decision:
    """What the rules say; None and () where they say nothing."""

    queue: str | None = None
    priority: str | None = None
    assign: str | None = None
    tags: tuple[str, ...] = ()  # `-x`: to be taken away
    status: str | None = None
    hold: str | None = None  # the reason; never together with `ignore`
    ignore: str | None = None
    acknowledge: bool = True
    notify: tuple[str, ...] = ()
    requester: Address | None = None
    fired: tuple[Fired, ...] = ()


@dataclass(frozen=True)
class Ruleset:
    """The rules file, read; rules in their order."""

    queues: tuple[Queue, ...] = ()
    rules: tuple[Rule, ...] = ()
    ours: frozenset[str] = frozenset()  # further addresses, as addresses compare

    # -- queues ------------------------------------------------------------------------------------------------------

    def queue(self, name: str) -> Queue | None:
        """Return a queue by its name."""
        return next((queue for queue in self.queues if queue.name == name), None)

    @cached_property
    def _by_address(self) -> dict[str, Queue]:
        return {address: queue for queue in reversed(self.queues) for address in queue.addresses}

    def queue_of(self, recipients: Iterable[str], folder: str) -> Queue | None:
        """Return the queue of the first recipient that has one (`billing+x@` is `billing@`, RFC 5233), else of the folder."""
        for address in map(canonical, recipients):
            found = self._by_address.get(address) or self._by_address.get(without_detail(address))
            if found:
                return found
        return next((queue for queue in self.queues if folder in queue.folders), None)

    @property
    def prefixes(self) -> frozenset[str]:
        """What may stand before a ticket's number, beside TICKET_PREFIX."""
        return frozenset(queue.prefix for queue in self.queues if queue.prefix)

    @cached_property
    def own_addresses(self) -> frozenset[str]:
        """Every address that is ours, as addresses compare."""
        senders = (queue.sender.rpartition("<")[2].rstrip("> ") for queue in self.queues if queue.sender)
        return frozenset((*self.ours, *self._by_address, *map(canonical, senders)))

    # -- rules -------------------------------------------------------------------------------------------------------

    def apply(self, facts: Facts) -> Decision:
        """Ask the rules in order, and join what those say that fire: the last word holds, `hold` and `ignore` end it."""
        fired = list(self._fired(facts))
        said: dict[str, Any] = {}
        for number, (rule, why) in enumerate(fired):
            for action, value in rule.then.items():
                if isinstance(value, Requester):
                    value, note = self._requester(value, facts)
                    if value is None:
                        fired[number] = (rule, f"{why}; {note}")
                        continue
                said[action] = MERGE[action](said.get(action), value)
        return Decision(**said, fired=tuple(Fired(rule, why) for rule, why in fired))

    def _requester(self, wanted: Requester, facts: Facts) -> tuple[Address | None, str]:
        found = wanted.of(facts, self.own_addresses)
        return (None, found) if isinstance(found, str) else (found, "")

    @cached_property
    def _for_new(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.on != REPLY)

    @cached_property
    def _for_replies(self) -> tuple[Rule, ...]:
        return tuple(rule for rule in self.rules if rule.on != NEW)

    def _fired(self, facts: Facts) -> Iterator[tuple[Rule, str]]:
        for rule in self._for_replies if facts.is_reply else self._for_new:
            if why := rule.why(facts):
                yield rule, why
                if rule.ends:
                    return

    def findings(self, facts: Facts) -> Iterator[Finding]:
        """Yield for each rule whether it fires and why, or the first thing that does not hold."""
        ended: Rule | None = None
        for rule in self.rules:
            if ended:
                yield Finding(rule, False, f"not asked: {ended} ended it")
            elif why_not := rule.why_not(facts):
                yield Finding(rule, False, why_not)
            else:
                yield Finding(rule, True, rule.why(facts))
                ended = rule if rule.ends else None


def without_detail(address: str) -> str:
    """Return an address without what stands behind a plus (RFC 5233)."""
    local, at, domain = address.rpartition("@")
    return f"{local.partition('+')[0] or local}{at}{domain}"


# -- what rules would have done --------------------------------------------------------------------------------------


class Example(NamedTuple):
    """A mail on which a rule fired."""

    message_id: str | None
    sender: str | None
    subject: str
    why: str


@dataclass
class Tally:
    """How often a rule fired, and on which mails for example."""

    rule: Rule
    count: int = 0
    examples: list[Example] = field(default_factory=list)

    def add(self, facts: Facts, why: str) -> None:
        """Count a mail."""
        self.count += 1
        if len(self.examples) < EXAMPLES:
            author = facts.mail.author
            self.examples.append(Example(facts.mail.message_id, author.address if author else None, facts.mail.subject, why))


class Backtest(NamedTuple):
    """What the rules would have done: mails asked, mails on which any rule fired, and a tally for each rule in order."""

    mails: int
    touched: int
    tallies: tuple[Tally, ...]


def backtest(ruleset: Ruleset, mails: Iterable[Facts]) -> Backtest:
    """Count what each rule would have done with mails; nothing is done."""
    tallies = {rule.name: Tally(rule) for rule in ruleset.rules}
    asked = touched = 0
    for facts in mails:
        fired = ruleset.apply(facts).fired
        asked, touched = asked + 1, touched + bool(fired)
        for item in fired:
            tallies[item.rule.name].add(facts, item.why)
    return Backtest(asked, touched, tuple(tallies.values()))
