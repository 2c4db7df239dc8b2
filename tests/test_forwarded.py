"""Forwards: who wrote the original, when, about what; one case for each mail program and language."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipeline.letter import Address, Mail, Original
from pipeline.markup import to_text
from pipeline.mime import forwarded_tables
from pipeline.mime.forwarded import attached_original, inline_original, local_date

NOTE = "Can you take this one?\n\nKim (agent@example.org)"
BODY = "Hello,\n\nthe lamp does not burn. Write to shop@example.net or call me.\n\nAnn"
QUOTED = "\n".join(f"> {line}".rstrip() for line in BODY.split("\n"))
ANN = Address("Ann Smith", "ann@example.com")
WHEN = "2025-03-03T14:05:00+00:00"
LAMP = Original(ANN, WHEN, "A lamp", BODY)

# Program, what the subject says, and the text; {note} and {body} are filled in. The original is LAMP.
PROGRAMS = {
    "Gmail": (
        None,
        "{note}\n\n---------- Forwarded message ---------\nFrom: Ann Smith <ann@example.com>\n"
        "Date: Mon, Mar 3, 2025 at 2:05 PM\n"
        "Subject: A lamp\nTo: <agent@example.org>\nCc: Bob <bob@example.net>\n\n\n{body}\n",
    ),
    "Gmail, with a name and its address on two lines": (
        None,
        "{note}\n\n---------- Forwarded message ---------\nFrom: Ann Smith <\nann@example.com>\n"
        "Date: Mon, 3 Mar 2025 at 14:05\n"
        "Subject: A lamp\nTo: agent@example.org <agent@example.org>, Robert Very Long Name\n"
        "<bob@example.net>, Carl <\ncarl@example.net>"
        "\n\n{body}\n",
    ),
    "Apple Mail": (
        None,
        "{note}\n\n> Begin forwarded message:\n> \n> From: Ann Smith <ann@example.com>\n> Subject: A lamp\n"
        "> Date: 3 March 2025 at 15:05:00 CET\n> To: agent@example.org\n> \n{quoted}\n",
    ),
    "Apple Mail, unquoted": (
        None,
        "{note}\n\nBegin forwarded message:\n\nFrom: Ann Smith <ann@example.com>\nSubject: A lamp\n"
        "Date: 3 March 2025 at 15:05:00 CET\nTo: agent@example.org\n\n{body}\n",
    ),
    "Thunderbird": (
        None,
        "{note}\n\n-------- Forwarded Message --------\nSubject: \tA lamp\nDate: \tMon, 3 Mar 2025 15:05:00 +0100\n"
        "From: \tAnn Smith <ann@example.com>\nReply-To: \tshop@example.net\nTo: \tagent@example.org\n\n\n\n{body}\n",
    ),
    "Thunderbird, table cells on lines of their own": (
        None,
        "{note}\n\n-------- Forwarded Message --------\nSubject:\nA lamp\nDate:\nMon, 3 Mar 2025 15:05:00 +0100\n"
        "From:\nAnn Smith <ann@example.com>\nTo:\nagent@example.org\n\n{body}\n",
    ),
    "Outlook": (
        True,
        "{note}\n\nFrom: Ann Smith [mailto:ann@example.com]\nSent: Monday, March 3, 2025 2:05 PM\nTo: Kim; shop@example.net\n"
        "Cc: Bob [mailto:bob@example.net]\nSubject: A lamp\n\n{body}\n",
    ),
    "Outlook, bold": (
        True,
        "{note}\n\n*From:* Ann Smith <ann@example.com>\n*Sent:* Monday, March 3, 2025 2:05 PM\n"
        "*To:* Kim <agent@example.org>\n"
        "*Subject:* A lamp\n\n{body}\n",
    ),
    "Outlook, a paragraph each": (
        True,
        "{note}\n\nFrom: Ann Smith <ann@example.com>\n\nSent: Monday, March 3, 2025 2:05 PM\n\n"
        "To: Kim <agent@example.org>\n\n"
        "Subject: A lamp\n\n{body}\n",
    ),
    "Outlook on the web": (
        True,
        "{note}\n\n________________________________\nFrom: Ann Smith <ann@example.com<mailto:ann@example.com>>\n"
        "Sent: Monday, March 3, 2025 14:05\nTo: Kim <agent@example.org<mailto:agent@example.org>>\nSubject: A lamp\n\n"
        "{body}\n",
    ),
    "Outlook for telephones": (
        True,
        "{note}\n\n________________________________\n"
        "From: shop@example.net <shop@example.net> on behalf of Ann Smith <ann@example.com>\n"
        "Sent: Monday, March 3, 2025 2:05:00 PM\nTo: Kim <agent@example.org>\nSubject: A lamp\n\n{body}\n",
    ),
    "Outlook, original message": (
        True,
        "{note}\n\n-----Original Message-----\nFrom: Ann Smith <ann@example.com>\nSent: 03 March 2025 14:05\nTo: Kim\n"
        "Subject: A lamp\n\n{body}\n",
    ),
    "Outlook for Mac, attribution": (
        True,
        '{note}\n\nOn 3/3/2025, 14:05, "Ann Smith" <ann@example.com> wrote:\n\n{body}\n',
    ),
    "Yahoo": (
        None,
        "{note}\n\n   ----- Forwarded message ----- From: Ann Smith <ann@example.com>To: Kim <agent@example.org>"
        "Sent: Monday, March 3, 2025 at 03:05:00 PM GMT+1Subject: A lamp\n {body}\n",
    ),
    "Proton": (
        None,
        "{note}\n\n------- Forwarded Message -------\nFrom: Ann Smith <ann@example.com>\n"
        "Date: On Monday, March 3rd, 2025 at 2:05 PM\n"
        "Subject: A lamp\nTo: Kim <agent@example.org>\n\n{quoted}\n",
    ),
    "Zimbra": (
        None,
        '{note}\n\n----- Forwarded Message -----\nFrom: "Ann Smith" <ann@example.com>\nTo: "Kim" <agent@example.org>\n'
        "Sent: Monday, March 3, 2025 2:05:00 PM\nSubject: A lamp\n\n{body}\n",
    ),
    "Lotus Notes": (
        None,
        "{note}\n\n----- Forwarded by Kim Agent/Support/Org on 03/03/2025 03:07 PM -----\n\n"
        'From:   "Ann Smith" <ann@example.com>\n'
        'To:     "Kim" <agent@example.org>\nDate:   03/03/2025 02:05 PM\nSubject:        A lamp\n\n{body}\n',
    ),
    "Samsung": (
        True,
        "{note}\n\n\n-------- Original message --------\nFrom: Ann Smith <ann@example.com> \n"
        "Date: 03/03/2025  14:05  (GMT+00:00) \n"
        "To: agent@example.org \nSubject: A lamp \n\n{body}\n",
    ),
    "mutt": (
        False,
        "{above}\n\n----- Forwarded message from Ann Smith <ann@example.com> -----\n\nDate: Mon, 3 Mar 2025 14:05:00 +0000\n"
        "From: Ann Smith <ann@example.com>\nTo: agent@example.org\nSubject: A lamp\nUser-Agent: Mail/1.0\n"
        "X-Folder: in\n\n{body}\n\n"
        "----- End forwarded message -----\n{below}\n",
    ),
    "mutt, without headers": (
        False,
        "{note}\n\n----- Forwarded message from Ann Smith <ann@example.com> -----\n\n{body}\n\n"
        "----- End forwarded message -----\n",
    ),
    "Roundcube": (
        True,
        "{note}\n\n-------- Original Message --------\nSubject: A lamp\nDate: 2025-03-03 14:05\n"
        "From: Ann Smith <ann@example.com>\n"
        "To: agent@example.org\n\n{body}\n",
    ),
    "KMail": (
        None,
        "{note}\n\n----------  Forwarded Message  ----------\n\nSubject: A lamp\nDate: Monday 03 March 2025, 14:05\n"
        "From: Ann Smith <ann@example.com>\nTo: agent@example.org\n\n{body}\n\n"
        "-------------------------------------------------------\n",
    ),
    "Claws": (
        None,
        "{note}\n\nBegin forwarded message:\n\nDate: Mon, 3 Mar 2025 14:05:00 +0000\nFrom: Ann Smith <ann@example.com>\n"
        "To: agent@example.org\nSubject: A lamp\n\n\n{body}\n",
    ),
    "The Bat": (
        None,
        "{note}\n\nThis is a forwarded message\nFrom: Ann Smith <ann@example.com>\nTo: agent@example.org\n"
        "Date: Monday, March 3, 2025, 2:05:00 PM\n"
        "Subject: A lamp\n\n===8<==============Original message text===============\n{body}\n"
        "===8<===========End of original message text===========\n",
    ),
    "MailMate": (
        None,
        "{note}\n\nForwarded message:\n\n> From: Ann Smith <ann@example.com>\n> To: agent@example.org\n> Subject: A lamp\n"
        "> Date: Mon, 3 Mar 2025 14:05:00 +0000\n>\n{quoted}\n",
    ),
    "Mail.ru": (
        None,
        "{note}\n\n-------- Пересылаемое сообщение --------\nОт кого: Ann Smith <ann@example.com>\nКому: agent@example.org\n"
        "Дата: Понедельник, 3 марта 2025, 17:05 +03:00\nТема: A lamp\n\n{body}\n",
    ),
    "QQ": (
        True,
        '{note}\n\n------------------ 原始邮件 ------------------\n发件人: "Ann Smith"<ann@example.com>;\n'
        "发送时间: 2025年3月3日(星期一) 下午2:05\n"
        '收件人: "Kim"<agent@example.org>;\n主题: A lamp\n\n{body}\n',
    ),
    "NetEase": (
        None,
        "{note}\n\n-------- 转发邮件信息 --------\n发件人：Ann Smith <ann@example.com>\n发送日期：2025-03-03 14:05:00\n"
        "收件人：agent@example.org\n主题：A lamp\n{body}\n",
    ),
    "NetEase, a table": (
        None,
        "{note}\n\n---- 转发的邮件 ----\n|  发件人  | Ann Smith<ann@example.com>  |\n|  发送日期  | 2025年3月3日 14:05  |\n"
        "|  收件人  | agent@example.org  |\n|  主题  | A lamp  |\n{body}\n",
    ),
    "Orange": (
        True,
        '{note}\n\n> Message du 03/03/25 14:05\n> De : "Ann Smith" <ann@example.com>\n> A : agent@example.org\n'
        "> Date : 2025-03-03 14:05\n> Objet : A lamp\n>\n{quoted}\n",
    ),
    "GMX": (
        True,
        '{note}\n\nGesendet: Montag, 03. März 2025 um 14:05 Uhr\nVon: "Ann Smith" <ann@example.com>\nAn: agent@example.org\n'
        "Betreff: A lamp\n{body}\n",
    ),
    "T-Online": (
        True,
        "{note}\n\n-----Original-Nachricht-----\nBetreff: A lamp\nDatum: 2025-03-03T15:05:00+0100\n"
        "Von: Ann Smith <ann@example.com>\nAn: Kim <agent@example.org>\n\n{body}\n",
    ),
    "Naver": (
        True,
        '{note}\n\n-----Original Message-----\nFrom: "Ann Smith" <ann@example.com>\nTo: <agent@example.org>;\nCc:\n'
        "Sent: 2025-03-03 (월) 23:05:00 (GMT+09:00)\nSubject: A lamp\n\n{body}\n",
    ),
}

# Language, marker, and the words and date of a header block: From, date, To, Subject.
LANGUAGES = {
    "ar": ("---------- رسالة معاد توجيهها ----------", "من: ", "التاريخ: ", "الاثنين، 3 مارس 2025، 2:05 م", "إلى: ", "الموضوع: "),
    "bg": ("-------- Препратено съобщение --------", "От: ", "Дата: ", "понеделник, 3 март 2025 г. 14:05", "До: ", "Тема: "),
    "ca": ("-------- Missatge reenviat --------", "De: ", "Data: ", "dl., 3 de març 2025 a les 14:05", "Per a: ", "Assumpte: "),
    "cs": ("-------- Přeposlaná zpráva --------", "Od: ", "Datum: ", "pondělí 3. března 2025 14:05", "Komu: ", "Předmět: "),
    "da": ("-------- Videresendt besked --------", "Fra: ", "Dato: ", "mandag den 3. marts 2025 14.05", "Til: ", "Emne: "),
    "de": (
        "-------- Weitergeleitete Nachricht --------",
        "Von: ",
        "Gesendet: ",
        "Montag, 3. März 2025 14:05",
        "An: ",
        "Betreff: ",
    ),
    "el": (
        "-------- Προωθημένο μήνυμα --------",
        "Από: ",
        "Ημερομηνία: ",
        "Δευτέρα 3 Μαρτίου 2025, 2:05 μ.μ.",
        "Προς: ",
        "Θέμα: ",
    ),
    "en": ("-------- Forwarded Message --------", "From: ", "Sent: ", "Monday, 3 March 2025 2:05 p.m.", "To: ", "Subject: "),
    "es": (
        "-------- Mensaje reenviado --------",
        "De: ",
        "Enviado el: ",
        "lunes, 3 de marzo de 2025 02:05 p. m.",
        "Para: ",
        "Asunto: ",
    ),
    "et": ("-------- Edastatud kiri --------", "Saatja: ", "Kuupäev: ", "E, 3. märts 2025 kell 14:05", "Saaja: ", "Teema: "),
    "fi": (
        "-------- Välitetty viesti --------",
        "Lähettäjä: ",
        "Lähetetty: ",
        "maanantai 3. maaliskuuta 2025 14.05",
        "Vastaanottaja: ",
        "Aihe: ",
    ),
    "fr": ("-------- Message transféré --------", "De : ", "Envoyé : ", "lundi 3 mars 2025 à 14 h 05", "À : ", "Objet : "),
    "he": ("---------- הודעה שהועברה ----------", "מאת: ", "תאריך: ", "יום ב׳, 3 במרץ 2025 ב-14:05", "אל: ", "נושא: "),
    "hr": ("-------- Proslijeđena poruka --------", "Šalje: ", "Datum: ", "pon, 3. ožu 2025. u 14:05", "Prima: ", "Predmet: "),
    "hu": (
        "-------- Továbbított üzenet --------",
        "Feladó: ",
        "Dátum: ",
        "2025. március 3., hétfő 14:05",
        "Címzett: ",
        "Tárgy: ",
    ),
    "id": ("---------- Pesan terusan ----------", "Dari: ", "Tanggal: ", "Sen, 3 Mar 2025 pukul 14.05", "Kepada: ", "Subjek: "),
    "it": ("-------- Messaggio inoltrato --------", "Da: ", "Inviato: ", "lunedì 3 marzo 2025 14:05", "A: ", "Oggetto: "),
    "ja": (
        "---------- 転送されたメッセージ ----------",
        "差出人： ",
        "送信日時： ",
        "2025年3月3日(月) 14:05",
        "宛先： ",
        "件名： ",
    ),
    "ko": (
        "---------- 전달된 메시지 ----------",
        "보낸사람: ",
        "날짜: ",
        "2025년 3월 3일 (월) 오후 2:05",
        "받는사람: ",
        "제목: ",
    ),
    "lt": ("-------- Persiųstas laiškas --------", "Nuo: ", "Data: ", "2025 m. kovo 3 d. 14:05", "Kam: ", "Tema: "),
    "lv": (
        "-------- Pārsūtīta ziņa --------",
        "No: ",
        "Datums: ",
        "pirmd., 2025. g. 3. marts, plkst. 14:05",
        "Kam: ",
        "Temats: ",
    ),
    "nl": (
        "-------- Doorgestuurd bericht --------",
        "Van: ",
        "Verzonden: ",
        "maandag 3 maart 2025 14:05",
        "Aan: ",
        "Onderwerp: ",
    ),
    "no": ("-------- Videresendt melding --------", "Fra: ", "Sendt: ", "mandag 3. mars 2025 14:05", "Til: ", "Emne: "),
    "pl": ("-------- Wiadomość przekazana --------", "Od: ", "Wysłano: ", "poniedziałek, 3 marca 2025 14:05", "Do: ", "Temat: "),
    "pt": (
        "-------- Mensagem encaminhada --------",
        "De: ",
        "Enviada em: ",
        "segunda-feira, 3 de março de 2025 14:05",
        "Para: ",
        "Assunto: ",
    ),
    "ro": ("-------- Mesaj redirecționat --------", "De la: ", "Trimis: ", "luni, 3 martie 2025 14:05", "Către: ", "Subiect: "),
    "ru": ("-------- Пересылаемое сообщение --------", "От: ", "Отправлено: ", "3 марта 2025 г., 14:05", "Кому: ", "Тема: "),
    "sk": ("-------- Preposlaná správa --------", "Od: ", "Odoslané: ", "pondelok 3. marca 2025 14:05", "Komu: ", "Predmet: "),
    "sl": ("-------- Posredovano sporočilo --------", "Od: ", "Datum: ", "pon., 3. marec 2025 ob 14:05", "Za: ", "Zadeva: "),
    "sv": ("-------- Vidarebefordrat meddelande --------", "Från: ", "Skickat: ", "den 3 mars 2025 14:05", "Till: ", "Ämne: "),
    "tr": ("-------- İletilen Mesaj --------", "Kimden: ", "Gönderildi: ", "3 Mart 2025 Pazartesi 14:05", "Kime: ", "Konu: "),
    "uk": (
        "-------- Переслане повідомлення --------",
        "Від: ",
        "Надіслано: ",
        "понеділок, 3 березня 2025 р. 14:05",
        "Кому: ",
        "Тема: ",
    ),
    "vi": (
        "---------- Thư được chuyển tiếp ----------",
        "Từ: ",
        "Ngày: ",
        "Th 2, 3 thg 3, 2025 vào lúc 14:05",
        "Đến: ",
        "Chủ đề: ",
    ),
    "zh": ("---------- 转发的邮件 ----------", "发件人: ", "发送时间: ", "2025年3月3日 14:05", "收件人: ", "主题: "),
    "zh-TW": ("---------- 轉寄的郵件 ----------", "寄件者: ", "日期: ", "2025年3月3日 下午2:05", "收件者: ", "主旨: "),
}


def block(language: str, named: str = "Ann Smith <ann@example.com>") -> tuple[str, str]:
    """Return the marker and the header block of a language."""
    marker, by, sent, when, to, subject = LANGUAGES[language]
    return marker, f"{by}{named}\n{sent}{when}\n{to}Kim <agent@example.org>\n{subject}A lamp\n"


@pytest.mark.parametrize("name", PROGRAMS)
def test_the_original_is_found_in_what_each_program_writes(name: str) -> None:
    """Author, date, subject and text are the original's, and the note is all that the forwarder wrote, wherever it stands."""
    subject, text = PROGRAMS[name]
    above, below = NOTE.split("\n\n")
    found = inline_original(text.format(note=NOTE, body=BODY, quoted=QUOTED, above=above, below=below), subject)
    bare = "attribution" in name or "without headers" in name
    expected = replace(LAMP, subject="" if bare else "A lamp", date=None if "without headers" in name else WHEN)
    assert found == (NOTE, expected)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_read_below_a_marker(language: str) -> None:
    """A marker and its header block are known in each language, with the date."""
    marker, headers = block(language)
    assert inline_original(f"{NOTE}\n\n{marker}\n{headers}\n{BODY}\n") == (NOTE, LAMP)


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_language_is_read_without_a_marker(language: str) -> None:
    """A bare header block is the forward where the subject says so, and none where it says that this is an answer."""
    _, headers = block(language)
    text = f"{NOTE}\n\n________________________________\n{headers}\n{BODY}\n"
    assert inline_original(text, True) == (NOTE, LAMP)
    assert inline_original(text, False) is None
    assert inline_original(text, None) is None
    assert inline_original(f"{headers}\n{BODY}\n", None) == ("", LAMP)


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_name_alone_gives_no_address(language: str) -> None:
    """Where the block shows only a name, no address is taken from the note, the recipients or the text."""
    marker, headers = block(language, "Ann Smith")
    for text in (f"{NOTE}\n\n{marker}\n{headers}\n{BODY}\n", f"{NOTE}\n\n{headers}\n{BODY}\n"):
        assert inline_original(text, True) == (NOTE, replace(LAMP, author=Address("Ann Smith", None)))


