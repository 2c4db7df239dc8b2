"""What a delivery report tells (RFC 3464), also where it is only a letter of a mail server to people.

A server that follows the standard is believed. From the text of the others the addresses are taken that stand at the
beginning of a line or behind a phrase such as "delivery to"; and only if there are none, any other that is nobody's own.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from functools import cached_property
from itertools import islice
from typing import NamedTuple

from pipeline.letter import Bounce, Undelivered
from pipeline.mime import charsets, fields, structure, transfer
from pipeline.mime.addresses import addresses
from pipeline.mime.words import raw_text

RECIPIENTS = 100
REASON = 300  # characters
STATUS_BYTES = 256 * 1024
RETURNED_BYTES = 64 * 1024  # of the returned mail: its headers are at the beginning
TEXT = 64 * 1024
LINES = 1500
LINE = 1000

_ADDRESS = re.compile(r"(?<![\w.!#$%&'*+/=?^`{|}~@-])[\w.!#$%&'*+/=?^`{|}~-]{1,64}@[\w-]{1,63}(?:\.[\w-]{1,63}){0,9}")
_UTF8_ESCAPE = re.compile(r"\\x\{([0-9A-Fa-f]{1,6})\}")  # RFC 6533, 3
_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")  # RFC 3463, 2
_REPLY = re.compile(r"(?<![\d.-])([45])[0-5]\d(?=[ -]|$)")  # RFC 5321, 4.2
_UNSEEN = re.compile(r"[\x00-\x20\x7f-\xa0\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]+")
_TYPE = re.compile(r"\s*(?:rfc822|utf-8|smtp|x-[\w.-]{1,40}|local|unknown|system|dns)\s*;\s*", re.IGNORECASE)
_UNDELIVERED = {
    "failed": "failed",
    "failure": "failed",
    "delayed": "delayed",
}  # the other actions of RFC 3464, 2.3.3 are good news

_GOOD_NEWS = frozenset({"delivered", "relayed", "expanded"})  # RFC 3464, 2.3.3


def _any(*phrases: str, before: str = "", behind: str = "") -> re.Pattern[str]:
    return re.compile(f"{before}(?:{'|'.join(phrases)}){behind}", re.IGNORECASE)


# A line behind which only the returned mail stands.
_COPY = _any(
    r"[-=*_]{2}.{0,160}?(?:original|copy|unsent|headers? (?:of|follow)|message (?:header|text|body|follows))",
    r"[-=*_]{2}.{0,160}?(?:returned (?:mail|message)|undelivered message|mensaje|nachricht|messaggio|message d|mensagem)",
    r"[-=*_]{2}.{0,160}?(?:bericht|сообщени|原|メッセージ)",
    r"(?:received|return-path)\s*:\s",
    r"(?:the )?(?:original|your|undelivered) (?:message|mail) (?:follows|reads|as received|headers? follow|attached)",
    r"here is a copy",
    r"a (?:copy|summary) of the .{0,40}(?:message|mail)",
    r"(?:included|below|attached) is a copy",
    r"below (?:this|the next) line",
    before=r"[\s>|]{0,20}",
)
_FIELD = re.compile(r"[a-z-]{1,40}:", re.IGNORECASE)
_COPIED_ID = re.compile(r"^[>|\s]{0,20}message-id\s{0,4}:\s{0,4}(<[^<>\s]{1,500}>)", re.IGNORECASE | re.MULTILINE)

# A line of the quoted headers of the returned mail: whom it names is nobody's recipient, or only for want of a better one.
_QUOTED = _any(
    r"from|sender|reply-to|return-path|(?:[<>]{3} )?mail from|message-id|references|in-reply-to|contact|x-[\w-]{1,40}",
    r"von|de|da|od|van|från|fra|от|expéditeur|remitente|mittente|absender|remetente|nadawca|差出人|发件人|寄件者|보낸 사람",
    before=r"[\s>|*-]{0,20}",
    behind=r"\s{0,4}[:：]",
)
_QUOTED_TO = _any(
    r"to|cc|an|à|para|a|aan|till|til|do|кому|komu|destinataire|宛先|收件人|받는 사람",
    before=r"[\s>|*-]{0,20}",
    behind=r"\s{0,4}[:：]",
)

# What a line may begin with before the address of a recipient, and what else stands right before one.
_BULLET = re.compile(r"[\s>|*•·+#\"'`<\[({-]{0,40}(?:\d{1,3}[.)]\s{1,3})?(?:mailto:|smtp:)?[<\[({\"']{0,3}$", re.IGNORECASE)
_LEADS = _any(
    r"rcpt to|recipients?|recipient address|original address|error-for|undeliverable address|final delivery userid",
    r"(?:delivered?|delivery|message|mail|sent|addressed|forward(?:ed)?|reach|user|account) (?:\S{1,20} ){0,3}(?:to|for|of)",
    r"to|for|user|mailbox|address|account|local user|generated from|expanded from|unknown user|user unknown|no such user",
    r"does not exist|did not reach|(?:quota|violation) for|mailbox is full|could not deliver",
    r"an|für|empfänger|zugestellt|à|a|destinataire|destinatario|destinatário|para|aan|ontvanger|till|mottagare|til|modtager",
    r"mottaker|vastaanottaja|do|odbiorca|adresat|pro|příjemce|címzett|către|получател[ьяюе]|адресату?|отримувач|alıcı",
    r"παραλήπτη|宛先|收件人|收信人|수신자",
    before=r"(?:^|\W)",
    behind=r"[\s:：,'\"<`(;*=-]{0,12}$",
)
_SENT_BY = _any("from", "by", "von", "от", "来自", behind=r"[\s:<\"'(]{0,5}$")
_OFFICES = _any(
    r"mailer-daemon|postmaster|abuse|support|help(?:desk)?|hostmaster|webmaster|admin|administrator|info|no-?reply", behind="@"
)

# What says that the server still tries, in the text and in the subject; and what in a subject says that it gave up.
_STILL_TRIES = _any(
    r"not yet (?:been )?deliver|still being retried|(?:is|just|only) (?:only |just )?a warning|warning (?:message )?only",
    r"will (?:be retried|keep trying|continue (?:to (?:try|attempt)|trying|delivery)|retry)|attempts will (?:be )?continue",
    r"could not send message for past|(?:delivery|message|mail) (?:\S{1,30} ){0,4}delayed|postponed|wird .{0,40}erneut versucht",
)
_DELAY = _any(
    r"delay|warning|still being retried|verzöger|retard|en attente|demora|retras|adiad|ritard|vertrag|vertraging|fördröj",
    r"försena|forsink|viivästy|opóźni|zpožděn|oneskor|késlelt|întârzi|задерж|отложен|затрим|gecik|καθυστέρ|遅延|遅れ|延迟|延遲|지연",
)
_WHY = _any(
    r"quota|mailbox (?:is )?full|unknown|not (?:exist|found|listed|known)|no such|disabled|rejected|refused|denied|too large",
    r"unavailable|timed out|timeout|unbekannt|existiert nicht|überfüllt|abgelehnt|inconnue?|n'existe pas|pleine|desconocid",
    r"no existe|sconosciut|non esiste|inesistente|desconhecid|não existe|onbekend|bestaat niet|nieznany|nie istnieje|neexistuje",
    r"не существует|не найден|переполнен|不存在|已满|見つかりません|존재하지",
)
_GIVEN_UP = _any(r"fail|undeliver|returned|unzustellbar|non remis|unknown|not deliver|could not be deliver")


class _Line(NamedTuple):
    """An address in the text: who, how surely it is a recipient, and what stands behind it."""

    address: str
    sure: bool
    at: int
    rest: str


def bounce_of(headers: Sequence[tuple[str, str]], status: bytes | None, returned: bytes | None, text: str) -> Bounce | None:
    """Read a delivery report; None if it names neither a recipient nor a mail. Never raises, takes linear time.

    `headers` are the report's own (lower-case name, decoded value), `status` its decoded message/delivery-status part (several
    are put one behind the other with a blank line), `returned` the decoded mail that came back, or its headers, and `text` the
    words for people. Recipients whom the mail reached are left out: a report of success has none (RFC 3464, 2.3.3).
    """
    told = _Report(headers, text)
    groups = _groups(status) if status else []
    came_back = _headers_of(returned or told.copy.encode("utf-8", "replace"))
    recipients = _reported(groups, told)
    complete = any(group.keys() & _RECIPIENT for group in groups) and all(one.address for one in recipients)
    if not complete:
        recipients = _written(told, recipients) or _only_recipient(came_back, told, recipients) or recipients
    message_id = _original_id(groups, came_back, told)
    if not recipients and message_id is None and not groups:
        return None
    return Bounce(message_id, tuple(recipients[:RECIPIENTS]))


def bounce_in(data: transfer.Source, root: structure.Part, headers: Sequence[tuple[str, str]], text: str) -> Bounce | None:
    """Read the delivery report that the parts of a mail hold (RFC 6522, 3); `text` is its body. Never raises."""
    leaves = root.leaves()
    status = [_decoded(data, leaf, STATUS_BYTES) for leaf in leaves if leaf.content_type in _STATUS_TYPES][:RECIPIENTS]
    returned = next((_decoded(data, leaf, RETURNED_BYTES) for leaf in leaves if leaf.content_type in _RETURNED_TYPES), None)
    return bounce_of(headers, b"\n\n".join(status), returned, text)


def _decoded(data: transfer.Source, part: structure.Part, most: int) -> bytes:
    return transfer.decode(data[part.start : min(part.end, part.start + most)], part.encoding)


_STATUS_TYPES = ("message/delivery-status", "message/global-delivery-status")
_RETURNED_TYPES = (
    *("message/rfc822", "text/rfc822-headers", "message/global", "message/global-headers"),
    *("message/rfc822-headers", "message/partial"),  # wrong, and sent
)


class _Report:
    """The report as it stands in the mail itself: its headers, and its text up to the copy of the returned mail."""

    def __init__(self, headers: Sequence[tuple[str, str]], text: str) -> None:
        self.headers = headers
        self.text = text[:TEXT]
        lines = [line[:LINE] for line in self.text.split("\n")[:LINES]]
        end = next((at for at, line in enumerate(lines) if at and _COPY.match(line)), len(lines))
        self.lines = lines[:end]
        self.copy = "\n".join(lines[end:] if lines[end:] and _FIELD.match(lines[end]) else lines[end + 1 :])
        self.own = {
            one.address.lower() for name in _OWN for value in self.all(name) for one in addresses(value[:LINE]) if one.address
        }

    def all(self, name: str) -> list[str]:
        """Return every value of a header."""
        return [value for key, value in self.headers if key == name]

    @cached_property
    def action(self) -> str:
        """Say whether the text speaks of a delay or of the end."""
        subject = " ".join(self.all("subject"))[:LINE]
        late = _STILL_TRIES.search(" ".join(self.lines)) or (_DELAY.search(subject) and not _GIVEN_UP.search(subject))
        return "delayed" if late else "failed"

    @cached_property
    def diagnosis(self) -> str:
        """Return the first line that holds a code, else the first that says why in words."""
        coded = next((line for line in self.lines if _status("", line)), "")
        return _clean(coded or next((line for line in self.lines if _WHY.search(line)), ""))


_OWN = ("from", "to", "return-path", "reply-to", "sender", "delivered-to")


# -- the part for machines -------------------------------------------------------------------------------------------


def _groups(status: bytes) -> list[dict[str, str]]:
    """Split a delivery-status part into its groups of fields, the one of the whole mail first (RFC 3464, 2.1).

    Many servers leave out the blank line between groups, or put too many: a recipient's field that comes again opens a group.
    """
    groups: list[dict[str, str]] = [{}]
    opened = False
    for name, value in _fields(charsets.decode(status[:STATUS_BYTES])):
        if not name:
            opened = bool(groups[-1])
        elif opened or (name in groups[-1] and name in _OPENING):
            groups.append({name: value})
            opened = False
        else:
            groups[-1].setdefault(name, value)
        if len(groups) > RECIPIENTS + 1:
            break
    return groups if any(groups) else []


_RECIPIENT = {"final-recipient", "original-recipient"}
_OPENING = {*_RECIPIENT, "action"}


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield unfolded (lower-case name, value) pairs, and ("", "") for a blank line."""
    name, value = "", [""]
    for line in text.replace("\r\n", "\n").replace("\r", "\n").split("\n"):
        if line[:1] in (" ", "\t") and line.strip() and name:
            value.append(line)
            continue
        if name:
            yield name, " ".join(value)
        name, colon, rest = line.partition(":")
        name, value = name.strip().lower() if colon else "", [rest]
        if not line.strip():
            yield "", ""
    if name:
        yield name, " ".join(value)


