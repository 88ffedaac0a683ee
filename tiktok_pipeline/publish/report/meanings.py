"""What the numbers of the page mean, for readers who know TikTok and no database: term -> label, meaning.

docs/data-dictionary.md defines the same columns for analysts.
"""

from __future__ import annotations

MEANINGS: dict[str, tuple[str, str]] = {
    "viewers": ("Viewers", "People who watch at the same time, as TikTok shows it."),
    "peak_viewers": (
        "Peak viewers",
        "The most people who watched at the same time. The true peak can be higher: readings come every few minutes.",
    ),
    "average_viewers": (
        "Average viewers",
        "How many people watched at any moment, on average. A long quiet hour counts more than a short peak.",
    ),
    "hours_watched": (
        "Viewer-hours",
        "Hours that all viewers watched together: 100 people for two hours are 200 viewer-hours.",
    ),
    "airtime": ("Time on air", "From the start of a stream to its end, or to the newest reading while it is on air."),
    "streams": ("Streams", "Broadcasts. A short interruption does not make a second stream."),
    "active_days": ("Active days", "Days with at least one stream."),
    "recaps": ("Recaps", "Posts that show moments of a stream, recognized by their time and caption."),
    "lift": (
        "Followers gained",
        "Followers that came with a stream beyond those that the creator gains anyway in that time, from the follower "
        "counts before and after the stream. It shows what happened during the stream, not its only cause.",
    ),
    "lift_per_hour": ("Followers gained an hour", "Followers gained by streams, for each hour on air."),
    "clear": (
        "Clear lift",
        "The stream gained followers beyond chance: the whole 90 % interval is above zero.",
    ),
    "interval": (
        "90 % interval",
        "The true value lies in this range in nine of ten cases. If the range contains zero, there may be no effect.",
    ),
    "not_measurable": (
        "Not measurable",
        "No follower count came shortly before or after the stream, or the counts are rounded too much. The stream may "
        "still have gained followers.",
    ),
    "final": ("Provisional", "Later follower counts may still change the number a little."),
    "coverage": (
        "Coverage",
        "The share of the time on air in which readings came. Below 80 % the number has a mark such as “64 % seen”.",
    ),
    "completeness": ("Share of its day", "How much of a story's 24 hours had passed at its last reading."),
    "started_at": ("Start", "The best estimate of when a stream began, in UTC."),
    "title": ("Title", "The creator's own title of the stream."),
    "followers": ("Followers", "The newest follower count. ≈ marks a count that came rounded."),
    "rank": ("Rank", "The place on the board. Equal values share a place."),
    "rank_change": (
        "Change of rank",
        "Places won (▲) or lost (▼) since the period before; “new” was not on the board.",
    ),
    "confident_rank": (
        "Sure rank",
        "The place by the lower end of the interval: a high place that rests on few streams falls back here.",
    ),
    "share": ("Share", "The part of the board's total that belongs to this creator."),
    "median": ("Median", "The middle value of the days before: half of the days were higher, half lower."),
    "story_views": ("Views of a story", "Views at the last reading."),
    "story_views_at": (
        "Views after 1, 6 and 24 hours",
        "Views when the story had that age; empty without a reading near it.",
    ),
    "post_views": ("Views of a post", "Views at the last reading."),
    "score": ("Match", "How well a post fits a recap of a stream. It is a score, not a probability."),
    "of_stream": ("Of the stream", "Start of the creator's newest stream before the post."),
    "gap": ("Longest time without a reading", "In this time, a short stream could begin and end unseen."),
    "unknown": ("State not known", "Readings that did not show whether the creator was on air."),
    "requests": ("Requests", "Questions that were sent to a data vendor, every attempt counted."),
    "credits": ("Credits", "What a vendor charges for responses."),
}


def anchor(term: str) -> str:
    """Return the id of the explanation on the page."""
    return f"meaning-{term.replace('_', '-')}"
