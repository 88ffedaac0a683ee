"""Erased creators: the list that every write obeys, and how a name is found and redacted in rows, bodies and text.

`creators.py` keeps the list, `mentions.py` searches text and JSON, `rows.py` applies both to frames. The command
`forget` (see `tiktok_pipeline/forget/`) writes the list; the lake, the roster and capture windows read it.
"""
