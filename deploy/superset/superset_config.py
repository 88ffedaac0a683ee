"""Superset for one team on one machine: metadata in SQLite, no broker, and no cache that a publish would make stale.

`start.sh` sets SUPERSET_CONFIG_PATH to this file and SUPERSET_HOME to the folder with all of its files.
"""

import os
from pathlib import Path

HOME = Path(os.environ["SUPERSET_HOME"])

# Generated once by start.sh: another key ends all sessions and makes stored passwords unreadable.
SECRET_KEY = (HOME / "secret.key").read_text(encoding="utf-8").strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME}/superset.db"

# The snapshot is replaced every quarter of an hour, and a query takes a second: a cache would only be stale.
CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}

# Loopback, without TLS: behind a proxy with TLS, switch both on.
TALISMAN_ENABLED = False
SESSION_COOKIE_SECURE = False

# No data leaves the machine.
ENABLE_PROXY_FIX = False
SCARF_ANALYTICS = False
