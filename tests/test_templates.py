"""Templates of what goes out: the right file for queue and language, bounds on what it may do, and a slip stops no mail."""

from __future__ import annotations

import os
import re
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Iterator
from email.header import decode_header, make_header
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline import tables
from pipeline.compose import as_html
from pipeline.desk import Desk
from pipeline.errors import NotFound, WrongTemplate
from pipeline.letter import REPLY_ABOVE, Address
from pipeline.post import voice_of, words_of_ours
from pipeline.rendering import FILTERS, LONGEST, SECONDS, render
from pipeline.templates import LARGEST, NAMES, VARIABLES, Templates, is_folder, language_of, languages, samples
from pipeline.wording import RECEIVED

from .conftest import ROOT, House, a_mail
from .posting import Office, words
from .test_docs import as_pattern, blocks, commands

QUEUES = """
[[queue]]
name = "billing"
addresses = ["billing@desk.example"]
language = "de"
signature = "The billing people"

[[queue]]
name = "sales"
addresses = ["sales@desk.example"]
acknowledgement = "Sales has it."
"""


@pytest.fixture
def office(tmp_path: Path) -> Iterator[Office]:
    """A desk with two queues and no template yet."""
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "rules.toml").write_text(QUEUES)
    office = Office(tmp_path)
    yield office
    office.close()


def write(office: Office | House, name: str, text: str | bytes) -> Path:
    """Write a template."""
    home = office.home if isinstance(office, House) else office.settings.home
    path = home / "config" / "templates" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(text.encode() if isinstance(text, str) else text)
    return path


def acknowledged(office: Office, **headers: str) -> str:
    """Let a customer write; return what she is told, without marker and number."""
    office.says(f"Ann <ann{len(office.outbox())}@example.com>", **headers)
    lines = words(office.written()[-1]).splitlines()
    assert lines[0] == REPLY_ABOVE and re.fullmatch(r"\[TICKET-\d+\]", lines[-1])
    return "\n".join(lines[2:-2])


def why(office: Office, ticket: int) -> str:
    """Return what the ticket's history says of a wrong template."""
    event = tables.Event
    asked = event.select(event.what, event.why).where((event.ticket == ticket) & event.what.startswith("the built-in"))
    rows = office.store.rows(asked.order_by(event.id))
    return "\n".join(f"{row['what']}; {row['why']}" for row in rows)


# -- which file ------------------------------------------------------------------------------------------------------


def test_the_first_file_that_exists_is_used(office: Office) -> None:
    """The queue's in its language, the queue's, that of all in the language, that of all."""
    order = ["acknowledgement.txt", "acknowledgement.de.txt", "billing/acknowledgement.txt", "billing/acknowledgement.de.txt"]
    for name in order:
        write(office, name, f"I am {name}")
        assert acknowledged(office, cc="billing@desk.example") == f"I am {name}"
    assert acknowledged(office) == "I am acknowledgement.txt"
    assert acknowledged(office, content_language="de") == "I am acknowledgement.de.txt"


def test_a_language_with_a_region_falls_back_to_the_language(tmp_path: Path) -> None:
    """`pt-BR` takes the file of `pt` where it has none of its own."""
    folder = Templates(tmp_path, tmp_path)
    (tmp_path / "reply.pt.txt").touch()
    assert folder.find("reply", "support", languages("pt-br")) == tmp_path / "reply.pt.txt"
    (tmp_path / "reply.pt-BR.txt").touch()
    assert folder.find("reply", "support", languages("pt-br")) == tmp_path / "reply.pt-BR.txt"


def test_words_of_one_queue_come_before_those_of_all(office: Office) -> None:
    """The acknowledgement that the rules file has for a queue stands against the general template, not against the queue's."""
    write(office, "acknowledgement.txt", "General.")
    assert acknowledged(office, cc="sales@desk.example") == "Sales has it."
    write(office, "sales/acknowledgement.txt", "Ours.")
    assert acknowledged(office, cc="sales@desk.example") == "Ours."


