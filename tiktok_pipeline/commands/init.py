"""`tiktok-pipeline init`: make a deployment's own files in its home, from the examples. No file is overwritten."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path

from tiktok_pipeline.config.settings import SANDBOX_MARKER
from tiktok_pipeline.errors import SettingsError

# The folder of the examples: the checkout of the project.
_CHECKOUT = Path(__file__).parents[2]

# File in the home -> the variable that names another place for it.
_OWN = {"roster.csv": "TIKTOK_PIPELINE_ROSTER", "settings.toml": "TIKTOK_PIPELINE_SETTINGS", ".env": None}


def make_files(home: Path, environment: Mapping[str, str]) -> Iterator[str]:
    """Make missing files of a deployment in `home`, and yield what was done, a line each.

    A file of that name in the working directory, where deployments of version 0.1 have theirs, is copied instead of the
    example: the home's file is the one that is read from then on.

    Raises:
        SettingsError: the home is a demo's, the examples are missing, or a file cannot be written.
    """
    if (home / SANDBOX_MARKER).exists():
        raise SettingsError(
            f"{home} holds a demo: name another folder, for example `tiktok-pipeline init {home.with_name('live')}`"
        )
    for name, variable in _OWN.items():
        yield _make(Path((environment.get(variable) if variable else None) or home / name).absolute(), name)


def next_steps(home: Path) -> list[str]:
    """Return the steps after `init`, in order."""
    return [
        f"export TIKTOK_PIPELINE_HOME={home}",
        "fill in the keys that you have, in .env of that folder",
        "tiktok-pipeline roster add HANDLE --niche NICHE",
        "tiktok-pipeline check",
        "tiktok-pipeline start",
    ]


def _make(path: Path, name: str) -> str:
    here = Path(name).absolute()
    if path.exists() or path.is_symlink():
        return f"kept     {path}"
    if name == ".env" and here.exists():
        # A copy of keys would be forgotten when they change.
        return f"kept     {here}, which is read as well"
    source = here if here.exists() else _CHECKOUT / f"{name}.example"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Keys: for this user alone, from the first byte on.
        path.touch(mode=0o600 if name == ".env" else 0o644, exist_ok=False)
        shutil.copyfile(source, path)
    except OSError as error:
        if not source.exists():
            path.unlink(missing_ok=True)
            raise SettingsError(f"{source} is missing: use `tiktok-pipeline init` of a checkout") from None
        raise SettingsError(f"{path} cannot be written ({error.strerror}): name another folder") from None
    return f"copied   {path} from {source}" if source == here else f"made     {path}"
