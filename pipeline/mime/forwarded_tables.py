"""What mail programs write around a mail that they forward, language by language: data for forwarded.py, beside trim_tables.

A language is one row in each table. Rows hold alternatives of a regular expression; months stand between blanks.
"""

from __future__ import annotations

import re
from functools import lru_cache

from pipeline import trim_tables

HEAD = 48  # characters in which a header's colon stands
LABELS = 1024  # that are remembered

# fmt: off
# Behind dashes or before a colon, as in trim_tables: how a forward begins.
_MARKERS = {
    "en": "forwarded e-?mail message|fwd: message",
    "de": "beginn der weitergeleiteten (?:nachricht|e-mail)|weitergeleitete e-mail",
    "fr": "début du message transmis|(?:mail|courriel) transféré", "es": "(?:inicio de )?(?:mensaje|correo) reenviado",
    "pl": "treść przekazanej wiadomości|wiadomość przesłana dalej",
    "sv": "vidarebefordrat mejl|början på vidarebefordrat meddelande",
    "da no": "start på videresendt (?:besked|mail)|videresendt e-post", "cs": "začátek přeposílané zprávy|přeposlaný e-?mail",
    "sk": "začiatok preposlanej správy|preposlaný e-?mail",
    "hr": "započni proslijeđenu poruku|(?:početak )?proslijeđen[ae] poruk[ae]", "sl": "posredovano sporočilo",
    "sr": "прослеђена порука|prosleđena poruka", "hu": "továbbított levél(?: kezdete)?",
    "ro": "(?:începe )?mesaj(?:ul)? redirec[țţ]ionat|mesaj transmis", "bg": "препратено (?:съобщение|писмо)",
    "ru": "(?:начало )?переадресованно(?:е|го) (?:сообщени[ея]|письм[оа])|пересланное письмо",
    "uk": "початок листа, що пересилається|перенаправлене повідомлення",
    "tr": "(?:i̇|i)leti başlangıcı|(?:i̇|i)letilmiş (?:mesaj|(?:i̇|i)leti)|(?:i̇|i)letilen (?:i̇|i)leti",
    "el": "προωθ(?:ημένο|ούμενο) μήνυμα", "et": "edastatud (?:kiri|sõnum)", "lt": "persiųstas laiškas|persiunčiamas laiškas",
    "lv": "pārsūtīt[āa] (?:ziņa|vēstule)", "ja": "メッセージを転送|転送メール", "zh": "转发的?邮件信息|轉寄郵件訊息",
    "ko": "전달 ?메시지|전달 ?메일|전송된 ?메일", "vi": "(?:thư|tin nhắn) (?:được |đã )?chuyển tiếp",
    "id": "pesan (?:yang )?diteruskan|pesan terusan", "ca": "missatge reenviat",
}
# The same as a sentence, on a line of its own.
_SENTENCES = {
    "en": "this is a forwarded message", "de": "dies ist eine weitergeleitete nachricht", "fr": "ceci est un message transféré",
    "es": "este es un mensaje reenviado", "ru": "это пересылаемое (?:сообщение|письмо)",
    "nl": "dit is een doorgestuurd bericht", "it": "questo è un messaggio inoltrato", "pl": "to jest przekazana wiadomość",
}
# Behind dashes: how it ends, in the programs that say so.
_ENDS = {
    "en": "end (?:of )?(?:the )?(?:forwarded|original) (?:message|e-?mail)",
    "de": "ende der (?:weitergeleiteten|ursprünglichen) nachricht",
    "fr": "fin du message (?:transféré|réexpédié|transmis|original)", "es": "fin(?:al)? del mensaje (?:reenviado|original)",
    "it": "fine (?:del )?messaggio (?:inoltrato|originale)", "pt": "fim da mensagem (?:re)?encaminhada",
    "nl": "einde? (?:van )?(?:het )?doorgestuurde? bericht", "pl": "koniec przekaz(?:anej|ywanej) wiadomości",
    "cs sk": "konec přeposlané zprávy|koniec preposlanej správy", "sv": "slut på vidarebefordrat meddelande",
    "ru": "конец (?:пересылаемого|пересланного|перенаправленного|исходного) (?:сообщения|письма)",
    "uk": "кінець (?:пересланого|перенаправленого) (?:повідомлення|листа)", "ja": "転送メッセージの終わり",
}
# Words of header blocks, as in trim_tables; `other` is what may stand among them and tells nothing here.
_HEADERS = {
    "from": {
        "hr sl sr": "šalje|pošiljatelj|pošiljalac|шаље", "ro": "expeditor(?:ul)?", "ru": "от кого", "uk": "від кого",
        "bg": "подател", "et": "saatja", "lv": "no|sūtītājs", "lt": "nuo|siuntėjas", "zh": "发信人", "ko": "보낸이",
        "vi": "từ|người gửi", "id": "dari|pengirim", "el": "αποστολέας", "ar": "المرسل",
    },
    "sent": {
        "hr sl sr": "poslano|послато|датум", "ro": "dată", "sk": "odoslané", "tr": "gönderilen", "et": "kuupäev|saadetud",
        "lv": "datums|nosūtīts", "lt": "išsiųsta", "zh": "發送時間|发件时间|发信时间", "vi": "ngày|đã gửi",
        "id": "tanggal|dikirim", "bg": "изпратено", "he": "נשלח ב", "es pt": "enviado a las|enviad[oa] em",
    },
    "to": {
        "hr sl sr": "primatelj|prima|primalac|za|за", "ro": "destinatar(?:ul)?", "sk": "pre", "pl": "adresat",
        "et": "kellele|saaja", "lv": "kam", "lt": "kam|gavėjas", "zh": "收信人", "ko": "받는이", "vi": "đến|tới|người nhận",
        "id": "kepada", "bg": "до", "ar": "المستلم", "uk": "до", "ca": "per a",
    },
    "cc": {
        "de": r"kopie \(cc\)", "hu": "másolat(?:ot kap)?", "sk": "kópia", "lv": "kopija", "et": "koopia", "id": "tembusan",
        "el": "κοιν",
    },
    "subject": {
        "ro": "subiectul", "hr sl sr": "naslov|zadeva|наслов", "et": "teema|pealkiri", "lt": "tema", "lv": "temats?|tēma",
        "vi": "chủ đề", "id": "subjek|perihal", "zh": "标题|標題", "ca": "assumpte",
    },
    "other": {
        "reply-to": "reply[- ]to|odpověď na|svar til|antwoord aan|vastaus|répondre à|antwort an|válaszcím|rispondi a|"
                    "responder a|odpowiedź-do|răspuns către|ответ-кому|odpovedať-pre|svara till|yanıt adresi|"
                    "кому відповісти|odgovori na|返信先|回复给",
        "attached": "attachments?|anhang|anlagen?|allegat[io]|pi[èe]ces? jointes?|adjuntos?|anexos?|bijlagen?|"
                    "załącznik[i]?|вложени[ея]|附件",
        "headers": "x-[a-z0-9-]{1,60}|user-agent|organi[sz]ation|mime-version|content-[a-z-]{1,40}|in-reply-to|references|"
                   "sender|received|return-path|delivered-to|list-[a-z-]{1,40}|newsgroups|priority|importance|sensitivity|"
                   "folder|resent-[a-z-]{1,40}",
        "weight": "priorität|wichtigkeit|importancia|importância|importanza|importantie|prioridade?|priorità|urgentie|"
                  "ważność|prioritet|priorita|betydelse|tärkeys|важность|важливість|önem|重要度|重要性|중요도",
    },
}
_ANNOUNCED = r"message (?:du|de .{1,60} du) \d|messaggio del \d|mensaje del? \d"
_BEHALF = "on behalf of|im auftrag von|de la part de|en nombre de|namens|per conto di|em nome de|w imieniu|от имени|adına"
_NAMED_BY = "from|von|de|da|van|od|от|від|från|fra"  # between a marker and the author, as mutt writes it; never "by"
# January to December; the words of a month are its cases and short forms.
MONTH_ROWS = {
    "en": "january|jan february|feb march|mar april|apr may june|jun july|jul august|aug september|sept|sep october|oct "
          "november|nov december|dec",
    "de": "januar|jänner|jän februar|feber märz|mär|mrz april mai juni juli august september oktober|okt november dezember|dez",
    "fr": "janvier|janv février|fevrier|févr|fév mars avril|avr mai juin juillet|juil août|aout septembre octobre novembre "
          "décembre|déc",
    "es": "enero|ene febrero marzo abril|abr mayo junio julio agosto|ago septiembre|setiembre|set octubre noviembre "
          "diciembre|dic",
    "pt": "janeiro fevereiro|fev março abril maio|mai junho julho agosto setembro outubro|out novembro dezembro",
    "it": "gennaio|gen febbraio marzo aprile maggio|mag giugno|giu luglio|lug agosto settembre|sett ottobre|ott novembre "
          "dicembre",
    "nl": "januari februari maart|mrt april mei juni juli augustus september oktober november december",
    "pl": "stycznia|styczeń|sty lutego|luty|lut marca|marzec kwietnia|kwiecień|kwi maja|maj czerwca|czerwiec|cze "
          "lipca|lipiec|lip sierpnia|sierpień|sie września|wrzesień|wrz października|październik|paź "
          "listopada|listopad|lis grudnia|grudzień|gru",
    "sv da no": "januari|januar februari|februar mars|marts april maj juni juli augusti|august september oktober november "
                "desember|des",
    "fi": "tammi|tammik helmi|helmik maalis|maalisk huhti|huhtik touko|toukok kesä|kesäk heinä|heinäk elo|elok syys|syysk "
          "loka|lokak marras|marrask joulu|jouluk",
    "cs": "ledna|leden|led února|únor|úno března|březen|bře dubna|duben|dub května|květen|kvě června|červen|čvn "
          "července|červenec|čvc srpna|srpen|srp září|zář října|říjen|říj listopadu prosince|prosinec|pro",
    "sk": "januára|január februára|február marca|marec apríla|apríl mája|máj júna|jún júla|júl augusta septembra "
          "októbra|október novembra decembra",
    "sl": "januarja februarja marca aprila maja junija julija avgusta|avg septembra oktobra novembra decembra",
    "hr": "siječnja|siječanj|sij veljače|veljača|velj ožujka|ožujak|ožu travnja|travanj|tra svibnja|svibanj|svi "
          "lipnja|lipanj srpnja|srpanj kolovoza|kolovoz|kol rujna|rujan|ruj listopadom studenoga|studenog|studeni|stu "
          "prosinca|prosinac",
    "sr": "јануар|јан фебруар|феб март|мар април|апр мај јун јул август|авг септембар|сеп октобар|окт новембар|нов "
          "децембар|дец",
    "bg": "януари|яну февруари|февр март април май юни юли август септември октомври ноември декември",
    "ru": "января|январь|янв февраля|февраль|фев марта|март апреля|апрель мая|май июня|июнь|июн июля|июль|июл августа "
          "сентября|сентябрь|сент|сен октября|октябрь ноября|ноябрь|нояб|ноя декабря|декабрь|дек",
    "uk": "січня|січень|січ лютого|лютий|лют березня|березень|бер квітня|квітень|квіт|кві травня|травень|трав|тра "
          "червня|червень|черв|чер липня|липень|лип серпня|серпень|серп|сер вересня|вересень|вер жовтня|жовтень|жовт|жов "
          "листопада|листопад|лист|лис грудня|грудень|груд|гру",
    "tr": "ocak|oca şubat|şub mart nisan|nis mayıs haziran|haz temmuz|tem ağustos|ağu eylül|eyl ekim|eki kasım|kas aralık|ara",
    "ro": "ianuarie|ian februarie martie aprilie mai iunie|iun iulie|iul august septembrie octombrie noiembrie|noi decembrie",
    "hu": "január|jan február|febr március|márc április|ápr május|máj június|jún július|júl augusztus szeptember|szept "
          "október november december",
    "el": "ιανουαρίου|ιαν φεβρουαρίου|φεβ μαρτίου|μαρ απριλίου|απρ μαΐου|μαΐ ιουνίου|ιουν ιουλίου|ιουλ αυγούστου|αυγ "
          "σεπτεμβρίου|σεπ οκτωβρίου|οκτ νοεμβρίου|νοε δεκεμβρίου|δεκ",
    "et": "jaanuar|jaan veebruar|veebr märts aprill mai juuni juuli august september oktoober november detsember|dets",
    "lv": "janvāris|janvāra|janv februāris marts aprīlis maijs jūnijs|jūn jūlijs|jūl augusts septembris oktobris novembris "
          "decembris",
    "lt": "sausio|saus vasario|vas kovo|kov balandžio|bal gegužės|geg birželio|birž liepos|liep rugpjūčio|rugp "
          "rugsėjo|rugs spalio|spal lapkričio|lapkr gruodžio|gruod",
    "he": "ינואר פברואר מרץ|מרס אפריל מאי יוני יולי אוגוסט ספטמבר אוקטובר נובמבר דצמבר",
    "ar": "يناير فبراير مارس أبريل|ابريل مايو يونيو يوليو أغسطس سبتمبر أكتوبر نوفمبر ديسمبر",
    "id": "januari februari maret april mei juni juli agustus|agu september oktober november desember",
    "ca": "gener febrer març abril maig juny juliol agost setembre octubre novembre desembre",
}
CROATIAN = {"listopada": 10, "listopad": 10, "lis": 10, "lip": 6, "srp": 7}  # who writes a dot behind the year means other months
# Halves of the day: before the clock, or behind it (where "am" is no German preposition and "Sa" no Saturday).
_BEFORE = {"am": "上午|早上|凌晨|午前|오전|öö", "pm": "下午|晚上|中午|午後|오후|ös"}
_BEHIND = {"am": r"a\.?\s?m\b|π\.?\s?μ|ص|sa\b|上午|午前", "pm": r"p\.?\s?m\b|μ\.?\s?μ|م|ch\b|下午|午後"}
ZONES = {
    "MEZ": 1, "MESZ": 2, "OEZ": 2, "OESZ": 3, "WEZ": 0, "WESZ": 1, "SEČ": 1, "SELČ": 2, "МСК": 3, "HNEC": 1, "HAEC": 2,
    "HNE": -5, "HAE": -4, "CET": 1, "CEST": 2, "EET": 2, "EEST": 3, "KST": 9, "JST": 9,
}
# fmt: on


