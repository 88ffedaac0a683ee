"""Phrases about events that happen only in a live: what the chat, viewers, moderators, gifts and battles did.

Many recaps name no live and no highlight: "chat wouldn't let me sleep", "forty lions at 3 am". Each phrase joins two
words, because one alone (chat, gift, battle) is also said without a live. In 16 languages, as in `recap_lexicon`.
"""

from __future__ import annotations

# Up to this many words between two words of one phrase.
_FEW = r"(?: [^ ]+){0,4} "

# A number of viewers or hours. Gifts are named after animals and things, so only a large number of them tells a live.
_COUNT = r"\d+(?: ?k)?"
_MANY = r"\d\d+"

SPACED: dict[str, tuple[str, ...]] = {
    "en": (
        "chat (?:made|makes|making|wouldn['’]?t|won['’]?t|didn['’]?t|dared|told|forced|bullied|convinced|"
        "decid(?:ed|es)|chose|picked|voted|went|lost|helped|saved|kept|roasted|guessed|caught|found)",
        "(?:someone|somebody|everyone|everybody|y['’]?all|you guys|viewers?|people|you) in (?:the |my )?chat",
        "(?:let|letting|asked|when) (?:my |the )?chat (?:pick|choose|decide|control|name|rate|vote)",
        "(?:my|our) (?:gifters?|mods)",
        "(?:by|from|thanks to) (?:one of )?my viewers",
        "(?:a|one of my) viewers? (?:made|dared|sent|gave|told|asked|voted|caught|clipped|bought)",
        "(?:mods?|moderators?) (?:muted|banned|saved|had|were|was|kicked|lost|went|timed)",
        f"{_COUNT} (?:people |of you |of y['’]?all )?(?:viewers|watching|were watching|in the live)",
        f"(?:sent|sends|sending|gave|dropped|threw|gifted|sending me){_FEW}?"
        "(?:lions?|universes?|galax(?:y|ies)|whales?|roses?|gifts?|coins|castles?|rockets?)",
        f"{_MANY} (?:lions|universes|galaxies|whales|roses|castles|rockets)",
        f"(?:won|lost|winning|losing|beat|clutched){_FEW}?(?:battle|pk)",
        "(?:battle|pk)(?: match)? (?:win|won|lost|last night|yesterday|came down|went)",
        "(?:mic|camera|cam|stream|live)(?: [^ ]+){0,3} (?:still|left) on",
        "(?:forgot|forgetting) (?:[^ ]+ ){0,4}(?:mic|mute|muted|camera)",
        "(?:on|in|during|into|from|mid) (?:my|the|our|this|last night['’]?s|yesterday['’]?s) (?:tiktok )?(?:live|"
        "stream|livestream)",
        "(?:ended|crashed|interrupted|hijacked|ruined|joined|bombed|took over|walked in on) (?:my|the|"
        "our) (?:live|stream)",
        f"{_COUNT}[- ]?(?:hours?|hrs?|h) (?:of )?(?:live|lives|stream(?:ing)?|on live)",
        "mid[- ](?:live|stream)",
    ),
    "es": (
        "(?:el|mi) chat (?:me|te|nos|no|dec[ií]d|elig|vot|se)[a-zéóí]*",
        f"(?:el|mi|del) chat{_FEW}?(?:oblig|ret|pidi|eligi|decidi|vot)[a-zóáé]+",
        "(?:alguien|uno|una|todos) (?:en|del?) (?:el )?chat",
        f"(?:mandaron|mandaste|regal[oóa]r?o?n?|tiraron|enviaron|mand[oó]|donaron|lanzaron){_FEW}?"
        "(?:leon(?:es)?|le[oó]n|universos?|galaxias?|ballenas?|rosas?|regalos?|cohetes?|monedas)",
        f"{_MANY} (?:leones|universos|galaxias|ballenas|rosas)",
        f"{_COUNT} (?:conectad[oa]s|espectadores|personas(?: [^ ]+){{0,3}} (?:viendo|conectad[oa]s|escucha[a-zó]*|"
        "mirando))",
        f"(?:escucharon|vieron|miraban|viendo|conectad[oa]s) {_COUNT} personas",
        "(?:mis?|tus?|los|el) (?:mods?|moderador(?:es|a)?)",
        f"(?:apagar|cerrar|silenciar|prendido|encendido|abierto){_FEW}?(?:micro|mic|micr[oó]fono|c[aá]mara)",
        "(?:micro|mic|micr[oó]fono|c[aá]mara) (?:prendid|encendid|abiert)[oa]",
        f"(?:gan|perd|remont)[a-zéóíá]+{_FEW}?(?:batalla|pk|versus)",
        "(?:en|durante|al|del|a) (?:el |mi |un |pleno |medio |[úu]ltimo )(?:directo|live|en vivo|stream)",
        "(?:al|del|mi) (?:directo|live|stream)",
        "en (?:live|stream)",
        f"{_COUNT} ?(?:horas|h) (?:de |en )?(?:directo|live|en vivo|stream)",
    ),
    "pt": (
        "(?:o|meu) chat (?:me|n[ãa]o|mandou|fez|decidiu|escolheu|votou|obrigou|surtou|pediu|se)",
        "(?:algu[ée]m|galera|povo|todo mundo) (?:no|do) chat",
        f"(?:mandaram|mandou|jogaram|jogou|enviaram|deram|deu|doou){_FEW}?"
        "(?:le[ãa]o|le[õo]es|universos?|gal[áa]xias?|baleias?|rosas?|presentes?|foguetes?|moedas)",
        f"{_MANY} (?:le[õo]es|universos|gal[áa]xias|baleias|rosas)",
        f"{_COUNT}(?: mil)?(?: de)? (?:pessoas?|viewers|espectadores)(?: [^ ]+){{0,2}} (?:assistindo|vendo|online|"
        "na live)",
        "(?:meus?|minhas?|um|uma|os|pelo) (?:viewers?|moderador(?:a|es)?|mods?)",
        f"(?:desligar|fechar|mutar|ligado|aberto){_FEW}?(?:mic|microfone|c[âa]mera)",
        "(?:mic|microfone|c[âa]mera) (?:ligad|abert)[oa]",
        f"(?:ganh|perd|vir)[a-zéóíáu]+{_FEW}?(?:batalha|pk)",
        "(?:na|durante a|minha|da|numa|nessa|dessa|em) (?:minha |plena |[úu]ltima )?(?:live|transmiss[ãa]o|stream)",
        f"(?:na|no meio|durante){_FEW}?ao vivo",
        f"{_COUNT} ?(?:horas|h) (?:de |em |na )?(?:live|ao vivo|stream)",
    ),
    "fr": (
        "(?:le|mon) (?:chat|tchat) (?:m['’]?a|me|te|nous|a|ne m|veut|voulait|d[ée]cide)(?: [^ ]+){0,3} "
        "(?:forc|oblig|laiss|fai[st]|dit|d[ée]cid|choisi|vot|d[ée]fi|demand|command|chant|jou|dorm)[a-zéèê]*",
        "(?:quelqu['’]un|les gens|vous) (?:dans|sur) le (?:chat|tchat)",
        f"(?:envoy|offert|offre|balanc|l[âa]ch|donn)[a-zéè]*{_FEW}?"
        "(?:lions?|univers|galaxies?|baleines?|roses?|cadeaux?|fus[ée]es?|pi[èe]ces)",
        f"{_MANY} (?:lions|univers|galaxies|baleines|roses)",
        f"{_COUNT} (?:spectateurs|viewers|(?:personnes|gens)(?: [^ ]+){{0,3}} (?:regard|entend|connect|vu)[a-zéè]*)",
        "(?:mes|mon|les|un|une) (?:mod[ée]rateurs?|modos?|viewers?)",
        "(?:mes|un de mes) spectateurs?",
        f"(?:couper|[ée]teindre|fermer|allum[ée]|ouvert){_FEW}?(?:micro|cam[ée]ra)",
        "(?:micro|cam[ée]ra) (?:allum|ouvert|activ)[ée]?e?",
        f"(?:gagn|perd|remont)[a-zéu]*{_FEW}?(?:battle|pk)",
        f"(?:battle|pk){_FEW}?(?:gagn|perd|derni[èe]re seconde)[a-zéu]*",
        "(?:en|dans|pendant|sur) (?:le |mon |ce |un |plein )(?:live|direct|stream)",
        f"{_COUNT} ?(?:heures|h) (?:de |en )?(?:live|direct|stream)",
    ),
    "de": (
        "(?:der |mein )?chat (?:hat|wollte|lässt|ließ|liess|entscheidet|bestimmt|sagt|zwingt|wählt|macht|dreht)",
        "(?:wenn|als|dass|weil) (?:der |mein )?chat",
        "(?:jemand|leute|ihr|einer|alle) (?:im|ausm|aus dem) chat",
        f"{_MANY} (?:löwen|universen|galaxien|wale|rosen|geschenke)",
        f"(?:geschenkt|geschickt|gesendet|gespendet|rausgehauen){_FEW}?(?:löwen?|universum|galaxie|wal|rosen?)",
        f"(?:löwen?|universum|galaxie|wal|rosen?){_FEW}?(?:geschenkt|geschickt|gesendet|gespendet|rausgehauen)",
        f"{_COUNT} (?:leute[n]? |menschen )?(?:zuschauer[n]?|zuschauen|zugeschaut|live dabei)",
        "(?:meine|die|den) mods?",
        "(?:meine[nr]?|einer meiner) zuschauer[n]?",
        "ein(?:e)? zuschauer(?:in)? hat",
        "(?:mikro|mikrofon|kamera|cam)(?: [^ ]+){0,3} an",
        f"(?:battle|pk){_FEW}?(?:gewonnen|verloren|gedreht|letzte[n]? sekunde)",
        "(?:im|ausm|aus dem|in meinem|während des|beim|mitten im|vom) (?:letzten |gestrigen )?(?:live|stream|"
        "livestream)",
        f"{_COUNT} ?(?:stunden|h|std) (?:am |im |lang )?(?:live|stream(?:en)?|gestreamt)",
    ),
    "it": (
        "(?:la |mia )chat (?:mi|non|ha|decide|vuole|sceglie|ci|costringe|impazz)[a-z]*",
        "(?:qualcuno|uno|gente|tutti) (?:in|nella|della) chat",
        f"(?:mand|invi|regal|don|lanci)[a-zò]+{_FEW}?(?:leon[ei]|univers[oi]|galassi[ae]|balen[ae]|ros[ae]|"
        "regal[oi]|razz[oi])",
        f"{_MANY} (?:leoni|universi|galassie|balene|rose)",
        f"{_COUNT}(?: di)? (?:spettatori|viewer|persone(?: [^ ]+){{0,3}} (?:guard|colleg|conness|ascolt|sentit|"
        "in diretta|in live)[a-z]*)",
        f"davanti a {_COUNT} persone",
        "(?:i miei|i) mod(?:eratori)?",
        "(?:i miei|uno dei miei|un mio) (?:spettator[ei]|viewer)",
        "uno di voi mi ha sfidat[oa]",
        f"(?:spegnere|chiudere|acceso|aperto|scordat[oa]){_FEW}?(?:mic|microfono|camera)",
        "(?:mic|microfono|camera) (?:acces|apert)[oa]",
        f"(?:battle|pk){_FEW}?(?:vint|pers|ribalt|ultimo secondo)[a-z]*",
        f"(?:vint|pers|ribalt)[a-z]+{_FEW}?(?:battle|pk)",
        "(?:durante la|nella|della|alla|a|in) (?:mia |piena |scorsa |ultima )(?:diretta|live|stream)",
        "(?:durante la|nella|alla) (?:diretta|live|stream)",
        "(?:entr|arriv|success|fatt|dett|in)[a-z]* in (?:diretta|live)",
        f"{_COUNT} ?(?:ore|h) (?:di |in )?(?:live|diretta|stream)",
    ),
    "tr": (
        "(?:chat|sohbet)(?: beni| bana| bizi| izin)?(?: [^ ]+){0,2} (?:uyut|zorla|karar|seç|dedi|iste|yaptır|"
        "bırak)[a-zıüşğçö]*",
        "(?:chat|sohbet)(?:te|ten|teki)? (?:biri|herkes)",
        f"{_MANY} (?:aslan|evren|galaksi|balina|gül)",
        f"(?:aslan|evren|galaksi|balina|gül|hediye){_FEW}?(?:att[a-zığı]+|gönder[a-zı]+|yolla[a-zı]+)",
        "(?:aslan|evren|galaksi|balina|hediye) (?:att[a-zığı]+|gönder[a-zı]+|yolla[a-zı]+)",
        f"{_COUNT} (?:izleyici|ki[sş]i(?: [^ ]+){{0,2}} (?:izl[a-zıi]+|canlı|online))",
        "(?:izleyici|takip[cç]i|moderatör|mod)(?:m|lerim|imiz|larım|ler|lar)? (?:[^ ]+ )?(?:att|gönder|iste|dedi|"
        "zorla|banla|sustur)[a-zıiğü]*",
        f"(?:mikrofon|mikrofonu|kamera|kamerayı){_FEW}?(?:açık|kapatmayı unut)[a-zıü]*",
        "(?:mikrofon|kamera)(?:u|yı)? (?:açık|kapatmayı)",
        f"(?:eşleşme|pk|düello)(?:yi|ı|i)?{_FEW}?(?:ald[ıi]k|kazan|kaybet|son saniye)[a-zıi]*",
        "(?:canlı yay[ıi]n(?:da|dan|ım|ımda|ımdan|daki)|yay[ıi]n(?:ımda|ımdan|ımı|dayken|daki)|canlı(?:da|dan)|"
        "live(?:['’]?da|dan))",
        # "yayında" alone also says that a song or a video is out.
        "yay[ıi]nda (?:[^ ]+ ){0,3}[a-zıüşğçö]+(?:d[ıiuü]|t[ıiuü])(?:m|k|lar|ler)?",
        f"{_COUNT} saat(?:lik)? (?:canlı |live )?(?:yay[ıi]n|live)",
    ),
    "ru": (
        "чат(?:ик)? (?:не|меня|мне|нас|заставил|решил|решает|выбрал|сказал|попросил|угадал|сошёл|сошел|спас|"
        "проголосовал)",
        "(?:кто-то|все|люди|вы|народ) (?:в|из) чат[еаику]+",
        f"(?:накида|кину|кида|подари|отправи|задонати|донати)[а-яё]+{_FEW}?(?:льв|вселенн|галактик|кит|роз|подар|"
        "ракет)[а-яё]*",
        f"{_MANY} (?:львов|льва|вселенных|галактик|китов|роз)",
        f"(?:льв|вселенн|галактик)[а-яё]+{_FEW}?(?:подари|кину|накида|отправи)[а-яё]+",
        f"{_COUNT} (?:зрител(?:ей|я|и)|(?:человек|людей)(?: [^ ]+){{0,2}} (?:смотр[а-яё]+|онлайн|слыш[а-яё]+))",
        "(?:мои|моих|мой|моя|один из|одна из) (?:моих )?(?:зрител|модер)[а-яё]*",
        "модер(?:ы|атор[а-яё]*)? (?:[^ ]+ )?(?:забанил|ржут|ржали|замутил|спас)[а-яё]*",
        "зритель[а-яё]* (?:подарил|сказал|заставил|попросил|прислал|задонатил)[а-яё]*",
        f"(?:выключить|вырубить|включ[её]н|включенн){_FEW}?(?:микро|камер)[а-яё]*",
        "(?:микрофон|микро|камера)(?: [^ ]+){0,2} (?:включ|остал)[а-яё]*",
        f"(?:батл|пк|баттл)[а-яё]*{_FEW}?(?:выигра|проигра|вытащи|последней секунд|победи)[а-яё]*",
        f"(?:выигра|проигра|вытащи|победи)[а-яё]+{_FEW}?(?:батл|пк|баттл)[а-яё]*",
        "(?:на|с|во время|про) (?:вчерашн[а-яё]+ |мо[её][мйе] |прям[а-яё]+ |последн[а-яё]+ )?(?:эфир|стрим|лайв|"
        "трансляци)[а-яё]*",
        "в (?:вчерашн[а-яё]+|мо[её]м|прям[а-яё]+) (?:эфир|стрим|лайв)[а-яё]*",
        f"{_COUNT} ?(?:часов|часа|ч) (?:в |на )?(?:эфир|стрим|лайв)[а-яё]*",
    ),
    "ar": (
        "(?:ال)?شات (?:ما|خلا|طلب|قال|قرر|اختار|صوت|جنن|اجبر)[؀-ۿ]*",
        "(?:واحد|احد|أحد|حد|الناس) (?:في|ب|من) ?(?:ال)?شات",
        f"{_MANY} (?:[أا]سد|[أا]سود|كون|مجر[ةه]|وردة|وردات)",
        "(?:رمى|رميتوا|رميتو|ارسل|أرسل|دعم|كبس|بعت|بعث|هدا)[؀-ۿ]* (?:[^ ]+ ){0,3}(?:[أا]سد|[أا]سود|الكون|كون|"
        "المجر[ةه]|ورد|هدي)[؀-ۿ]*",
        f"{_COUNT} (?:مشاهد|(?:واحد|شخص|متابع)(?: [^ ]+){{0,2}} (?:يتفرج|يشاهد|يشوف|بيتفرج)[؀-ۿ]*)",
        "(?:المشرف|المود|مشرفين)[؀-ۿ]* (?:[^ ]+ )?(?:طرد|حظر|بند|ضحك)[؀-ۿ]*",
        "(?:المايك|مايك|الكاميرا|الميكروفون) (?:[^ ]+ ){0,2}(?:شغال|مفتوح)[؀-ۿ]*",
        "(?:نسيت|نسينا) (?:[^ ]+ ){0,2}(?:المايك|الكاميرا|الميكروفون)",
        "(?:كسبنا|خسرنا|فزنا|فزت|خسرت|ربحنا) (?:[^ ]+ ){0,3}(?:الجول[ةه]|جول[ةه]|التحدي|المعرك[ةه]|ال?pk)",
        "(?:في|ب|من|خلال|أثناء|اثناء|وسط) ?(?:ال)?(?:بث|لايف|البث)[؀-ۿ]*",
        f"{_COUNT} (?:ساع[ةه]|ساعات) (?:بث|لايف)",
    ),
    "id": (
        "chat (?:gabolehin|ga bolehin|gak|nggak|maksa|nyuruh|minta|milih|bilang|pada|rame|nantang|bikin)",
        "(?:ada yg|ada yang|kalian|orang) (?:di|dari) chat",
        f"(?:kirim|ngirim|kasih|ngasih|lempar|gift){_FEW}?(?:singa|paus|universe|galaxy|mawar|gift|hadiah|koin|roket)",
        f"{_MANY} (?:singa|paus|universe|galaxy|mawar)",
        f"{_COUNT} (?:penonton|viewers?|orang(?: [^ ]+){{0,2}} (?:nonton|liat|denger))",
        f"(?:ditonton|nonton) {_COUNT}",
        "(?:mod|moderator|viewers?|penonton)(?: gue| aku| gw|ku)? (?:[^ ]+ )?(?:nyuruh|maksa|nantang|minta|kasih|"
        "ngirim|ngakak|nge)[a-z]*",
        "(?:lupa|masih)(?: [^ ]+){0,2} (?:matiin|mute|nyala)?(?: ?mic| ?mik| ?kamera)",
        "(?:menang|kalah) (?:[^ ]+ ){0,2}(?:pk|battle|match)",
        f"(?:pk|battle|match){_FEW}?(?:detik terakhir|menang|kalah)",
        "(?:pas|waktu|saat|di|dari)(?: aku| gue| gw| kita| lagi)? (?:live|siaran)",
        f"{_COUNT} jam (?:live|nonstop live|siaran)",
    ),
    "vi": (
        "chat (?:ko|không|hk|k|bắt|đòi|kêu|xúi|chọn|bảo)",
        "(?:ai đó|bạn nào|mọi người|mn) (?:trong|trên) chat",
        f"(?:tặng|quăng|gửi|donate|ném){_FEW}?(?:sư tử|vũ trụ|thiên hà|cá voi|hoa hồng|quà|su tu|vu tru)",
        f"{_MANY} (?:con )?(?:sư tử|vũ trụ|thiên hà|cá voi|hoa hồng|su tu)",
        f"{_COUNT} (?:người|ng|mắt|bạn|viewers?)(?: [^ ]+){{0,2}} (?:xem|coi)",
        "(?:qu[êe]n|chưa) (?:t[ắa]t|đóng) (?:mic|cam|camera)",
        f"(?:thắng|thua|lội ngược dòng){_FEW}?(?:pk|battle)",
        f"(?:pk|battle){_FEW}?(?:thắng|thua|lội ngược dòng|giây cuối)",
        "(?:trên|trong|lúc|khi|hôm|buổi|phiên)(?: đang| mình)? (?:live|livestream|phát sóng)",
        f"{_COUNT} (?:tiếng|giờ) (?:live|livestream)",
    ),
    "pl": (
        "czat (?:nie|mnie|kaza|zmusi|wybra|zdecydowa|decyduj|mówi|powiedzia|namówi|głosowa)[a-ząęłó]*",
        "(?:ktoś|ludzie|wszyscy) (?:na|z) cza(?:cie|tu)",
        f"(?:wys[łl]a|rzuci|da|dosta|podarowa|wbi)[a-ząęłńó]+{_FEW}?(?:lw[aóy]w?|wszech[śs]wiat|galaktyk|wieloryb|"
        "r[óo][żz])[a-zęąó]*",
        f"{_MANY} (?:lw[óo]w|galaktyk|wieloryb[óo]w|r[óo][żz])",
        f"{_COUNT} (?:widz[óo]w|(?:os[óo]b|ludzi)(?: [^ ]+){{0,2}} (?:patrz|ogl[ąa]da|s[łl]ysz)[a-ząęłi]*)",
        "(?:moi|m[óo]j|jeden z|moich) (?:widz|mod)[a-zóąęów]*",
        "(?:widzowie|widz|modzi|moderator[a-zy]*) (?:[^ ]+ )?(?:kaza|maj[ąa]|zbanowa|wys[łl]a|wybra)[a-zęłi]*",
        f"(?:wy[łl][ąa]czy[ćc]|zapomnia[łl][a-z]*){_FEW}?(?:mikro|mikrofon|kamer)[a-zęyu]*",
        "(?:mikrofon|mikro|kamera|mic)(?: [^ ]+){0,2} w[łl][ąa]czon[aye]?",
        f"(?:wygra|przegra)[a-ząęłn]+{_FEW}?(?:bitw|battle|pk)[a-zęaiy]*",
        f"(?:bitw|battle|pk)[a-zęaiy]*{_FEW}?(?:wygra|przegra|ostatniej sekundzie)[a-ząęłn]*",
        "(?:na|z|podczas|w trakcie|w) (?:moim |moj[a-z]+ |wczorajsz[a-z]+ |ostatni[a-z]+ )?(?:live|livi|lajw|"
        "transmisj|stream)[a-zęiu'’]*",
        f"{_COUNT} ?(?:godzin[ay]?|h) (?:na )?(?:live|transmisj|stream)[a-zęiu'’]*",
    ),
}