HTML = {
    "Gmail": (
        '<div dir="ltr">Please look<br><br><div class="gmail_quote">'
        '<div dir="ltr" class="gmail_attr">---------- Forwarded message '
        '---------<br>From: <strong class="gmail_sendername">Ann Smith</strong> <span>&lt;<a href="mailto:ann@example.com">'
        "ann@example.com</a>&gt;</span><br>Date: Mon, Mar 3, 2025 at 2:05 PM<br>Subject: A lamp<br>To: &lt;<a "
        'href="mailto:agent@example.org">agent@example.org</a>&gt;<br></div><br><br><div>It is <b>broken</b>.</div></div></div>'
    ),
    "Outlook": (
        '<div><p class="MsoNormal">Please look</p><div>'
        '<div style="border:none;border-top:solid #E1E1E1 1.0pt;padding:3.0pt 0in 0in 0in">'
        '<p class="MsoNormal"><b>From:</b> Ann Smith &lt;ann@example.com&gt; <br><b>Sent:</b> Monday, March 3, 2025 2:05 PM<br>'
        "<b>To:</b> Kim &lt;agent@example.org&gt;<br><b>Subject:</b> A lamp</p></div></div><p>&nbsp;</p>"
        "<p>It is broken.</p></div>"
    ),
    "Apple": (
        'Please look<div><br><blockquote type="cite"><div>Begin forwarded message:</div><br><div><span><b>From: </b>'
        "</span><span>Ann "
        'Smith &lt;<a href="mailto:ann@example.com">ann@example.com</a>&gt;<br></span></div><div><b>Subject: </b>'
        "<b>A lamp</b><br></div>"
        "<div><b>Date: </b>3 March 2025 at 15:05:00 CET<br></div><div><b>To: </b>agent@example.org<br></div><br>"
        "<div>It is broken.</div>"
        "</blockquote></div>"
    ),
    "Thunderbird": (
        '<p>Please look</p><div class="moz-forward-container">-------- Forwarded Message --------'
        '<table class="moz-email-headers-table">'
        "<tbody><tr><th>Subject: </th><td>A lamp</td></tr><tr><th>Date: </th><td>Mon, 3 Mar 2025 15:05:00 +0100</td></tr><tr>"
        '<th>From: </th><td>Ann Smith <a href="mailto:ann@example.com">&lt;ann@example.com&gt;</a></td></tr><tr><th>To: </th>'
        "<td>agent@example.org</td></tr></tbody></table><br><br>It is broken.</div>"
    ),
}