@pytest.mark.parametrize(
    "queue", ["..", "../config", "a/b", "a\\b", "/etc", "", ".", ".x", "replies", "Replies", "examples", "a\n", "x."]
)
def test_a_queue_never_leads_out_of_the_folder(tmp_path: Path, queue: str) -> None:
    """What an agent calls a queue is a folder's name only where it is plainly one."""
    (tmp_path / "inner").mkdir()
    (tmp_path / "reply.txt").write_text("outside")
    assert not is_folder(queue)
    assert Templates(tmp_path / "inner", tmp_path).find("reply", queue, ("en",)) is None


@pytest.mark.parametrize("name", ["../../secret", "a/b", "..", "", "a.de", "\0", "x" * 100])
def test_a_saved_reply_never_leads_out_of_the_folder(tmp_path: Path, name: str) -> None:
    """Its name is letters, digits and blanks; all else is unknown."""
    (tmp_path / "secret.txt").write_text("outside")
    with pytest.raises(NotFound):
        Templates(tmp_path / "a" / "b", tmp_path).find_saved(name, "support", ("en",))


@pytest.mark.parametrize(
    ("headers", "language"),
    [
        ([("Content-Language", "de-DE")], "de"),
        ([("accept-language", "fr-CA, en;q=0.5"), ("CONTENT-LANGUAGE", "es")], "es"),
        ([("Accept-Language", "en-US, de-DE")], "en"),
        ([("Accept-Language", "  NL,en")], "nl"),
        ([("Content-Language", "../../etc"), ("Accept-Language", "it")], "it"),
        ([("Content-Language", "english")], ""),
        ([("Content-Language", "*")], ""),
        ([("Content-Language", "de"), ("Content-Language", "fr")], "de"),
        ([("Subject", "de")], ""),
        ([], ""),
    ],
)
def test_the_language_of_a_mail(headers: list[tuple[str, str]], language: str) -> None:
    """The first tag of Content-Language, else of Accept-Language: two or three letters, or nothing."""
    assert language_of(headers) == language


def test_the_opening_mail_says_in_which_language_is_answered(office: Office) -> None:
    """Its language chooses the template of every answer; that of a later mail, or in its body, does not."""
    write(office, "reply.fr.txt", "FR {{ text }}")
    write(office, "reply.txt", "EN {{ text }}")
    office.says(content_language="\n fr-FR", message_id="<q@example.com>")
    office.says(in_reply_to="<q@example.com>", content_language="en", subject="Re: Printer")
    office.says("Bob <bob@example.com>", body="Content-Language: fr\n\nHello")
    assert words(office.replies(1)) == "FR Try again.\n" and words(office.replies(2)) == "EN Try again.\n"


def test_where_nothing_names_a_language(tmp_path: Path) -> None:
    """DESK_LANGUAGE does, and it may be written in any letter case."""
    office = Office(tmp_path, DESK_LANGUAGE="DE")
    assert acknowledged(office).startswith("Guten Tag,")
    assert acknowledged(office, content_language="fi").startswith("Guten Tag,")
    assert acknowledged(office, content_language="fr").startswith("Bonjour,")
    write(office, "acknowledgement.de.txt", "Da.")
    assert acknowledged(office) == "Da."
    office.close()


@pytest.mark.parametrize("language", RECEIVED)
def test_built_in_acknowledgements(office: Office, language: str) -> None:
    """Each language has a subject and words of its own, and the number stands in both."""
    subject, text = RECEIVED[language]
    assert acknowledged(office, accept_language=language) == text
    assert str(make_header(decode_header(office.written()[-1]["Subject"]))) == f"[TICKET-001] {subject}"
    others = [other for name, pair in RECEIVED.items() if name != language for other in pair]
    assert subject not in others and text not in others


# -- what it may name ------------------------------------------------------------------------------------------------


def test_every_variable_of_a_reply(office: Office) -> None:
    """Each holds what the page says; an empty one is an empty text, no error."""
    names = [name for name, (_, _, kinds) in VARIABLES.items() if "reply" in kinds]
    write(office, "reply.txt", "\n".join(f"{name}=<{{{{ {name} }}}}>" for name in names))
    office.says("=?utf-8?Q?Ann=0D=0AB?= <ann@example.com>", "Re: [TICKET-007] Toner", cc="billing@desk.example")
    said = words(office.replies(1, "One\r\ntwo\x07", quote=True))
    assert said.splitlines() == [
        *("text=<One", "two>", f"marker=<{REPLY_ABOVE}>"),
        *("quote=<On Sun, 22 Nov 2026 at 07:31 UTC, Ann B wrote:", "> Hello.>", "signature=<The billing people>"),
        *("ticket.number=<TICKET-001>", "ticket.subject=<Toner>", "queue=<billing>", "desk.name=<>"),
        *("desk.address=<billing@desk.example>", "agent.name=<Gus>", "customer.name=<Ann B>"),
    ]


