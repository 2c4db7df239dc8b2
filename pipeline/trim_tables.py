"""What mail programs write around a quote: one row of phrases for each language, and the patterns that are made of them.

To add a language, add a row and a case in tests/test_trim.py. `|` parts alternatives; fields that name no label of a
header are regular expressions. A mail may mix languages, so that all rows are looked for at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property


@dataclass(frozen=True, slots=True)
class Phrases:
    """What programs write in one language."""

    wrote: str = ""  # ends the line that says who wrote, or stands before the date
    wrote_by: str = ""  # the same, where the name follows
    quoting: str = ""  # begins such a line
    sender: str = ""  # labels of a header block
    sent: str = ""
    to: str = ""
    cc: str = ""
    subject: str = ""
    original: str = ""  # between dashes, above what is answered
    forwarded: str = ""  # between dashes or before a colon, above what is forwarded
    device: str = ""  # the line that a telephone or a program adds: its beginning, or the whole of it
    get: str = ""  # "Get Outlook for iOS": what is said besides the names
    above: str = ""  # "please write above this line", between marks
    forward: str = ""  # prefixes of a subject
    answer: str = ""


# fmt: off
LANGUAGES = {
    "en": Phrases(
        wrote="wrote|writes|sent|wrote the following|has written", quoting="quoting|according to|in (?:a )?message",
        sender="from", sent="sent|date|sent on|sent at", to="to",
        cc="cc|bcc|reply-to|message-id|importance|attachments|attachment|organization", subject="subject",
        original="original message|original e-?mail|original appointment|original(?= ?-)|reply message|reply separator"
        "|previous message|message reply|replied message",
        forwarded="forwarded message|forwarded by|begin forwarded message|forwarded e-?mail|forwarding message",
        device="sent (?:from|via|with|using|by|on)|from my|composed on|typed on",
        get="get|download|sent from|search,? organize,? conquer",
        above=r"(?:reply|replies|respond|response|answer|write|type|comment|message)\b.{0,40}above this line",
        forward="fwd?|forwarded", answer="re",
    ),
    "de": Phrases(
        wrote="schrieb|schrieben|geschrieben|folgendes geschrieben|schrieben sie", wrote_by="schrieb",
        quoting="zitat von|zitiere", sender="von|absender", sent="gesendet|datum|gesendet am", to="an|empfänger",
        cc="kopie|kopie(cc)|antwort an|gesendet von", subject="betreff",
        original="ursprüngliche (?:nachricht|e-?mail|mail)|original-?(?:nachricht|mail)|antwort nachricht"
        "|weiterleitungsnachricht",
        forwarded="weitergeleitete (?:nachricht|e-?mail|mail)|(?:anfang|beginn) der weitergeleiteten (?:nachricht|e-?mail"
        "|mail)|weitergeleitet von",
        device="gesendet (?:von|mit|über|aus|per|mittels)|von (?:mein|unterwegs).{0,50} (?:gesendet|gesandt)"
        "|von .{1,40} gesendet|(?:diese|die) (?:nachricht|e-?mail|mail) wurde .{1,70} (?:gesendet|verschickt|versandt)",
        get="holen sie sich|beziehen|herunterladen|laden sie", above="(?:ober|über)halb dieser zeile|über diese(?:r)? zeile",
        forward="wg|weitergeleitet", answer="aw|antw|antwort",
    ),
    "fr": Phrases(
        wrote="a écrit|a ecrit|écrit|a envoyé|nous a dit", quoting="citation de|citant", sender="de|expéditeur",
        sent="envoyé|envoyé le|message du|date|date d'envoi|date d’envoi", to="à|pour|destinataire",
        cc="copie|copie à|répondre à", subject="objet|sujet",
        original="message d['’]origine|(?:message|mail|courriel|e-?mail) (?:original|initial|d['’]origine)",
        forwarded="(?:message|courriel|mail) (?:transféré|transmis|réexpédié)|début du (?:message|courriel) (?:transféré"
        "|réexpédié|transmis)", device="envoyé (?:de|depuis|à partir|avec|via|par)|provenance ?:",
        get="obtenir|obtenez|télécharger|téléchargez", above="au[- ]dessus de cette ligne", forward="tr|transféré",
        answer="rép|ref|réf",
    ),
    "es": Phrases(
        wrote="escribió|escribio|ha escrito|escribe", quoting="citando a|mensaje citado por", sender="de|remitente|desde",
        sent="enviado|enviado el|fecha|fecha de envío", to="para|destinatario", cc="copia|responder a", subject="asunto",
        original="mensaje original|correo original",
        forwarded="mensaje (?:reenviado|redirigido)|inicio del mensaje (?:reenviado|redirigido)",
        device="enviado (?:desde|con|por|mediante)|desde mi", get="obtener|obtén|obtenga|descargar|descarga",
        above="(?:encima|arriba|por encima) de esta l[ií]nea", forward="rv|reenviado", answer="res",
    ),
    "pt": Phrases(
        wrote="escreveu|escreve", quoting="citando", sender="de|remetente",
        sent="enviado|enviada|enviado em|enviada em|data|data de envio", to="para|destinatário", cc="cópia|cco|responder a",
        subject="assunto", original="mensagem original", forwarded="(?:início da )?mensagem (?:encaminhada|reencaminhada)",
        device="enviad[oa] (?:do|da|de|pelo|pela|via|com|a partir)", get="obter|obtenha|baixar|baixe|transferir",
        above="acima dest[ae] linha", forward="enc|encaminhado", answer="res|resp",
    ),
    "it": Phrases(
        wrote="ha scritto|scrive|scrisse", quoting="citando|citazione di", sender="da|mittente",
        sent="data|inviato|inviato il|data invio", to="a|destinatario|per", cc="rispondi a", subject="oggetto|ogg",
        original="messaggio (?:originale|originario)|e-?mail originale",
        forwarded="messaggio inoltrato|inizio (?:del )?messaggio inoltrato",
        device="inviato (?:da|dal|dalla|dallo|con|tramite)|dal mio", get="ottieni|scarica|scaricare",
        above="(?:sopra|al di sopra di) quest[ao] (?:riga|linea)", forward="i|inoltro", answer="rif|r",
    ),
    "nl": Phrases(
        wrote="schreef|geschreven|het volgende geschreven", wrote_by="schreef", quoting="citeren(?: van)?|citaat van",
        sender="van|afzender", sent="verzonden|verstuurd|datum", to="aan|ontvanger|geadresseerde", cc="kopie|antwoord aan",
        subject="onderwerp", original="(?:oorspronkelijk|origineel)e? (?:bericht|e-?mail)",
        forwarded="(?:begin )?doorgestuurd(?:e)? (?:bericht|e-?mail)",
        device="(?:verzonden|verstuurd) (?:vanaf|vanuit|met|via|van|door)", get="downloaden|download|haal",
        above="boven deze (?:regel|lijn)", forward="doorst|doorgestuurd", answer="antw",
    ),
    "pl": Phrases(
        wrote="napisał|napisała|pisze|nadesłał", quoting="cytowanie|cytat|wiadomość napisana przez", sender="od|nadawca",
        sent="wysłano|wysłane|data wysłania|data", to="do|adresat", cc="dw|kopia|udw|odpowiedz do", subject="temat",
        original="(?:wiadomość )?oryginalna(?: wiadomość)?|treść oryginalnej wiadomości",
        forwarded="(?:wiadomość )?(?:przekazana|przekazywana|przesłana)(?: dalej| wiadomość)?|(?:początek"
        "|treść) (?:przekazywanej|przekazanej|przesyłanej) wiadomości", device="wysłan[eoay] (?:z|ze|za|przy|przez)",
        get="pobierz|uzyskaj|pobierz aplikację|uzyskaj program", above="powyżej (?:tej|tego)|nad tą lini",
        forward="pd|podaj dalej", answer="odp",
    ),
    "sv": Phrases(
        wrote="skrev|skriver|skrev följande", wrote_by="skrev", quoting="citerar", sender="från|avsändare",
        sent="skickat|datum", to="till|mottagare", cc="kopia|svara till", subject="ämne",
        original="ursprungligt (?:meddelande|mejl|brev)|originalmeddelande",
        forwarded="(?:start av |början på )?(?:vidarebefordrat|vidarebefordrade) (?:meddelande|brev|mejl|e-?post)",
        device="skicka(?:t|des|d|ts) (?:från|via|med)|från min", get="hämta|skaffa", above="ovanför den(?:na|här) rad",
        forward="vb|vidarebefordrat", answer="sv",
    ),
    "da": Phrases(
        wrote="skrev|skriver|skrev følgende", wrote_by="skrev", quoting="citat af|citerer", sender="fra|afsender",
        sent="sendt|dato", to="til|modtager", cc="kopi|svar til|vedhæftet", subject="emne|vedrørende",
        original="(?:oprindelig|original)t? (?:meddelelse|besked|mail|brev|e-?mail)",
        forwarded="(?:start på |begynd )?videresendt (?:meddelelse|besked|mail|brev|e-?mail)", device="sendt (?:fra|med|via)",
        get="hent|få", above="over denne linje", forward="vs|videresendt", answer="sv",
    ),
    "no": Phrases(
        wrote="skrev|skriver|skrev følgende", wrote_by="skrev", quoting="siterer|sitat av", sender="fra|avsender",
        sent="sendt|dato", to="til|mottaker", cc="kopi|kopi til|svar til", subject="emne",
        original="(?:opprinnelig|original|opphavlig) (?:melding|e-?post)",
        forwarded="(?:start )?(?:videresendt|vidaresend) (?:melding|e-?post)", device="sendt (?:fra|med|via)",
        get="hent|skaff deg|last ned|få", above="over denne linjen", forward="vs|videresend|videresendt", answer="sv",
    ),
    "fi": Phrases(
        wrote="kirjoitti|kirjoittaa", quoting="lainaus", sender="lähettäjä",
        sent="lähetetty|päivämäärä|päiväys|pvm|lähetysaika", to="vastaanottaja|kenelle", cc="kopio|kopiot|vastaus",
        subject="aihe", original="alkuperäinen (?:viesti|sähköposti)",
        forwarded="(?:edelleen)?(?:välitetty|lähetetty) viesti(?: alkaa)?",
        device=r"lähetetty (?=\w*\S*(?:sta|stä|lta|ltä|lla|llä)\b|\w)", get="hanki|lataa", above="tämän rivin yläpuolel",
        forward="vl|välitetty", answer="vs",
    ),
    "cs": Phrases(
        wrote="napsal|napsala|píše|napsáno|napsali", quoting="cituji|citace", sender="od|odesílatel",
        sent="odesláno|datum|datum odeslání", to="komu|pro|adresát|příjemce", cc="kopie|odpověď na|skrytá kopie",
        subject="předmět|věc", original="původní (?:zpráva|e-?mail|mail)",
        forwarded="(?:přeposlaná|předaná|přeposílaná) zpráva|začátek (?:přeposlané|přeposílané|předané) zprávy",
        device="odesláno (?:z|ze|prostřednictvím|pomocí|přes)|posláno z", get="získat|stáhnout|získejte|stáhněte",
        above="nad t(?:ento|ímto) řád", forward="fw|přeposlané", answer="odp",
    ),
    "sk": Phrases(
        wrote="napísal|napísala|píše|napísali", quoting="citát|citujem", sender="od|odosielateľ",
        sent="odoslané|dátum|poslané", to="komu|pre|adresát|príjemca", cc="kópia|odpovedať na", subject="predmet|vec",
        original="pôvodn(?:á|ý) (?:správa|e-?mail|mail)",
        forwarded="(?:preposlaná|ďalej odoslaná) správa|začiatok (?:preposlanej )?správy(?: poslanej ďalej)?",
        device="odoslané (?:z|zo|pomocou|cez)|poslané z", get="získať|stiahnuť|získajte", above="nad t(?:ento|ýmto) riad",
    ),
    "hu": Phrases(
        wrote="írta|ezt írta|írt|a következőt írta|írja", quoting="idézet", sender="feladó|küldő",
        sent="elküldve|küldve|dátum|küldés ideje", to="címzett|címzettek", cc="másolat|másolatot kap|válaszcím",
        subject="tárgy", original="eredeti (?:üzenet|levél|e-?mail)",
        forwarded="továbbított (?:üzenet|levél|e-?mail)(?: kezdete)?",
        device="(?:el)?küldve (?:a|az|innen)|.{1,50}(?:r[oó]l|r[őö]l|b[oó]l|b[őö]l) küldve",
        get="letöltése|beszerzése|töltse le", above="e fölé a sor|ezen sor fölé|a sor fölé", forward="továbbítás|tov",
        answer="vá|válasz",
    ),
    "ro": Phrases(
        wrote="a scris|scrie", quoting="citat din|citând", sender="de la|expeditor|expeditorul",
        sent="trimis|trimis la|data|dată", to="către|destinatar|destinatarul|la", cc="copie|copie(cc)|răspuns către",
        subject="subiect|subiectul|subject", original="mesaj(?:ul)? (?:original|inițial)",
        forwarded="(?:începe |începutul )?mesaj(?:ul|ului)? (?:redirecționat|înaintat|transmis)",
        device="trimis (?:de pe|din|cu|prin|de la)", get="obțineți|descărcați|descarcă",
        above="deasupra acestei linii|deasupra acestui rând", forward="redir|fw", answer="răsp",
    ),
    "bg": Phrases(
        wrote="написа|пише|написал", quoting="цитиране на|цитат от", sender="от|подател", sent="изпратено|изпратено на|дата",
        to="до|получател", cc="копие|копие до|отговор до", subject="относно|тема|заглавие",
        original="оригинално (?:писмо|съобщение)", forwarded="(?:начало на )?препратено(?:то)? (?:писмо|съобщение)",
        device="изпратено (?:от|с|чрез)", get="вземете|изтеглете", above="над този ред", forward="пр|препратено",
        answer="отг|отн",
    ),
    "hr": Phrases(
        wrote="je napisao|je napisala|napisao je|napisala je|napisao|napisala|piše", quoting="citiram|citat",
        sender="šalje|od|pošiljatelj", sent="poslano|datum", to="prima|za|primatelj", cc="kopija|odgovori",
        subject="predmet|naslov", original="(?:izvorna|originalna|prvobitna) poruka",
        forwarded="(?:započni )?proslijeđen[au] poruk[au]", device="poslano (?:s|sa|iz|putem|preko)", get="preuzmite|nabavite",
        above="iznad ov(?:e|og) (?:crte|retka|linije)", forward="prosl", answer="odg",
    ),
    "sr": Phrases(
        wrote="је написао|је написала|написао|написала|је написао/ла|пише|je napisao/la", sender="од|шаље|пошиљалац",
        sent="послато|датум|poslato", to="за|прима", cc="копија", subject="наслов|тема|предмет",
        original="(?:оригинална|изворна) порука", forwarded="(?:прослеђена|прослијеђена) порука",
        device="послато (?:са|с|из)|poslato (?:sa|s|iz)",
    ),
    "sl": Phrases(
        wrote="napisal|napisala|piše|je napisal|je napisala|sporoča", quoting="navajam|navedek", sender="od|pošiljatelj",
        sent="poslano|datum", to="za|prejemnik", cc="kp|kopija|odgovor na", subject="zadeva",
        original="(?:izvirno|izvorno|prvotno) sporočilo", forwarded="(?:začetek )?posredovan(?:o|ega) sporočil[oa]",
        device="poslano (?:iz|z|s|prek)", get="prenesite|pridobite", above="nad to vrstico", forward="posr", answer="odg",
    ),
    "et": Phrases(
        wrote="kirjutas|kirjutab", wrote_by="kirjutas|kirjutas kasutaja", quoting="tsiteerin", sender="saatja|kellelt",
        sent="saadetud|kuupäev", to="adressaat|saaja|kellele", cc="koopia", subject="teema|pealkiri",
        original="(?:algne|algupärane|esialgne) (?:sõnum|teade|kiri)", forwarded="edastatud (?:kiri|sõnum|teade)",
        device=r"saadetud (?=\w)", get="hankige|laadige alla", above="selle rea kohale", forward="edastatud", answer="vs",
    ),
    "lv": Phrases(
        wrote="rakstīja|raksta", quoting="citāts no", sender="no|sūtītājs", sent="nosūtīts|nosūtīja|datums", to="kam|adresāts",
        cc="kopija", subject="tēma|temats",
        original="(?:sākotnējais|sākotnējā|oriģinālais|oriģinālā) (?:ziņojums|vēstule|ziņa)",
        forwarded="pārsūtīt(?:s|ais|ā|a) (?:ziņojums|vēstule|ziņa)", device="(?:no|aiz)?sūtīt[sa] (?:no|ar|izmantojot)",
        get="iegūstiet|lejupielādējiet", above="virs šīs (?:rindas|līnijas)",
    ),
    "lt": Phrases(
        wrote="rašė|parašė|rašo", quoting="cituojamas", sender="nuo|siuntėjas", sent="išsiųsta|data|išsiųstas",
        to="kam|gavėjas|skirta", cc="kopija", subject="tema",
        original="(?:pradinis|originalus|pirminis) (?:laiškas|pranešimas)",
        forwarded="persiųst(?:as|i) (?:laiškas|pranešimas)", device="(?:iš)?siųsta? (?:iš|naudojant|per|su)",
        get="gaukite|atsisiųskite", above="virš šios eilutės", forward="persiųsta", answer="ats",
    ),
    "el": Phrases(
        wrote="έγραψε|έγραψαν|γράφει", quoting="παράθεση από|αναφορά από", sender="από|αποστολέας",
        sent="στάλθηκε|εστάλη|ημερομηνία", to="προς|παραλήπτης", cc="κοιν|κοινοποίηση|απάντηση σε", subject="θέμα",
        original="(?:αρχικό|πρωτότυπο) μήνυμα", forwarded="(?:έναρξη )?(?:προωθημένο μήνυμα|προωθημένου μηνύματος)",
        device="(?:στάλθηκε|εστάλη|αποστολή) (?:από|με|μέσω)", get="αποκτήστε|λήψη|κατεβάστε",
        above="πάνω από αυτή(?:ν)? τη(?:ν)? γραμμή", forward="πρθ|προωθημένο", answer="απ|σχετ",
    ),
    "ru": Phrases(
        wrote="написал|написала|писал|писала|пишет|писали|вы писали", quoting="цитирую|цитата|вы писали",
        sender="от|отправитель|от кого", sent="отправлено|дата|послано", to="кому|получатель", cc="копия|ответить",
        subject="тема", original="(?:исходное|оригинальное|первоначальное) (?:сообщение|письмо)",
        forwarded="(?:начало )?(?:пересылаемо|пересланно|перенаправленно|переадресованно)(?:е|го) (?:сообщени[ея]|письмо"
        "|письма)", device="отправлен[оа]? (?:с|со|из|через|при)|послано с", get="получить|скачать|загрузить|скачайте",
        above="(?:над|выше) это(?:й|го) (?:строк|черт|лини)", forward="пересл|пер", answer="отв|на",
    ),
    "uk": Phrases(
        wrote="написав|написала|пише|писав|писала|написано", quoting="цитую", sender="від|відправник|від кого",
        sent="надіслано|відправлено|дата", to="кому|одержувач", cc="копія|кому відповісти", subject="тема",
        original="(?:вихідне|оригінальне|початкове|первинне) повідомлення",
        forwarded="(?:початок )?(?:переслан|перенаправлен|пересилан)(?:е|ого) повідомлення|пересланий лист"
        "|початок листа, що пересилається", device="(?:надіслано|відправлено) (?:з|із|зі|через|за)",
        get="отримати|завантажити", above="(?:над|вище) ці(?:єю|єї|єй)? ?(?:лін|ряд|рис)|над цим рядком", forward="пересл",
        answer="відп",
    ),
    "tr": Phrases(
        wrote="yazdı|şunu yazdı|şunları yazdı|yazmış", quoting="alıntı", sender="kimden|gönderen|gönderici",
        sent="gönderme tarihi|gönderilme tarihi|gönderildi|gönderim tarihi|gönderilen|tarih", to="kime|alıcı",
        cc="bilgi|kopya|yanıt adresi", subject="konu|başlık",
        original="(?:özgün|orijinal|orjinal|asıl) (?:ileti|mesaj|e-?posta)",
        forwarded="(?:iletilen|iletilmiş|yönlendirilen|yönlendirilmiş) (?:mesaj|ileti|e-?posta)|ileti başlangıcı",
        device=".{1,60}(?:dan|den|tan|ten|ile|üzerinden|aracılığıyla) gönderil(?:di|miştir)", get="edinin|indirin|alın",
        above="bu satırın (?:üst|üzer)", forward="ilt|i̇lt|ynl", answer="ynt|cevap|yan",
    ),
    "ja": Phrases(
        sender="差出人|送信者|送信元|発信者|from", sent="送信日時|日時|送信日|日付|送信", to="宛先|送信先",
        cc="写し(cc)|返信先", subject="件名|題名", original="(?:元の|オリジナル(?:の)?)(?:メッセージ|メール)|返信元メッセージ",
        forwarded="転送(?:された|する)?(?:メッセージ|メール)|メッセージを転送|(?:ここから)?転送メッセージ",
        device=".{1,30}から送信", get="を入手|をダウンロード|便利な", above="この(?:行|線)(?:より|の)上", forward="転送",
        answer="返信",
    ),
    "zh": Phrases(
        sender="发件人|發件人|寄件者|寄件人",
        sent="发送时间|发送日期|发件时间|时间|日期|寄件日期|傳送時間|傳送日期|寄送日期|发送|日期", to="收件人|收件者",
        cc="抄送|副本|回复至|回覆至|密送", subject="主题|主題|主旨|標題",
        original="(?:回复的)?(?:原始|原)(?:邮件|郵件|信件|訊息|信息|消息)|邮件原件|原始郵件",
        forwarded="(?:以下|下面)?(?:是)?(?:开始|開始)?被?已?(?:转发|轉寄|轉遞|轉發)(?:的|邮件的)?(?:邮件|郵件|信息|消息|訊息"
        "|信件)(?:信息)?",
        device="(?:发自|發自|从我的|從我的|来自我的|來自我的|寄自|傳送自)|(?:从|從).{1,30}(?:发送|傳送|寄出)",
        get="获取|下载|取得|下載", above="(?:在)?(?:此|这|這|本)(?:行|线|線)(?:的)?(?:上方|之上|以上|上面)",
        forward="转发|轉寄", answer="答复|回复|回覆",
    ),
    "ko": Phrases(
        sender="보낸 사람|발신|발신자|보내는 사람", sent="보낸 날짜|날짜|발송일|보낸 시간|보낸 일시|일시",
        to="받는 사람|수신|수신자", cc="참조|회신 주소", subject="제목",
        original=r"(?:원본|원래) ?(?:메시지|메일|이메일)|받은 ?메일 ?내용|\[ ?받은 ?메일 ?내용 ?\]",
        forwarded="전달(?:된|한)? ?(?:메시지|메일|이메일)",
        device="(?:나의|내) .{1,30}에서 보냄|.{1,30}에서 (?:보냄|보낸|보냈|발송)", get="다운로드|받기|다운로드하세요",
        above="이 (?:줄|선) 위", forward="전달", answer="답장|회신",
    ),
    "he": Phrases(
        wrote="כתב|כתבה|כתב/ה|כתבו|כותב", quoting="ציטוט", sender="מאת|השולח", sent="נשלח|תאריך|נשלח בתאריך", to="אל|לכבוד",
        cc="עותק|לידיעה", subject="נושא", original="(?:ה)?הודעה (?:ה)?מקורית",
        forwarded="(?:תחילת ה)?הודעה (?:ש)?(?:הועברה|מועברת)", device="נשלח(?:ה)? (?:מ|ב|באמצעות|על)",
        get="קבל|קבלו|הורד|הורידו", above="מעל ל?שורה זו", forward="הועבר", answer="תשובה|השב",
    ),
    "ar": Phrases(
        wrote="كتب|كتبت|كتب/ت|كتب/كتبت|يكتب", wrote_by="كتب|كتبت|كتب/كتبت|كتب/ت|تمت كتابة ما يلي بواسطة", quoting="اقتباس",
        sender="من|المرسل|مرسل", sent="تاريخ الإرسال|التاريخ|تم الإرسال|تاريخ|أرسلت", to="إلى|المستلم|المستقبل",
        cc="نسخة|نسخة إلى|الرد إلى", subject="الموضوع|موضوع", original="(?:ال)?رسالة (?:ال)?(?:أصلية|أساسية|اصلية)",
        forwarded="(?:بداية )?(?:ال)?رسالة (?:ال)?(?:معاد توجيهها|مُعاد توجيهها|محولة|محوّلة|ممررة|ممرّرة|معاد إرسالها)",
        device="(?:أرسلت|أُرسلت|تم الإرسال|مرسل|مرسلة|أُرسل) (?:من|عبر|بواسطة)", get="الحصول على|احصل على|تنزيل",
        above="فوق هذا السطر", forward="إعادة توجيه", answer="رد",
    ),
    "fa": Phrases(
        wrote="نوشت|نوشته است|نوشته بود|نوشته", quoting="نقل از", sender="از|فرستنده",
        sent="ارسال شده|ارسال\u200cشده|فرستاده شده|تاریخ", to="به|گیرنده", cc="رونوشت|پاسخ به", subject="موضوع",
        original="پیام اصلی|نامه اصلی", forwarded="پیام (?:ارجاع داده شده|هدایت شده|بازارسال شده)",
        device="(?:ارسال|فرستاده) ?\u200c?شده (?:از|با|توسط)", get="دریافت|دانلود", above="بالای این (?:خط|سطر)",
        forward="ارجاع", answer="پاسخ",
    ),
    "hi": Phrases(
        wrote="ने लिखा|ने लिखा है|लिखा", sender="प्रेषक|भेजने वाला", sent="भेजा गया|दिनांक|तारीख|तिथि",
        to="प्रति|प्राप्तकर्ता|पाने वाला", cc="प्रतिलिपि", subject="विषय|विशय", original="(?:मूल|मौलिक) (?:संदेश|ईमेल)",
        forwarded="(?:अग्रेषित|फ़ॉरवर्ड किया गया) (?:संदेश|ईमेल)", device=".{1,40}से भेजा गया", get="प्राप्त करें|डाउनलोड करें",
        above="इस पंक्ति के ऊपर",
    ),
    "th": Phrases(
        sender="จาก|ผู้ส่ง", sent="ส่ง|ส่งเมื่อ|วันที่", to="ถึง|ผู้รับ", cc="สำเนา|สำเนาถึง|คัดลอก",
        subject="เรื่อง|หัวเรื่อง|หัวจดหมาย", original="ข้อความ(?:ต้นฉบับ|เดิม|ดั้งเดิม)", forwarded="ข้อความ(?:ที่)?(?:ส่งต่อ|ถูกส่งต่อ)",
        device="ส่งจาก", get="รับ|ดาวน์โหลด", above="เหนือบรรทัดนี้",
    ),
    "vi": Phrases(
        wrote="đã viết|viết|đã viết như sau", quoting="trích dẫn", sender="từ|người gửi|gửi từ",
        sent="đã gửi|ngày gửi|gửi|ngày|thời gian gửi", to="đến|tới|người nhận", cc="đồng gửi|đồng kính gửi|trả lời cho",
        subject="chủ đề|tiêu đề", original="(?:thư|tin nhắn|tin) gốc",
        forwarded="(?:bắt đầu )?(?:thư|tin nhắn) (?:được |đã )?chuyển tiếp", device="(?:đã |được )?gửi từ",
        get="tải|tải xuống|nhận", above="phía trên dòng này|trên dòng này", forward="chuyển tiếp", answer="trả lời|tl",
    ),
    "id": Phrases(
        wrote="menulis|telah menulis", wrote_by="menulis", quoting="mengutip|kutipan", sender="dari|pengirim",
        sent="dikirim|terkirim|tanggal", to="kepada|ke|penerima", cc="tembusan|balas kepada", subject="subjek|perihal|judul",
        original="(?:isi )?pesan (?:asli|asal)", forwarded="(?:awal )?pesan (?:terusan|diteruskan|yang diteruskan)",
        device="(?:dikirim|terkirim|dihantar) (?:dari|daripada|melalui|dengan|menggunakan)", get="dapatkan|unduh",
        above="di atas baris ini", forward="trs|terusan", answer="bls|balas",
    ),
    "ca": Phrases(
        wrote="va escriure|ha escrit|va escriure el següent|escriu", quoting="missatge de|citant", sender="de|remitent|des de",
        sent="enviat|enviat el|data", to="per a|a|destinatari", cc="a/c|còpia|respon a", subject="assumpte|tema",
        original="missatge original", forwarded="(?:inici del )?missatge reenviat", device="enviat (?:des|amb|per|mitjançant)",
        get="obteniu|baixeu|descarrega", above="damunt d'aquesta línia|sobre aquesta línia",
    ),
    "gl eu": Phrases(
        wrote="escribiu|idatzi du|idatzita", sender="remitente|nork", sent="enviado o|bidalia|data", to="nori", subject="gaia",
        original="mensaxe orixinal|jatorrizko mezua", forwarded="mensaxe (?:reencamiñada|reenviada)|birbidalitako mezua",
        device="enviado dende|nire .{1,20}tik bidalia",
    ),
}
# Verbs of languages that write without spaces: they need no boundary around them.
_WROTE_UNSPACED = (
    "書きました|のメール|のメッセージ|作成|写道|寫道|寫到|寫下|提到|写到|写入|寫入|撰写|작성|썼습니다|님의 말|쓴 글"
    "|쓴 내용|เขียนว่า|เขียน"
)
# What a telephone's line names besides "sent from".
_DEVICES = (
    "iphon|ipad|ipod|ios|android|samsung|galaxy|huawei|honor|xiaomi|redmi|oppo|vivo|oneplus|pixel\\b|nokia|motorola|sony|xperia|htc|lg\\b|fairphone|"
    "blackberry|windows|outlook|yahoo|gmail|proton|gmx|web\\.de|aol|icloud|zoho|tutanota|fastmail|airmail|spark|mail|e-?post|posta|pošt|pasts|pašt|"
    "poczt|почт|пошт|поща|αλληλογραφία|correo|courrier|courriel|email|meil|thư|จดหมาย|メール|郵件|邮件|邮箱|信箱|메일|דואר|البريد|phone|mobil|handy|"
    "telef|tel[eé]fono|téléphone|telefoon|celular|cellulare|m[oó]vil|puheli|телефон|смартфон|tablet|手机|手機|스마트폰|휴대폰|スマートフォン|携帯|"
    "הטלפון|הנייד|هاتفي|هاتف|الهاتف|device|app\\b|unterwegs|front\\b|cell\\b|galaks|айфон"
)
# fmt: on

KINDS = {
    "from": "sender",
    "sent": "sent",
    "to": "to",
    "cc": "cc",
    "subject": "subject",
}  # of header lines, and their fields
_INVISIBLE = (
    0xAD,
    *range(0x200B, 0x2010),
    *range(0x202A, 0x202F),
    *range(0x2060, 0x2065),
    *range(0x2066, 0x206A),
    0xFEFF,
)
INVISIBLE = {**dict.fromkeys(_INVISIBLE), 0xA0: " ", 0x202F: " "}
SOME_INVISIBLE = re.compile("[\xad\xa0\u200b-\u200f\u202a-\u202f\u2060-\u2069\ufeff]")


class Phrase:
    """A pattern of phrases in small letters, asked about text in any letters: hundreds of words compare faster so."""

    def __init__(self, source: str) -> None:
        self.source = source

    @cached_property
    def pattern(self) -> re.Pattern[str]:
        """Compile it where it is first asked about: some take milliseconds."""
        return re.compile(self.source)

    def match(self, text: str) -> re.Match[str] | None:
        """Match at the beginning; as long as the text is what is matched."""
        return self.pattern.match(small(text))

    def search(self, text: str) -> re.Match[str] | None:
        """Match anywhere."""
        return self.pattern.search(small(text))

    def fullmatch(self, text: str) -> re.Match[str] | None:
        """Match the whole."""
        return self.pattern.fullmatch(small(text))


def small(text: str) -> str:
    """Return a text in small letters, as long as it was."""
    return text.replace("İ", "i").lower()


def _any(*names: str) -> str:
    """Return the alternatives of fields in all languages."""
    return _grouped(word for row in LANGUAGES.values() for name in names for word in _alternatives(getattr(row, name)))


def _grouped(words: Iterable[str]) -> str:
    """Join alternatives, longest first, so that the whole phrase is found, and by first letter: they are tried at every place."""
    groups: dict[str, list[str]] = {}
    for word in sorted(set(words), key=lambda word: (-len(word), word)):
        literal = word[0].isalpha() and word[1:2] not in ("?", "*", "{", "")
        groups.setdefault(word[0] if literal else "", []).append(word[literal:])
    return "|".join(f"{letter}(?:{'|'.join(group)})" for letter, group in sorted(groups.items(), reverse=True))


def _alternatives(text: str) -> list[str]:
    """Split at `|` outside of brackets."""
    parts, depth, start = [], 0, 0
    for at, char in enumerate(text):
        depth += {"(": 1, "[": 1, ")": -1, "]": -1}.get(char, 0)
        if char == "|" and not depth:
            parts.append(text[start:at])
            start = at + 1
    return [part for part in (*parts, text[start:]) if part]


def label(text: str) -> str:
    """Return a header's label in the form in which labels compare."""
    return "".join(small(text.translate(INVISIBLE)).split())