@pytest.mark.parametrize("quotes", [False, True])
@pytest.mark.parametrize("name", HTML)
def test_html_is_read_as_the_text_that_is_made_of_it(name: str, quotes: bool) -> None:
    """What programs write in HTML is found in its text, whether quotes are marked in it or not."""
    assert inline_original(to_text(HTML[name], quotes), True) == ("Please look", replace(LAMP, text="It is broken."))


ANSWERS = {
    "an attribution and a quote": "No.\n\nOn Mon, Mar 3, 2025 at 2:05 PM Ann Smith <ann@example.com> wrote:\n\n> The lamp?\n",
    "an attribution and bare text": "No.\n\nOn Mon, Mar 3, 2025 at 2:05 PM Ann Smith <ann@example.com>\nwrote:\n\nThe lamp?\n",
    "a header block": f"No.\n\n{block('en')[1]}\nThe lamp?\n",
    "a header block below a rule": f"No.\n\n________________________________\n{block('de')[1]}\nThe lamp?\n",
    "a quote that is a forward": "No.\n\n> ---------- Forwarded message ---------\n> From: Ann <ann@example.com>\n"
    "> Subject: A lamp\n",
    "an original message": f"No.\n\n-----Original Message-----\n{block('en')[1]}\nThe lamp?\n",
    "a forward in a quote": (
        "No.\n\nOn Mon, Mar 3, 2025 at 2:05 PM Kim wrote:\n\n> ---------- Forwarded message ---------\n"
        "> From: Ann Smith <ann@example.com>\n> Date: Mon, Mar 3, 2025 at 2:05 PM\n> Subject: A lamp\n> To: Kim\n>\n"
        "> The lamp?\n"
    ),
    "a forward deep in a quote": (
        "No.\n\n> Here it is.\n>\n> ---------- Forwarded message ---------\n> From: Ann Smith <ann@example.com>\n"
        "> Subject: A lamp\n"
    ),
    "a forward below a header block": f"No.\n\n{block('en')[1]}\nHere:\n\n---------- Forwarded message ---------\n"
    "{block('en')[1]}\n",
    "nothing but words": "Please forward this message to bob@example.net.\nFrom: here on, all is well.\n",
    "nothing": "",
}


