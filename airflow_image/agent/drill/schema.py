"""What a migrated database lacks of Airflow's schema. It imports Airflow, which takes seconds."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import inspect


def missing_parts(engine: Any) -> Iterator[str]:
    """Yield the tables, columns, primary keys, foreign keys and indexes of Airflow that are not there, in words."""
    from airflow.models import import_all_models
    from airflow.models.base import Base

    import_all_models()
    inspector = inspect(engine)
    existing = set(inspector.get_table_names())
    for name, table in sorted(Base.metadata.tables.items()):
        if name not in existing:
            yield f"table {name}"
            continue
        columns = {column["name"] for column in inspector.get_columns(name)}
        yield from (f"column {name}.{column.name}" for column in table.columns if column.name not in columns)
        if table.primary_key.columns and not inspector.get_pk_constraint(name)["constrained_columns"]:
            yield f"primary key of {name}"
        keys = {tuple(sorted(key["constrained_columns"])) for key in inspector.get_foreign_keys(name)}
        for key in table.foreign_key_constraints:
            if tuple(sorted(column.name for column in key.columns)) not in keys:
                yield f"foreign key of {name} to {key.referred_table.name}"
        indexes = {index["name"] for index in inspector.get_indexes(name)}
        yield from (f"index {index.name} of {name}" for index in table.indexes if index.name not in indexes)
