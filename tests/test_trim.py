"""What the writer newly wrote, in the languages and programs that mail comes in."""

from __future__ import annotations

import time

import pytest

from pipeline.letter import REPLY_ABOVE
from pipeline.trim import is_forwarded, new_text

ATTRIBUTIONS = {
    "en gmail": "On Sun, Nov 22, 2026 at 7:31 AM Ann Example <ann@example.com> wrote:",
    "en apple": "On Nov 22, 2026, at 7:31 AM, Ann Example <ann@example.com> wrote:",
    "en apple without year": "On 22 Nov, at 07:31, Ann Example <ann@example.com> wrote:",
    "en thunderbird": "On 22/11/2026 07:31, Ann Example wrote:",
    "en mutt": "On Sun, Nov 22, 2026 at 07:31:00AM +0000, Ann Example wrote:",
    "en yahoo": "On Sunday, November 22, 2026 at 07:31:00 AM GMT+1, Ann Example <ann@example.com> wrote:",
    "de gmail": "Am So., 22. Nov. 2026 um 07:31 Uhr schrieb Ann Example <ann@example.com>:",
    "de apple": "Am 22.11.2026 um 07:31 schrieb Ann Example <ann@example.com>:",
    "de thunderbird": "Am 22.11.26 um 07:31 schrieb Ann Example:",
    "fr gmail": "Le dim. 22 nov. 2026 à 07:31, Ann Example <ann@example.com> a écrit :",
    "fr nbsp": "Le 22/11/2026 à 07:31, Ann Example a écrit\xa0:",
    "es gmail": "El dom, 22 nov 2026 a las 7:31, Ann Example (<ann@example.com>) escribió:",
    "es apple": "El 22 nov 2026, a las 7:31, Ann Example <ann@example.com> escribió:",
    "pt gmail": "Em dom., 22 de nov. de 2026 às 07:31, Ann Example <ann@example.com> escreveu:",
    "pt thunderbird": "Em 22/11/2026 07:31, Ann Example escreveu:",
    "it gmail": "Il giorno dom 22 nov 2026 alle ore 07:31 Ann Example <ann@example.com> ha scritto:",
    "it thunderbird": "Il 22/11/2026 07:31, Ann Example ha scritto:",
    "nl gmail": "Op zo 22 nov 2026 om 07:31 schreef Ann Example <ann@example.com>:",
    "nl apple": "Op 22 nov. 2026, om 07:31 heeft Ann Example <ann@example.com> het volgende geschreven:",
    "pl gmail": "niedz., 22 lis 2026 o 07:31 Ann Example <ann@example.com> napisał(a):",
    "pl thunderbird": "W dniu 22.11.2026 o 07:31, Ann Example pisze:",
    "sv gmail": "Den sön 22 nov. 2026 kl 07:31 skrev Ann Example <ann@example.com>:",
    "da gmail": "Den søn. 22. nov. 2026 kl. 07.31 skrev Ann Example <ann@example.com>:",
    "no gmail": "søn. 22. nov. 2026 kl. 07:31 skrev Ann Example <ann@example.com>:",
    "fi gmail": "su 22. marrask. 2026 klo 7.31 Ann Example (ann@example.com) kirjoitti:",
    "fi thunderbird": "Ann Example kirjoitti 22.11.2026 klo 7.31:",
    "cs gmail": "ne 22. 11. 2026 v 7:31 odesílatel Ann Example <ann@example.com> napsal:",
    "cs thunderbird": "Dne 22. 11. 26 v 7:31 Ann Example napsal(a):",
    "ru gmail": "вс, 22 нояб. 2026 г. в 07:31, Ann Example <ann@example.com>:",
    "ru thunderbird": "22.11.2026 07:31, Ann Example пишет:",
    "ru mail.ru": "Воскресенье, 22 ноября 2026, 7:31 +03:00 от Ann Example <ann@example.com>:",
    "uk gmail": "нд, 22 лист. 2026 р. о 07:31 Ann Example <ann@example.com> пише:",
    "tr gmail": "Ann Example <ann@example.com>, 22 Kas 2026 Paz, 07:31 tarihinde şunu yazdı:",
    "tr apple": "Ann Example <ann@example.com> şunları yazdı (22 Kas 2026 07:31):",
    "ja gmail": "2026年11月22日(日) 7:31 Ann Example <ann@example.com>:",
    "ja apple": "2026/11/22 7:31、Ann Exampleのメール:",
    "zh gmail": "Ann Example <ann@example.com> 于2026年11月22日周日 07:31写道：",
    "zh tw gmail": "Ann Example <ann@example.com> 於 2026年11月22日 週日 上午7:31寫道：",
    "zh apple": "2026年11月22日 上午7:31，Ann Example <ann@example.com> 写道：",
    "ko gmail": "2026년 11월 22일 (일) 오전 7:31, Ann Example <ann@example.com>님이 작성:",
    "ko apple": "2026. 11. 22. 오전 7:31, Ann Example <ann@example.com> 작성:",
    "he gmail": "\u202bבתאריך יום א׳, 22 בנוב׳ 2026 ב-7:31 מאת \u202aAnn\u202c\u200f <\u202aann@example.com\u202c\u200f>:\u202c",
    "ar gmail": "في الأحد، 22 نوفمبر 2026 في 7:31 ص تمت كتابة ما يلي بواسطة Ann Example <ann@example.com>:",
    "vi gmail": "Vào CN, 22 thg 11, 2026 vào lúc 07:31 Ann Example <ann@example.com> đã viết:",
    "sk gmail": "ne 22. 11. 2026 o 7:31 Ann Example <ann@example.com> napísal(a):",
    "hu gmail": "Ann Example <ann@example.com> ezt írta (időpont: 2026. nov. 22., V, 7:31):",
    "hu thunderbird": "2026. 11. 22. 7:31 keltezéssel, Ann Example írta:",
    "ro gmail": "În dum., 22 nov. 2026 la 07:31, Ann Example <ann@example.com> a scris:",
    "bg gmail": "На нд, 22.11.2026 г. в 7:31 Ann Example <ann@example.com> написа:",
    "hr gmail": "ned, 22. stu 2026. u 07:31 Ann Example <ann@example.com> napisao je:",
    "sr roundcube": "Дана 2026-11-22 07:31, Ann Example написа:",
    "sl thunderbird": "Dne 22. 11. 26 ob 07:31 je Ann Example napisal(a):",
    "et gmail": "Kontakt Ann Example (<ann@example.com>) kirjutas kuupäeval P, 22. november 2026 kell 07:31:",
    "lv thunderbird": "22.11.2026 07:31, Ann Example rakstīja:",
    "lt gmail": "2026-11-22, sk, 07:31 Ann Example <ann@example.com> rašė:",
    "el gmail": "Στις Κυρ 22 Νοε 2026 στις 7:31 π.μ., ο χρήστης Ann Example <ann@example.com> έγραψε:",
    "fa gmail": "در تاریخ یکشنبه ۲۲ نوامبر ۲۰۲۶،\u200f ۷:۳۱ Ann Example <ann@example.com> نوشت:",
    "hi gmail": "रवि, 22 नव॰ 2026 को 7:31 am बजे को Ann Example <ann@example.com> ने लिखा:",
    "th gmail": "เมื่อ อา. 22 พ.ย. 2026 เวลา 07:31 Ann Example <ann@example.com> เขียนว่า:",
    "id gmail": "Pada tanggal Min, 22 Nov 2026 pukul 07.31 Ann Example <ann@example.com> menulis:",
    "ca gmail": "Missatge de Ann Example <ann@example.com> del dia dg., 22 de nov. 2026 a les 7:31:",
    "gl gmail": "O dom, 22 nov 2026 ás 7:31, Ann Example (<ann@example.com>) escribiu:",
    "a language without a row": "Þann sun., 22. nóv. 2026 kl. 07:31 skrifaði Ann Example <ann@example.com>:",
    "en yahoo of old": "Ann Example <ann@example.com> wrote on 11/22/2026 07:31:00 AM:",
    "de ox": "Ann Example <ann@example.com> hat am 22.11.2026 07:31 CET geschrieben:",
    "pt gmail in Portugal": "Ann Example <ann@example.com> escreveu (domingo, 22/11/2026 à(s) 07:31):",
    "pl apple": "Wiadomość napisana przez Ann Example <ann@example.com> w dniu 22 lis 2026, o godz. 07:31:",
    "nl roundcube": "Ann Example schreef op 2026-11-22 07:31:",
    "ru the bat": "Вы писали 22 ноября 2026 г., 7:31:00:",
    "tr thunderbird": "22.11.2026 07:31 tarihinde Ann Example yazdı:",
    "ko thunderbird": "2026-11-22 오전 7:31에 Ann Example 이(가) 쓴 글:",
    "ar apple": "في ٢٢ نوفمبر ٢٠٢٦، الساعة ٧:٣١ ص، كتب/كتبت Ann Example <ann@example.com>:",
    "horde": "Zitat von Ann Example <ann@example.com>:",
    "no words": '22.11.2026, 07:31, "Ann Example" <ann@example.com>:',
}
HEADER_BLOCKS = {
    "en": ("From: Ann Example", "Sent: Sunday, November 22, 2026 7:31 AM", "To: Support", "Subject: Printer"),
    "de": ("Von: Ann Example", "Gesendet: Sonntag, 22. November 2026 07:31", "An: Support", "Betreff: Drucker"),
    "fr": ("De : Ann Example", "Envoyé : dimanche 22 novembre 2026 07:31", "À : Support", "Objet : Imprimante"),
    "es": ("De: Ann Example", "Enviado el: domingo, 22 de noviembre de 2026 7:31", "Para: Support", "Asunto: Impresora"),
    "pt": ("De: Ann Example", "Enviada em: domingo, 22 de novembro de 2026 07:31", "Para: Support", "Assunto: Impressora"),
    "it": ("Da: Ann Example", "Inviato: domenica 22 novembre 2026 07:31", "A: Support", "Oggetto: Stampante"),
    "nl": ("Van: Ann Example", "Verzonden: zondag 22 november 2026 07:31", "Aan: Support", "Onderwerp: Printer"),
    "pl": ("Od: Ann Example", "Wysłano: niedziela, 22 listopada 2026 07:31", "Do: Support", "Temat: Drukarka"),
    "sv": ("Från: Ann Example", "Skickat: den 22 november 2026 07:31", "Till: Support", "Ämne: Skrivare"),
    "da": ("Fra: Ann Example", "Sendt: 22. november 2026 07:31", "Til: Support", "Emne: Printer"),
    "fi": (
        "Lähettäjä: Ann Example",
        "Lähetetty: sunnuntai 22. marraskuuta 2026 7.31",
        "Vastaanottaja: Support",
        "Aihe: Tulostin",
    ),
    "cs": ("Od: Ann Example", "Odesláno: neděle 22. listopadu 2026 7:31", "Komu: Support", "Předmět: Tiskárna"),
    "ru": ("От: Ann Example", "Отправлено: 22 ноября 2026 г. 7:31", "Кому: Support", "Тема: Принтер"),
    "uk": ("Від: Ann Example", "Надіслано: 22 листопада 2026 р. 7:31", "Кому: Support", "Тема: Принтер"),
    "tr": ("Kimden: Ann Example", "Gönderildi: 22 Kasım 2026 Pazar 07:31", "Kime: Support", "Konu: Yazıcı"),
    "ja": ("差出人: Ann Example", "送信日時: 2026年11月22日 7:31", "宛先: Support", "件名: プリンタ"),
    "zh": ("发件人: Ann Example", "发送时间: 2026年11月22日 7:31", "收件人: Support", "主题: 打印机"),
    "zh tw": ("寄件者： Ann Example", "寄件日期： 2026年11月22日 7:31", "收件者： Support", "主旨： 印表機"),
    "ko": ("보낸 사람: Ann Example", "보낸 날짜: 2026년 11월 22일 7:31", "받는 사람: Support", "제목: 프린터"),
    "he": ("מאת: Ann Example", "נשלח: יום ראשון 22 נובמבר 2026 07:31", "אל: Support", "נושא: מדפסת"),
    "ar": ("من: Ann Example", "تاريخ الإرسال: 22 نوفمبر 2026", "إلى: Support", "الموضوع: الطابعة"),
    "sk": ("Od: Ann Example", "Odoslané: nedeľa 22. novembra 2026 7:31", "Komu: Support", "Predmet: Tlačiareň"),
    "hu": ("Feladó: Ann Example", "Elküldve: 2026. november 22. 7:31", "Címzett: Support", "Tárgy: Nyomtató"),
    "ro": ("De la: Ann Example", "Trimis: duminică, 22 noiembrie 2026", "Către: Support", "Subiect: Imprimantă"),
    "bg": ("От: Ann Example", "Изпратено: неделя, 22 ноември 2026", "До: Support", "Относно: Принтер"),
    "hr": ("Šalje: Ann Example", "Poslano: 22. studenoga 2026. 07:31", "Prima: Support", "Predmet: Pisač"),
    "sl": ("Od: Ann Example", "Poslano: 22. november 2026 07:31", "Za: Support", "Zadeva: Tiskalnik"),
    "et": ("Saatja: Ann Example", "Saadetud: 22. november 2026 07:31", "Adressaat: Support", "Teema: Printer"),
    "lv": ("No: Ann Example", "Nosūtīts: 2026. gada 22. novembris", "Kam: Support", "Tēma: Printeris"),
    "lt": ("Nuo: Ann Example", "Išsiųsta: 2026 m. lapkričio 22 d.", "Kam: Support", "Tema: Spausdintuvas"),
    "el": ("Από: Ann Example", "Στάλθηκε: 22 Νοεμβρίου 2026 7:31", "Προς: Support", "Θέμα: Εκτυπωτής"),
    "fa": ("از: Ann Example", "تاریخ: ۲۲ نوامبر ۲۰۲۶", "به: Support", "موضوع: چاپگر"),
    "hi": ("प्रेषक: Ann Example", "दिनांक: 22 नवंबर 2026", "प्रति: Support", "विषय: प्रिंटर"),
    "th": ("จาก: Ann Example", "วันที่: 22 พฤศจิกายน 2569", "ถึง: Support", "เรื่อง: เครื่องพิมพ์"),
    "vi": ("Từ: Ann Example", "Ngày: 22 tháng 11, 2026", "Đến: Support", "Chủ đề: Máy in"),
    "id": ("Dari: Ann Example", "Dikirim: 22 November 2026 07.31", "Kepada: Support", "Subjek: Printer"),
    "ca": ("De: Ann Example", "Enviat el: 22 de novembre de 2026 7:31", "Per a: Support", "Assumpte: Impressora"),
    "mac": ("From: Ann Example <ann@example.com>", "Date: Sunday, 22 November 2026", "To: Support", "Subject: Printer"),
    "web.de": ("Gesendet: Sonntag, 22. November 2026", "Von: ann@example.com", "An: Support", "Betreff: Drucker"),
    "full width": ("发件人： Ann Example", "发送时间： 2026-11-22 07:31", "收件人： Support", "主题： 打印机"),
    "netease": (
        "| From | Ann<ann@example.com> |",
        "| Date | 11/22/2026 07:31 |",
        "| To | Bob<b@example.com> |",
        "| Subject | P |",
    ),
    "markdown": ("**From:** Ann <ann@example.com>", "**Sent:** 22 Nov 2026", "**To:** Support", "**Subject:** Printer"),
    "address below": ("From: Ann Example", "<ann@example.com>", "Sent: Sunday, November 22, 2026", "To: Support", "Subject: P"),
    "bold": ("*From:* Ann Example [mailto:ann@example.com]", "*Sent:* Sunday", "*To:* Support", "*Subject:* Printer"),
}
SEPARATORS = (
    "-----Original Message-----",
    "-----Ursprüngliche Nachricht-----",
    "-----Message d'origine-----",
    "-----Mensaje original-----",
    "-----Mensagem original-----",
    "-----Messaggio originale-----",
    "-----Oorspronkelijk bericht-----",
    "-----Wiadomość oryginalna-----",
    "-----Ursprungligt meddelande-----",
    "-----Oprindelig meddelelse-----",
    "-----Opprinnelig melding-----",
    "-----Alkuperäinen viesti-----",
    "-----Původní zpráva-----",
    "-----Исходное сообщение-----",
    "-----Оригінальне повідомлення-----",
    "-----Orijinal Mesaj-----",
    "-----元のメッセージ-----",
    "------------------ 原始邮件 ------------------",
    "-----원본 메시지-----",
    "-----Pôvodná správa-----",
    "-----Eredeti üzenet-----",
    "-----Mesaj original-----",
    "-----Оригинално съобщение-----",
    "-----Izvorna poruka-----",
    "-----Izvirno sporočilo-----",
    "-----Algne teade-----",
    "-----Sākotnējais ziņojums-----",
    "-----Pradinis laiškas-----",
    "-----Αρχικό μήνυμα-----",
    "-----پیام اصلی-----",
    "-----मूल संदेश-----",
    "-----ข้อความต้นฉบับ-----",
    "━━━Thư gốc━━━",
    "-----Pesan Asli-----",
    "-----Missatge original-----",
    "----- Mail original -----",
    "------------------ Original ------------------",
    "-------- Özgün İleti --------",
    "---------[ 받은 메일 내용 ]----------",
    "---- 回复的原邮件 ----",
    ">>> Ann Example <ann@example.com> 22.11.2026 07:31 >>>",
    "-----הודעה מקורית-----",
    "-----الرسالة الأصلية-----",
)
FORWARDS = (
    "---------- Forwarded message ---------",
    "Begin forwarded message:",
    "-------- Weitergeleitete Nachricht --------",
    "Anfang der weitergeleiteten Nachricht:",
    "---------- Message transféré ---------",
    "---------- Mensaje reenviado ----------",
    "---------- Mensagem encaminhada ---------",
    "---------- Messaggio inoltrato ----------",
    "---------- Doorgestuurd bericht ----------",
    "---------- Wiadomość przekazana ----------",
    "---------- Vidarebefordrat meddelande ----------",
    "---------- Videresendt meddelelse ----------",
    "---------- Välitetty viesti ----------",
    "---------- Přeposlaná zpráva ----------",
    "---------- Пересылаемое сообщение ----------",
    "---------- Переслане повідомлення ----------",
    "---------- İletilen ileti ----------",
    "---------- 転送されたメッセージ ----------",
    "---------- 转发的邮件 ----------",
    "---------- 전달된 메시지 ----------",
    "Začátek přeposílané zprávy:",
    "-------- Preposlaná správa --------",
    "Továbbított levél kezdete:",
    "Începe mesajul redirecționat:",
    "-------- Препратено писмо --------",
    "-------- Proslijeđena poruka --------",
    "-------- Posredovano sporočilo --------",
    "-------- Edastatud kiri --------",
    "-------- Persiųstas laiškas --------",
    "-------- Προωθημένο μήνυμα --------",
    "Початок листа, що пересилається:",
    "-------- پیام ارجاع داده شده --------",
    "-------- Thư đã chuyển tiếp --------",
    "Awal pesan terusan:",
    "Inici del missatge reenviat:",
    "---------- הודעה שהועברה ----------",
    "---------- رسالة معاد توجيهها ----------",
)
DEVICES = (
    "Sent from my iPhone",
    "Sent from my Verizon Wireless BlackBerry",
    "Sent from Outlook for Android",
    "Get Outlook for iOS",
    "Von meinem iPhone gesendet",
    "Gesendet mit der GMX Mail App",
    "Envoyé de mon iPhone",
    "Envoyé depuis mon téléphone Android",
    "Enviado desde mi iPhone",
    "Enviado do meu iPhone",
    "Inviato da iPhone",
    "Verstuurd vanaf mijn iPhone",
    "Wysłane z iPhone'a",
    "Skickat från min iPhone",
    "Sendt fra min iPhone",
    "Lähetetty iPhonesta",
    "Odesláno z iPhonu",
    "Отправлено с iPhone",
    "Надіслано з iPhone",
    "iPhone'umdan gönderildi",
    "iPhoneから送信",
    "发自我的iPhone",
    "從我的 iPhone 傳送",
    "나의 iPhone에서 보냄",
    "נשלח מה-iPhone שלי",
    "أُرسلت من الـ iPhone",
    "Von meinem/meiner Galaxy gesendet",
    "Diese Nachricht wurde von meinem Android Mobiltelefon mit WEB.DE Mail gesendet.",
    "Télécharger Outlook pour Android<https://aka.ms/ghei36>",
    "Outlook für iOS beziehen <https://example.com/path>",
    "Ottieni Outlook per iOS",
    "Pobierz aplikację Outlook dla systemu iOS",
    "Odoslané z iPhonu",
    "Elküldve az iPhone-omról",
    "Trimis de pe iPhone-ul meu",
    "Изпратено от моя iPhone",
    "Poslano s mog iPhonea",
    "Saadetud minu iPhone'ist",
    "Nosūtīts no mana iPhone",
    "Išsiųsta iš mano iPhone",
    "Στάλθηκε από το iPhone μου",
    "Отправлено из мобильной Почты Mail.ru",
    "iOS için Outlook'u edinin",
    "iOS 版 Outlook を入手",
    "获取 Outlook for iOS",
    "Android용 Outlook 다운로드",
    "ارسال شده از iPhone من",
    "मेरे iPhone से भेजा गया",
    "ส่งจาก iPhone ของฉัน",
    "Đã gửi từ iPhone của tôi",
    "Dikirim dari iPhone saya",
    "Enviat des del meu iPhone",
    "Sent from Mail for Windows",
    "Sent with Proton Mail secure email.",
    "Sent from my phone, please excuse typos",
    "Yahoo Mail: Search, Organize, Conquer",
    "<<sent by galaxy>>",
    "Get Outlook for iOS<https://aka.ms/o0ukef>",
)


