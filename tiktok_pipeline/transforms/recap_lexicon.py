"""Words in captions that mark a recap of a stream, or exclude one, in 16 languages.

Five kinds: the live itself, words of recaps, hashtags that only recaps carry, announcements of a coming live, and
expressions that only resemble one (live music, a concert). To add a language, add its `Words` and captions to the
tests, some of them negative. Points are in the settings, the arithmetic in `recaps`.

`plain` normalizes captions before they are matched: compatibility forms (stylised letters, full width), lower case.
"""

from __future__ import annotations

import unicodedata
from dataclasses import dataclass

import polars as pl

from tiktok_pipeline.transforms import recap_moments


@dataclass(frozen=True)
class Words:
    """Patterns of one language. `spaced`: words are separated by spaces, so that a pattern is a whole word."""

    live: tuple[str, ...]
    recap: tuple[str, ...]
    announcement: tuple[str, ...]
    noise: tuple[str, ...]
    spaced: bool = True


# Up to this many words between two words of one pattern.
_FEW = r"(?: [^ ]+){0,5} "

LANGUAGES: dict[str, Words] = {
    "en": Words(
        live=("live", "(?:my|our|tiktok|the|last|these|those) lives", "live ?streams?", "streams?", "on[- ]air"),
        recap=(
            "highlights?",
            "recap(?:s|ped)?",
            "clips?",
            "clipped",
            "compilation",
            "replay",
            "(?:best|funniest|craziest|top|favou?rite|iconic) (?:moments?|bits?|parts?|of)",
            "moments? (?:from|of)",
            "yesterday(?:['’]s)?",
            "last night(?:['’]s)?",
            "(?:if|in case) you missed",
            f"(?:thanks|thank you|thankful|grateful){_FEW}gifts?",
            "gifters?",
        ),
        announcement=(
            "(?:going|go|goes|be|am) live (?:on|at|in|tonight|today|tomorrow|now|soon|later|this)",
            "(?:going|be) live$",
            "(?:live|stream|streaming) (?:tonight|tomorrow|today at|later|soon|at \\d+|in \\d+)",
            "(?:tonight|tomorrow)(?: at \\d+)?,? (?:i (?:am|will be|go)|i['’]m|we (?:are|go)|we['’]re) [^.!?]*live",
            "set a reminder",
            "(?:join|see) (?:me|us|you)(?: [^ ]+){0,2} (?:live|tonight|tomorrow)",
            "(?:next|upcoming) (?:live|stream)",
        ),
        noise=(
            "live (?:music|band|concert|gig|laugh|show|session|orchestra|version|performance|audience)",
            "(?:i|we|you|they|people|to|who) live (?:in|for|with|like|here|there|by|near|my|your|a|the)",
            "concert",
            "spotify",
            "million streams",
        ),
    ),
    "es": Words(
        live=("live", "directos?", "en vivo", "stream", "transmisi[oó]n"),
        recap=(
            "mejores momentos",
            "momentazos?",
            "lo mejor de",
            "resumen",
            "clips?",
            "recortes?",
            "ayer",
            "anoche",
            "repetici[oó]n",
            "te lo perdiste",
            f"gracias{_FEW}regalos?",
        ),
        announcement=(
            "hoy(?: [^ ]+){0,3} a las \\d+",
            f"(?:hoy|esta noche|mañana){_FEW}(?:directo|live|en vivo|stream)",
            "(?:hoy|esta noche|mañana) (?:directo|live|en vivo|stream)",
            "(?:directo|live|en vivo|stream) (?:hoy|esta noche|mañana|a las \\d+)",
            "voy a hacer(?: un)? (?:directo|live|stream)",
            f"nos vemos{_FEW}(?:directo|live|las \\d+)",
            "(?:te|os|los|las) espero",
        ),
        noise=(
            "m[uú]sica en vivo",
            "conciertos?",
            "vivo en",
            "directo al? [a-zñ]+",
            "mensaje directo",
            "contacto directo",
        ),
    ),
    "pt": Words(
        live=("live", "(?:minhas|das|nas|as) lives", "ao vivo", "transmiss[aã]o", "stream"),
        recap=(
            "melhores momentos",
            "cortes?",
            "clipes?",
            "trechos?",
            "resumo",
            "destaques?",
            "ontem",
            "perdeu",
            f"obrigad[oa]s?{_FEW}presentes?",
            "presentes (?:na|da) live",
        ),
        announcement=(
            f"(?:hoje|amanh[ãa]){_FEW}(?:live|ao vivo)",
            "(?:hoje|amanh[ãa]) (?:live|ao vivo)",
            "(?:live|ao vivo) (?:hoje|amanh[ãa]|daqui|[àa]s \\d+)",
            "te espero",
            "espero voc[êe]s",
            "vou (?:entrar|abrir|fazer)(?: [^ ]+){0,2} (?:live|ao vivo)",
        ),
        noise=("(?:m[uú]sica|show|banda) ao vivo", "shows?"),
    ),
    "fr": Words(
        live=("live", "(?:en|le|du|mon|au) direct", "stream", "diffusion"),
        recap=(
            "meilleurs? moments?",
            "temps forts",
            "best[- ]?of",
            "extraits?",
            "r[ée]sum[ée]",
            "rediff(?:usion)?",
            "replay",
            "clips?",
            "hier(?: soir)?",
            f"merci{_FEW}cadeaux",
        ),
        announcement=(
            f"(?:ce soir|demain){_FEW}(?:live|direct)",
            "(?:ce soir|demain) (?:live|direct)",
            "(?:live|direct) (?:ce soir|demain|[àa] \\d+)",
            "rendez-vous",
            "on se retrouve",
            "je vous attends",
        ),
        noise=("musique live", "concerts?", "train direct", "vol direct"),
    ),
    "de": Words(
        live=("live", "livestreams?", "streams?", "(?:live)?[üu]bertragung"),
        recap=(
            "besten? momente",
            "h[öo]hepunkte?",
            "zusammenschnitt",
            "zusammenfassung",
            "mitschnitt",
            "ausschnitte?",
            "clips?",
            "best[- ]of",
            "gestern(?: abend)?",
            "letzte nacht",
            f"danke{_FEW}geschenke?",
        ),
        announcement=(
            "(?:heute(?: abend)?|morgen|gleich)(?: [^ ]+){0,3} (?:live|stream|livestream)",
            "(?:live|stream|livestream) (?:heute|morgen|gleich|(?:um|ab) \\d+)",
            "(?:um|ab) \\d+(?:[:.]\\d+)? uhr",
            "(?:seid|sei) (?:mit )?dabei",
            "gehe? (?:ich )?live",
        ),
        noise=("live[- ]?musik", "konzerte?", "live[- ]band"),
    ),
    "it": Words(
        live=("live", "dirett[ae]", "streaming", "in onda"),
        recap=(
            "migliori momenti",
            "momenti migliori",
            "il meglio",
            "momenti pi[ùu]",
            "riassunto",
            "estratt[oi]",
            "spezzon[ei]",
            "clip",
            "replica",
            "ieri(?: sera)?",
            f"grazie{_FEW}regali",
        ),
        announcement=(
            "(?:stasera|domani|oggi)(?: [^ ]+){0,3} (?:live|diretta)",
            "(?:live|diretta) (?:stasera|domani|alle \\d+)",
            "ci vediamo",
            "vi aspetto",
        ),
        noise=("musica (?:live|dal vivo)", "concert[oi]"),
    ),
    "tr": Words(
        live=("canl[ıi]", "(?:canl[ıi] )?yay[ıi]n(?:[ıi]|da|dan|[ıi]n|[ıi]m[ıi]z|lar|daki)?", "live"),
        recap=(
            "en (?:iyi|komik|g[üu]zel) anlar[ıi]?",
            "[öo]zeti?",
            "kesit(?:ler)?i?",
            "klip(?:ler)?i?",
            "[öo]ne ç[ıi]kanlar",
            "d[üu]n(?:k[üu])?(?: gece(?:ki)?)?",
            "kaç[ıi]ranlar",
            f"hediyeler?{_FEW}te[şs]ekk[üu]r(?:ler)?",
            "hediyeler(?: [^ ]+)? te[şs]ekk[üu]rler",
        ),
        announcement=(
            "(?:bu (?:gece|ak[şs]am)|yar[ıi]n)(?: [^ ]+){0,4} (?:canl[ıi]|yay[ıi]n(?:da)?(?:y[ıi]z|y[ıi]m)?)",
            "yay[ıi]nday[ıi][mz]",
            "kaç[ıi]rmay[ıi]n",
            "bekliyorum",
            "saat \\d+[^ ]*",
        ),
        noise=("canl[ıi] m[üu]zik", "konser(?:i|de)?", "yay[ıi]nevi", "yay[ıi]nland[ıi]"),
    ),
    "ru": Words(  # and Ukrainian
        live=(
            "эфир[а-я]*",
            "стрим[а-я]*",
            "трансляци[а-я]*",
            "лайв[а-я]*",
            "ефір[а-яіїє]*",
            "стрім[а-яіїє]*",
            "трансляці[а-яіїє]*",
        ),
        recap=(
            "лучш[а-я]+ момент[а-я]*",
            "найкращ[а-яіїє]+ момент[а-яіїє]*",
            "хайлайт[а-я]*",
            "нарезк[а-я]*",
            "нарізк[а-яіїє]*",
            "отрыв[а-я]+",
            "уривок",
            "клип[а-я]*",
            "кліп[а-яіїє]*",
            "повтор[а-я]*",
            "вчера(?:шн[а-я]+)?",
            "вчора(?:шн[а-яіїє]+)?",
            "кто пропустил",
            "хто пропустив",
            f"спасибо{_FEW}подарк[а-я]+",
            f"дякую{_FEW}подарунк[а-яіїє]+",
        ),
        announcement=(
            "(?:сегодня|завтра|сьогодні)(?: [^ ]+){0,3} (?:эфир|стрим|трансляц|ефір|стрім|лайв)[а-яіїє]*",
            "\\d{1,2}[:.]\\d{2},? (?:[^ ]+ )?(?:эфир|стрим|ефір|стрім|лайв)[а-яіїє]*",
            "(?:эфир|стрим|ефір|стрім|лайв)[а-яіїє]* (?:сегодня|завтра|сьогодні|[вуо] \\d+)",
            "жду вас",
            "чекаю (?:на )?вас",
            "приходите",
        ),
        noise=("жив[а-я]+ музык[а-я]+", "жив[а-яіїє]+ музик[а-яіїє]+", "концерт[а-яіїє]*"),
    ),
    "ar": Words(
        live=("[وفبلك]?(?:ال|ل)?(?:بث|لايف|ستريم)", "(?:ال)?مباشر"),
        recap=(
            "(?:أفضل|اجمل|أجمل|أقوى|احلى|أحلى) (?:ال)?لحظات",
            "(?:ال)?لقطات?",
            "(?:ال)?مقطع",
            "(?:ال)?مقاطع",
            "(?:ال)?ملخص",
            "(?:ال)?إعادة",
            "(?:ال)?بارحة",
            "أمس|امس|مبارح|امبارح",
            "فاتكم",
            "شكر[^ ]*(?: [^ ]+){0,3} [وفبلك]?(?:ال|ل)?هد(?:ايا|اياكم|ية)",
        ),
        announcement=(
            "(?:بث|لايف)(?: مباشر)? (?:الليلة|غد[^ ]*|بكر[^ ]*|الساعة)",
            "(?:الليلة|غد[^ ]*|بكر[^ ]*)(?: [^ ]+){0,2} (?:بث|البث|لايف)",
            "انتظروني|انتظرونا|موعدنا|لا تفوتوا",
        ),
        noise=("موسيقى حية", "(?:ال)?حفل[^ ]*"),
    ),
    "id": Words(
        live=("live", "siaran langsung", "nge-?live", "live streaming"),
        recap=(
            "momen(?: [^ ]+)? (?:terbaik|terlucu|lucu|seru|kocak)",
            "cuplikan",
            "potongan",
            "highlights?",
            "rekap(?:an)?",
            "klip",
            "semalam",
            "tadi malam",
            "kemarin",
            "ketinggalan",
            "(?:makasih|terima kasih|thanks)(?: [^ ]+){0,3} (?:gift|hadiah|saweran)[^ ]*",
        ),
        announcement=(
            "live (?:nanti|malam ini|besok|jam \\d+)",
            "(?:nanti|besok|malam ini)(?: [^ ]+){0,3} live",
            "jangan lupa (?:dateng|datang|nonton|mampir)",
            "ditunggu",
        ),
        noise=("live music", "konser", "musik live"),
    ),
    "vi": Words(
        live=("live", "livestream", "(?:phát )?trực tiếp", "stream"),
        recap=(
            "khoảnh khắc",
            "tổng hợp",
            "hay nhất",
            "cắt từ",
            "trích đoạn",
            "clip",
            "highlights?",
            "xem lại",
            "(?:tối|đêm|hôm) qua",
            "bỏ lỡ",
            "cảm ơn(?: [^ ]+){0,5} quà",
        ),
        announcement=(
            "(?:tối nay|ngày mai|tối mai)(?: [^ ]+){0,4} (?:live|livestream|trực tiếp)",
            "(?:live|livestream|trực tiếp)(?: [^ ]+){0,2} (?:tối nay|ngày mai|tối mai|lúc \\d+[^ ]*)",
            "hẹn (?:gặp|cả nhà|mọi người)",
        ),
        noise=("nhạc sống", "hòa nhạc", "live ?show", "live band"),
    ),
    "th": Words(
        live=("ไลฟ์", "ไลฟ", "สตรีม", "ถ่ายทอดสด"),
        recap=(
            "ไฮไล(?:ท์|ต์|ท)",
            "โมเมนต์",
            "ช่วงเด็ด",
            "ช่วงที่ดีที่สุด",
            "คลิป",
            "ตัดมา",
            "รวมช็อต",
            "ย้อนหลัง",
            "เมื่อคืน",
            "เมื่อวาน",
            "ขอบคุณ.{0,24}(?:ของขวัญ|กิ๊ฟ|กิฟต์)",
        ),
        announcement=(
            "(?:คืนนี้|พรุ่งนี้|เย็นนี้).{0,16}(?:ไลฟ์|สตรีม)",
            "(?:ไลฟ์|สตรีม).{0,10}(?:คืนนี้|พรุ่งนี้|เย็นนี้|\\d+ ?(?:ทุ่ม|โมง))",
            "เจอกัน",
            "อย่าลืมมา",
        ),
        noise=("ดนตรีสด", "คอนเสิร์ต"),
        spaced=False,
    ),
    "ja": Words(
        live=("ライブ", "配信", "生放送", "ライバー"),
        recap=(
            "ハイライト",
            "切り抜き",
            "きりぬき",
            "名場面",
            "ダイジェスト",
            "ベストシーン",
            "まとめ",
            "アーカイブ",
            "見逃し",
            "昨日",
            "昨夜",
            "昨晩",
            "(?:ギフト|投げ銭).{0,12}(?:ありがと|感謝)",
            "ありがと.{0,12}ギフト",
        ),
        announcement=(
            "今夜(?:の)?(?:ライブ|生)?配信(?:します|です|だよ|[!！。、]|$)",
            "今夜.{0,8}(?:時|から)",
            "(?:これから|明日|今日).{0,10}(?:ライブ|配信)(?:します|やります|やる|です|開始|[!！🔔]|$)",
            "\\d+時.{0,6}(?:ライブ|配信)",
            "(?:配信|ライブ)予定",
            "来てね",
            "お楽しみに",
        ),
        noise=("生演奏", "ライブハウス", "ライブ会場", "コンサート", "フェス", "(?:音楽|楽曲|新曲)配信"),
        spaced=False,
    ),
    "ko": Words(
        live=("라이브", "라방", "방송", "생방", "스트리밍"),
        recap=(
            "하이라이트",
            "명장면",
            "클립",
            "편집본",
            "다시 ?보기",
            "모음",
            "요약",
            "어제",
            "어젯밤",
            "지난밤",
            "놓치신",
            "선물.{0,10}(?:감사|고마)",
            "(?:감사|고마).{0,10}선물",
        ),
        announcement=(
            "(?:오늘 ?(?:밤|저녁)|내일).{0,12}(?:라이브|방송|라방)",
            "\\d+시.{0,8}(?:라이브|방송|라방)",
            "(?:라이브|방송|라방) ?예정",
            "놀러 ?오세요",
            "만나요",
        ),
        noise=("라이브 ?(?:공연|카페|바|하우스|밴드)", "콘서트", "버스킹"),
        spaced=False,
    ),
    "zh": Words(
        live=("直播", "开播", "開播"),
        recap=(
            "高光",
            "精彩",
            "切片",
            "回放",
            "回顾",
            "回顧",
            "剪辑",
            "剪輯",
            "集锦",
            "集錦",
            "名场面",
            "名場面",
            "昨晚",
            "昨天",
            "(?:感谢|感謝|谢谢|謝謝).{0,12}(?:礼物|禮物|打赏|打賞)",
        ),
        announcement=(
            "(?:今晚|明天|明晚).{0,10}(?:直播|开播|開播)",
            "(?:直播|开播|開播)(?:预告|預告)",
            "不见不散|不見不散",
            "\\d+[点點].{0,6}(?:直播|开播|開播)",
        ),
        noise=("演唱会|演唱會", "音乐会|音樂會", "现场音乐|現場音樂"),
        spaced=False,
    ),
    "pl": Words(
        live=(
            "live(?:['’]?(?:a|y|em|ie|ów|ach))?",
            "lajw[a-z]*",
            "transmisj[a-ząęi]+",
            "na żywo",
            "stream(?:a|y|u|em|ie|ów|ach)?",
        ),
        recap=(
            "najlepsz[a-z]+ moment[a-zóy]*",
            "najlepsz[a-z]+ fragment[a-zóy]*",
            "podsumowani[a-z]+",
            "skr[óo]t[a-z]*",
            "fragment[a-zóy]*",
            "klip[a-zóy]*",
            "powt[óo]rk[a-ząę]+",
            "wczoraj(?:sz[a-z]+)?",
            "ostatniej nocy",
            "dzi[ęe]k[a-zęuję]+(?: [^ ]+){0,3} prezent[a-zóy]*",
        ),
        announcement=(
            "(?:dzi[śs]|dzisiaj|jutro)(?: [^ ]+){0,4} (?:live|transmisj[a-zęą]+|na żywo|stream)",
            "(?:live|stream|na żywo) (?:dzi[śs]|dzisiaj|jutro|o \\d+[^ ]*)",
            "wpadajcie",
            "widzimy si[ęe]",
        ),
        noise=("muzyk[a-z]+ na żywo", "koncer[a-z]+"),
    ),
}