def _reported(groups: list[dict[str, str]], told: _Report) -> list[Undelivered]:
    """Return the recipients of a delivery-status part whom the mail did not reach, under the addresses it was sent to.

    The original recipient goes before the final one: people know the address that they wrote, not where it is forwarded to.
    """
    found: dict[str | None, Undelivered] = {}
    for group in groups:
        action = group.get("action", "failed").partition("(")[0].strip().lower()
        if action in _GOOD_NEWS or not group.keys() & _RECIPIENT:
            continue
        address = _mailbox(group.get("original-recipient", "")) or _mailbox(group.get("final-recipient", ""))
        reason = _clean(_TYPE.sub("", group.get("diagnostic-code", "")[: 4 * REASON], count=1))
        status = _status(group.get("status", ""), reason)
        one = Undelivered(address, "delayed" if action == "delayed" else "failed", status, reason)
        found.setdefault(address and address.lower(), one)
    if not found or any(one.reason for one in found.values()):
        return list(found.values())
    diagnosis = told.diagnosis  # a report without its own reasons: the text has one
    return [replace(one, reason=diagnosis, status=one.status or _status("", diagnosis)) for one in found.values()]


def _mailbox(value: str) -> str | None:
    """Return the address of a recipient field: `rfc822; ann@example.com`, in any dress."""
    plain = _UTF8_ESCAPE.sub(lambda code: chr(min(int(code[1], 16), 0x10FFFF)), _TYPE.sub("", value[:LINE], count=1))
    found = _ADDRESS.search(charsets.clean(plain))
    return _trimmed(found[0]) if found else None


