"""The code in the how-to pages about SQL and S3 runs, as it stands there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from mlflowkit.demo.s3_server import S3Server
from tests.services import Database, postgres, postgres_server

__all__ = ["postgres", "postgres_server"]
PAGES = Path(__file__).parents[2] / "docs" / "how-to"


def code_of(page: str) -> str:
    text = (PAGES / page).read_text()
    return "\n".join(
        re.findall(r"^```python\n(.*?)^```", text, flags=re.DOTALL | re.MULTILINE)
    )


def test_the_page_about_sql(postgres: Database, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOWKIT_CONN_WAREHOUSE", postgres.uri)
    exec(compile(code_of("sql.md"), "sql.md", "exec"), {"__name__": "page"})


def test_the_page_about_s3(
    s3: S3Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    s3.create_bucket("pets")
    exec(compile(code_of("s3.md"), "s3.md", "exec"), {"__name__": "page"})