@pytest.mark.parametrize("name", ["customer.name", "agent.name", "text", "quote", "letter", "mail.subject", "ticket.subject"])
def test_an_acknowledgement_holds_no_word_of_a_strangers_mail(office: Office, name: str) -> None:
    """A template that asks for one is an error, and the built-in text goes out."""
    write(office, "acknowledgement.txt", f"Hello.\nDear {{{{ {name} }}}},")
    assert acknowledged(office, subject="Buy pills") == RECEIVED["en"][1]
    place = os.path.join("config", "templates", "acknowledgement.txt")
    assert why(office, 1).startswith(f"the built-in text went out: {place} has an error; {place}:2: '")


def test_a_known_senders_subject_may_be_repeated(office: Office) -> None:
    """Who was answered before is known; a template that asks first speaks to both."""
    write(office, "acknowledgement.txt", "{% if ticket.subject is defined %}About {{ ticket.subject }}{% else %}No{% endif %}")
    office.says("Ann <ann@example.com>", "Toner")
    assert "No" in words(office.written()[-1]).splitlines()
    office.replies(1)
    office.says("Ann <ann@example.com>", "AW: Paper\x07 {{ 7 + 1 }}")
    assert "About Paper {{ 7 + 1 }}" in words(office.written()[-1]).splitlines() and why(office, 2) == ""


def test_values_are_no_templates(office: Office) -> None:
    """What a customer or an agent writes in braces stays what it is, in text and HTML."""
    write(office, "reply.txt", "{{ customer.name }}: {{ text }}")
    write(office, "reply.html", "<p>{{ customer.name }}: {{ text }}</p>")
    office.says('"{{ 7 + 1 }} <b>" <ann@example.com>')
    mail = office.replies(1, "{% if %} <i>&amp;")
    assert words(mail) == "{{ 7 + 1 }} <b>: {% if %} <i>&amp;\n"
    assert html_of(mail).strip() == "<p>{{ 7 + 1 }} &lt;b&gt;: <p>{% if %} &lt;i&gt;&amp;amp;</p></p>"


def html_of(mail: Any) -> str:
    """Return the HTML of a mail."""
    [part] = [part for part in mail.walk() if part.get_content_type() == "text/html"]
    content: bytes = part.get_payload(decode=True)
    return content.decode().replace("\r\n", "\n")


def test_the_page_lists_every_variable() -> None:
    """docs/templates.md has the table of the code, its filters and its languages."""
    page = (ROOT / "docs" / "templates.md").read_text(encoding="utf-8")
    rows = [f"| `{name}` | {what} | {', '.join(kinds)} |" for name, (what, _, kinds) in VARIABLES.items()]
    assert "\n".join(rows) in page
    assert [name for name in FILTERS if f"`{name}`" not in page] == ["d", "e"]  # short for `default` and `escape`


@pytest.mark.parametrize("kind", [*NAMES, "saved reply"])
def test_samples_are_what_the_desk_gives(office: Office, kind: str) -> None:
    """`templates check` tries a file with the names that it gets when it is used, and no others."""
    office.says()
    with office.desk() as desk:
        row = desk.must(1)
        given = set(values_given(desk, row, kind))
    assert set(next(samples(kind))) == given


def values_given(desk: Desk, row: dict[str, Any], kind: str) -> list[str]:
    """Return what the desk lets a text name."""
    voice = voice_of(desk.settings, row["queue"])
    if kind == "acknowledgement":
        return [*words_of_ours(voice, row["queue"], "TICKET-001", "Toner")]
    return [*desk._variables(row, voice, Address()), *{"reply": ("text", "quote", "marker")}.get(kind, ())]


# -- what is wrong ---------------------------------------------------------------------------------------------------

