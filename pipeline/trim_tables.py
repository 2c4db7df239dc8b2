"""What mail programs write around a quote, language by language: data for trim.py.

A language is one row in each table and a case in tests/test_trim.py. Rows hold alternatives of a regular expression.
"""

from __future__ import annotations

import re

REPLY_ABOVE = "## Reply above this line ##"

# fmt: off
# "wrote", where it ends the attribution line or, in some languages, stands in it.
_WROTE = {
    "en": "wrote|writes|sent|said", "de": "schrieb|schrieben|schreibt|geschrieben", "fr": "a écrit|a ecrit|écrit|a envoyé",
    "es": "escribió|escribio|ha escrito|escribe", "pt": "escreveu|escreve", "it": "ha scritto|scrive|scrisse",
    "nl": "schreef|geschreven", "pl": r"napisał|napisała|napisał\(a\)|napisał/a|pisze", "sv": "skrev|skriver",
    "fi": "kirjoitti|kirjoittaa", "cs": r"napsal|napsala|napsal\(a\)|píše|napísal|napísala",
    "ru": r"написал|написала|написал\(а\)|писал|писала|пишет", "uk": r"написав|написала|написав\(ла\)|пише",
    "tr": "yazdı|şunu yazdı|şunları yazdı", "ro": "a scris", "hu": "írta|ezt írta", "el": "έγραψε", "vi": "đã viết",
    "he": "כתב|כתבה|כתב/ה|כתב/ה|מאת", "ar": "كتب|كتبت|كتب/ت",
}
_WROTE_UNSPACED = "書きました|のメール|のメッセージ|写道|寫道|撰写|작성|썼습니다|님의 말"  # no word boundary around these
# How an attribution line may begin, besides a digit or a weekday.
_OPENERS = {
    "en": "on|at|quoting", "de": "am|vom|zitat von|zitiere", "fr": "le", "es": "el|el día", "pt": "em|no dia|a",
    "it": "il|il giorno|in data", "nl": "op", "pl": "w dniu|dnia", "sv da no": "den|på", "cs": "dne|dňa", "ru uk": "в|у",
    "ro": "la|pe|în data", "el": "στις", "vi": "vào|vào lúc", "ar": "في|بتاريخ", "he": "בתאריך|ביום",
}
_OPENERS_UNSPACED = "在|於|于|ב[-־]"
_WEEKDAYS = {
    "en": "mon|tue|wed|thu|fri|sat|sun", "de": "mo|di|mi|do|fr|sa|so", "fr": "lun|mar|mer|jeu|ven|sam|dim",
    "es pt": "mié|mie|jue|vie|sáb|sab|dom|seg|ter|qua|qui|sex", "it": "gio|ven|sab", "nl": "ma|wo|vr|za|zo",
    "pl": "pon|wt|śr|czw|pt|sob|niedz", "sv da no": "mån|man|tis|tir|tor|tors|fre|lör|lør|sön|søn", "fi": "ma|ti|ke|to|pe|la|su",
    "cs": "po|út|st|čt|pá|so|ne", "ru uk": "пн|вт|ср|чт|пт|сб|вс|нд", "tr": "pzt|sal|çar|per|cum|cmt|paz",
}
# Header blocks as Outlook and others write them, by what the line tells.
_HEADERS = {
    "from": {
        "en": "from", "de": "von", "fr": "de|expéditeur", "es": "remitente", "it": "da|mittente", "nl": "van|afzender",
        "pl": "od|nadawca", "sv": "från|avsändare", "da no": "fra|afsender|avsender", "fi": "lähettäjä", "cs": "odesílatel",
        "ru": "от|отправитель", "uk": "від|відправник", "tr": "kimden|gönderen", "ja": "差出人|送信者|送信元",
        "zh": "发件人|發件人|寄件者|寄件人", "ko": "보낸 ?사람|발신", "he": "מאת", "ar": "من", "ro": "de la", "hu": "feladó",
        "el": "από",
    },
    "sent": {
        "en": "sent|date|sent on", "de": "gesendet|datum|gesendet am", "fr": "envoyé|envoyé le|date d['’]envoi",
        "es pt": "enviado|enviado el|enviado em|fecha|fecha de envío|data de envio", "it": "data|inviato|data invio",
        "nl": "verzonden|verstuurd", "pl": "wysłano|wysłane|data wysłania", "sv": "skickat", "da no": "sendt|dato",
        "fi": "lähetetty|päivämäärä|päiväys|pvm", "cs": "odesláno|datum odeslání", "ru": "отправлено|дата",
        "uk": "надіслано|відправлено", "tr": "gönderme tarihi|gönderilme tarihi|gönderildi|tarih",
        "ja": "送信日時|日時|送信日|日付", "zh": "发送时间|发送日期|时间|日期|寄件日期|傳送時間",
        "ko": "보낸 ?날짜|날짜|발송일|보낸 ?시간", "he": "נשלח|תאריך", "ar": "تاريخ الإرسال|التاريخ|تم الإرسال|تاريخ",
        "ro": "trimis", "hu": "elküldve|dátum", "el": "στάλθηκε|ημερομηνία",
    },
    "to": {
        "en": "to", "de": "an", "fr": "à|pour|destinataire", "es pt": "para|destinatario|destinatário", "it": "a", "nl": "aan",
        "pl": "do", "sv da no": "till|til", "fi": "vastaanottaja", "cs": "komu|pro", "ru uk": "кому", "tr": "kime|alıcı",
        "ja": "宛先|送信先", "zh": "收件人|收件者", "ko": "받는 ?사람|수신", "he": "אל|לכבוד", "ar": "إلى", "ro": "către",
        "hu": "címzett", "el": "προς",
    },
    "cc": {
        "en": "cc|bcc|message-id|reply-to|importance|attachments?",
        "de": "kopie", "fr": "copie|copie à", "es": "copia", "pt": "cópia|cco", "pl": "dw",
        "sv da no": "kopia|kopi", "fi": "kopio", "ru uk": "копия|копія", "tr": "bilgi", "zh": "抄送|副本", "ko": "참조",
        "he": "עותק", "ar": "نسخة",
    },
    "subject": {
        "en": "subject", "de": "betreff", "fr": "objet|sujet", "es": "asunto", "pt": "assunto", "it": "oggetto",
        "nl": "onderwerp", "pl": "temat", "sv": "ämne", "da no": "emne", "fi": "aihe", "cs": "předmět|predmet", "ru uk": "тема",
        "tr": "konu", "ja": "件名", "zh": "主题|主題|主旨", "ko": "제목", "he": "נושא", "ar": "الموضوع|موضوع", "ro": "subiect",
        "hu": "tárgy", "el": "θέμα",
    },
}
# "-----Original Message-----"
_ORIGINAL = {
    "en": "original message|original e-?mail|original appointment|reply message|reply separator|previous message|message reply",
    "de": "ursprüngliche nachricht|original-?nachricht|antwort nachricht|ursprüngliche e-mail|originalnachricht",
    "fr": "message d['’]origine|message original|message initial", "es": "mensaje original", "pt": "mensagem original",
    "it": "messaggio originale|messaggio originario", "nl": "oorspronkelijk bericht|oorspronkelijke bericht|origineel bericht",
    "pl": "wiadomość oryginalna|oryginalna wiadomość|treść oryginalnej wiadomości",
    "sv": "ursprungligt meddelande|originalmeddelande",
    "da no": "oprindelig meddelelse|original meddelelse|opprinnelig melding|oprindelig besked", "fi": "alkuperäinen viesti",
    "cs": "původní zpráva|původní e-mail|pôvodná správa", "ru": "исходное сообщение|оригинальное сообщение|исходное письмо",
    "uk": "вихідне повідомлення|оригінальне повідомлення|початкове повідомлення",
    "tr": "özgün ileti|orijinal mesaj|orjinal mesaj|orijinal ileti", "ja": "元のメッセージ|オリジナルメッセージ",
    "zh": "原始邮件|原邮件|原始郵件|原始信件|原始訊息", "ko": "원본 ?메시지|원본 ?메일|원본 ?이메일",
    "he": "הודעה מקורית|ההודעה המקורית", "ar": "الرسالة الأصلية|رسالة أصلية",
    "ro hu el": "mesaj original|mesajul original|eredeti üzenet|αρχικό μήνυμα",
}
# "---------- Forwarded message", "Begin forwarded message:"
_FORWARDED = {
    "en": "forwarded message|forwarded by|begin forwarded message|forwarded email",
    "de": "weitergeleitete nachricht|anfang der weitergeleiteten nachricht|weitergeleitet von|weitergeleitete mail",
    "fr": "message transféré|message transmis|début du message (?:transféré|réexpédié)|message réexpédié",
    "es": "mensaje reenviado|inicio del mensaje reenviado|forwarded message",
    "pt": "mensagem (?:encaminhada|reencaminhada)|início da mensagem (?:encaminhada|reencaminhada)",
    "it": "messaggio inoltrato|inizio (?:del )?messaggio inoltrato", "nl": "doorgestuurd bericht|begin doorgestuurd bericht",
    "pl": "wiadomość przekazana|przekazana wiadomość|przekazywana wiadomość|początek przekazywanej wiadomości",
    "sv": "vidarebefordrat (?:meddelande|brev)|vidarebefordrat",
    "da no": "(?:start på )?videresendt (?:meddelelse|besked|melding|e-post|mail)|videresendt",
    "fi": "välitetty viesti|edelleenlähetetty viesti|välitetty viesti alkaa",
    "cs": "přeposlaná zpráva|začátek přeposlané zprávy|preposlaná správa",
    "ru": "(?:начало )?(?:пересылаемо|пересланно|перенаправленно)(?:е|го) сообщени[ея]|пересылаемое письмо",
    "uk": "переслане повідомлення|початок пересланого повідомлення|пересланий лист",
    "tr": "iletilen (?:mesaj|ileti)|iletilmiş mesaj|yönlendirilen (?:mesaj|ileti)|i̇letilen (?:mesaj|ileti)",
    "ja": "転送されたメッセージ|転送メッセージ|転送されたメール",
    "zh": "转发的邮件|已转发邮件|转发邮件|轉寄郵件|轉寄的郵件|已轉寄的郵件", "ko": "전달된 ?메시지|전달된 ?메일",
    "he": "הודעה שהועברה|הודעה מועברת", "ar": "رسالة معاد توجيهها|رسالة محولة|رسالة مُعاد توجيهها",
    "ro hu": "mesaj redirecționat|továbbított üzenet",
}
# A telephone's own signature: "Sent from" in any place of a short line that also names a device or a program.
_SENT_FROM = {
    "en": "sent from|sent via|sent with|sent using|from my", "de": "gesendet|von meinem|von meiner|verschickt",
    "fr": "envoyé|depuis mon", "es pt": "enviado|enviada|desde mi", "it": "inviato|dal mio", "nl": "verzonden|verstuurd",
    "pl": "wysłane|wysłano|wysłany", "sv": "skickat|skickades", "da no": "sendt", "fi": "lähetetty", "cs": "odesláno|odoslané",
    "ru": "отправлено|отправлен", "uk": "надіслано|відправлено", "tr": "gönderildi|gönderilmiştir", "ja": "から送信",
    "zh": "发自|發自|从我的|從我的|傳送自", "ko": "에서 보냄|에서 보낸|에서 발송|나의", "he": "נשלח",
    "ar": "أرسلت|أُرسلت|تم الإرسال|مرسل",
}
_DEVICES = (
    "iphon|ipad|ios|android|samsung|galaxy|huawei|xiaomi|redmi|pixel|nokia|blackberry|windows|outlook|yahoo|gmail|proton|gmx|web\\.de|mail"
    "|phone|mobil|handy|telefon|tel[eé]fono|téléphone|telefone|telefoon|celular|cellulare|móvil|puhelin|puhelime|телефон|смартфон|tablet|"
    "手机|手機|스마트폰|휴대폰|スマートフォン|携帯|הטלפון|הנייד|هاتفي|الهاتف|device|app"
)
_SUBJECT_FORWARD = "fwd?|wg|tr|rv|enc|i|doorst|fs|vb|vs|pd|vl|vid|пересл|ilt|i̇lt|転送|转发|轉寄|전달|הועבר|إعادة توجيه|továbbítás"
_SUBJECT_ANSWER = "re|aw|antw|sv|rép|ref|res|rif|r|odp|atb|vá|отв|на|відп|ynt|cevap|返信|答复|回复|回覆|답장|회신|תשובה|השב|رد|ré"
# fmt: on


