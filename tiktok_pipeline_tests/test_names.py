"""A name stands for one thing: two public types of the pipeline do not share one."""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

PACKAGE = Path(__file__).parent.parent / "tiktok_pipeline"


def test_two_public_types_do_not_share_a_name() -> None:
    found = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE)
        # The sandbox is a program of its own, which names its vendors as the pipeline names them.
        if place.parts[0] == "sandbox":
            continue
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                found[node.name].add(str(place))
    assert {name: places for name, places in found.items() if len(places) > 1} == {}
