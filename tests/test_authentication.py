"""Authentication-Results are read in every dress, and only the topmost of a trusted server is believed."""

from __future__ import annotations

import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letter import Authentication
from pipeline.mime.authentication import RECORDS, authentications, trusted

MX = "mx.example.org"

# (value, server, spf, dkim, dmarc, domain), a row a form that servers write.
VALUES = [
    # RFC 8601
    ("mx.example.org; none", MX, None, None, None, None),
    ("mx.example.org 1; none", MX, None, None, None, None),
    ("mx.example.org; spf=pass smtp.mailfrom=example.com", MX, "pass", None, None, None),
    ("mx.example.org/7; spf=fail", "mx.example.org/7", "fail", None, None, None),
    ("mx.example.org (checked) 1 ; dkim/1=pass (good) header.d=example.com", MX, None, "pass", None, None),
    ('mx.example.org; dmarc=fail reason="bad; dkim=pass (x" header.from=example.com', MX, None, None, "fail", "example.com"),
    ('"mx.example.org"; spf=neutral', MX, "neutral", None, None, None),
    # Google
    (
        "mx.google.com; dkim=pass header.i=@example.com header.s=sel header.b=AbCd+/12; spf=pass (google.com: domain of"
        " ann@example.com designates 192.0.2.1 as permitted sender) smtp.mailfrom=ann@example.com; dmarc=pass (p=NONE"
        " sp=QUARANTINE dis=NONE) header.from=example.com",
        "mx.google.com", "pass", "pass", "pass", "example.com",
    ),
    # Microsoft
    (
        "spf=pass (sender IP is 192.0.2.1) smtp.mailfrom=example.com; dkim=pass (signature was verified) header.d=example.com;"
        "dmarc=pass action=none header.from=Example.com;compauth=pass reason=100",
        "", "pass", "pass", "pass", "example.com",
    ),
    (
        "spf=softfail (sender IP is 192.0.2.1) smtp.mailfrom=a.example; b.example; dkim=none (message not signed) header.d=none;"
        "b.example; dmarc=none action=none header.from=c.example;",
        "", "softfail", "none", "none", "c.example",
    ),
    ("spf=none (sender IP is ) smtp.mailfrom=<>; ", "", "none", None, None, None),
    ("dmarc=bestguesspass action=none header.from=example.com;compauth=pass", "", None, None, "bestguesspass", "example.com"),
    # Yahoo, old and new
    ("mta7.mail.yahoo.example from=example.com; domainkeys=neutral (no sig); from=example.com; dkim=permerror (no key)",
     "mta7.mail.yahoo.example", None, "permerror", None, None),
    ("a1.yahoo.example; spf=pass smtp.mailfrom=example.com; dmarc=pass(p=REJECT,sp=NONE) header.from=example.com;",
     "a1.yahoo.example", "pass", None, "pass", "example.com"),
    # Fastmail and iCloud: a header per method
    ("mx1.mail.example; x-csa=none; x-me-sender=none; x-ptr=pass smtp.helo=a.example policy.ptr=a.example",
     "mx1.mail.example", None, None, None, None),
    ("bimi.cloud.example; bimi=pass header.d=example.com header.selector=default", "bimi.cloud.example", None, None, None, None),
    ("dmarc.cloud.example; dmarc=pass header.from=example.com", "dmarc.cloud.example", None, None, "pass", "example.com"),
    # milters, amavis, rspamd, mail.ru, Proton
    ("mx.example.org; dmarc=none (p=none dis=none) header.from=example.com", MX, None, None, "none", "example.com"),
    ("mx.example.org (amavisd-new); dkim=pass (2048-bit key) header.d=example.com", MX, None, "pass", None, None),
    (
        "mx.example.org; dkim=pass header.d=example.com header.s=s1 header.b=x; arc=none; dmarc=pass (policy=none)"
        " header.from=example.com; spf=pass (mx.example.org: domain of b@example.com designates 192.0.2.9) smtp.mailfrom=b@x",
        MX, "pass", "pass", "pass", "example.com",
    ),
    ("mxs.mail.example; spf=pass (mx34: domain of a@b.c designates 192.0.2.2 as permitted sender) smtp.mailfrom=a@b.c"
     " smtp.helo=h.example;\t dkim=pass header.d=b.c", "mxs.mail.example", "pass", "pass", None, None),
    ("mail.proton.example; dmarc=pass (p=none dis=none) header.from=example.com; spf=pass smtp.mailfrom=example.com; arc=none"
     " smtp.remote-ip=192.0.2.3; dkim=pass (Good 1024 bit rsa-sha256 signature) header.d=example.com header.a=rsa-sha256",
     "mail.proton.example", "pass", "pass", "pass", "example.com"),
    # several results of one method
    ("mx.example.org; dkim=fail header.d=list.example; dkim=pass header.d=a.example; dkim=neutral", MX, None, "pass", None, None),
    ("mx.example.org; dkim=fail header.d=a; dkim=none header.d=b", MX, None, "fail", None, None),
    ("mx.example.org; spf=pass smtp.mailfrom=a; spf=fail smtp.helo=b", MX, "pass", None, None, None),
    ("mx.example.org; dmarc=pass header.from=a.example; dmarc=fail header.from=b.example", MX, None, None, "fail", "a.example"),
    # broken
    ("none", "", None, None, None, None),
    ("", "", None, None, None, None),
    ("; dkim=pass", "", None, "pass", None, None),
    ("mx.example.org", MX, None, None, None, None),
    ("mx.example.org spf=pass smtp.mailfrom=a dkim=pass header.d=b dmarc=pass header.from=c.d", MX, *["pass"] * 3, "c.d"),
    ("MX.Example.ORG.;\tSPF = PASS\tsmtp.mailfrom=a@b ;DKIM= Fail; DMARC =hardfail header.from = <Ann@Example.COM>",
     MX, "pass", "fail", "fail", "example.com"),
    ("mx.example.org; spf=SoftFail; dkim=TempError; dmarc=permerror", MX, "softfail", "temperror", "permerror", None),
    ("mx.example.org; dkim=policy (weak); spf=; dmarc", MX, None, "policy", None, None),
    ("mx.example.org; x-dmarc=pass; dmarc-policy=pass; arc=pass header.from=evil.example", MX, None, None, None, None),
    ("mx.example.org; dmarc=fail header.from=a.example; arc=pass header.from=evil.example", MX, None, None, "fail", "a.example"),
    ("mx.example.org; dmarc=none; dkim=pass header.b=abcd= header.d=example.com", MX, None, "pass", "none", None),
]  # fmt: skip


