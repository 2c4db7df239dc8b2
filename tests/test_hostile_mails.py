"""No mail stalls the reader: a crafted one goes through the whole line of reading in two seconds, a huge one in bounded memory.

FAMILIES holds the mails as functions of their size; bench/linear.py measures how the time of each grows.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from pipeline import mime, readers, sanitise
from pipeline.letter import Letter, Mail, Place
from pipeline.stages.parse import parse

SECONDS = 2  # of the processor, for one crafted mail of up to 256 KB
MORE = 1e-6  # seconds for each further byte: a mail of megabytes has more in it, and a tenth of its reader's time
HEAD = b"From: Ann <ann@example.com>\nDate: Sun, 22 Nov 2026 07:31:00 +0000\nMessage-ID: <a@example.com>\nSubject: Hi\n"
MIXED = b"Content-Type: multipart/mixed; boundary=b\n"
UNSTORABLE = re.compile("[\0\ud800-\udfff]")
BOUNCED = b"Return-Path: <>\nFrom: Mail Delivery System <mailer-daemon@example.com>\nSubject: Undelivered Mail\n"
CITED = b'<blockquote type="cite">'
ON = b"On Mon, 1 Jan 2026 at 10:00 Ann <ann@example.com> "
GROUP = b"Team: a@example.com, b@example.com; "
ALTERNATIVE, REPORT, DIGEST = (MIXED.replace(b"mixed", word) for word in (b"alternative", b"report", b"digest"))
SIGNED, RELATED = MIXED.replace(b"mixed", b"signed"), MIXED.replace(b"mixed", b"related")


class Family(NamedTuple):
    """Crafted mails of one sort: how many there are of what they are made of, and the mail made of that many."""

    size: int
    make: Callable[[int], bytes]


def header(name: str, piece: bytes) -> Callable[[int], bytes]:
    """Make mails with one header that repeats a piece."""
    return lambda size: name.encode() + b": " + piece * size + b"\n" + HEAD + b"\nx\n"


def headers(piece: bytes) -> Callable[[int], bytes]:
    """Make mails whose header section repeats some lines."""
    return lambda size: HEAD + piece * size + b"\nx\n"


def content(kind: str, piece: bytes, encoding: str = "8bit", start: bytes = b"", end: bytes = b"") -> Callable[[int], bytes]:
    """Make mails of one part that repeats a piece."""
    head = HEAD + f"Content-Type: {kind}\nContent-Transfer-Encoding: {encoding}\n\n".encode()
    return lambda size: head + start + piece * size + end


def text(piece: bytes | str, start: bytes = b"", end: bytes = b"") -> Callable[[int], bytes]:
    return content("text/plain; charset=utf-8", piece.encode() if isinstance(piece, str) else piece, start=start, end=end)


def html(piece: bytes, start: bytes = b"", end: bytes = b"") -> Callable[[int], bytes]:
    return content("text/html; charset=utf-8", piece, start=start, end=end)


def parts(piece: bytes, kind: bytes = MIXED) -> Callable[[int], bytes]:
    """Make multiparts that repeat some lines."""
    return lambda size: HEAD + kind + b"\n" + piece * size + b"--b--\n"


def report(piece: bytes, start: bytes = b"") -> Callable[[int], bytes]:
    """Make delivery reports whose part for machines repeats a piece."""
    head = BOUNCED + REPORT + b"\n--b\n\nx\n--b\nContent-Type: message/delivery-status\n\nReporting-MTA: dns; a\n\n" + start
    return lambda size: head + piece * size + b"\n--b--\n"


def numbered(piece: str, start: bytes = b"", end: bytes = b"\n\nx\n") -> Callable[[int], bytes]:
    """Make mails that repeat a piece with a number in it."""
    return lambda size: HEAD + start + "".join(piece % number for number in range(size)).encode() + end


def nested_multiparts(size: int) -> bytes:
    levels = (b"Content-Type: multipart/mixed; boundary=b%d\n\n--b%d\n" % (number, number) for number in range(size))
    return HEAD + b"".join(levels) + b"\ndeep\n"


def nested_mails(size: int) -> bytes:
    return HEAD + b"Content-Type: message/rfc822\n\n" * size + b"x\n"


def nested_in_base64(size: int) -> bytes:
    """Nest forwarded mails, each encoded; every level makes it a third larger, so it is built while it stays below a megabyte."""
    mail = HEAD + b"\nx\n"
    for _ in range(size):
        if len(mail) > 700_000:
            break
        mail = HEAD + b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" + base64.encodebytes(mail)
    return HEAD + b"Content-Type: message/rfc822\nContent-Transfer-Encoding: base64\n\n" * (size // 2) + mail


def html_nested(piece: str, size: int) -> bytes:
    return html(f"<{piece}>".encode())(size) + f"</{piece.split()[0]}>".encode() * size


def quoted_deeply(size: int) -> bytes:
    return text(b"")(0) + b"".join(b">" * (number % 10_000) + b" x\n" for number in range(size // 5000 + 1))


def megabytes(number: int, piece: bytes, start: bytes = b"", end: bytes = b"") -> Family:
    """Return the family of HTML mails that repeat a piece, that large."""
    return Family(number * 1_000_000 // len(piece), html(piece, start, end))


FAMILIES: dict[str, Family] = {
    # header fields
    "brackets in From": Family(20_000, header("From", b"(")),
    "closed brackets in From": Family(200_000, header("From", b"()")),
    "angles in From": Family(300_000, header("From", b"<")),
    "quotes in From": Family(300_000, header("From", b'"')),
    "escapes in From": Family(300_000, header("From", b'\\"')),
    "blanks before an at": Family(300_000, lambda size: b"From: " + b" " * size + b"@\n" + HEAD + b"\nx\n"),
    "ats in From": Family(300_000, header("From", b"a@")),
    "half encoded words in From": Family(100_000, header("From", b"=?a?q?")),
    "addresses in To": Family(100_000, numbered("a%d@example.com, ", b"To: ")),
    "names in To": Family(100_000, header("To", b'"Ann, A." (b) <a@example.com>, ')),
    "commas in To": Family(300_000, header("To", b",")),
    "groups in To": Family(50_000, header("To", GROUP)),
    "open groups in To": Family(300_000, header("To", b"a:")),
    "many To lines": Family(100_000, headers(b"To: a@example.com, b@example.com\n")),
    "many From lines": Family(100_000, headers(b"From: a@example.com\n")),
    "semicolons in Content-Type": Family(16_384, header("Content-Type", b";")),
    "spaced semicolons in Content-Type": Family(100_000, header("Content-Type", b"; a=")),
    "open quotes in Content-Type": Family(100_000, header("Content-Type", b';a="')),
    "escapes in Content-Type": Family(100_000, lambda size: b'Content-Type: a/b; a="' + b"\\" * size + b"\n" + HEAD + b"\nx\n"),
    "RFC 2231 sections": Family(1000, numbered("; n*%d*=a%%41", b"Content-Type: a/b", b"\n\nx\n")),
    "RFC 2231 names": Family(20_000, numbered("; n%d*=utf-8''a%%41", b"Content-Disposition: attachment", b"\n\nx\n")),
    "encoded words": Family(20_000, header("Subject", b"=?utf-8?q?a?= ")),
    "encoded words of base64": Family(20_000, header("Subject", b"=?utf-8?b?YWJj?= ")),
    "encoded words of many charsets": Family(20_000, header("Subject", b"=?koi8-r?q?a=FF?= =?gb2312?q?=FF?= ")),
    "words that never end": Family(300_000, header("Subject", b"=?utf-8?q?")),
    "one long word": Family(3_000_000, lambda size: b"Subject: =?utf-8?q?" + b"=41" * size + b"?=\n" + HEAD + b"\nx\n"),
    "question marks": Family(1_000_000, header("Subject", b"=?")),
    "a long Subject": Family(5_000_000, header("Subject", b"a")),
    "a long Subject of blanks": Family(5_000_000, header("Subject", b" ")),
    "a long folded Subject": Family(500_000, header("Subject", b"a\n ")),
    "Re: in Subject": Family(500_000, header("Subject", b"Re: ")),
    "ids in References": Family(100_000, numbered("<%d@example.com> ", b"References: ")),
    "open ids in References": Family(300_000, header("References", b"<a@b ")),
    "words in In-Reply-To": Family(300_000, header("In-Reply-To", b"a@b ")),
    "an id without end": Family(1_000_000, header("Message-ID", b"<")),
    "brackets in Date": Family(300_000, header("Date", b"(")),
    "digits in Date": Family(300_000, header("Date", b"1 ")),
    "headers": Family(100_000, headers(b"X-A: b\n")),
    "different headers": Family(100_000, numbered("X-%d: b\n", end=b"\nx\n")),
    "a header of 10 MB": Family(10_000_000, header("X-A", b"b")),
    "a header of 10 MB of folds": Family(3_000_000, header("X-A", b"\n b")),
    "a header of blank folds": Family(1_000_000, header("X-A", b"\n \n\tb")),
    "blank lines among headers": Family(300_000, lambda size: b"X: y\n" + b" \n\t\n" * size + HEAD + b"\nx\n"),
    "blanks before a colon": Family(1_000_000, lambda size: HEAD + b"X-A" + b" " * size + b"b\n\nx\n"),
    "junk among headers": Family(100_000, headers(b"junk\nX-a: b\n")),
    "a name without colon": Family(5_000_000, lambda size: b"a" * size),
    "names without colons": Family(300_000, headers(b"abcdefgh\n")),
    "mbox lines": Family(300_000, lambda size: b"From a\n" * size + HEAD + b"\nx\n"),
    "line ends before the headers": Family(3_000_000, lambda size: b"\r\n" * size + HEAD + b"\nx\n"),
    "NUL": Family(5_000_000, lambda size: HEAD + b"\0" * size),
    "Received": Family(50_000, headers(b"Received: from a (b [1.2.3.4]) by c with d for <f@g>; Sun, 22 Nov 2026 07:31 +0000\n")),
    "Authentication-Results": Family(20_000, headers(b"Authentication-Results: a; spf=pass (b) smtp.mailfrom=c; dkim=pass\n")),
    "methods in Authentication-Results": Family(100_000, header("Authentication-Results", b"; dkim=pass (a) header.d=b")),
    "brackets in Authentication-Results": Family(300_000, header("Authentication-Results", b"(")),
    "quotes in Authentication-Results": Family(300_000, header("Authentication-Results", b';"')),
    "List-Id": Family(300_000, header("List-Id", b"<a.")),
    "ticket numbers": Family(300_000, header("Subject", b"[#1] ")),
    # structure
    "nested parts": Family(1000, nested_multiparts),
    "nested parts with one boundary": Family(20_000, lambda size: HEAD + MIXED + b"\n" + (b"--b\n" + MIXED + b"\n") * size),
    "nested mails": Family(100_000, nested_mails),
    "nested mails in base64": Family(1000, nested_in_base64),
    "parts": Family(20_000, parts(b"--b\n\nx\n")),
    "empty parts": Family(200_000, parts(b"--b\n")),
    "alternatives": Family(1000, parts(b"--b\nContent-Type: text/html\n\n<p>x\n", ALTERNATIVE)),
    "alternatives of text": Family(20_000, parts(b"--b\n\nx\n", ALTERNATIVE)),
    "parts of reports": Family(20_000, parts(b"--b\nContent-Type: message/delivery-status\n\nAction: failed\n\n", REPORT)),
    "a digest": Family(20_000, parts(b"--b\n\nFrom: a@example.com\nSubject: x\n\nx\n", DIGEST)),
    "signed parts": Family(20_000, parts(b"--b\nContent-Type: application/pgp-signature\n\nx\n", SIGNED)),
    "related images": Family(20_000, parts(b"--b\nContent-Type: image/png\nContent-ID: <a>\n\nx\n", RELATED)),
    "parts of attachments": Family(20_000, parts(b"--b\nContent-Type: a/b; name=c\nContent-Transfer-Encoding: base64\n\nQUJD\n")),
    "boundary look-alikes": Family(500_000, parts(b"--bx\n")),
    "boundary look-alikes with blanks": Family(1000, parts(b"--b" + b" " * 1000 + b"x\n")),
    "boundaries of dashes": Family(500_000, lambda size: HEAD + MIXED.replace(b"=b", b"=-") + b"\n" + b"-" * size + b"\n" * size),
    "an undeclared boundary": Family(100_000, lambda size: HEAD + MIXED.replace(b"=b", b"=c") + b"\n" + b"--b\ncontent-" * size),
    "a long boundary": Family(1_000_000, lambda size: HEAD + MIXED.replace(b"=b", b"=" + b"b" * size) + b"\n--b\n" * 9),
    "a bounce of many": Family(20_000, report(b"Final-Recipient: rfc822; a@b.c\nAction: failed\nStatus: 5.1.1\n\n")),
    "a bounce of blank lines": Family(1_000_000, report(b"\n")),
    "a bounce with a long reason": Family(500_000, report(b" x\n", b"Final-Recipient: rfc822; a@b\nDiagnostic-Code: x;\n")),
    "a bounce with a long word": Family(1_000_000, report(b"a", b"Final-Recipient: rfc822; a@b\nDiagnostic-Code: ")),
    "a bounce of addresses": Family(100_000, lambda size: BOUNCED + b"\n" + b"<a@example.com>: no such user\n" * size),
    "a bounce of at signs": Family(500_000, lambda size: BOUNCED + b"\n" + b"@a" * size),
    "a bounce that says why": Family(50_000, lambda size: BOUNCED + b"\n" + b"550 5.1.1 <a@example.com> unknown\n" * size),
    # transfer encodings and charsets
    "junk as base64": Family(1_000_000, content("a/b", b"!-~", "base64")),
    "base64 in pieces": Family(1_000_000, content("a/b", b"QQ==", "base64")),
    "only padding": Family(3_000_000, content("a/b", b"=", "base64")),
    "base64 with blank lines": Family(1_000_000, content("a/b", b"QUJD\n\n", "base64")),
    "one base64 byte a line": Family(1_000_000, content("text/plain", b"Q\n", "base64")),
    "equals signs in quoted-printable": Family(1_000_000, content("text/plain", b"=", "quoted-printable")),
    "soft breaks": Family(1_000_000, content("text/plain", b"=\n", "quoted-printable")),
    "blanks in quoted-printable": Family(3_000_000, content("text/plain", b" ", "quoted-printable")),
    "uuencode without end": Family(100_000, text(b"begin 644 a\n`\n")),
    "uuencoded files": Family(100_000, text(b"begin 644 a\n#86)C\n`\nend\n")),
    "begin lines": Family(200_000, text(b"begin 644 ")),
    "uuencode of junk": Family(300_000, text(b"M!\n", start=b"begin 644 a\n", end=b"end\n")),
    "uuencode as an encoding": Family(300_000, content("a/b", b"M!\n", "x-uuencode", b"begin 644 a\n")),
    "a charset of 1 MB": Family(1_000_000, lambda size: HEAD + b"Content-Type: a/b; charset=" + b"a-" * size + b"\n\n\xff"),
    "broken utf-8": Family(3_000_000, text(b"\xff")),
    "broken utf-16": Family(1_000_000, content("text/plain; charset=utf-16", b"\xd8\x00a")),
    "escapes of ISO-2022-JP": Family(500_000, content("text/plain; charset=iso-2022-jp", b"\x1b$B")),
    "broken ISO-2022-JP": Family(500_000, content("text/plain; charset=iso-2022-jp", b"\x1b$B\xff\xfe")),
    "hz": Family(500_000, content("text/plain; charset=hz-gb-2312", b"~{~~")),
    "gb18030": Family(500_000, content("text/plain; charset=gb18030", b"\x81\x30")),
    # text
    "On": Family(20_000, text(b"On ")),
    "On, each on a line": Family(100_000, text(b"On \n")),
    "half attributions": Family(100_000, text(ON + b"\n")),
    "attributions": Family(20_000, text(ON + b"wrote:\n")),
    "attributions between words": Family(20_000, text(b"x\n" + ON + b"wrote:\n> y\n")),
    "an attribution of 1 MB": Family(1_000_000, text(b"a ", start=ON, end=b" wrote:\n> x\n")),
    "attributions in other languages": Family(20_000, text("Am 1.1.2026 schrieb\nLe 1.1.2026 a écrit\nОт: а пишет:\n写道：\n")),
    "blank lines": Family(50_000, text(b"\n")),
    "5 MB of blank lines": Family(5_000_000, text(b"\n")),
    "lines of blanks": Family(500_000, text(b" \t\n")),
    "a line of blanks": Family(5_000_000, text(b" ")),
    "dashes": Family(200_000, text(b"-")),
    "5 MB of dashes": Family(5_000_000, text(b"-")),
    "lines of dashes": Family(500_000, text(b"--\n")),
    "underscores": Family(5_000_000, text(b"_")),
    "rules": Family(50_000, text(b"-" * 70 + b"\nx\n")),
    "combining marks": Family(131_072, text("\u0301")),
    "marks that set the direction": Family(1_000_000, text("\u200f")),
    "text without a line break": Family(5_000_000, text(b"a")),
    "words without a line break": Family(2_500_000, text(b"a ")),
    "different words": Family(500_000, numbered("a%d ", start=b"\n", end=b"\n")),
    "header blocks": Family(50_000, text(b"From: a@example.com\nSent: x\nTo: b\nSubject: c\n\n")),
    "half header blocks": Family(200_000, text(b"From: a@example.com\n")),
    "a header block of 1 MB": Family(1_000_000, text(b"a ", start=b"From: ", end=b"\nSent: x\nTo: b\nSubject: c\n\n")),
    "forward marks": Family(50_000, text(b"---------- Forwarded message ---------\n")),
    "forwards in forwards": Family(20_000, text(b"---------- Forwarded message ---------\nFrom: a@b.c\nDate: x\nSubject: y\n\n")),
    "original marks": Family(50_000, text(b"-----Original Message-----\n")),
    "signatures": Family(200_000, text(b"x\n-- \n")),
    "signature marks": Family(500_000, text(b"-- \n")),
    "a signature of 1 MB": Family(1_000_000, text(b"a ", start=b"x\n-- \n")),
    "names at the end": Family(300_000, text(b"\n-Ann\n")),
    "Sent from my": Family(200_000, text(b"Sent from my phone\n")),
    "list footers": Family(50_000, text(b"_" * 47 + b"\nhttps://example.com\n")),
    "quoted lines": Family(500_000, text(b"> x\n")),
    "quotes and answers": Family(300_000, text(b"> x\ny\n")),
    "a line quoted very deeply": Family(5_000_000, text(b">")),
    "lines quoted very deeply": Family(1_000_000, quoted_deeply),
    "broken quoted lines": Family(200_000, text(b"> x\nhttps://example.com/a>\n")),
    "our own marker": Family(100_000, text(b"## reply above ##\n")),
    "addresses in text": Family(300_000, text(b"a@example.com ")),
    "links in text": Family(200_000, text(b"<https://example.com/a> ")),
    "flowed text": Family(500_000, content("text/plain; format=flowed", b"a \n")),
    "flowed text with delsp": Family(500_000, content("text/plain; format=flowed; delsp=yes", b"> a \n")),
    "flowed quotes": Family(1000, content("text/plain; format=flowed", b">" * 1000 + b" \n")),
    "carriage returns": Family(2_000_000, text(b"\r")),
    "line separators": Family(1_000_000, text("\u2028\x85")),
    "dates": Family(200_000, text(b"1.1.2026 10:00 <a@b.c>:\n")),
    # HTML
    "256 KB of div": Family(52_429, html(b"<div>")),
    "div": megabytes(2, b"<div>"),
    "closed div": megabytes(1, b"<div>x</div>"),
    "nested and closed div": Family(90_000, lambda size: html_nested("div", size)),
    "nested inline tags": Family(140_000, lambda size: html_nested("b", size)),
    "nested links": Family(70_000, lambda size: html_nested("a href=x", size)),
    "misnested formatting": megabytes(1, b"<b><i></b>"),
    "misnested formatting and paragraphs": megabytes(1, b"<p><b><font>"),
    "open formatting in paragraphs": megabytes(1, b"<b></p><p>", start=b"<b>" * 150),
    "formatting with different attributes": Family(40_000, numbered("<font color=%d><p>", b"Content-Type: text/html\n\n", b"")),
    "nested tables": megabytes(1, b"<table><tr><td>"),
    "tables without cells": megabytes(1, b"<table>x"),
    "text between cells": megabytes(1, b"x<b></b>", start=b"<table>"),
    "cells": megabytes(1, b"<td>x"),
    "cells of a table": megabytes(1, b"<td>x", start=b"<table><tr>"),
    "list items": megabytes(1, b"<li>x"),
    "nested lists": megabytes(1, b"<ul><li>"),
    "paragraphs": megabytes(1, b"<p>"),
    "line breaks": megabytes(1, b"<br>"),
    "deep blockquotes": Family(10_000, lambda size: html_nested("blockquote", size)),
    "deep cited blockquotes": megabytes(2, CITED),
    "cited blockquotes": megabytes(2, CITED + b"x</blockquote>y"),
    "Gmail quotes": megabytes(2, b'<div class="gmail_quote">x<blockquote>'),
    "closed Gmail quotes": megabytes(2, b'<div class="gmail_quote">x<blockquote>y</blockquote></div>'),
    "open links": megabytes(1, b'<a href="'),
    "links": megabytes(1, b'<a href="https://example.com/">example.org</a>'),
    "links in links": megabytes(1, b'<a href="https://example.com/">example.org'),
    "open tags": megabytes(1, b"<a "),
    "less-than signs": megabytes(1, b"<"),
    "comments": megabytes(1, b"<!--"),
    "closed comments": megabytes(1, b"<!-->"),
    "comments that never end": megabytes(1, b"<!-- -- "),
    "declarations": megabytes(1, b"<!a"),
    "CDATA": megabytes(1, b"<svg><![CDATA["),
    "scripts": megabytes(1, b"<script>"),
    "closed scripts": megabytes(1, b"<script></script>"),
    "half closed scripts": megabytes(1, b"</script", start=b"<script>"),
    "styles": megabytes(1, b"<style></style >"),
    "titles": megabytes(1, b"<title>"),
    "heads": megabytes(1, b"<head><body>"),
    "preformatted": megabytes(1, b"<pre>\n"),
    "textareas": megabytes(1, b"<textarea>"),
    "selects": megabytes(1, b"<select><option>"),
    "svg": megabytes(1, b"<svg><desc>"),
    "math": megabytes(1, b"<math><mtext>"),
    "templates": megabytes(1, b"<template>"),
    "frames": megabytes(1, b"<frameset>"),
    "small in small": megabytes(1, b"<small></small>"),
    "images": megabytes(1, b"<img src=https://example.com/a.png alt=b>"),
    "images of the mail": megabytes(1, b'<img src="cid:%41">'),
    "an image of 1 MB": megabytes(1, b"A", start=b"<img src=data:image/png;base64,", end=b">"),
    "an attribute of 1 MB": megabytes(1, b"a", start=b'<p title="', end=b'">x'),
    "a link of 1 MB": megabytes(1, b"a.", start=b'<a href="https://', end=b'">x'),
    "a link of escapes": megabytes(1, b"%25", start=b'<a href="https://example.com/', end=b'">x'),
    "attributes": megabytes(1, b" a=b", start=b"<p", end=b">x"),
    "different attributes": Family(100_000, numbered(" a%d=b", b"Content-Type: text/html\n\n<p", b">x")),
    "style declarations": megabytes(1, b"color:red;", start=b'<p style="', end=b'">x'),
    "styled tags": megabytes(1, b'<p style="color:red;a:b">x'),
    "quotes in tags": megabytes(1, b"<p '\""),
    "entities": megabytes(1, b"&amp;"),
    "half entities": megabytes(1, b"&am"),
    "long entities": megabytes(1, b"&CounterClockwiseContourIntegra"),
    "ampersands": megabytes(1, b"&"),
    "entities with many digits": megabytes(1, b"1", start=b"&#", end=b";"),
    "numeric entities": megabytes(1, b"&#55296;"),
    "blanks between tags": megabytes(1, b" \n"),
    "no-break spaces": megabytes(1, b"&nbsp;"),
    "a meta tag without end": megabytes(1, b"<meta "),
    "border headings": megabytes(1, b"<div style='border:none;border-top:solid #E1E1E1 1.0pt'>"),
    "attributions in HTML": megabytes(1, b"<div>On Mon, 1 Jan 2026 at 10:00 Ann wrote:</div>"),
    "marks in HTML": megabytes(1, "\u0301".encode()),
}  # fmt: skip


def read_whole(raw: bytes) -> tuple[Mail, str]:
    """Do what a reader process does with a mail: read it, send it, and make its HTML safe."""
    letter = parse(Letter(digest="", place=Place(".", "x"), raw=raw))
    json.dumps(readers.letter_to_wire(letter))
    written = mime.html_of(raw)
    return letter.mail, sanitise.sanitise(written) if written else ""


def strings(value: Any) -> Iterator[str]:
    """Yield every text in the plain values that a mail is sent as."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list | tuple):
        for inner in value.values() if isinstance(value, dict) else value:
            yield from strings(inner)