@pytest.mark.parametrize("name", ANSWERS)
def test_an_answer_is_no_forward(name: str) -> None:
    """What is quoted below an answer is not forwarded by it, not even a forward."""
    assert inline_original(ANSWERS[name], False) is None
    assert inline_original(ANSWERS[name], None) is None or name == "a quote that is a forward"


def test_a_telephones_signature_is_no_word() -> None:
    """Where the subject says nothing, a block below nothing but the line of a telephone is the forward."""
    found = inline_original(f"Sent from my iPhone\n\n{block('en')[1]}\n{BODY}\n", None)
    assert found == ("Sent from my iPhone", LAMP)


def test_the_outermost_forward_counts() -> None:
    """Of a forward in a forward the outer author is named, and the text keeps the inner one with its headers."""
    inner = f"---------- Forwarded message ---------\n{block('fr', 'Bob <bob@example.net>')[1]}\nAllô"
    text = f"{NOTE}\n\n---------- Forwarded message ---------\n{block('en')[1]}\nSee below.\n\n{inner}\n"
    assert inline_original(text) == (NOTE, replace(LAMP, text=f"See below.\n\n{inner}"))


def test_the_end_of_an_inner_forward_is_not_the_outer_end() -> None:
    """Where forwards end with a line that says so, each end belongs to its own."""
    inner = "----- Forwarded message from bob@example.net -----\n\nHello\n\n----- End forwarded message -----"
    start, end = "----- Forwarded message from ann@example.com -----", "----- End forwarded message -----"
    text = f"{start}\n\nLook.\n\n{inner}\n\nBye\n\n{end}\n\nKim"
    assert inline_original(text) == ("Kim", Original(Address("", "ann@example.com"), None, "", f"Look.\n\n{inner}\n\nBye"))