@pytest.mark.parametrize("line", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)
def test_an_attribution_and_its_quote_go(line: str) -> None:
    """In every language the line that says who wrote goes with the quote below it."""
    assert new_text(f"It works now.\n\n{line}\n\n> Does it work?\n> Ann\n") == "It works now."


@pytest.mark.parametrize("line", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)
def test_an_attribution_may_be_wrapped(line: str) -> None:
    """A long attribution that a program broke in two lines is still one."""
    broken = "\n".join(line.rsplit(" ", 1))
    assert new_text(f"It works now.\n\n{broken}\n> Does it work?\n") == "It works now."


@pytest.mark.parametrize("line", ATTRIBUTIONS.values(), ids=ATTRIBUTIONS)
def test_a_reply_that_only_quotes_is_empty(line: str) -> None:
    """Nothing new is the empty string, not the quote."""
    assert new_text(f"{line}\n> Does it work?\n>> yes\n> Ann\n") == ""


@pytest.mark.parametrize("block", HEADER_BLOCKS.values(), ids=HEADER_BLOCKS)
def test_a_header_block_ends_the_answer(block: tuple[str, ...]) -> None:
    """Outlook's block of header lines and all below it goes."""
    assert (
        new_text("\n".join(("Thanks, solved.", "", "________________", *block, "", "The printer is on fire.")))
        == "Thanks, solved."
    )