WRONG = [
    ("{{ text }}\n{{ nobody }}", "2: 'nobody' is undefined"),
    ("{{ text }}{% if %}", "1: Expected an expression"),
    ("{{ text }}\n\n{% if text %}", "3: Unexpected end of template"),
    ("{{ text }}{{ text|nope }}", "1: No filter named 'nope'"),
    ("Hello", " it does not say `{{ text }}`"),
    ("{{ text }}" + "x" * LARGEST, " it is larger than 64 KB"),
    (b"{{ text }}\n\xff", "2: it is not in UTF-8"),
    ("{{ text }}{{ 'x' * 10**9 }}", "1: `mul` is not for templates"),
    ("{{ text }}{% include 'reply.txt' %}", "1: `include` is not for templates"),
    ("{{ text }}{% for a in range(999) %}{% for b in range(999) %}x{% endfor %}{% endfor %}", " what it makes is longer than"),
]


@pytest.mark.parametrize(("source", "problem"), WRONG, ids=[problem for _, problem in WRONG])
def test_the_built_in_text_goes_out_instead(office: Office, source: str | bytes, problem: str) -> None:
    """Whatever is wrong with a template: the answer goes out in its built-in frame, and the history has file, line and error."""
    office.says()
    before = words(office.replies(1))
    write(office, "reply.txt", source)
    mail = office.replies(1)
    assert words(mail) == before == f"{REPLY_ABOVE}\n\nTry again.\n"
    place = os.path.join("config", "templates", "reply.txt")
    assert why(office, 1).startswith(f"the built-in text went out: {place} has an error; {place}:{problem}")
    assert office.events(1)[-2:] == ["replied", f"the built-in text went out: {place} has an error"]


def test_no_file_of_another_sort_is_read(office: Office) -> None:
    """A pipe, a folder and a link to nowhere stop no answer."""
    office.says()
    path = write(office, "reply.txt", "x")
    for make in (os.mkfifo, os.mkdir, lambda at: os.symlink("nowhere", at)):
        path.rmdir() if path.is_dir() else path.unlink()
        make(path)
        assert words(office.replies(1)) == f"{REPLY_ABOVE}\n\nTry again.\n"
    told = why(office, 1).splitlines()
    assert [line.partition(f"{path.name}: ")[2] for line in told] == [
        *("it is no file", "it is no file", "it cannot be read (No such file or directory)")
    ]


@pytest.mark.skipif(os.name == "nt" or os.geteuid() == 0, reason="needs a user whom rights hold back")
def test_a_file_that_cannot_be_read(office: Office) -> None:
    """Its rights are told, and the built-in text goes out."""
    write(office, "reply.txt", "{{ text }}").chmod(0)
    office.says()
    assert words(office.replies(1)) == f"{REPLY_ABOVE}\n\nTry again.\n" and "Permission denied" in why(office, 1)


def test_html_with_an_error_is_made_of_the_text(office: Office) -> None:
    """The text template still holds; the history names the HTML's line."""
    write(office, "reply.txt", "Dear customer,\n\n{{ text }}")
    write(office, "reply.html", "<p>\n{{ txt }}")
    office.says()
    mail = office.replies(1)
    assert words(mail) == "Dear customer,\n\nTry again.\n"
    assert "<p>Dear customer,</p>\n<p>Try again.</p>" in html_of(mail)
    assert why(office, 1).startswith("the built-in HTML went out: ") and "reply.html:2: 'txt' is undefined" in why(office, 1)


