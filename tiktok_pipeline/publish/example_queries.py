"""One example query a table, for the data dictionary: a typical use of the table, in a line or two of SQL.

Queries of published tables and views run in `warehouse/tiktok.duckdb`. Queries of other tables read the lake's files,
with `$TIKTOK_PIPELINE_HOME` as the working directory. The tests run every query. docs/queries.md has longer ones.
"""

from __future__ import annotations

EXAMPLES: dict[str, str] = {
    "raw_lives": "SELECT vendor, outcome, count(*) FROM 'lake/raw/raw_lives/**/*.parquet' GROUP BY ALL",
    "raw_profiles": "SELECT body FROM 'lake/raw/raw_profiles/**/*.parquet' WHERE outcome = 'ok' LIMIT 1",
    "raw_stories": "SELECT creator_id, max(page) FROM 'lake/raw/raw_stories/**/*.parquet' GROUP BY creator_id",
    "raw_posts": "SELECT vendor, sum(credits) FROM 'lake/raw/raw_posts/**/*.parquet' GROUP BY vendor",
    "raw_followers": "SELECT creator_id, count(*) FROM 'lake/raw/raw_followers/**/*.parquet' GROUP BY creator_id",
    "raw_live_rankings": "SELECT subject, count(*) FROM 'lake/raw/raw_live_rankings/**/*.parquet' GROUP BY subject",
    "raw_user_searches": "SELECT subject, outcome FROM 'lake/raw/raw_user_searches/**/*.parquet'",
    "profile_observations": (
        "SELECT creator_id, observed_at, followers FROM profile_observations "
        "WHERE followers_precision = 'exact' ORDER BY creator_id, observed_at"
    ),
    "live_observations": (
        "SELECT creator_id, live_state, count(*) FROM live_observations GROUP BY creator_id, live_state"
    ),
    "stream_variants": (
        "SELECT quality, codec, max(bitrate_bps) FROM 'lake/normalized/stream_variants/**/*.parquet' GROUP BY ALL"
    ),
    "story_observations": (
        "SELECT story_id, observed_at, views FROM story_observations ORDER BY story_id, observed_at"
    ),
    "post_observations": "SELECT creator_id, count(DISTINCT post_id) FROM post_observations GROUP BY creator_id",
    "follower_list_entries": (
        "SELECT creator_id, max(list_total) FROM 'lake/normalized/follower_list_entries/**/*.parquet' "
        "GROUP BY creator_id"
    ),
    "live_ranking_entries": (
        "SELECT list, rank, ranked_handle, score FROM 'lake/normalized/live_ranking_entries/**/*.parquet' "
        "ORDER BY observed_at DESC, rank"
    ),
    "search_hits": "SELECT keyword, rank, handle, followers FROM 'lake/normalized/search_hits/**/*.parquet'",
    "payload_shapes": (
        "SELECT vendor, endpoint, path, min(observed_at) FROM 'lake/normalized/payload_shapes/**/*.parquet' "
        "GROUP BY ALL ORDER BY 4 DESC"
    ),
    "account_sightings": (
        "SELECT creator_id, vendor, subject, user_id, handle, observed_at, last_observed_at "
        "FROM 'lake/normalized/account_sightings/**/*.parquet' ORDER BY creator_id, observed_at"
    ),
    "quarantine": "SELECT \"table\", reason, count(*) FROM 'lake/normalized/quarantine/**/*.parquet' GROUP BY ALL",
    "creators": "SELECT handle, niche, followers, followers_precision FROM creators WHERE on_roster",
    "streams": "SELECT creator_id, started_at, airtime_s / 3600, average_viewers FROM streams ORDER BY started_at DESC",
    "stream_lift": "SELECT stream_id, lift, lift_lo, lift_hi FROM stream_lift WHERE observable ORDER BY lift DESC",
    "creator_days": "SELECT day, creator_id, airtime_s, followers_change FROM creator_days WHERE active_day",
    "creator_hours": "SELECT weekday, hour, sum(airtime_s) / 3600 FROM creator_hours GROUP BY weekday, hour",
    "stream_conversions": 'SELECT stream_id, joined, "left", conversion FROM stream_conversions WHERE joined > 0',
    "recaps": "SELECT creator_id, post_id, band, score, views FROM recaps ORDER BY score DESC",
    "gift_estimates": "SELECT stream_id, gift_index, follower_tier FROM gift_estimates ORDER BY gift_index DESC",
    "stream_hours": "SELECT hour, sum(hours_watched) FROM stream_hours GROUP BY hour ORDER BY hour",
    "leaderboard": "SELECT as_of, creator_id, rank FROM leaderboard WHERE metric = 'airtime' AND niche = '*'",
    "stories": "SELECT creator_id, avg(views_24h) FROM stories GROUP BY creator_id",
    "vendor_usage": "SELECT day, vendor, sum(credits) FROM vendor_usage GROUP BY day, vendor ORDER BY day",
    "coverage": "SELECT day, creator_id, unknown_share, largest_gap_s FROM coverage WHERE unknown_share > 0.2",
    "publication": "SELECT generation, as_of FROM publication",
    "live_now": "SELECT handle, viewers, started_at FROM live_now",
    "leaderboard_overview": "SELECT as_of, rank, handle, value_h FROM leaderboard_overview "
    "WHERE metric = 'airtime' AND period = 'week' AND niche = '*' ORDER BY as_of, rank",
    "leaderboard_today": "SELECT rank, handle, value FROM leaderboard_today WHERE metric = 'lift' AND period = 'month'",
    "stream_overview": "SELECT handle, started_at, hours_watched, lift, lift_lo, lift_hi FROM stream_overview",
    "movers": "SELECT handle, hours_watched, vs_median_7d FROM movers ORDER BY vs_median_7d DESC",
    "went_dark": "SELECT handle, days_dark FROM went_dark",
}
