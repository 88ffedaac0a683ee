"""What every test starts from: no deployment of the machine's own leaks in."""

from __future__ import annotations

import os

import pytest

OURS = ("TIKTOK_PIPELINE", "KONBINI_", "SOCIAL_FETCH_", "TIKLIVEAPI_", "TIKHUB_", "DAGSTER_HOME")


@pytest.fixture(autouse=True)
def no_deployment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(OURS):
            monkeypatch.delenv(name)
