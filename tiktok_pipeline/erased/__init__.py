"""Erased creators: the list that filters every write, and the redaction of names in rows, bodies and text.

`creators.py` keeps the list, `mentions.py` searches text and JSON, `rows.py` applies both to frames. The command
`forget` (see `tiktok_pipeline/upkeep/forget/`) writes the list; the lake, the roster and capture windows read it.
"""