@pytest.mark.parametrize("block", HEADER_BLOCKS.values(), ids=HEADER_BLOCKS)
def test_a_header_block_on_top_is_a_forward_unless_the_subject_answers(block: tuple[str, ...]) -> None:
    """Without a word above, a forward keeps everything, and an answer is empty."""
    text = "\n".join((*block, "", "The printer is on fire."))
    assert (new_text(text), new_text(text, forwarded=True), new_text(text, forwarded=False)) == (text, text, "")


@pytest.mark.parametrize("line", SEPARATORS)
def test_a_separator_ends_the_answer(line: str) -> None:
    """`-----Original Message-----` and all below it goes, in every language."""
    assert new_text(f"Solved.\n\n{line}\nOn fire.\n") == "Solved."


@pytest.mark.parametrize("line", FORWARDS)
def test_a_forward_is_kept_whole(line: str) -> None:
    """What a mail forwards is what it is about."""
    head = "From: Ann <ann@example.com>\nDate: 22.11.2026\nSubject: Fire\nTo: Bob <bob@example.com>"
    text = f"See below.\n\n{line}\n{head}\n\nOn fire.\n-- \nAnn"
    assert new_text(text) == text


@pytest.mark.parametrize("line", DEVICES)
def test_the_signature_of_a_telephone_goes(line: str) -> None:
    """A telephone's own line at the end goes; alone it leaves nothing."""
    assert (new_text(f"Solved.\n\n{line}\n"), new_text(f"{line}\n")) == ("Solved.", "")


