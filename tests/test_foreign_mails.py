"""Mails and replies of other projects, from a folder beside the checkout: what their authors say must come out."""

from __future__ import annotations

import base64
import json
import re
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from pipeline import markup, trim_html
from pipeline.letter import Mail
from pipeline.mime import html_of, part_bytes, read_mail
from pipeline.trim import new_text

FOLDER = Path(__file__).parents[2] / "shared/mails"
TEXTS = ("talon/inline", "talon/signature", "talon/html_replies", "github-erp", "zapier-erp")

pytestmark = pytest.mark.skipif(not FOLDER.is_dir(), reason="the folder shared/mails is not there")


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in (FOLDER / "expected.jsonl").read_text("utf-8").splitlines()]


def raw_mails() -> Iterator[tuple[Path, bytes]]:
    for path in sorted(FOLDER.rglob("*")):
        if path.is_file() and not any(part in path.as_posix() for part in TEXTS) and path.suffix not in (".md", ".jsonl"):
            yield path, path.read_bytes()


def bare(text: str) -> str:
    return re.sub(r"\s+", "", text)


def words(text: str) -> str:
    return " ".join(text.split())


def like(expected: str, got: str) -> bool:
    """Compare without white space; U+FFFD in the expectation stands for any 1 to 3 characters."""
    return bool(re.fullmatch(re.escape(bare(expected)).replace("\ufffd", ".{1,3}"), bare(got), re.DOTALL))


def emails(people: Any) -> list[str]:
    return [one.address for one in people if one.address]


def attachments_agree(mail: Mail, expected: list[dict[str, Any]]) -> bool:
    fields = ("filename", "content_type", "size", "sha256")
    wanted = [{key: row[key] for key in fields if key in row} for row in expected]
    found = [{key: getattr(one, key) for key in row} for row, one in zip(wanted, mail.attachments, strict=False)]
    return len(wanted) == len(mail.attachments) and found == wanted


def same_date(expected: str, got: str | None) -> bool:
    return got is not None and datetime.fromisoformat(expected).astimezone(UTC) == datetime.fromisoformat(got)


CHECKS: dict[str, Callable[[Mail, bytes, Any], bool]] = {
    "subject": lambda mail, raw, value: mail.subject == value,
    "from": lambda mail, raw, value: mail.author is not None and mail.author.address == value,
    "from_name": lambda mail, raw, value: mail.author is not None and mail.author.name == value,
    "to": lambda mail, raw, value: emails(mail.to) == value,
    "to_name": lambda mail, raw, value: mail.to[0].name == value,
    "to_first": lambda mail, raw, value: mail.to[0].address == value,
    "to_count": lambda mail, raw, value: len(mail.to) == value,
    "cc": lambda mail, raw, value: emails(mail.cc) == value,
    "reply_to": lambda mail, raw, value: emails(mail.reply_to) == value,
    "message_id": lambda mail, raw, value: mail.message_id == value,
    "in_reply_to": lambda mail, raw, value: list(mail.in_reply_to) == value,
    "references": lambda mail, raw, value: list(mail.references) == value,
    "date": lambda mail, raw, value: same_date(value, mail.date),
    "text": lambda mail, raw, value: like(value, mail.text),
    "text_contains": lambda mail, raw, value: all(bare(one) in bare(mail.text) for one in value),
    "text_excludes": lambda mail, raw, value: not any(one in mail.text for one in value),
    "text_nonempty": lambda mail, raw, value: bool(mail.text.strip()),
    "html": lambda mail, raw, value: like(value, html_of(raw) or ""),
    "html_contains": lambda mail, raw, value: all(bare(one) in bare(html_of(raw) or "") for one in value),
    "attachments": lambda mail, raw, value: attachments_agree(mail, value),
    "attachment_count": lambda mail, raw, value: len(mail.attachments) == value,
    "has_attachment_sha256": lambda mail, raw, value: value in {found.sha256 for found in mail.attachments},
    "has_filename": lambda mail, raw, value: value in {found.filename for found in mail.attachments},
    "must_not_raise": lambda mail, raw, value: not any("broke" in defect for defect in mail.defects),
}