def _any(*tables: dict[str, str]) -> str:
    return "|".join(words for table in tables for words in table.values())


_TAG = r"\s*(?:\[[^\]]{1,60}\]\s*)?"
WROTE = re.compile(rf"(?<!\w)(?:{_any(_WROTE)})(?!\w)|{_WROTE_UNSPACED}", re.IGNORECASE)
WROTE_LAST = re.compile(rf"(?:(?<!\w)(?:{_any(_WROTE)})|{_WROTE_UNSPACED})\W{{0,4}}\Z", re.IGNORECASE)
_WEEKDAY = rf"(?:{_any(_WEEKDAYS)})[^\W\d]{{0,12}}\.?,?"
OPENER = re.compile(rf"(?:(?:{_any(_OPENERS)}|{_WEEKDAY})(?!\w)|{_OPENERS_UNSPACED}|\d)", re.IGNORECASE)
_KINDS = "|".join(f"(?P<{kind}>{_any(names)})" for kind, names in _HEADERS.items())
HEADER = re.compile(rf"[\s*_>]*(?:{_KINDS})\s*[*_]*\s*[:：][*_]*\s*(?P<value>.*)", re.IGNORECASE)
ORIGINAL = re.compile(rf"(?:{_any(_ORIGINAL)})(?!\w)", re.IGNORECASE)  # after its dashes
FORWARDED = re.compile(rf"(?:^|\s)(?:[-_=*~─]{{2,}}\s*(?:{_any(_FORWARDED)})|(?:{_any(_FORWARDED)})\s*[:：-])", re.IGNORECASE)
_SENT_UNSPACED = f"{_SENT_FROM['ja']}|{_SENT_FROM['ko']}"
_SENT = rf".{{0,40}}(?<![^\W\d_])(?:{_any(_SENT_FROM)})|.{{0,30}}(?:{_SENT_UNSPACED}|outlook .{{0,30}}(?:ios|android))"
_LINK = r"(?:<?https?://[^\s>]{1,200}>?)?\W*"
SENT_FROM = re.compile(
    rf"[\W_]*(?=.{{0,80}}(?:{_DEVICES}))(?:{_SENT})[^.!?,;]{{0,60}}{_LINK}|sent from my(?: [\w'-]{{1,20}}){{1,4}}\W*|via mobile",
    re.IGNORECASE,
)
SUBJECT_FORWARD = re.compile(rf"{_TAG}(?:{_SUBJECT_FORWARD})\s*[:：]", re.IGNORECASE)
SUBJECT_ANSWER = re.compile(rf"{_TAG}(?:{_SUBJECT_ANSWER})\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[:：]", re.IGNORECASE)
ADDRESS = re.compile(r"[^\s<>()\[\]:,;\"@]{1,80}@[\w.-]{1,80}\.\w{2,}|<\s*mailto:")
CLOCK = re.compile(r"\d{1,2}[:.h]\d{2}(?!\d)")
_YEAR, _MONTH = r"(?<!\d)(?:19|20)\d\d(?!\d)", r"\d{1,2}[./-]\w{3,9}\.?[./-]\d{2,4}"
DATE = re.compile(rf"{_YEAR}|(?<!\d)\d{{1,4}}[./-]\d{{1,2}}[./-]\d{{1,4}}(?!\d)|{_MONTH}|\d\s*[月월]")
RULE = re.compile(r"(?:[-_=*~–—─]\s?){3,}|_{8,}.{0,10}")
INVISIBLE = dict.fromkeys((0x200B, 0x200C, 0x200D, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF))