KEPT = {
    "prose about sending": "Hello,\n\nSent from my desk, is much easier then my mobile phone.",
    "on without a quote": "Please see.\nOn your remote host you can run:\n\n  telnet 127.0.0.1",
    "somebody wrote": "My boss wrote:\n\nThe printer must be replaced.",
    "a booking": "Please book:\n\nVon: Berlin\nAn: Wien\n\nDanke",
    "an appointment": "Invitation:\n\nDate: Wednesday 3, October 2011\nTime: 7:00am\nAddress: 130 Fox St",
    "a drawn line": "Part one\n--\n" + "\n".join(f"line {n}" for n in range(40)),
    "dashes with words": "Below.\n\n------ Enter Feedback Below ------\n\nIt was fine.",
    "arrows": "Visit us\n>>> >>>  http://www.example.com <<<\nnow",
    "a list": "Needed:\n\n- Paper\n- Toner",
    "a log": "\n".join(f"2026-11-22 07:3{n}:00 ERROR at host{n}: failed" for n in range(9)),
    "a form that was sent": "It was submitted by\n(ann@example.com) on Sunday, 22 Nov 2026 at 07:06:01\n---------\n\nAnn",
    "a markdown rule": "one\n\n---\n\ntwo",
    "a dash in a line": "And here is a fix -- this is no signature.",
    "a deadline": "Please send it to bob@example.com by 22 Nov 2026, at 10:00:\n- paper\n- toner",
    "an error by its time": "Am 22.11.2026 um 07:31 Uhr hat der Drucker gestreikt:\n\nPapierstau\n\nBitte helfen.",
    "an error mail": "I got this on 22.11.2026 at 07:31 from mailer@example.com:\n\n550 user unknown\n\nWhat now?",
    "a verb in a sentence": "On 22 Nov 2026 at 07:31 Ann came and wrote down the number:\n\n4711\n\nBob",
    "a form": "Name: Bob\nDate: 22.11.2026\nSubject: Printer\nTo: first floor\n\nIt is broken.",
    "hours": "Open\n\nFrom: 10:00\nTo: 12:00\nSubject: Meeting\n\nPlease come.",
    "a sentence about sending": "I sent the files from my phone yesterday.",
    "a sentence with a device": "Das Paket wurde von meinem Telefon aus bestellt und gestern gesendet.",
    "a question about a program": "Where can I get Outlook for iOS?",
    "torches": "It works.\n\nSent from a magnificent torch of pixels",
    "code that the writer shows": "Please try this:\n\n> print('hello')\n\nand tell me.",
    "a marker in prose": "Where is the note to reply above this line? It is not there, I looked at all of the mails.",
    "only a forward line in prose": "The forwarded message did not arrive.",
}


