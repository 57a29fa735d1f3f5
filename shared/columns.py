"""Column types of our own, and ids."""

from decimal import Decimal
from uuid import UUID

from sqlalchemy import JSON, String
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.engine import Dialect
from sqlalchemy.types import TypeDecorator
from uuid_utils.compat import uuid7


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
