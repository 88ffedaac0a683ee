"""Captions for the tests of recaps, hand-written in each language of the lexicon: recaps, other posts, and recaps that
it misses.

The author of the captions knew the rules, so the captions test that the rules run, not how accurate they are.
"""

from __future__ import annotations

RECAPS: dict[str, tuple[str, ...]] = {
    "en": (
        "best moments from last night's live 😂",
        "stream highlights pt. 2",
        "thank you so much for the gifts on live ❤️",
    ),
    "es": (
        "los mejores momentos del directo",
        "resumen del live de ayer",
        "gracias por tantos regalos en el directo 🎁",
    ),
    "pt": ("melhores momentos da live", "corte da transmissão de ontem", "obrigada pelos presentes na live"),
    "fr": ("les meilleurs moments du direct", "extrait du live d'hier soir", "merci pour tous les cadeaux en live"),
    "de": ("die besten Momente aus dem Stream", "Ausschnitt vom Live gestern", "danke für die Geschenke im Livestream"),
    "it": ("i migliori momenti della diretta", "estratto della live di ieri", "grazie per i regali in diretta"),
    "tr": ("canlı yayından en iyi anlar", "dünkü yayından kesitler", "yayında hediyeler için teşekkürler"),
    "ru": ("лучшие моменты стрима", "нарезка с эфира", "спасибо за подарки на вчерашнем эфире"),
    "uk": ("найкращі моменти стріму", "нарізка з ефіру"),
    "ar": ("أفضل لحظات البث", "مقطع من بث أمس", "شكراً على الهدايا في اللايف"),
    "id": ("momen terlucu di live semalam", "cuplikan siaran langsung", "terima kasih gift-nya di live kemarin"),
    "vi": ("khoảnh khắc hay nhất buổi live", "cắt từ livestream tối qua", "cảm ơn mọi người đã tặng quà trên live"),
    "th": ("ไฮไลท์ไลฟ์เมื่อคืน", "คลิปตัดมาจากไลฟ์", "ขอบคุณทุกคนสำหรับของขวัญในไลฟ์"),
    "ja": ("昨日の配信のハイライト", "ライブの切り抜きです", "配信でギフトありがとうございました"),
    "ko": ("어제 라이브 하이라이트", "방송 클립 모음", "라방 선물 정말 감사합니다"),
    "zh": ("昨晚直播的精彩片段", "直播切片", "感谢大家在直播间送的礼物"),
    "pl": ("najlepsze momenty z live'a", "skrót wczorajszej transmisji", "dziękuję za prezenty na live"),
}

TAGGED = (
    "no words 💀 #livehighlights", "#streamclips", "#LiveRecap #fyp", "#切り抜き", "#cortesdelive", "#clipsdelive",
    "#ライブハイライト", "#직방하이라이트", "#直播回放", "#нарезкастрима",
)  # fmt: skip

ANNOUNCEMENTS: dict[str, tuple[str, ...]] = {
    "en": ("going live tonight at 8, best clips guaranteed", "LIVE tomorrow, set a reminder 🔔"),
    "es": ("esta noche directo a las 9, mejores momentos asegurados", "mañana hay live, os espero"),
    "pt": ("hoje tem live às 21h", "amanhã tem live 🔔"),
    "fr": ("ce soir en live à 21h", "demain on se retrouve en direct"),
    "de": ("heute Abend live ab 20 Uhr", "morgen Stream, seid dabei"),
    "it": ("stasera in diretta alle 21", "domani live, vi aspetto"),
    "tr": ("bu akşam canlı yayındayız", "yarın saat 21'de yayın var"),
    "ru": ("сегодня в 20:00 эфир", "завтра стрим, жду вас"),
    "ar": ("بث مباشر الليلة", "غداً بث جديد، انتظروني"),
    "id": ("live nanti malam jam 8", "besok live, jangan lupa mampir"),
    "vi": ("tối nay livestream lúc 8h", "hẹn cả nhà trên live tối mai"),
    "th": ("คืนนี้ไลฟ์สามทุ่ม", "พรุ่งนี้เจอกันในไลฟ์"),
    "ja": ("今夜配信します", "明日21時からライブ"),
    "ko": ("오늘 밤 9시 라이브", "내일 방송에서 만나요"),
    "zh": ("今晚8点直播", "明晚直播不见不散"),
    "pl": ("dziś wieczorem live", "jutro transmisja, wpadajcie"),
}

NOISE = (
    "front row at live music again, best moments", "live laugh love clips", "música en vivo en la plaza, lo mejor de",
    "concert recap from last night's live show", "Livemusik gestern im Park", "концерт вчера, лучшие моменты лайва",
    "生演奏ライブのハイライト", "콘서트 라이브 하이라이트", "昨天演唱会直播的高光",
)  # fmt: skip

EVERYDAY = (
    "new setup, what do you think?", "three tips that I wish I had known", "I watched Liverpool yesterday", "alive!",
    "receta de mi abuela", "dica do dia", "mon chat dort", "ein Tag in Berlin", "la mia colazione", "bugün ne giydim",
    "мой новый кот", "وصفة اليوم", "resep nasi goreng", "món ngon mỗi ngày", "แมวของฉัน", "今日のランチ", "오늘의 점심",
    "今天的午饭", "mój kot śpi", "",
)  # fmt: skip

# A person would take these for recaps, the rules do not: they need a word of each kind, or a hashtag.
MISSED = (
    "this happened on live",
    "POV: you joined my stream at 3 am",
    "הרגעים הכי טובים מהלייב",
)
