"""Rows of a database as a DataFrame of pandas or polars. Knows no database."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from mlflowkit.errors import BadOption, MissingExtra


def frame(
    df_type: str,
    rows: Sequence[Sequence[Any]],
    columns: Sequence[str],
    options: Mapping[str, Any],
) -> Any:
    """A DataFrame with one row for each of `rows`, also where there are none.

    Raises:
        BadOption: `df_type` is neither "pandas" nor "polars".
        MissingExtra: the library is not installed.
    """
    if df_type == "pandas":
        return _pandas(rows, columns, options)
    if df_type == "polars":
        return _polars(rows, columns, options)
    raise BadOption("get_df", "df_type", f"must be 'pandas' or 'polars', not {df_type!r}")


def _pandas(
    rows: Sequence[Sequence[Any]], columns: Sequence[str], options: Mapping[str, Any]
) -> Any:
    try:
        import pandas as pd
    except ImportError as exc:
        raise MissingExtra("pandas", "data", "a DataFrame of a query") from exc
    settings = {"coerce_float": True, **options}
    return pd.DataFrame.from_records(list(rows), columns=list(columns), **settings)


def _polars(
    rows: Sequence[Sequence[Any]], columns: Sequence[str], options: Mapping[str, Any]
) -> Any:
    try:
        import polars as pl
    except ImportError as exc:
        raise MissingExtra("polars", "data", "a polars DataFrame of a query") from exc
    settings = {"infer_schema_length": None, **options}
    return pl.DataFrame(list(rows), schema=list(columns), orient="row", **settings)