def test_an_answer_that_is_too_long_for_a_template(office: Office) -> None:
    """It goes out whole, in the built-in frame."""
    write(office, "reply.txt", "{{ text }}")
    office.says()
    long = "word " * (LONGEST // 5) + "end"
    assert words(office.replies(1, long)) == f"{REPLY_ABOVE}\n\n{long}\n"
    assert "`text` is longer than 100000 characters" in why(office, 1)


VALUES = {"text": "x" * 90_000, "name": "Ann <b>", "ticket": {"number": "TICKET-001"}}


@pytest.mark.parametrize(
    ("source", "made"),
    [
        ("{{ name|upper ~ '!' }} {{ 'a' + 'b' }} {{ ticket.number[:6] }}", "ANN <B>! ab TICKET"),
        ("{% for i in range(3) %}{{ loop.index + 1 }},{% endfor %}", "2,3,4,"),
        ("{% if name in ('x', 'Ann <b>') and ticket.subject is not defined %}yes{% endif %}", "yes"),
        ("{% set a = name or 'x' %}{{ a|length }}{# no #}{% raw %}{{ }}{% endraw %}", "7{{ }}"),
        ("{% if name %}\nline\n{% endif %}\nnext", "line\nnext"),
    ],
)
def test_what_a_template_can_do(source: str, made: str) -> None:
    """What a text needs: names, questions, loops, joining, cutting."""
    assert render(source, VALUES, "x.txt") == made


@pytest.mark.parametrize(
    "source",
    [
        "{% for a in range(999) %}{% for b in range(999) %}{% for c in range(999) %}{% endfor %}{% endfor %}{% endfor %}",
        "{% for a in text %}{% for b in text %}{% if 'q' in text|upper %}{% endif %}{% endfor %}{% endfor %}",
        "{% for a in range(999) %}" + "{% if 'q' in text|upper|lower %}{% endif %}" * 1500 + "{% endfor %}",
        "{% set a = 'xx' %}" + "{% set a = a ~ a %}" * 60,
        "{% set a = 'xx' %}" + "{% set a = a + a %}" * 60,
        "{% set a = 'xx' %}" + "{% set a = [a, a] %}" * 60 + "{{ a|string }}",
        "{% set a = 9 %}" + "{% set a = a * a %}" * 60 + "{{ a }}",
        "{{ 9 ** 9 ** 9 }}",
        "{{ '%0999999999d' % 1 }}",
        "{{ '%0999999999d'|format(1) }}",
        "{{ text|center(10000000000) }}",
        "{{ text.replace('x', text) }}",
        "{{ text.ljust(10000000000) }}",
        "{% set a %}{{ text }}{{ text }}{% endset %}{{ a }}",
        "{% macro m(n) %}{{ m(n) }}{{ m(n) }}{% endmacro %}{{ m(1) }}",
        "{% for a in [[1], [2]] recursive %}{{ loop(a) }}{% endfor %}",
        "{{ range(10000000)|string }}",
        "{{ text }}" * 5,
        "{{ " + "(" * 9000 + "1" + ")" * 9000 + " }}",
        "{{ " + "9" * 60_000 + " }}",
        "{% for a in range(2) %}" * 30 + "{% endfor %}" * 30,
        "{{ ''.__class__.__mro__[1].__subclasses__() }}",
        "{{ self.__init__.__globals__ }}",
        "{{ cycler.__init__.__globals__.os.popen('id').read() }}",
        "{{ ticket }}",
        "{{ ticket.items }}",
        "{{ none }}",
        "{% extends 'x' %}",
        "{% import 'x' as x %}",
    ],
)
def test_no_template_burns_or_breaks_out(source: str) -> None:
    """What would run, grow or reach for long is an error within a few seconds, in little memory."""
    began = time.process_time()
    with pytest.raises(WrongTemplate):
        render(source, VALUES, "x.txt")
    assert time.process_time() - began < SECONDS + 3


def test_jinja_is_imported_only_for_a_template(tmp_path: Path) -> None:
    """Neither `--help` nor a pass nor an answer without templates pays for it."""
    house = House(tmp_path)
    house.drop(a_mail())
    settings = {"SMTP_HOST": "localhost", "EMAIL_HOST_USER": "support@desk.example"}
    seen: list[bool] = []
    for line in (["--help"], ["process"], ["ticket", "reply", "1", "--text", "x"], ["process"]):
        command = [sys.executable, "-X", "importtime", "-m", "pipeline", *line]
        done = subprocess.run(command, cwd=tmp_path, env={**house.environment, **settings}, capture_output=True, text=True)
        assert done.returncode == 0 and "| site" in done.stderr, done.stderr[-500:]
        seen.append("jinja2" in done.stderr)
        if len(seen) == 3:
            write(house, "acknowledgement.txt", "Hello")
            house.drop(a_mail("Another", "Bob <bob@example.com>", message_id="<2@example.com>"))
    assert seen == [False, False, False, True]


# -- HTML ------------------------------------------------------------------------------------------------------------


def body(text: str) -> str:
    return as_html(text, whole=False).replace("\n", "")


@pytest.mark.parametrize(
    ("text", "markup"),
    [
        ("a\nb\n\n\nc", "<p>a<br>b</p><p>c</p>"),
        ("1 < 2 & \"x\" 'y'", "<p>1 &lt; 2 &amp; \"x\" 'y'</p>"),
        ("x\n\n> a\n> > b\nc", "<p>x</p>{}<p>a</p></blockquote>{}{}<p>b</p></blockquote></blockquote><p>c</p>"),
        (
            "see https://a.example/?b=1&c=2.",
            '<p>see <a href="https://a.example/?b=1&amp;c=2">https://a.example/?b=1&amp;c=2</a>.</p>',
        ),
        ("(HTTP://A.example)", '<p>(<a href="HTTP://A.example">HTTP://A.example</a>)</p>'),
        ("javascript:alert(1) ftp://a.example mailto:a@b.example www.a.example", None),
        ('https://a.example/"onclick="x', '<p><a href="https://a.example/">https://a.example/</a>"onclick="x</p>'),
        ("> https://a.example", "{}<p>https://a.example</p></blockquote>"),
        ("  code\tx", "<p>\u00a0 code\u00a0 \u00a0 x</p>"),
        ("https://a.example/" + "x" * 3000, None),
        ("", ""),
    ],
)
def test_text_as_html(text: str, markup: str | None) -> None:
    """Paragraphs, line breaks, quotes and links to http and https; all else is escaped, and quotes get no links."""
    wanted = f"<p>{text}</p>" if markup is None else markup.replace("{}", '<blockquote type="cite">')
    assert body(text) == wanted


@given(st.text(alphabet=st.sampled_from("ab<>&\"' \n\t>:/.-") | st.characters(), max_size=200))
def test_html_holds_no_markup_of_the_text(text: str) -> None:
    """However it is written, a text adds no tag of its own to the HTML that is made of it."""
    ours = re.compile(r"""</?p>|<br>|</?blockquote(?: type="cite")?>|<a href="https?://[^"<>\s]*">|</a>""", re.IGNORECASE)
    tags = re.findall(r"<[^>]*>", as_html(f"{text}\nhttps://a.example/{text}", whole=False))
    assert [tag for tag in tags if not ours.fullmatch(tag)] == []


def test_html_is_made_in_linear_time() -> None:
    """A megabyte of what the patterns look for takes no more than its share."""
    dots = "https://a" + "." * 1_000_000
    for text in ("https://" * 130_000, "> " * 500_000, "http" * 250_000, "\n" * 1_000_000, "  " * 500_000, dots):
        began = time.process_time()
        as_html(text)
        assert time.process_time() - began < 8


# -- from a terminal -------------------------------------------------------------------------------------------------


def test_the_examples_are_right(house: House) -> None:
    """What is shipped as an example is not used where it lies, and works where it is copied to."""
    shutil.copytree(ROOT / "config" / "templates", house.home / "config" / "templates")
    assert house.run("templates", "check").stdout.endswith(b"no files, so that the built-in texts are used.\n")
    shutil.copytree(house.home / "config" / "templates" / "examples", house.home / "config" / "templates", dirs_exist_ok=True)
    assert b"5 files, all right" in house.run("templates", "check").stdout
    assert [row["name"] for row in house.json("replies", "list")] == ["restart"]


def test_check_names_file_and_line(house: House) -> None:
    """Every file that is wrong, or lies where it is never used, is a line; all right is a sentence and exit 0."""
    (house.home / "config").mkdir()
    (house.home / "config" / "rules.toml").write_text(QUEUES)
    assert b"no files" in house.run("templates", "check").stdout
    write(house, "acknowledgement.txt", "About {{ ticket.subject }}")
    write(house, "reply.txt", "{{ text }}\n{{ x }}")
    write(house, "replly.txt", "x")
    write(house, "notification.txt", "x")
    write(house, "biling/reply.txt", "{{ text }}")
    write(house, "billing/reply.deutsch.txt", "{{ text }}")
    write(house, "billing/reply.html", "{{ text }}")
    write(house, "acknowledgement.html", "x")
    write(house, "replies/a.txt", "{{ text }}")
    write(house, "replies/good.de.txt", "Dear {{ customer.name }}")
    done = house.run("templates", "check", code=1)
    assert done.stdout.decode().replace(os.sep, "/").splitlines() == [
        f"config/templates/{line}"
        for line in (
            "acknowledgement.html: only `reply` has HTML",
            "acknowledgement.txt:1: 'dict object' has no attribute 'subject'",
            "notification.txt: `notification` is reserved, and not used yet",
            "replly.txt: there is no template 'replly', only acknowledgement, reply",
            "reply.txt:2: 'x' is undefined",
            "replies/a.txt:1: 'text' is undefined",
            "biling/reply.txt: there is no queue 'biling'",
            "billing/reply.deutsch.txt: 'deutsch' is no language, like `de` or `pt-BR`",
            "billing/reply.html: it is not used: no .txt of the same name stands beside it",
        )
    ]
    assert {"file", "line", "error"} == set(house.json("templates", "check", code=1)[0])


def test_list_says_which_file_is_used(house: House) -> None:
    """A row for each template, queue and language: its file, or that the words are built in or of the rules file."""
    (house.home / "config").mkdir()
    (house.home / "config" / "rules.toml").write_text(QUEUES)
    write(house, "acknowledgement.de.txt", "x")
    write(house, "billing/reply.txt", "{{ text }}")
    write(house, "billing/reply.html", "{{ text }}")
    write(house, "reply.fi.txt", "{{ text }}")
    rows = house.json("templates", "list")
    found = {(row["template"], row["queue"], row["language"]): row["file"] and row["file"].replace(os.sep, "/") for row in rows}
    assert found["acknowledgement", "support", "en"] is None and len(found) == len(rows)
    assert found["acknowledgement", "support", "de"] == "config/templates/acknowledgement.de.txt"
    assert found["acknowledgement", "sales", "de"] is None  # the rules file says it
    assert [row["by_rules"] for row in rows if row["queue"] == "sales" and row["template"] == "acknowledgement"] == [True] * 7
    assert [(name, row) for name, row in found.items() if name[1] == "billing"] == [
        (("acknowledgement", "billing", "de"), "config/templates/acknowledgement.de.txt"),
        (("reply", "billing", "de"), "config/templates/billing/reply.txt"),
    ]
    assert found["reply", "support", "fi"] == "config/templates/reply.fi.txt" and found["reply", "support", "en"] is None
    shown = house.run("templates", "list").stdout.decode()
    assert "(built in)" in shown and "(RULES_FILE)" in shown


def test_the_page_shows_what_is_printed(house: House) -> None:
    """The examples of docs/templates.md, run in order, print what stands there."""
    environment = {**house.environment, "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"}
    [block] = blocks(ROOT / "docs" / "templates.md", "console")
    for command, shown in commands(block):
        done = subprocess.run(["sh", "-c", f"{command} 2>&1"], cwd=house.home, env=environment, capture_output=True, text=True)
        assert re.fullmatch(as_pattern(shown), done.stdout.strip(), re.DOTALL), f"$ {command}\n{done.stdout}"


def test_a_template_works_from_mail_to_outbox(house: House) -> None:
    """A customer's mail, an acknowledgement in her language, an agent's answer in the queue's frame, by the command line."""
    settings = {"SMTP_HOST": "localhost", "EMAIL_HOST_USER": "Desk <support@desk.example>"}
    write(house, "acknowledgement.de.txt", "Hallo, {{ ticket.number }} ist da. {{ desk.name }}")
    write(house, "reply.txt", "{{ marker }}\n\n{{ text }}\n{{ nobody }}")
    house.drop(a_mail(content_language="de"))
    house.run("process", **settings)
    house.run("ticket", "reply", "1", "--text", "Gut.", **settings)
    events = house.json("ticket", "show", "1")["events"]
    assert [event["why"].replace(os.sep, "/") for event in events if "built-in" in event["what"]] == [
        "config/templates/reply.txt:4: 'nobody' is undefined"
    ]
    with sqlite3.connect(house.database) as database:
        raws = [row[0].decode() for row in database.execute("SELECT raw FROM outbox ORDER BY id")]
    database.close()
    assert "Hallo, TICKET-001 ist da. Desk" in raws[0] and "Gut." in raws[1]