def _labels() -> Iterator[tuple[str, str]]:
    for kind, name in reversed(KINDS.items()):
        yield from ((word, kind) for row in LANGUAGES.values() for word in getattr(row, name).split("|") if word)


def _words(kind: str) -> str:
    return "|".join(re.escape(word).replace("\\ ", r"\s?") for word in dict(pair for pair in _labels() if pair[1] == kind))


LABELS = {label(word): kind for word, kind in _labels()}

DASHES = "-_=*~─━—–‐"
_DASH = f"[{DASHES[1:]}-]"
_LINK = r"(?:[<(\[]?https?://[^\s>]{1,300}[>)\]]?)?"
_SUFFIX = r"(?:[(/-]{1,2}\w{1,4}\)?)?(?!\w)"  # napisał(a), написал(-а), napisao/la
WROTE = Phrase(rf"(?<!\w)(?:{_any('wrote', 'wrote_by')}){_SUFFIX}|{_WROTE_UNSPACED}")
WROTE_BY = Phrase(rf"(?:{_any('wrote_by')}){_SUFFIX}")
QUOTING = Phrase(rf"(?:{_any('quoting')})(?!\w)")
ORIGINAL = Phrase(rf"(?:{_any('original')})(?!\w)")  # after its dashes
_PHRASE = _any("forwarded")
FORWARDED = Phrase(rf"(?:^|\s)(?:{_DASH}{{2,}}+\s*(?:{_PHRASE})(?!\w)|(?:{_PHRASE})\s*(?:[:：]|--))")
ABOVE = Phrase(_any("above"))
_GROUPS = "|".join(f"(?P<{kind}>{_words(kind)})" for kind in KINDS)
HEADER = Phrase(rf"[\s*_>]*(?:{_GROUPS})\s*[*_]*\s*[:：][*_]*\s*(?P<value>.*)")
_DEVICE = re.compile(_grouped(_DEVICES.split("|")))
_EXCUSE = rf"(?:[.,!]?\s*(?:please|pls|excuse|sorry)\b.{{0,60}})?[^\w?]*{_LINK}[^\w?]*"
_SENT_FROM_MY = re.compile(rf"[\W_]*+(?:sent from my(?: [\w'’/-]{{1,20}}){{1,5}}|sent via mobile|via mobile){_EXCUSE}")


