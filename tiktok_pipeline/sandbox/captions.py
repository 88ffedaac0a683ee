"""Captions of creators' posts, each in the language of the account. `posts` decides when and what they post.

Recaps use the words that analysts search for: a word for live with one for highlight, clip, best moments, last night or
thanks for gifts, or a hashtag (docs/methods.md 6.1). Announcements and noise must not be taken for recaps.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Phrases:
    """The captions of one language, by topic."""

    recap: tuple[str, ...]
    announcement: tuple[str, ...]
    noise: tuple[str, ...]
    everyday: tuple[str, ...]


PHRASES: Mapping[str, Phrases] = {
    "en": Phrases(
        recap=(
            "best moments from last night's live 😂",
            "LIVE highlights, part {number}",
            "stream recap: we actually did it",
            "a clip from my live, I am still shaking",
            "thank you for all the gifts on live ❤️ #livehighlights",
            "this happened while we were on air 💀 #streamclips",
            "I have no words #liverecap #fyp",
            "this happened on live",  # bare: no lexicon finds it
        ),
        announcement=("going live tonight at {number}, be there", "LIVE tomorrow, set a reminder 🔔"),
        noise=("front row at live music again 🎶", "live laugh love, but make it {niche}"),
        everyday=(
            "new {niche} setup, what do you think?",
            "three {niche} tips that I wish I had known",
            "day {number} of {niche} #fyp",
        ),
    ),
    "pt": Phrases(
        recap=(
            "melhores momentos da live de ontem 😂",
            "cortes da live, parte {number} #cortesdelive",
            "obrigada pelos presentes na live ❤️",
        ),
        announcement=("live hoje à noite às {number}h, te espero", "amanhã tem live 🔔"),
        noise=("música ao vivo na praça 🎶",),
        everyday=("dica de {niche} que mudou tudo", "dia {number} de {niche}"),
    ),
    "de": Phrases(
        recap=(
            "die besten Momente aus dem Livestream von gestern 😂",
            "Highlights vom Live, Teil {number} #livehighlights",
            "danke für die Geschenke im Live ❤️",
        ),
        announcement=("heute Abend live ab {number} Uhr", "morgen gehe ich live 🔔"),
        noise=("Livemusik im Park 🎶",),
        everyday=("mein neues Setup für {niche}", "Tag {number} mit {niche}"),
    ),
    # No list of words covers Hebrew: recaps are found by hashtags only.
    "he": Phrases(
        recap=("הרגעים הכי טובים מהלייב של אתמול 😂 #livehighlights", "קטע מהלייב, חלק {number} #streamclips"),
        announcement=("לייב הערב ב-{number}, תהיו שם",),
        noise=("מוזיקה חיה ברחוב 🎶",),
        everyday=("טיפ קטן על {niche}", "יום {number} של {niche}"),
    ),
    "ar": Phrases(
        recap=(
            "أفضل لحظات بث البارحة 😂",
            "مقطع من البث المباشر، الجزء {number} #livehighlights",
            "شكرا على الهدايا في البث ❤️",
        ),
        announcement=("بث مباشر الليلة الساعة {number}", "غدا بث مباشر 🔔"),
        noise=("موسيقى حية في السوق 🎶",),
        everyday=("نصيحة اليوم عن {niche}", "اليوم {number} مع {niche}"),
    ),
    "id": Phrases(
        recap=(
            "momen terbaik live semalam 😂",
            "cuplikan live bagian {number} #livehighlights",
            "makasih gift-nya di live ❤️",
        ),
        announcement=("live nanti malam jam {number}, dateng ya", "besok live 🔔"),
        noise=("live music di kafe 🎶",),
        everyday=("tips {niche} buat pemula", "hari ke-{number} {niche}"),
    ),
    "ja": Phrases(
        recap=("昨日のライブのハイライト😂", "配信の切り抜き その{number} #切り抜き", "ライブでギフトありがとう❤️"),
        announcement=("今夜{number}時からライブ配信", "明日配信します🔔"),
        noise=("生演奏カフェに行ってきた🎶",),
        everyday=("{niche}のコツ", "{niche}生活{number}日目"),
    ),
}