@pytest.mark.parametrize("text", KEPT.values(), ids=KEPT)
def test_the_writers_own_words_stay(text: str) -> None:
    """What only looks like a quote or a signature is not cut."""
    assert new_text(text) == text


CUT = {
    "signature": ("Hello\n\n-- \nAnn Example\nExample Ltd\n", "Hello"),
    "signature without its blank": ("Hello\n\n--\nAnn Example\n", "Hello"),
    "signature above a quote": ("Hi\n-- \nAnn\n\nOn 22.11.2026 07:31, Bob wrote:\n> q\n", "Hi"),
    "name with a dash": ("Hi folks\n\n-Ann Example\n", "Hi folks"),
    "list footer": ("Hi\n\n___________\nusers mailing list\nusers@lists.example.com\n", "Hi"),
    "answer below the quote": ("On 22.11.2026 07:31, Bob wrote:\n> q\n\nYes.\n", "Yes."),
    "quote in the middle": ("Hello\n\nOn 22.11.2026 07:31, Bob wrote:\n> q\n\nRegards, Ann\n", "Hello\n\nRegards, Ann"),
    "CRLF": ("Yes.\r\n\r\nOn 22.11.2026 07:31, Bob wrote:\r\n> q\r\n", "Yes."),
    "unquoted original": ("Yes.\n\nOn 22 Nov 2026, at 07:31, Bob <bob@example.com> wrote:\n\nDoes it?\n\nBob\n", "Yes."),
    "quote without attribution": ("Yes.\n\n> Does it?\n", "Yes."),
    "nested": ("Yes.\nOn 22.11.2026 07:31, Bob wrote:\n> Does it?\n> On 21.11.2026 07:31, Ann wrote:\n>> It?\n", "Yes."),
    "android": ("Yes.\n\n---- Ann Example wrote ----\n\n> It?\n", "Yes."),
    "another mark": ("On 22.11.2026 07:31, Bob wrote:\n| q\n| q\n\nYes.\n", "Yes."),
    "one line of another mark": ("On 22.11.2026 07:31, Bob wrote:\n\n--]q\n\nYes.\n", "Yes."),
    "answer below without a mark": ("On 22.11.2026 07:31, Bob wrote:\nq\nYes.\n", "q\nYes."),
    "answer below Outlook Express": ("-----Original Message-----\nFrom: Bob <b@example.com>\n\n> q\n\nYes.\n", "Yes."),
    "headers below the attribution": ("Bob <b@example.com> wrote:\nTo: Ann\nSubject: q\n\n> q\n\nYes.\n", "Yes."),
    "a sentence that was broken off its quote": (
        "Yes.\n\nOn 22.11.2026 07:31, Bob wrote:\n> We could send somebody to you next week, who will look after the printer,\n"
        "if that is fine.\n> Bob",
        "Yes.",
    ),
    "a label above the words": (
        "From: the first floor\n\nIt is broken.\n\nFrom: Bob\nSent: 22 Nov 2026\nTo: Ann\nSubject: P\n\nx",
        "From: the first floor\n\nIt is broken.",
    ),
    "orange": ('Oui.\n\nMessage du : 22/11/2026 07:31\nDe : "Bob" <b@example.com>\nA : a@example.com\nSujet : P\n\nx', "Oui."),
    "without a colon": ("Yes.\n\nOn Wed, 14 Nov 2018 08:14:43 -0200 Bob <b@example.com> wrote\n\nDoes it?", "Yes."),
    "zoho": ("Yes.\n\n---- On Sun, 22 Nov 2026 07:31:00 +0100 b@example.com wrote ----\n\nDoes it?", "Yes."),
    "in mid-line": ("Yes. On Sun, Nov 22, 2026 at 7:31 AM, b@example.com wrote:\n> Does it?", "Yes."),
    "wrapped before the address": ("Yes.\n\nBob Example\n<b@example.com> wrote on 22 Nov 2026, 07:31:\n\n> Does it?", "Yes."),
    "wrapped in three": ("Yes.\n\nAm 22.11.2026\num 07:31 schrieb Bob\n<b@example.com>:\n\n> Does it?", "Yes."),
    "attribution in the quote": ("Yes.\n\n> On 22 Nov 2026, at 07:31, Bob <b@example.com> wrote:\n> \n> Does it?", "Yes."),
    "zendesk": ("Yes.\n\n##- Please type your reply above this line -##\n\nWe are on it.", "Yes."),
    "zendesk in German": ("Ja.\n\n##- Bitte geben Sie Ihre Antwort oberhalb dieser Zeile ein. -##\nx", "Ja."),
    "code above the quote": (
        "Try:\n\n> print(1)\n\nBob\n\nOn 22.11.2026 07:31, Ann wrote:\n> How?",
        "Try:\n\n> print(1)\n\nBob",
    ),
    "a rule and a language without a row": (
        "Takk.\n\n____________\nFrá: Ann <a@example.com>\nSendt þann: 22.11.2026 07:31\nTil þín: Bob\nEfni: P\n\nx",
        "Takk.",
    ),
    "empty": ("", ""),
    "blank": ("\n \n\t\n", ""),
}