def disagreements(row: dict[str, Any]) -> list[str]:
    raw = (FOLDER / row["file"]).read_bytes()
    mail = read_mail(raw)
    asked = row.keys() - set(row.get("advisory_fields", ()))
    return [key for key, check in CHECKS.items() if key in asked and not check(mail, raw, row[key])]


def new_text_of(row: dict[str, Any]) -> str:
    raw = (FOLDER / row["file"]).read_bytes()
    if row.get("kind", "mail") == "mail":
        return read_mail(raw).reply_text
    text = raw.decode("utf-8", "replace")
    return (
        new_text(markup.to_text(trim_html.without_quotes(text), quotes=True)) if row["kind"] == "reply_html" else new_text(text)
    )


def reply_is_right(row: dict[str, Any]) -> bool:
    started = time.process_time()
    got = new_text_of(row)
    if "reply_html_nospace" in row:
        wanted = row["reply_html_nospace"]
        return bare(got) == bare(markup.to_text(re.sub(r"<(div|a|span|b|br)(?=class|dir|href)", r"<\1 ", wanted)))
    if "reply_text" in row:
        squeeze = bare if row["kind"] == "reply_html" else words
        return squeeze(row["reply_text"]) == squeeze(got)
    if "single_fragment" in row:
        return words(got) == words((FOLDER / row["file"]).read_text("utf-8"))
    in_time = time.process_time() - started < row.get("max_seconds", 2)
    parts = all(words(one) in words(got) for one in row.get("reply_contains", ()))
    return in_time and parts and not any(one in got for one in row.get("reply_excludes", ()))


def test_every_foreign_mail_is_read_without_a_fault() -> None:
    """No mail breaks the reader, and no text of it holds a NUL or a lone surrogate."""
    seen = 0
    for path, raw in raw_mails():
        mail = read_mail(raw)
        assert not any("broke" in defect for defect in mail.defects), path
        assert not re.search("[\0\ud800-\udfff]", repr(mail)), path
        seen += 1
    assert seen > 300


def test_attachments_of_foreign_mails_are_cut_from_the_raw_mail() -> None:
    """Every attachment's span gives the bytes of its size and digest."""
    import hashlib

    for path, raw in raw_mails():
        for attachment in read_mail(raw).attachments:
            decoded = part_bytes(raw, attachment)
            assert (len(decoded), hashlib.sha256(decoded).hexdigest()) == (attachment.size, attachment.sha256), path


def test_most_foreign_mails_are_read_as_their_authors_say() -> None:
    """At least 92 rows of expected.jsonl agree in every field."""
    mails = [row for row in rows() if row.get("kind", "mail") == "mail" and CHECKS.keys() & row.keys()]
    wrong = {row["file"]: found for row in mails if (found := disagreements(row))}
    print(f"{len(mails) - len(wrong)} of {len(mails)} mail rows are right", *wrong.items(), sep="\n")
    assert len(mails) - len(wrong) >= 92


def test_most_foreign_replies_are_trimmed_as_their_authors_say() -> None:
    """At least 126 of the reply rows of expected.jsonl agree; the others judge signatures or blockquotes otherwise."""
    judged = {"reply_text", "reply_html_nospace", "reply_contains", "reply_excludes", "single_fragment", "max_seconds"}
    replies = [row for row in rows() if judged & row.keys()]
    wrong = [row["file"] for row in replies if not reply_is_right(row)]
    print(f"{len(replies) - len(wrong)} of {len(replies)} reply rows are right", *wrong, sep="\n")
    assert len(replies) - len(wrong) >= 126


def test_encoded_leaves_keep_their_bytes() -> None:
    """The leaf bytes that CPython's own test states come out."""
    row = next(row for row in rows() if "leaf_bytes_b64" in row)
    raw = (FOLDER / row["file"]).read_bytes()
    from pipeline.mime import structure, transfer

    root, _ = structure.split(structure.workable(raw))
    leaves = [transfer.decode(raw[leaf.start : leaf.end], leaf.encoding) for leaf in root.leaves()]
    assert [base64.b64encode(leaf).decode() for leaf in leaves][: len(row["leaf_bytes_b64"])] == row["leaf_bytes_b64"]
