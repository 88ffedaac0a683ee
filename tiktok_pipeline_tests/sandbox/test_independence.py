"""The sandbox writes the vendors' formats without code of the pipeline, so that tests against it are independent."""

from __future__ import annotations

import ast
from pathlib import Path

import tiktok_pipeline.sandbox

FOLDER = Path(tiktok_pipeline.sandbox.__file__).parent


def test_the_sandbox_imports_no_other_part_of_the_pipeline() -> None:
    files = sorted(FOLDER.glob("*.py"))
    assert len(files) > 10
    for file in files:
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            names = (
                [node.module or ""]
                if isinstance(node, ast.ImportFrom)
                else [a.name for a in node.names]
                if isinstance(node, ast.Import)
                else []
            )
            outside = [
                n for n in names if n.startswith("tiktok_pipeline") and not n.startswith("tiktok_pipeline.sandbox")
            ]
            assert outside == [], f"{file.name} imports {outside}"
