"""What a rule can ask of a mail: one table, from which the check of the file, its compiled form and docs/rules.md follow."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from functools import partial

from ..letter import Kind, canonical
from .attachments import attachment_condition
from .condition import Ask, Condition, Known, all_of, any_of, bounds, fact, named, none_of, plain, size
from .facts import Facts
from .source import Node, gather
from .texts import header_condition, headers_condition, text_condition

DEPTH = 30  # keys above a condition: `any` and `not` in each other
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ADDRESS_FORMS = "an address (ann@example.com), a domain (@example.com, or .example.com with all below it) or a name (noreply@)"
ADDRESS = re.compile(r"[^\s<>@,;]{1,256}@[^\s<>@,;]{1,255}")
DOMAIN = re.compile(r"[@.][^\s<>@,;]{1,255}")
_NAME = re.compile(r"[^\s<>@,;]{1,256}@")
_HOURS = re.compile(r"(\d\d?):([0-5]\d)\s?-\s?(\d\d?):([0-5]\d)")


def _addresses(node: Node, known: Known) -> Condition:
    name = node.key
    written = node.each(_address)
    wanted = {_form(text): f"{name} is '{text}'" for text in written}
    keys = frozenset(wanted)

    def test(facts: Facts) -> str:
        there = facts.addressed(name)
        # Asked in the rule's order, so that the same mail always gets the same sentence.
        return "" if keys.isdisjoint(there) else next(phrase for key, phrase in wanted.items() if key in there)

    return Condition(f"{name} is {named(written)}", test)


def _form(text: str) -> str:
    """Return an address, domain or name in the form in which they compare."""
    return f".{canonical(f'@{text[1:]}')[1:]}" if text.startswith(".") else canonical(text)


def _address(node: Node) -> str:
    text = node.text(ADDRESS_FORMS)
    return text if any(form.fullmatch(text) for form in (ADDRESS, DOMAIN, _NAME)) else node.expects(ADDRESS_FORMS)


def _one_of(node: Node, known: Iterable[str], get: Callable[[Facts], str | None]) -> Condition:
    words = node.words(node.key, known)
    wanted = frozenset(words)
    return fact(f"{node.key} is {named(words)}", lambda facts: get(facts) in wanted)


def _kind(node: Node, known: Known) -> Condition:
    return _one_of(node, [kind.value for kind in Kind], lambda facts: facts.mail.kind.value)


def _queue(node: Node, known: Known) -> Condition:
    return _one_of(node, known.queues, lambda facts: facts.queue)


def _folder(node: Node, known: Known) -> Condition:
    return _one_of(node, node.texts("a folder") if known.folders is None else known.folders, lambda facts: facts.folder)


def _verified(node: Node, known: Known) -> Condition:
    wanted = {"unknown": None}.get(node.value, node.value) if isinstance(node.value, str) else node.value
    if wanted is not None and not isinstance(wanted, bool):
        node.expects('true, false or "unknown"')
    return fact(f"verified is {str(node.value).lower()}", lambda facts: facts.verified is wanted)


def _null_sender(node: Node, known: Known) -> Condition:
    wanted = node.flag()
    says = "the envelope sender is empty" if wanted else "the envelope sender is not empty"
    return fact(says, lambda facts: facts.null_sender is wanted)


def _always(node: Node, known: Known) -> Condition:
    if node.value is not True:
        node.expects("true")
    return fact("it holds for every mail", lambda facts: True)


def _spam(node: Node, known: Known) -> Condition:
    says, test = bounds(node, plain)

    def holds(facts: Facts) -> bool:
        return facts.spam_score is not None and test(facts.spam_score)

    return fact(f"the spam score is {says}", holds)


def _size(node: Node, known: Known) -> Condition:
    says, test = bounds(node, size)
    return fact(f"the size is {says}", lambda facts: test(facts.size))


def _hours(node: Node, known: Known) -> Condition:
    spans = node.each(_span)

    def holds(facts: Facts) -> bool:
        minute = facts.arrived.hour * 60 + facts.arrived.minute
        return any(start <= minute < end if start < end else minute >= start or minute < end for start, end in spans)

    return fact(f"it came within {named(node.texts())}", holds)


def _span(node: Node) -> tuple[int, int]:
    found = _HOURS.fullmatch(node.text("hours like 18:00-08:00").strip())
    if found:
        start, end = int(found[1]) * 60 + int(found[2]), int(found[3]) * 60 + int(found[4])
        if start < 24 * 60 and end <= 24 * 60 and start != end:
            return start, end
    node.expects("two different times of a day, like 18:00-08:00,")


def _weekdays(node: Node, known: Known) -> Condition:
    days = frozenset(day for some in node.each(_days) for day in some)
    return fact(f"it came on {named(node.texts())}", lambda facts: facts.arrived.weekday() in days)


def _days(node: Node) -> list[int]:
    """Read `sat` or `mon-fri`."""
    text = node.text("a day like sat, or days like mon-fri,").strip().lower()
    first, _, last = text.partition("-")
    if text.startswith("-") or not {first, last or first} <= {*DAYS}:
        node.unknown("day", text, DAYS)
    start = DAYS.index(first)
    length = (DAYS.index(last or first) - start) % 7 + 1
    return [(start + day) % 7 for day in range(length)]


# -- conditions inside conditions ------------------------------------------------------------------------------------


def read_all(node: Node, known: Known) -> list[Condition]:
    """Compile a table of conditions, all of which must hold."""
    children = node.children()
    if not children:
        node.wrong("there is no condition here; for every mail write `always = true`")
    if len(node.path) > DEPTH:
        node.wrong("this is nested too deep")
    return gather(children, partial(_read, known))


def _read(known: Known, node: Node) -> Condition:
    if node.key.lower().startswith("header."):  # written in quotes
        return header_condition(node, known)
    if node.key not in CONDITIONS:
        node.unknown("condition", node.key, CONDITIONS)
    return CONDITIONS[node.key].read(node, known)


def _alternatives(node: Node, known: Known) -> list[Condition]:
    return node.each(lambda part: all_of(read_all(part, known)))


def _any(node: Node, known: Known) -> Condition:
    if not isinstance(node.value, list):
        node.expects("a list of alternatives, like `any = [{ ... }, { ... }]`,")
    return any_of(_alternatives(node, known))


def _not(node: Node, known: Known) -> Condition:
    return none_of(_alternatives(node, known))


CONDITIONS: dict[str, Ask] = {
    "subject": Ask("the subject", 'subject.contains = ["invoice", "Rechnung"]', text_condition),
    "text": Ask("the whole text", 'text.contains = "order number"', text_condition),
    "reply_text": Ask("what the writer newly wrote", 'reply_text.word = "unsubscribe"', text_condition),
    "from_name": Ask("the name beside the From address", 'from_name.is = "Web Form"', text_condition),
    "header": Ask(
        "any header, in any of its lines; also whether it is there", "header.x-mailer = { present = true }", headers_condition
    ),
    "from": Ask("an address in From", 'from = ["ann@example.com", "@example.net"]', _addresses),
    "to": Ask("an address in To", 'to = "sales@example.org"', _addresses),
    "cc": Ask("an address in Cc", 'cc = ".example.com"', _addresses),
    "reply_to": Ask("an address in Reply-To", 'reply_to = "noreply@"', _addresses),
    "recipient": Ask(
        "an address in To or Cc, or to which servers say it was delivered (Delivered-To, X-Original-To, Envelope-To)",
        'recipient = "sales@example.org"',
        _addresses,
    ),
    "kind": Ask("what sort of mail it is: message, auto-reply, bounce or list", 'kind = ["auto-reply", "list"]', _kind),
    "null_sender": Ask("is the envelope sender empty, as of automatic mail?", "null_sender = true", _null_sender),
    "verified": Ask('is the sender proven? true, false, or "unknown" where nobody said', "verified = false", _verified),
    "queue": Ask("the queue before any rule changes it", 'queue = "support"', _queue),
    "folder": Ask("the folder it came in; `.` is the drop box", 'folder = "INBOX"', _folder),
    "hours": Ask("the time of day when it came, in TIME_ZONE; the end is not counted", 'hours = "18:00-08:00"', _hours),
    "weekdays": Ask(f"the day when it came: {' '.join(DAYS)}", 'weekdays = ["sat", "sun"]', _weekdays),
    "spam": Ask(
        "the score in X-Spam-Score, X-Spam-Status, X-Rspamd-Score or X-Spam-Level; never holds without one",
        "spam.above = 4.5",
        _spam,
    ),
    "size": Ask("the size of the whole mail", 'size.above = "5 MB"', _size),
    "attachment": Ask(
        "an attachment with this `type`, `name`, `size`, `inline`, all at once; `count`: how many such there are",
        'attachment = { type = "image/*", inline = false, count.above = 3 }',
        attachment_condition,
    ),
    "any": Ask(
        "one of several alternatives; in each, all must hold", 'any = [{ kind = "list" }, { subject.starts = "news" }]', _any
    ),
    "not": Ask("all that is asked here does not hold together; of a list, none does", 'not = { from = "@example.org" }', _not),
    "always": Ask("holds for every mail", "always = true", _always),
}