# Hashtags are written as one word, so the parts of each follow each other.
_LIVE_TAG = (
    "live|livestream|stream|directo|enlive|envivo|direct|diretta|эфира?|стрима?|ефіру?|стріму?|лайва?|بث|ไลฟ์|ライブ|"
    "配信|라이브|방송|직방|直播"
)
_RECAP_TAG = (
    "highlights?|recaps?|clips?|replays?|moments?|bestof|cortes?|resumen|momentos|extraits?|rediff|clip|höhepunkte|"
    "хайлайты|нарезка|моменты|нарізка|ملخص|لقطات|ไฮไลท์|ハイライト|切り抜き|하이라이트|클립|다시보기|回放|切片|精彩|高光|集锦"
)
_JOINED = "d[aeo]l?|of|from|del|du|dell[ao]?|vom|の|的|_"
TAGS: tuple[str, ...] = (
    f"#(?:{_LIVE_TAG})(?:{_JOINED})?(?:{_RECAP_TAG})",
    f"#(?:{_RECAP_TAG})(?:{_JOINED})?(?:{_LIVE_TAG})",
    "#切り抜き",
    "#yay[ıi]n(?:kesitleri|[öo]zeti)",
    "#cuplikanlive",
    "#khoảnhkhắclive",
    "#klipyzlive",
)


