"""As much of Prometheus' query language as our alert rules use, over one scrape, or two for `increase`.

A stranger's machine has no promtool. Whatever this does not know it refuses, rather than guess.
"""

import operator
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from prometheus_client.parser import text_string_to_metric_families

Labels = frozenset[tuple[str, str]]
Vector = dict[Labels, float]
Value = float | Vector
Scrape = dict[tuple[str, Labels], float]
"""Name and labels of each series to its value."""

_TOKEN = re.compile(r"\s*(?:(\d+\.?\d*)|([a-zA-Z_]\w*)|(\{[^}]*\})|(\[\w+\])|([<>=!]=|[-+*<>(),]))")
_MATCHER = re.compile(r'(\w+)(=~|!=|=)"([^"]*)"')
_COMPARISONS: dict[str, Callable[[float, float], bool]] = {
    ">": operator.gt, "<": operator.lt, ">=": operator.ge, "<=": operator.le, "==": operator.eq, "!=": operator.ne,
}  # fmt: skip
_ARITHMETIC: dict[str, Callable[[float, float], float]] = {
    "+": operator.add, "-": operator.sub, "*": operator.mul,
}  # fmt: skip
_AGGREGATES: dict[str, Callable[[list[float]], float]] = {"max": max, "min": min, "sum": sum}
_MATCHES: dict[str, Callable[[str, str], bool]] = {
    "=": operator.eq, "!=": operator.ne, "=~": lambda value, wanted: re.fullmatch(wanted, value) is not None,
}  # fmt: skip


def scrape(text: str) -> Scrape:
    """Read what /metrics answered."""
    return {
        (sample.name, frozenset(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }


def evaluate(expression: str, now: Scrape, *, before: Scrape | None = None, at: float = 0.0) -> Vector:
    """Return the series that an alert's expression gives: it fires while there is any. `at` is `time()`."""
    query = _Query(_tokens(expression), now=now, before=before or {}, at=at)
    value = query.either()
    if query.left():
        raise SyntaxError(f"not understood from {query.left()[0]!r} on: {expression}")
    return _vector(value)


def _tokens(expression: str) -> list[str]:
    tokens, position = [], 0
    while position < len(expression.rstrip()):
        found = _TOKEN.match(expression, position)
        if found is None:
            raise SyntaxError(f"not understood: {expression[position:]}")
        tokens.append(found[0].strip())
        position = found.end()
    return tokens


@dataclass
class _Query:
    tokens: list[str]
    now: Scrape
    before: Scrape
    at: float
    _read: int = field(default=0)

    def left(self) -> list[str]:
        return self.tokens[self._read :]

    def either(self) -> Value:
        value = self._both()
        while self._is_next("or"):
            first, second = _vector(value), _vector(self._both())
            value = {**second, **first}
        return value

    def _both(self) -> Value:
        value = self._compared()
        while self._is_next("and"):
            for token in ("on", "(", ")"):
                self._expect(token)
            value = _vector(value) if _vector(self._compared()) else {}
        return value

    def _compared(self) -> Value:
        value = self._reckoned()
        while self.left() and self.left()[0] in _COMPARISONS:
            compare, other = _COMPARISONS[self._take()], self._reckoned()
            mine = _vector(value)
            value = {key: one for key, one in mine.items() if _has(other, key) and compare(one, _of(other, key))}
        return value

    def _reckoned(self) -> Value:
        value = self._single()
        while self.left() and self.left()[0] in _ARITHMETIC:
            reckon, other = _ARITHMETIC[self._take()], self._single()
            if isinstance(value, float) and isinstance(other, float):
                value = reckon(value, other)
            else:
                keys = value if isinstance(value, dict) else _vector(other)
                value = {key: reckon(_of(value, key), _of(other, key)) for key in keys if _has(other, key)}
        return value

    def _single(self) -> Value:
        token = self._take()
        if token[0].isdigit():
            return float(token)
        if token == "(":
            value = self.either()
            self._expect(")")
            return value
        if token in _AGGREGATES:
            return self._aggregate(_AGGREGATES[token])
        if token in {"abs", "absent", "increase", "rate", "time"}:
            return self._call(token)
        return self._select(token, self.now)

    def _aggregate(self, fold: Callable[[list[float]], float]) -> Vector:
        by: set[str] = set()
        if self._is_next("by"):
            self._expect("(")
            while not self._is_next(")"):
                by.add(self._take())
                self._is_next(",")
        self._expect("(")
        inner = _vector(self.either())
        self._expect(")")
        groups: dict[Labels, list[float]] = {}
        for key, value in inner.items():
            groups.setdefault(frozenset(pair for pair in key if pair[0] in by), []).append(value)
        return {key: fold(values) for key, values in groups.items()}

    def _call(self, name: str) -> Value:
        self._expect("(")
        value: Value
        if name == "time":
            value = self.at
        elif name in {"increase", "rate"}:
            start = self._read + 1
            now = self._select(self._take(), self.now)
            end, self._read = self._read, start
            then = self._select(self.tokens[start - 1], self.before)
            self._read = end
            if not self._take().startswith("["):
                raise SyntaxError("increase() asks for a range")
            value = {key: one - then[key] for key, one in now.items() if key in then}
        elif name == "absent":
            value = {} if _vector(self.either()) else {frozenset(): 1.0}
        else:
            value = {key: abs(one) for key, one in _vector(self.either()).items()}
        self._expect(")")
        return value

    def _select(self, name: str, series: Scrape) -> Vector:
        matchers = _MATCHER.findall(self._take()) if self.left() and self.left()[0].startswith("{") else []
        return {
            labels: value
            for (named, labels), value in series.items()
            if named == name
            and all(_MATCHES[how](dict(labels).get(label, ""), wanted) for label, how, wanted in matchers)
        }

    def _take(self) -> str:
        self._read += 1
        return self.tokens[self._read - 1]

    def _is_next(self, token: str) -> bool:
        if self.left()[:1] != [token]:
            return False
        self._read += 1
        return True

    def _expect(self, token: str) -> None:
        if not self._is_next(token):
            raise SyntaxError(f"{token!r} expected, not {self.left()[:1]}")


def _vector(value: Value) -> Vector:
    if isinstance(value, dict):
        return value
    raise TypeError("series were expected, not a number")


def _has(value: Value, key: Labels) -> bool:
    return isinstance(value, float) or key in value


def _of(value: Value, key: Labels) -> float:
    return value if isinstance(value, float) else value[key]


def series(name: str, labels: Mapping[str, str]) -> tuple[str, Labels]:
    """Return the key of a series in a scrape."""
    return name, frozenset(labels.items())