UNSPACED: dict[str, tuple[str, ...]] = {
    "th": (
        "แชท.{0,6}(?:ไม่ยอม|ไม่ให้|บังคับ|สั่ง|เลือก|บอก|ขอ|ท้า|โหวต)",
        "(?:คน|ใคร|ทุกคน)ในแชท",
        "(?:ส่ง|ปา|เปย์|ให้).{0,6}(?:สิงโต|จักรวาล|กาแล็กซี่|วาฬ|กุหลาบ|ของขวัญ)",
        "(?:สิงโต|จักรวาล|กาแล็กซี่|วาฬ).{0,4}\\d+",
        "คนดู.{0,4}\\d+",
        "\\d+ ?คน.{0,4}ดู",
        "ลืมปิด(?:ไมค์|กล้อง)",
        "(?:พีเค|pk|แบทเทิล).{0,8}(?:ชนะ|แพ้|วิสุดท้าย|วินาทีสุดท้าย)",
        "(?:ใน|ตอน|ระหว่าง|กลาง|เมื่อคืน|จาก).{0,2}ไลฟ์",
        "ไลฟ์.{0,4}\\d+ ?ชั่วโมง",
    ),
    "ja": (
        "(?:コメント欄|コメント|チャット欄|チャット|リスナー|視聴者)(?:さん)?(?:が|に|から|の|、).{0,12}(?:寝かせ|やら|言わ|言っ|決め|選|指示|爆笑|ツッコ|飛ん|くれ|もら|"
        "投げ|来|きた)",
        "\\d+ ?(?:人|名).{0,6}(?:見て|見られ|視聴|同接|来て)",
        "同接.{0,4}\\d+",
        "(?:ライオン|ユニバース|ギャラクシー|クジラ|バラ|ギフト).{0,8}(?:\\d+|飛ん|投げ|もら|くれ|届)",
        "\\d+ ?(?:頭|個|本|発).{0,6}(?:ライオン|ユニバース|ギフト|バラ)",
        "(?:マイク|カメラ)(?:を)?(?:切り忘れ|消し忘れ|つけっぱ|入ったまま)",
        "(?:バトル|pk|マッチ).{0,10}(?:逆転|勝|負け|ラスト)",
        # "配信中" alone also says that a film or a song can be streamed.
        "(?:配信|枠)(?:中に|中の|内|で|の最中|してたら)",
        "ライブ(?:配信(?:中|で)|中に|してたら)",
        "\\d+時間(?:耐久)?(?:配信|ライブ)",
    ),
    "ko": (
        "(?:채팅창?|챗)(?:이|에서|으로|한테|에|방).{0,10}(?:재|시키|시켜|말|정해|골라|투표|터|난리|보내)",
        "\\d+명.{0,6}(?:보고|찍|봤|시청|들어)",
        "(?:시청자|청자|매니저|팬)(?:들|분들|분|님들)?(?:이|가|은|한테|께서)?.{0,8}(?:시키|시켜|들음|들었|쏴|보내|웃|골라|추천)",
        "(?:사자|우주|은하|고래|장미|선물).{0,6}(?:\\d+|터져|터졌|쏴|쐈|보내)",
        "(?:마이크|캠|카메라).{0,4}(?:끄는|켜진|안 ?끄|켜놓)",
        "(?:배틀|매치|pk).{0,10}(?:역전|승|이겼|이김|졌|막판)",
        "(?:방송|라이브|라방|생방) ?(?:중에|하다가|도중|때)",
        "(?:라방|생방|내 ?방송)에서",
        "\\d+시간 ?(?:방송|라이브|라방)",
    ),
    "zh": (
        "(?:弹幕|彈幕|评论区|評論區|聊天室|公屏)(?:不让|不讓|让我|讓我|逼|叫|说|說|选|選|投票|都|全|刷)",
        "(?:刷|送|砸|扔)(?:了|来|來|出)?.{0,6}(?:狮子|獅子|宇宙|嘉年华|嘉年華|火箭|鲸鱼|鯨魚|玫瑰|礼物|禮物|跑车|跑車)",
        "(?:\\d+|[一二三四五六七八九十百千]+)(?:个|個|多)?(?:人|位)?(?:在线|在線|观众|觀眾|人看|人在看)",
        "在线.{0,4}(?:破|\\d)|在線.{0,4}(?:破|\\d)",
        "(?:房管|场控|場控|榜一|大哥)(?:.{0,6})(?:笑|送|刷|封|禁|说|說)",
        "忘(?:记|記|了)?(?:关|關)(?:麦|麥|摄像|攝像|鏡頭|镜头)",
        "pk.{0,8}(?:翻盘|翻盤|赢|贏|输|輸|绝杀|絕殺)",
        "(?:最后一秒|最後一秒).{0,4}pk",
        "直播(?:间|間|时|時|的时候|的時候|里|裡|中途)",
        "(?:播了|直播|连播|連播)(?:了)?\\d+(?:个|個)?小[时時]",
    ),
}