def test_a_contact_form_is_no_forward() -> None:
    """A form that begins with From and Subject but names no time is what its sender wrote."""
    assert inline_original("From: Ann Smith <ann@example.com>\nSubject: A lamp\n\nIt is broken.\n", None) is None


def test_the_headers_end_where_the_text_begins() -> None:
    """Text that follows without a blank line, or looks like a header, stays text."""
    headers = "From: Ann <ann@example.com>\nDate: 3 March 2025 14:05\nTo: Kim\nSubject: A lamp\n"
    for body in ("Hello,\nthe lamp:\nDate: May", "Hello\n\nTo: whom it may concern", "Note: broken\nSubject: none"):
        found = inline_original(headers + body, True)
        assert found is not None and found[1].text == body and found[1].subject == "A lamp"


def test_a_header_without_a_value_takes_no_text() -> None:
    """An empty subject stays empty, and stars are the subject's own unless they mark its name."""
    start = "From: Ann <ann@example.com>\nDate: 3 March 2025 14:05\nTo: Kim\n"
    for written, subject in (
        ("Subject:", ""),
        ("Subject: ***URGENT*** lamp", "***URGENT*** lamp"),
        ("*Subject: *A lamp", "A lamp"),
    ):
        found = inline_original(f"{start}{written}\n\nHello", True)
        assert found is not None and (found[1].subject, found[1].text) == (subject, "Hello")


