"""Superset for one team on one machine: metadata in SQLite, no broker, no cache to go stale after a publication.

`start.sh` sets SUPERSET_CONFIG_PATH to this file and SUPERSET_HOME to the folder that everything is kept in.
"""

import os
from pathlib import Path

HOME = Path(os.environ["SUPERSET_HOME"])

# Made once by start.sh: with another key nobody is logged in any more, and stored passwords cannot be read.
SECRET_KEY = (HOME / "secret.key").read_text(encoding="utf-8").strip()
SQLALCHEMY_DATABASE_URI = f"sqlite:///{HOME}/superset.db"

# The snapshot is replaced every quarter of an hour, and a query of it takes a second: a cache would only be wrong.
CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}
DATA_CACHE_CONFIG = {"CACHE_TYPE": "NullCache"}

# Loopback, without TLS: behind a proxy that speaks TLS, switch both on.
TALISMAN_ENABLED = False
SESSION_COOKIE_SECURE = False

# Nothing leaves the machine.
ENABLE_PROXY_FIX = False
SCARF_ANALYTICS = False
