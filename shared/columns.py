"""What every table is made of: the base class, column types of our own, and ids."""

from datetime import datetime
from decimal import Decimal
from typing import Any, ClassVar
from uuid import UUID

from sqlalchemy import JSON, MetaData, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.orm import DeclarativeBase
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7

from shared.db import UtcDateTime


def new_id() -> UUID:
    """Return a time-ordered id, so that new rows stay together in the index."""
    return uuid7()


class AmountText(TypeDecorator[Decimal]):
    """An amount of money as exact decimal text, alike on both databases."""

    impl = String(40)
    cache_ok = True

    def process_bind_param(self, value: Decimal | None, _dialect: Dialect) -> str | None:
        """Write plain digits, never an exponent."""
        return None if value is None else format(value, "f")

    def process_result_value(self, value: str | None, _dialect: Dialect) -> Decimal | None:
        """Read the digits back."""
        return None if value is None else Decimal(value)


Document = JSON(none_as_null=True).with_variant(JSONB(none_as_null=True), "postgresql")


class Base(DeclarativeBase):
    """Names every constraint, so that migrations and errors can name them too."""

    metadata = MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime,
        Decimal: AmountText,
        dict[str, Any]: Document,
        list[Any]: Document,
    }


def one_of(column: str, allowed: tuple[str, ...]) -> str:
    """Return the text of a check that a column holds one of these words."""
    return f"{column} IN ({', '.join(repr(value) for value in allowed)})"