@pytest.mark.parametrize("name", FAMILIES)
def test_a_crafted_mail_is_read_in_time(name: str) -> None:
    """No crafted mail takes two seconds of the processor (and one for each megabyte), breaks the reader, or cannot be stored."""
    family = FAMILIES[name]
    raw = family.make(family.size)
    started = time.process_time()
    mail, shown = read_whole(raw)
    took = time.process_time() - started
    assert took < SECONDS + MORE * max(0, len(raw) - 256_000), f"{len(raw)} bytes took {took:.2f} s"
    assert not any("broke" in defect for defect in mail.defects)
    assert not any(map(UNSTORABLE.search, (shown, *strings(readers.mail_to_wire(mail)))))


# -- a mail that is larger than the memory it may cost ---------------------------------------------------------------

HUGE = 100 * 1024 * 1024
HUGE_SECONDS = 5
HUGE_MEGABYTES = 128
CHUNK = bytes(range(256)) * 3 * 19 * 64  # whole lines of base64: 57 bytes make 76 characters

READS = """
import json, mmap, sys, time
from pipeline.mime import read_mail
with open(sys.argv[1], "rb") as file:
    raw = memoryview(mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ))
    started = time.process_time()
    mail = read_mail(raw)
    took = time.process_time() - started
print(json.dumps([took, [[one.size, one.sha256] for one in mail.attachments], mail.text, mail.defects]))
"""


