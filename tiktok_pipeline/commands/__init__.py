"""The commands, one file each; `cli.py` defines their options."""