@pytest.mark.parametrize(("text", "new"), CUT.values(), ids=CUT)
def test_what_is_not_new_goes(text: str, new: str) -> None:
    """Signatures, footers and quotes go, and the words around them stay in order."""
    assert new_text(text) == new


def test_a_forward_by_its_subject_keeps_what_it_forwards() -> None:
    """Outlook marks a forward in the subject only: below the writer's words its header block stays."""
    text = "\n".join(("See below.", "", *HEADER_BLOCKS["de"], "", "Es brennt."))
    assert (new_text(text, forwarded=True), new_text(text, forwarded=False)) == (text, "See below.")


def test_a_quoted_forward_is_kept() -> None:
    """Apple's Mail quotes what it forwards: without an attribution above, that is no quote."""
    text = "See below.\n\n> Begin forwarded message:\n> \n> From: Ann <ann@example.com>\n> Subject: Fire\n> \n> On fire."
    assert new_text(text) == text
    attributed = f"Thanks.\n\nOn 22.11.2026 07:31, Bob wrote:\n{text[12:]}"
    assert new_text(attributed) == "Thanks."


def test_another_desks_mail_is_not_cut_at_its_marker() -> None:
    """A marker with nothing above it heads a new mail from another desk."""
    text = "##- Please type your reply above this line -##\n\nYour request was updated."
    assert new_text(text) == text