def test_who_wrote_when_may_stand_on_one_line_below_a_marker() -> None:
    """Yandex writes date and author as one line, without a header's name."""
    text = f'{NOTE}\n\n-------- Пересылаемое сообщение --------\n03.03.2025, 14:05, "Ann Smith" <ann@example.com>:\n\n{BODY}\n' \
        "-------- Конец пересылаемого сообщения --------\n"  # fmt: skip
    assert inline_original(text) == (NOTE, replace(LAMP, subject=""))


def test_an_unknown_language_is_read_by_what_its_lines_hold() -> None:
    """Below a marker a date is the date, and the first address the author's if the recipients are told apart from it."""
    start = "---------- Forwarded message ---------\nXyz: Ann Smith <ann@example.com>\n"
    found = inline_original(f"{start}Date: 3 March 2025 14:05\nSubject: A lamp\nTo: Kim <agent@example.org>\n\n{BODY}")
    assert found == ("", LAMP)
    found = inline_original(f"{start}Xy zy: 3 March 2025 14:05\nSubject: A lamp\n\n{BODY}")
    assert found == ("", replace(LAMP, author=None))


def test_a_folded_subject_is_one_line() -> None:
    """A subject that goes on below is read whole, before another header as well as at the end."""
    start = "---------- Forwarded message ---------\nFrom: Ann <ann@example.com>\nDate: 3 March 2025 14:05\n"
    long = "About the lamp that I bought in your shop in the long street"
    important = "Importance: High\n"
    for text in (
        f"{start}Subject: {long}\nand did not like\nTo: Kim\n\nHello",
        f"{start}To: Kim\nSubject: {long}\n and did not like\n\nHello",
        f"{start}To: Kim\nSubject: {long}\nand did not like\n{important}\nHello",
    ):
        found = inline_original(text)
        assert found is not None and (found[1].subject, found[1].text) == (f"{long} and did not like", "Hello")


