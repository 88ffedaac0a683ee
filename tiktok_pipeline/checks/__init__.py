"""What must hold of the tables, and what is worth a warning: plain functions on frames that return verdicts.

`contract` and `identities` are about numbers that would be wrong: a day that breaks them does not replace the day
that is there; all other days and tables are made and published. No input of a vendor breaks them:
`transforms/soundness.py` sees to that. `health` and `drift` warn: about what vendors answer, what it costs, how old it
is. Thresholds are settings (`[checks]`). Which asset carries which check stands in `defs/asset_checks.py`.

Do not put repairs here: a check looks and says what it saw.
"""
