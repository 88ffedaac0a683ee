"""The command `forget`: erase a creator from all data of this deployment.

`identity.py` finds all names of a creator, `places.py` erases them from the lake, the warehouse, the report and other
files, `erase.py` runs the steps in order. Dagster's own records are erased by `defs/upkeep/erased_records.py`.
"""