AUTHORS = {
    "Ann Smith <ann@example.com>": ANN,
    '"Ann Smith" <ann@example.com>': ANN,
    "'Ann Smith' [mailto:ann@example.com]": ANN,
    "Ann Smith (ann@example.com)": ANN,
    "Ann Smith <ann@example.com<mailto:ann@example.com>>": ANN,
    "Ann Smith<mailto:ann@example.com> <ann@example.com<mailto:ann@example.com>> on behalf of Shop<mailto:shop@example.net>": ANN,
    "Ann Smith <ann@example.com> im Auftrag von Shop": ANN,
    "=?utf-8?q?Ann_Smith?= <ann@example.com>": ANN,
    "Ann Smith ann@example.com": ANN,
    "Smith, Ann <ann@example.com>": Address("Smith, Ann", "ann@example.com"),
    "ann@example.com": Address("", "ann@example.com"),
    "<ann@example.com>": Address("", "ann@example.com"),
    "ann@example.com [mailto:ann@example.com]": Address("", "ann@example.com"),
    "Ann Smith": Address("Ann Smith", None),
    "Ann Smith </O=ORG/OU=UNIT/CN=ANN>": Address("Ann Smith", None),
    "Ann Smith/Sales/Org@Org": Address("Ann Smith/Sales/Org@Org", None),
}


@pytest.mark.parametrize("written", AUTHORS)
def test_the_author_is_read_in_all_spellings(written: str) -> None:
    """Brackets of every sort, links, quotes and encoded words around an author are known."""
    found = inline_original(f"From: {written}\nSent: 3 March 2025 14:05\nTo: bob@example.net\nSubject: A lamp\n\nHello", True)
    assert found is not None and found[1].author == AUTHORS[written]


ATTRIBUTIONS = (
    "On 28/10/2021 12:46, Ann Smith <ann@example.com> wrote:",
    "On Tuesday, November 2, 2021, 03:01:36 PM GMT+1, Ann Smith <ann@example.com> wrote:",
    "Am 28.10.21 um 12:46 schrieb Ann Smith <ann@example.com>:",
    "Le 28/10/2021 12:46, « Ann Smith » <ann@example.com> a écrit :",
    "Op 28/10/2021 12:46 heeft Ann Smith <ann@example.com> geschreven:",
    "28/10/2021, 12:46 пользователь \"Ann Smith\" <ann@example.com> написал:",
    "Ann Smith <ann@example.com> kirjoitti 28/10/2021 12.46:",
    "28/10/2021 12:46 időpontban Ann Smith (ann@example.com) ezt írta:",
)  # fmt: skip


@pytest.mark.parametrize("line", ATTRIBUTIONS)
def test_some_programs_forward_below_an_attribution(line: str) -> None:
    """Where the subject says that it is a forward, the line that says who wrote names the author."""
    found = inline_original(f"{NOTE}\n\n{line}\n\n    Hello\n", True)
    assert found is not None
    assert (found[0], found[1].author, found[1].text) == (NOTE, ANN, "Hello")
    assert found[1].date is not None and found[1].date[:4] == "2021"


