"""The Dagster instance of this machine: DAGSTER_HOME, or a folder of the deployment's home."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from tiktok_pipeline.settings import Places


def use_instance(places: Places) -> Path:
    """Set DAGSTER_HOME for this process and its children, unless it is set; the folder."""
    said = os.environ.get("DAGSTER_HOME")
    if said:
        return Path(said)
    home = places.home / "dagster"
    home.mkdir(parents=True, exist_ok=True)
    shipped, used = Path("dagster.yaml").absolute(), home / "dagster.yaml"
    if shipped.exists():
        shutil.copyfile(shipped, used)
    elif not used.exists():
        # Started elsewhere than in the project's folder: Dagster's defaults, but nothing sent to its makers.
        used.write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    os.environ["DAGSTER_HOME"] = str(home)
    return home