def plain(caption: pl.Expr) -> pl.Expr:
    """Return a caption in the form that the patterns expect."""
    return caption.str.normalize("NFKC").str.to_lowercase()


def _either(kind: str) -> str:
    """Return one pattern for a kind of word in all languages."""
    whole = [pattern for words in LANGUAGES.values() if words.spaced for pattern in getattr(words, kind)]
    within = [pattern for words in LANGUAGES.values() if not words.spaced for pattern in getattr(words, kind)]
    return _one_of(whole, within)


def _moments() -> str:
    whole, within = (
        [phrase for phrases in part.values() for phrase in phrases]
        for part in (recap_moments.SPACED, recap_moments.UNSPACED)
    )
    return _one_of(whole, within)


def _one_of(whole: list[str], within: list[str]) -> str:
    """Return a pattern for any of the patterns `whole`, as whole words, and `within`, anywhere."""
    return _normalized(rf"\b(?:{'|'.join(whole)})(?:\b|$)|{'|'.join(within)}")


def _normalized(pattern: str) -> str:
    return unicodedata.normalize("NFKC", pattern)


# Each kind of match -> its pattern, in the order of the points in the settings.
HITS: dict[str, str] = {
    "live": _either("live"),
    "recap": _either("recap"),
    "moment": _moments(),
    "tag": _normalized(f"(?:{'|'.join(TAGS)})" + r"(?:\b|[^\p{L}]|$)"),
    "announcement": _either("announcement"),
    "noise": _either("noise"),
}