def _status(stated: str, reason: str) -> str | None:
    """Return the enhanced status code: the stated one, or the reason's where that says more (RFC 3463).

    A reply code alone is the undefined status of its class, `550` is `5.0.0`: that it failed for good is known, why is not.
    """
    own, said = _ENHANCED.search(stated), _ENHANCED.search(reason)
    if own and not (own[0].endswith(".0.0") and said and said[1] == own[1]):
        return own[0]
    if said:
        return said[0]
    reply = _REPLY.search(reason)
    return f"{reply[1]}.0.0" if reply else None


# -- the words for people --------------------------------------------------------------------------------------------


def _written(told: _Report, known: Sequence[Undelivered]) -> list[Undelivered]:
    """Return the recipients that headers and text name; what the report has `known` of one without an address is kept."""
    named = [one.address for value in told.all("x-failed-recipients") for one in addresses(value[: 16 * LINE]) if one.address]
    lines = list(islice(_mentions(told), 10 * RECIPIENTS))
    lines = [line for line in lines if line.sure] or lines
    reasons = _reasons(told, lines)
    found: dict[str, Undelivered] = {}
    for address in islice(named or [line.address for line in lines], 10 * RECIPIENTS):
        one = known[0] if len(known) == 1 else Undelivered(None, told.action)
        reason = one.reason or reasons.get(address.lower()) or told.diagnosis
        found.setdefault(address.lower(), Undelivered(address, one.action, one.status or _status("", reason), reason))
    return list(found.values())