DATES = {
    "Mon, Mar 3, 2025 at 2:05 PM": WHEN,
    "Monday, March 3, 2025 12:05 AM": "2025-03-03T00:05:00+00:00",
    "Mon, 3 Mar 2025 15:05:00 +0100 (CET)": WHEN,
    "2025-03-03T14:05:00Z": WHEN,
    "2025-03-03 14:05": WHEN,
    "2025. 3. 3. 오후 2:05": WHEN,
    "3.3.2025 14.05": WHEN,
    "03.03.25, 14:05": WHEN,
    "am 3. März 2025 um 15:05 MEZ": WHEN,
    "Sa., 1. März 2025 um 12:05 Uhr": "2025-03-01T12:05:00+00:00",
    "mar. 4 mars 2025 à 14h05": "2025-03-04T14:05:00+00:00",
    "1er avril 2025 14:05": "2025-04-01T14:05:00+00:00",
    "26. listopada 2021. u 14:25": "2021-10-26T14:25:00+00:00",
    "26 listopada 2021 14:25": "2021-11-26T14:25:00+00:00",
    "31/12/2025 14:05": "2025-12-31T14:05:00+00:00",
    "12/31/2025 2:05 PM": "2025-12-31T14:05:00+00:00",
    "03/03/2025 14:05": WHEN,
    "03/04/2025 14:05": None,
    "31.02.2025 14:05": None,
    "3 March 2025": None,
    "3 March 2025 27:05": None,
    "3 Foo 2025 14:05": None,
    "yesterday": None,
    "": None,
}


@pytest.mark.parametrize("written", DATES)
def test_a_local_date_is_read_where_it_is_sure(written: str) -> None:
    """Dates in the order and with the words of a language become UTC; what may mean two days means none."""
    assert local_date(written) == DATES[written]


def test_the_words_of_a_month_mean_one_month() -> None:
    """No word stands for different months in two languages; Croatian, which does, is known by its dots."""
    months: dict[str, set[int]] = {}
    for row in forwarded_tables.MONTH_ROWS.values():
        assert len(row.split()) == 12, row
        for number, words in enumerate(row.split(), 1):
            for word in words.split("|"):
                months.setdefault(word, set()).add(number)
    assert [word for word, numbers in months.items() if len(numbers) > 1] == []


def test_an_attached_original_is_the_mail_that_was_read_of_it() -> None:
    """Of an attached message all is known, its Message-ID too."""
    mail = Mail(message_id="1@example.com", authors=(ANN,), date=WHEN, subject="A lamp", text=BODY)
    assert attached_original(mail) == replace(LAMP, message_id="1@example.com")
    assert attached_original(Mail()) == Original()


HOSTILE = {
    "From on one line": "From: " * 10_000,
    "markers": "---- Forwarded message ----\n" * 50_000,
    "one line": "a" * 262_144,
    "blank lines": "\n" * 50_000 + "x",
    "blank quotes": ">\n" * 50_000 + "> x",
    "copies": "Cc: x\n" * 20_000,
    "blocks": "From: a\nTo: b\n" * 10_000,
    "folded": ("To: a,\n" + "b,\n" * 59) * 330,
    "run together": ("---- Forwarded message ---- " + "A:B:C: To:" * 90 + "\n") * 256,
    "brackets": ("<" * 999 + ":\n") * 256,
    "addresses": ("a@" * 499 + ":\n") * 256,
    "blanks": ("From" + " " * 990 + "x\n") * 256,
    "dashes": ("-" * 900 + "\n") * 256,
    "quote marks": (">" * 900 + "\n") * 256,
    "nested": "---- Forwarded message from a@example.com ----\n" * 5_000,
    "ends": "---- Forwarded message ----\nFrom: a@example.com\nDate: x\n\n" + "---- End forwarded message ----\n" * 8_000,
}


@pytest.mark.parametrize("subject", [True, None, False])
@pytest.mark.parametrize("name", HOSTILE)
def test_no_text_takes_long(name: str, subject: bool | None) -> None:
    """A text that was made to hang a parser is read in linear time."""
    start = time.process_time()
    inline_original(HOSTILE[name], subject)
    assert time.process_time() - start < 5


PIECES = st.sampled_from(
    [
        "From: Ann <ann@example.com>",
        "Sent: 3.3.2025 14:05",
        "To: b",
        "Subject: c",
        "---- Forwarded message ----",
        "On 3 May 2025 14:05 <a@example.com> wrote:",
        "-----Original Message-----",
        "----- End forwarded message -----",
        *("> ", ">", "\n", "\r\n", "Hello", " ", "\x00", ":", "Fwd:"),
    ]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=40), st.sampled_from([True, None, False]))
def test_any_text_is_read_without_an_error(pieces: list[str], subject: bool | None) -> None:
    """Nothing that a mail may hold makes it raise, and what is found is words of the text."""
    for joint in ("", "\n"):
        text = joint.join(pieces)
        found = inline_original(text, subject)
        assert found is None or (not found[1].author or not found[1].author.address or found[1].author.address in text)


@given(
    st.text(max_size=60)
    | st.lists(
        st.sampled_from(["3", "03", "2025", ".", "/", "-", ":", "march", "월", "年", "pm", "下午", "14:05", "99"]), max_size=9
    ).map(" ".join)
)
def test_any_date_is_read_without_an_error(text: str) -> None:
    """What looks like a date but is none gives None."""
    read = local_date(text)
    assert read is None or read.endswith("+00:00")
