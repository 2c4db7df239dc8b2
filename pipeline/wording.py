"""What our mails say: by the operator's templates where there are any, else by the words that are built in."""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from . import rules
from .compose import as_html, writable
from .errors import WrongTemplate
from .letter import REPLY_ABOVE
from .settings import Settings
from .templates import ACKNOWLEDGEMENT, REPLY, Templates, languages

LONGEST_HTML = 1_000_000  # characters that are made of a text: beyond them the text must do, or a mail might become too large

# The built-in acknowledgement by language: its subject, and its words.
RECEIVED = {
    "en": (
        "Your message has arrived",
        """\
Hello,

your message has arrived. Somebody will read it and answer you.

If you have more to say about it, answer this mail, or keep the number in the subject.

This mail was written by a program.""",
    ),
    "de": (
        "Ihre Nachricht ist angekommen",
        """\
Guten Tag,

Ihre Nachricht ist angekommen. Jemand wird sie lesen und Ihnen antworten.

Wenn Sie noch etwas dazu sagen möchten, antworten Sie auf diese Mail, oder lassen Sie die Nummer im Betreff stehen.

Diese Mail hat ein Programm geschrieben.""",
    ),
    "fr": (
        "Votre message est bien arrivé",
        """\
Bonjour,

votre message est bien arrivé. Quelqu'un le lira et vous répondra.

Pour ajouter quelque chose, répondez à ce courriel, ou gardez le numéro dans l'objet.

Ce courriel a été écrit par un programme.""",
    ),
    "es": (
        "Su mensaje ha llegado",
        """\
Hola:

Su mensaje ha llegado. Alguien lo leerá y le responderá.

Si quiere añadir algo, responda a este correo o conserve el número en el asunto.

Este correo lo ha escrito un programa.""",
    ),
    "nl": (
        "Uw bericht is aangekomen",
        """\
Hallo,

uw bericht is aangekomen. Iemand zal het lezen en u antwoorden.

Wilt u er nog iets aan toevoegen, beantwoord dan deze mail, of laat het nummer in het onderwerp staan.

Deze mail is door een programma geschreven.""",
    ),
    "it": (
        "Il suo messaggio è arrivato",
        """\
Buongiorno,

il suo messaggio è arrivato. Qualcuno lo leggerà e le risponderà.

Se vuole aggiungere qualcosa, risponda a questa mail o lasci il numero nell'oggetto.

Questa mail è stata scritta da un programma.""",
    ),
    "pt": (
        "A sua mensagem chegou",
        """\
Olá,

a sua mensagem chegou. Alguém a vai ler e responder.

Se quiser acrescentar alguma coisa, responda a este e-mail ou mantenha o número no assunto.

Este e-mail foi escrito por um programa.""",
    ),
}


class Said(NamedTuple):
    """What a mail says, and what is wrong with a template that was to say it; `subject` where it has one of its own."""

    text: str
    html: str | None = None
    wrong: tuple[WrongTemplate, ...] = ()
    subject: str = ""


def templates_of(settings: Settings) -> Templates:
    """Return the operator's templates and saved replies."""
    return Templates(settings.templates_dir, settings.home)


def language_for(settings: Settings, queue: str, theirs: Callable[[], str]) -> str:
    """Return in which language we write: the queue's, else the one that the customer's mail names, else the desk's."""
    found = rules.current(settings.rules_file).queue(queue)
    return (found and found.language) or theirs() or settings.desk_language


# -- answers -----------------------------------------------------------------------------------------------------------


def answer_said(settings: Settings, language: str, values: Mapping[str, str], markup: str | None = None) -> Said:
    """Say an answer by the template of its queue and language; by the built-in frame where there is none, or a wrong one.

    `values` are the variables, among them `text`, the agent's words; `markup` says the same as HTML, else it is made of them.
    """
    templates = templates_of(settings)
    values = {**values, "text": writable(values["text"]).strip("\n"), "marker": REPLY_ABOVE}
    found = templates.find(REPLY, values["queue"], languages(language))
    if found is None:
        return _in_frame(_built_in, values, markup)
    try:
        said = _in_frame(lambda given: templates.render(found, given, given["text"]), values, markup)
    except WrongTemplate as wrong:
        return _in_frame(_built_in, values, markup)._replace(wrong=(wrong,))
    beside = found.with_suffix(".html")
    try:
        return said._replace(html=_by_html(templates, beside, values, markup)) if beside.exists() else said
    except WrongTemplate as wrong:
        return said._replace(wrong=(wrong,))


def _built_in(values: Mapping[str, str]) -> str:
    """Return an answer's whole text: the marker above which an answer to it is written, the words, the signature, the quote."""
    signature = values["signature"] and f"-- \n{values['signature']}"
    return "\n\n".join(filter(None, (values["marker"], values["text"], signature, values["quote"])))


def _in_frame(frame: Callable[[Mapping[str, str]], str], values: Mapping[str, str], markup: str | None) -> Said:
    """Put an agent's words into their frame, as text and as HTML; words that are markup already go into the frame's HTML."""
    text = writable(frame(values)) + "\n"
    if markup is None:
        page = as_html(text)
        return Said(text, page if len(page) <= LONGEST_HTML else None)
    place = secrets.token_hex(16)
    page, alone = as_html(frame({**values, "text": place})), f"<p>{place}</p>"
    return Said(text, page.replace(alone if alone in page else place, writable(markup), 1))


def _by_html(templates: Templates, path: Path, values: Mapping[str, str], markup: str | None) -> str:
    from markupsafe import Markup

    marked = {name: Markup(as_html(values[name], whole=False)) for name in ("text", "quote", "signature")}
    if markup is not None:
        marked["text"] = Markup(markup)
    return writable(templates.render(path, {**values, **marked}, marked["text"]))


# -- acknowledgements --------------------------------------------------------------------------------------------------


def received_said(settings: Settings, language: str, values: Mapping[str, str], ordered: str = "") -> Said:
    """Say that a mail arrived: by a template, by the words of the rules file (`ordered`), or by those that are built in.

    Words of one queue come before those of all: its template, what the rules file orders for it, the general template.
    """
    known = (*languages(language), *languages(settings.desk_language), "en")
    subject, words = next(RECEIVED[one] for one in known if one in RECEIVED)
    templates, said = templates_of(settings), Said(ordered or words, subject=subject)
    found = templates.find(ACKNOWLEDGEMENT, values["queue"], languages(language), general=not ordered)
    if found is None:
        return said
    try:
        return said._replace(text=templates.render(found, values))
    except WrongTemplate as wrong:
        return said._replace(wrong=(wrong,))