def read(value: str) -> Authentication:
    """Read one header."""
    [record] = authentications([("authentication-results", value)])
    return record


@pytest.mark.parametrize(("value", "server", "spf", "dkim", "dmarc", "domain"), VALUES)
def test_every_form_is_read(
    value: str, server: str, spf: str | None, dkim: str | None, dmarc: str | None, domain: str | None
) -> None:
    """Server, results and the domain that dmarc judged are found, however the header is written."""
    assert read(value) == Authentication(server, spf, dkim, dmarc, domain)


@pytest.mark.parametrize(
    "value",
    [
        "mx.example.org; dmarc=fail (because (really; dmarc=pass) of it; dmarc=pass)",
        "mx.example.org; spf=pass (domain of a(; dmarc=pass header.from=a.example; dmarc=fail",
        'mx.example.org; spf=pass smtp.mailfrom="x; dmarc=pass"@evil.example; dmarc=fail',
        "mx.example.org; spf=pass smtp.mailfrom=x; dmarc=pass; @evil.example; dmarc=fail header.from=a.example",
        "mx.example.org; dkim=pass header.d=a dmarc-x=pass dmarc.y=pass",
        'mx.example.org; spf=pass smtp.mailfrom="x; dmarc=pass header.from=a.example',
    ],
)
def test_what_a_sender_can_smuggle_in_is_no_pass(value: str) -> None:
    """Comments, quoted strings and values hold the sender's words; no dmarc=pass comes out of them."""
    assert read(value).dmarc != "pass"