def test_our_marker_ends_the_answer() -> None:
    """All below our own line is ours, also where a program quoted the line or put its attribution above."""
    below = "\n\nTICKET-001: we are on it.\n"
    assert new_text(f"Thanks!\n\n{REPLY_ABOVE}{below}") == "Thanks!"
    assert new_text(f"Thanks!\n\nOn 22.11.2026 at 07:31 Support <s@example.com> wrote:\n> {REPLY_ABOVE}{below}") == "Thanks!"


def test_answers_between_quotes_keep_the_lines_they_answer() -> None:
    """Of inline answers each stands below its question; the quote that nobody answered goes."""
    text = "On 22.11.2026 07:31, Bob wrote:\n> Which printer?\n\nThe red one.\n\n> Since when?\n\nMonday.\n\n> Regards\n> Bob\n"
    assert new_text(text) == "> Which printer?\n\nThe red one.\n\n> Since when?\n\nMonday."


@pytest.mark.parametrize(
    ("subject", "said"),
    [
        ("Fwd: x", True),
        ("FW: x", True),
        ("WG: x", True),
        ("TR : x", True),
        ("[list] Fwd: x", True),
        ("转发：x", True),
        ("Re: x", False),
        ("AW: x", False),
        ("SV: x", False),
        ("RE[2]: x", False),
        ("回复：x", False),
        ("Hello", None),
        ("", None),
    ],
)
def test_a_subject_says_forward_or_answer(subject: str, said: bool | None) -> None:
    """The prefix of a subject is read in the languages of mail programs."""
    assert is_forwarded(subject) is said


