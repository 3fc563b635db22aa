"""What a function of the Python API returns: fields, a short repr, a view in a notebook, and tables as Arrow or pandas."""

import html
import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from ..pipeline.errors import AevlpError


class Result(ABC):
    """Something that a function found; `summary` says it in names and values."""

    @property
    def failed(self) -> bool | str:
        """Whether something is wrong with what was looked at, or what: the command ends with exit code 1, and this line."""
        return False

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Return what a person should see first, by name."""

    def __repr__(self) -> str:
        said = ", ".join(f"{name} {value}" for name, value in self.summary().items())
        return f"<{type(self).__name__}: {said}>"

    def _repr_html_(self) -> str:
        rows = "".join(
            f"<tr><th>{_escaped(name)}</th><td>{_escaped(value)}</td></tr>" for name, value in self.summary().items()
        )
        return f"<table><caption>{_escaped(type(self).__name__)}</caption>{rows}</table>"


class Table(Result):
    """A result of rows. columns: their names. rows: each a dictionary with these keys."""

    @property
    def columns(self) -> Sequence[str]:
        """The names of the columns."""
        return list(rows[0]) if (rows := self.rows) else []

    @property
    @abstractmethod
    def rows(self) -> Sequence[dict[str, Any]]:
        """The rows, in order."""

    def summary(self) -> dict[str, Any]:
        """Return the number of rows and the names of the columns."""
        return {"rows": len(self.rows), "columns": ", ".join(self.columns)}

    def __len__(self) -> int:
        return len(self.rows)

    def __iter__(self) -> Iterator[dict[str, Any]]:
        return iter(self.rows)

    def to_arrow(self) -> Any:
        """Return the rows as a pyarrow.Table; what is itself a list or a dictionary is text in JSON."""
        import pyarrow as pa

        rows = self.rows
        return pa.table({name: [_arrow(row.get(name)) for row in rows] for name in self.columns})

    def to_pandas(self) -> Any:
        """Return the rows as a pandas.DataFrame; AevlpError where pandas is not installed."""
        if find_spec("pandas") is None:
            raise AevlpError("to_pandas needs pandas: pip install pandas; to_arrow needs nothing more")
        return self.to_arrow().to_pandas()

    def _repr_html_(self, shown: int = 20) -> str:
        columns, rows = list(self.columns), list(self.rows)
        more = f"<p>{len(rows) - shown:,} more rows</p>" if len(rows) > shown else ""
        cells = ([row.get(name) for name in columns] for row in rows[:shown])
        return html_table(type(self).__name__, columns, cells) + more


class Report(Table):
    """A result that is more than its rows: a notebook shows the summary, and the rows below it."""

    def _repr_html_(self, shown: int = 20) -> str:
        return Result._repr_html_(self) + (super()._repr_html_(shown) if self.rows else "")


def html_table(title: str, header: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return a table for a notebook."""
    head = "".join(f"<th>{_escaped(name)}</th>" for name in header)
    return f"<table><caption>{_escaped(title)}</caption><tr>{head}</tr>{''.join(map(_row, rows))}</table>"


def _arrow(value: Any) -> Any:
    return json.dumps(value, ensure_ascii=False, default=str) if isinstance(value, dict | list | tuple) else value


def _row(cells: Iterable[Any]) -> str:
    return f"<tr>{''.join(f'<td>{_escaped(cell)}</td>' for cell in cells)}</tr>"


def _escaped(value: Any) -> str:
    return html.escape(f"{value:.4g}" if isinstance(value, float) else str(value))