def test_headers_come_in_order_and_are_bounded() -> None:
    """The topmost header is first; other headers are left out, and of very many the first are read."""
    headers = [
        ("received", "by b"),
        ("authentication-results", "b; spf=pass"),
        ("arc-authentication-results", "i=1; c; dmarc=pass"),
    ]
    headers += [("authentication-results", f"a{number}; dmarc=pass") for number in range(100)]
    found = authentications(headers)
    assert [one.server for one in found[:3]] == ["b", "a0", "a1"]
    assert len(found) == RECORDS
    assert authentications([]) == ()


def of(*values: str) -> tuple[Authentication, ...]:
    return authentications([("authentication-results", value) for value in values])


# (headers, trusted server, dmarc of the record that is believed; None: nobody is)
TRUST = [
    (["mx.example.org; dmarc=pass"], MX, "pass"),
    (["mx.example.org; dmarc=pass"], " MX.EXAMPLE.ORG ", "pass"),
    (["mx.example.org; dmarc=pass"], "example.org", None),
    (["mx.example.org; dmarc=pass"], "", None),
    ([], MX, None),
    (["other.example; spf=none", "mx.example.org; dmarc=pass"], MX, None),  # forged below
    (["mx.example.org; dmarc=fail", "mx.example.org; dmarc=pass"], MX, "fail"),
    # Microsoft leaves its name out
    (["spf=pass; dmarc=pass action=none"], "protection.outlook.com", "pass"),
    (["spf=pass; dmarc=pass action=none"], MX, None),
    (["spf=pass; dmarc=pass action=none"], "", None),
    (["protection.outlook.com; dmarc=pass"], "protection.outlook.com", None),
    # a farm of servers
    (["mx7.example.org; dmarc=pass"], "*.example.org", "pass"),
    (["mx7.example.org.evil.example; dmarc=pass"], "*.example.org", None),
    (["evilexample.org; dmarc=pass"], "*.example.org", None),
    (["mx7.example.org; x-csa=none", "mx7.example.org; arc=none", "mx7.example.org; dmarc=pass"], "*.example.org", "pass"),
    (["mx7.example.org; x-csa=none", "evil.example; dmarc=pass", "mx7.example.org; dmarc=pass"], "*.example.org", None),
    (["mx7.example.org; dmarc=fail", "mx7.example.org; dmarc=pass"], "*.example.org", "fail"),
]


@pytest.mark.parametrize(("values", "server", "dmarc"), TRUST)
def test_only_the_topmost_of_the_trusted_server_counts(values: list[str], server: str, dmarc: str | None) -> None:
    """Below the topmost header anybody may have written the trusted name."""
    believed = trusted(of(*values), server)
    assert (believed.dmarc if believed else None) == dmarc


def test_a_silent_header_of_the_trusted_server_hides_forged_ones() -> None:
    """A server that found nothing does not make the header below it its own."""
    believed = trusted(of("mx.example.org; none", "mx.example.org; dmarc=pass"), MX)
    assert believed is not None
    assert believed.dmarc is None


@given(st.text())
def test_any_text_is_read(value: str) -> None:
    """No value makes the reader raise; words are lower-case and short."""
    record = read(value)
    assert all(word is None or (word == word.lower() and 0 < len(word) <= 20) for word in (record.spf, record.dkim, record.dmarc))


@given(
    st.lists(
        st.sampled_from(["dmarc", "spf", "dkim", "=", "pass", "fail", ";", " ", "(", ")", '"', "\\", "header.from", "a.b", "\t"])
    )
)
def test_any_mix_of_tokens_is_read(tokens: list[str]) -> None:
    """No order of the grammar's own signs makes the reader raise."""
    read("".join(tokens))


@pytest.mark.parametrize("piece", ["(", ")", ";", '"', "\\", "=", "= ", " ", "a=b ", "dmarc=pass ", "(a", '"a', "dmarc = "])
def test_a_huge_header_is_read_in_no_time(piece: str) -> None:
    """Twenty headers of a megabyte take less than a second together."""
    headers = [("authentication-results", piece * (1_000_000 // len(piece)))] * 50
    start = time.process_time()
    authentications(headers)
    assert time.process_time() - start < 1