HOSTILE = {
    "60 KB of On": "On " * 20_000,
    "lines of On": "On 2026-11-22 07:31\n" * 20_000,
    "50,000 blank lines": "\n" * 50_000,
    "200 KB of dashes": "-" * 200_000,
    "lines of dashes": ("- " * 299 + "\n") * 1000,
    "lines of underscores": ("_" * 590 + "\n") * 1000,
    "signatures": "x\n" + "-- \nOn 1.1.2026\n" * 9_000,
    "header lines": "From: a\n" * 50_000,
    "combining marks": "\u0301" * 256_000,
    "quotes": ">\n" * 100_000,
    "deep quotes": ">" * 256_000,
    "a million lines": "words and more words\n" * 250_000,
    "one long line": "x" * 256_000,
    "one long line of addresses": "a@b.example " * 21_000,
    "look-alikes of attributions": "On 22 Nov 2026 at 07:31 Ann <ann@example.com> said\n" * 20_000,
    "broken attributions": "Ann Example <\nann@example.com> wrote on\n" * 10_000,
    "verbs": ("wrote " * 90 + ":\n") * 500,
    "digits": ("2026-11-22 07:31 " * 34 + ":\n") * 1_000,
    "devices": ("sent from my iphone " * 29 + "\n") * 1_000,
    "almost a device": ("_" * 150 + "\n") * 20_000,
    "labels": ("From: Sent: To: Subject: a@b.example\n") * 20_000,
    "signatures and quotes": "x\n" + "-- \n> q\n" * 20_000,
    "arrows": (">" * 590 + "<\n") * 500,
    "attributions in mid-line": ("- On 1 <a@b.example> " * 28 + ":\n") * 500,
    "groupwise": (">>> " + "1" * 580 + " >>>\n") * 1_000,
}


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_hostile_text_is_trimmed_in_time(text: str) -> None:
    """No crafted text takes longer than two seconds, and what comes out is made of its lines."""
    started = time.process_time()
    new = new_text(text)
    assert time.process_time() - started < 2
    assert set(new.split("\n")) <= set(text.split("\n")) | {""}