def as_base64(chunk: bytes) -> bytes:
    return base64.encodebytes(chunk)


def as_one_line(chunk: bytes) -> bytes:
    return base64.b64encode(chunk)


def as_quoted_printable(chunk: bytes) -> bytes:
    lines = (chunk[at : at + 25] for at in range(0, len(chunk), 25))
    return b"".join("".join(f"={byte:02X}" for byte in line).encode() + b"=\n" for line in lines)


def as_it_is(chunk: bytes) -> bytes:
    return chunk.replace(b"\n", b"\0").replace(b"\r", b"\0")


ENCODED = {
    "base64": ("base64", as_base64, bytes),
    "base64 without line breaks": ("base64", as_one_line, bytes),
    "quoted-printable": ("quoted-printable", as_quoted_printable, bytes),
    "binary": ("binary", as_it_is, as_it_is),
}


def write_huge(path: Path, encoding: str, encode: Callable[[bytes], bytes], decoded: Callable[[bytes], bytes]) -> tuple[int, str]:
    """Write a mail of 100 MB with one attachment; return the attachment's size and SHA-256."""
    encoded, plain, digest, size = encode(CHUNK), decoded(CHUNK), hashlib.sha256(), 0
    with path.open("wb") as file:
        file.write(HEAD + MIXED + b"\n--b\n\nHello\n--b\nContent-Type: a/b; name=c\n")
        file.write(f"Content-Transfer-Encoding: {encoding}\n\n".encode())
        while file.tell() < HUGE:
            file.write(encoded)
            digest.update(plain)
            size += len(plain)
        file.write(b"\n--b--\n")
    return size, digest.hexdigest()


