"""The partners of a deployment, as its settings hold them: each with settings of its own kind."""

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, PrivateAttr

from shared.setting_values import PartnerCode, Secrets
from shared.xclaim.signature import key_id

NO_VARIABLES = "no variable begins like this: "


class SeveralPartners(BaseModel):
    """Settings of one partner, the plain variables', that know those of the others."""

    xcover_partner_code: PartnerCode
    xclaim_webhook_keys: Secrets = []
    partners_file: str | None = None
    _others: dict[str, Self] = PrivateAttr(default_factory=dict)
    _callers: dict[str, frozenset[str]] = PrivateAttr(default_factory=dict)

    def partners(self) -> list[Self]:
        """Return the settings of each partner, the plain variables' first."""
        return [self, *self._others.values()]

    @property
    def partner_codes(self) -> list[str]:
        """Return the code of each partner."""
        return [self.xcover_partner_code, *self._others]

    def signing_with(self, webhook_key_id: str | None) -> list[str]:
        """Return the partners whose claims' webhooks a key signs.

        A key that is configured no more is the partner's where there is only one.
        """
        own = [
            partner.xcover_partner_code
            for partner in self.partners()
            if webhook_key_id in {key_id(key.get_secret_value()) for key in partner.xclaim_webhook_keys}
        ]
        return own or (self.partner_codes if not self._others else [])

    def of_partner(self, code: str) -> Self | None:
        """Return the settings as they are for one partner; None for one that is not configured."""
        return self if code == self.xcover_partner_code else self._others.get(code)

    def may_name(self, caller: str | None, code: str) -> bool:
        """Tell whether a caller may ask for something of this partner's."""
        return code not in self._callers or caller in self._callers[code]

    def add_partner(self, code: str, values: Mapping[str, Any], *, callers: frozenset[str] | None) -> None:
        """Add a partner that differs in these values, and that only `callers` may name; raise ValidationError."""
        fields = type(self).model_fields
        alike = {name: getattr(self, name) for name, field in fields.items() if field.validation_alias is None}
        differs = {name: value for name, value in values.items() if name in fields}
        given = {**alike, **differs, "xcover_partner_code": code, "partners_file": None}
        other: Any = type(self)(**given, _env_prefix=NO_VARIABLES)
        self._others[code] = other
        self.limit_callers(code, callers)

    def limit_callers(self, code: str, callers: frozenset[str] | None) -> None:
        """Let only these callers name a partner."""
        if callers is not None:
            self._callers[code] = callers
