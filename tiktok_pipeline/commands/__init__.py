"""What the commands do, one file each; `cli.py` is their face."""