def anonymous_kilobytes(process: int) -> int:
    """Return what a process has in memory that is no file."""
    found = re.search(rb"RssAnon:\s*(\d+)", Path(f"/proc/{process}/status").read_bytes())
    return int(found[1]) if found else 0


def watched(words: list[str]) -> tuple[bytes, int]:
    """Run a process to its end; return what it wrote and the most anonymous memory it was seen to have, in KiB."""
    most = 0
    with subprocess.Popen(words, stdout=subprocess.PIPE) as process:
        assert process.stdout
        while process.poll() is None:
            most = max(most, anonymous_kilobytes(process.pid))
            time.sleep(0.002)
        return process.stdout.read(), most


@pytest.mark.skipif(not os.path.exists("/proc/self/smaps_rollup"), reason="memory is measured by /proc (Linux)")
@pytest.mark.parametrize("name", ENCODED)
def test_a_mail_of_100_mb_is_read_in_bounded_time_and_memory(name: str, tmp_path: Path) -> None:
    """A mail of 100 MB, mapped into memory, costs less than five seconds and 128 MB, and its attachment is described right."""
    path = tmp_path / "huge.eml"
    attachment = write_huge(path, *ENCODED[name])
    output, kilobytes = watched([sys.executable, "-c", READS, str(path)])
    took, attachments, body, defects = json.loads(output)
    path.unlink()
    print(f"{name}: {took:.2f} s, {kilobytes / 1024:.0f} MiB")
    assert (attachments, body.strip(), defects) == ([list(attachment)], "Hello", [])
    assert took < HUGE_SECONDS
    assert kilobytes < HUGE_MEGABYTES * 1024