def _reasons(told: _Report, lines: Iterable[_Line]) -> dict[str, str]:
    """Return what is said of each address: the first that holds a code, else the first of all."""
    found: dict[str, str] = {}
    for line in lines:
        reason, address = _reason(told, line), line.address.lower()
        if not found.get(address) or (_status("", reason) and not _status("", found[address])):
            found[address] = reason
    return found


def _mentions(told: _Report) -> Iterator[_Line]:
    """Yield the foreign addresses of the text in order."""
    for at, line in enumerate(told.lines):
        if "@" not in line or _QUOTED.match(line):
            continue
        quoted = _QUOTED_TO.match(line)
        for mention in _ADDRESS.finditer(line):
            address, before = _trimmed(mention[0]), line[: mention.start()]
            if address is None or address.lower() in told.own or _OFFICES.match(address):
                continue
            sure = not quoted and bool(_BULLET.match(before) or _LEADS.search(before[-100:]))
            if not sure and _SENT_BY.search(before[-20:]):
                continue
            yield _Line(address, sure, at, line[mention.end() :])


def _trimmed(address: str) -> str | None:
    local, _, domain = address.partition("@")
    local = local.rpartition("SMTP=")[2].lstrip(".'`*=")
    return charsets.clean(f"{local}@{domain.rstrip('.-_')}") if local and domain.strip(".-_") else None