def _any(table: dict[str, str]) -> str:
    return "|".join(table.values())


def _month_words() -> dict[str, int]:
    rows = (enumerate(row.split(), 1) for row in MONTH_ROWS.values())
    return {word: number for row in rows for number, words in row for word in words.split("|")}


MONTHS = _month_words()
_DASHES = r"[-_=*~─<>8\s]{2,}+"
MARKER = re.compile(rf"{_DASHES}(?:{_any(_MARKERS)})|(?:{_any(_MARKERS)})\s?[:：]", re.IGNORECASE)
SENTENCE = re.compile(rf"(?:{_any(_SENTENCES)})\W*\Z", re.IGNORECASE)
END = re.compile(rf"{_DASHES}(?:{_any(_ENDS)})\b", re.IGNORECASE)
_KINDS = "|".join(f"(?P<{kind}>{_any(names)})" for kind, names in _HEADERS.items())
_MORE = re.compile(rf"{_KINDS}", re.IGNORECASE)
_COLON = re.compile("[:：]")
ANNOUNCED = re.compile(_ANNOUNCED, re.IGNORECASE)  # the line above a header block that says when it was
BEHALF = re.compile(rf"[\s;,(]*\b(?:{_BEHALF})\b", re.IGNORECASE)
NAMED_BY = re.compile(rf"\s*(?:{_NAMED_BY})\s+(?P<who>\S.*)", re.IGNORECASE)
BEFORE_CLOCK = re.compile(rf"(?:(?P<am>{_BEFORE['am']})|(?P<pm>{_BEFORE['pm']}))\s*\Z", re.IGNORECASE)
BEHIND_CLOCK = re.compile(rf"\s*(?:(?P<am>{_BEHIND['am']})|(?P<pm>{_BEHIND['pm']}))\.?", re.IGNORECASE)


def header(line: str) -> tuple[str, str] | None:
    """Return what a header line tells (`from`, `sent`, `to`, `cc`, `subject`, `other`) and its value."""
    if line.startswith("|"):  # NetEase draws a table
        line = ": ".join(map(str.strip, line.strip("| ").split("|", 1)))
    colon = _COLON.search(line[:HEAD])
    kind = _kind(line[: colon.start()].strip("*_ >").lower()) if colon else ""
    if not colon or not kind:
        return None
    value = line[colon.end() :].strip()
    return kind, value.lstrip("*_ ") if line[0] in "*_" else value.removeprefix("* ")


@lru_cache(LABELS)
def _kind(label: str) -> str:
    found = _MORE.fullmatch(label) or trim_tables.HEADER.match(f"{label}:")
    return next((kind for kind, word in found.groupdict().items() if word and kind != "value"), "") if found else ""