class _Device(Phrase):
    """A line that needs to name a device or a program, "sent from my" apart."""

    def fullmatch(self, text: str) -> re.Match[str] | None:
        low = small(text)
        return (self.pattern if _DEVICE.search(low) else _SENT_FROM_MY).fullmatch(low)


SENT_FROM = _Device(
    rf"[\W_]*+(?:(?:{_any('device')})(?:[^.!?;,]|\.(?=\w)|,(?= (?:an?|the) )){{0,90}}"
    r"|yahoo ?!? ?(?:mail|メール) ?[:-].{0,40}"
    rf"|(?=.{{0,60}}outlook)(?=.{{0,60}}(?:ios|android))(?=.{{0,60}}(?:{_any('get')}))[^.!?,;:]{{0,70}}){_EXCUSE}"
)
_TAG = r"\s*(?:\[[^\]]{1,60}\]\s*)?"
SUBJECT_FORWARD = re.compile(rf"{_TAG}(?:{_any('forward')})\s*[:：]", re.IGNORECASE)
SUBJECT_ANSWER = re.compile(rf"{_TAG}(?:{_any('answer')})\s*(?:\[\d+\]|\(\d+\)|\^\d+)?\s*[:：]", re.IGNORECASE)
ADDRESS = re.compile(r"[^\s<>()\[\]:,;\"@]{1,80}@[\w.-]{1,80}\.\w{2,}|<\s*mailto:")
CLOCK = re.compile(r"\d{1,2}(?:[:.h∶]\d{2}(?!\d)|\s?[時时點点시])")
_YEAR, _MONTH = (
    r"(?<!\d)(?:19|20|25|۱۳|۱۴|۲۰|٢٠)\d\d(?!\d)",
    r"\d{1,2}[./-]\w{3,9}\.?[./-]\d{2,4}",
)
DATE = re.compile(rf"{_YEAR}|(?<!\d)\d{{1,4}}(?:[./-]|\. )\d{{1,2}}(?:[./-]|\. )\d{{1,4}}(?!\d)|{_MONTH}|\d\s*[月월]")
OPENER = re.compile(r"(?:[^\s\d]+\s+){0,4}[^\s\d]{0,4}\d|\S{0,9}[在於于]\s?\d")  # of an attribution: early a digit
WHEN = re.compile(f"{DATE.pattern}|{CLOCK.pattern}")
RULE = re.compile(rf"(?:{_DASH}\s?){{3,}}|_{{8,}}.{{0,10}}")