def _reason(told: _Report, line: _Line) -> str:
    """Return what stands behind an address, on its line and the next ones; a blank line may come first where a code follows."""
    said = [line.rest.lstrip(" \t>):;,.'\"]*-")]
    below = told.lines[line.at + 1 : line.at + 8]
    if not said[0].strip() and below and not below[0].strip() and len(below) > 1 and _status("", below[1]):
        below = below[1:]
    for one in below:
        if not one.strip() or _begins_with_another(one, line.address):
            break
        said.append(one)
    return _clean(" ".join(said))


def _begins_with_another(line: str, address: str) -> bool:
    found = _ADDRESS.search(line)
    return bool(found and found[0].lower() != address.lower() and _BULLET.match(line[: found.start()]))


def _clean(text: str) -> str:
    """Return a text on one line, without controls and invisible signs, of bounded length."""
    words = charsets.clean(_UNSEEN.sub(" ", text[: 8 * REASON])).lstrip(" >):;,.*-").rstrip(" <:;,")
    return words if len(words) <= REASON else words[: REASON - 1] + "…"


# -- the mail that came back -----------------------------------------------------------------------------------------


def _headers_of(returned: bytes) -> structure.Part:
    """Read the headers of the returned mail; its body is left alone."""
    head = structure.workable(returned[:RETURNED_BYTES].lstrip())
    end = min((at for at in (head.find(b"\n\n"), head.find(b"\r\n\r\n")) if at > 0), default=len(head))
    return structure.split(head[:end])[0]


def _only_recipient(came_back: structure.Part, told: _Report, known: Sequence[Undelivered]) -> list[Undelivered]:
    """Return the one to whom the returned mail was addressed, if it is only one."""
    people = [one.address for one in addresses(raw_text(came_back.get("to")[: 2 * LINE])) if one.address]
    if len(people) != 1 or people[0].lower() in told.own:
        return []
    reason = told.diagnosis
    one = known[0] if len(known) == 1 else Undelivered(None, told.action, _status("", reason), reason)
    return [replace(one, address=people[0])]


def _original_id(groups: list[dict[str, str]], came_back: structure.Part, told: _Report) -> str | None:
    """Return the id of the mail that bounced: from its copy, else as the report names it, else as a reply would."""
    copied = _COPIED_ID.search(told.text)
    candidates = (
        raw_text(came_back.get("message-id")),
        *(group.get(name, "") for group in groups for name in ("original-message-id", "x-original-message-id")),
        copied[1] if copied else "",
        *told.all("in-reply-to"),
        *reversed(fields.message_ids(" ".join(told.all("references"))[:TEXT])),
    )
    return next((found for value in candidates if value.strip() and (found := fields.message_id(value[:LINE]))), None)
