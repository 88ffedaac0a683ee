"""Blocking checks and warnings on tables: plain functions on frames that return verdicts.

`contract` and `identities` find wrong numbers: a day that fails them does not replace the stored day; all other days
and tables are still built and published. No input of a vendor can fail them, because `transforms/soundness.py` removes
such values. `health` and `drift` warn: vendor errors, cost, age. Thresholds are settings (`[checks]`).
`defs/asset_checks.py` attaches checks to assets.

Do not put repairs here: a check only reads and reports.
"""
