"""How figures become what Prometheus reads. Which figures there are is for the modules beside this one to say."""

from collections.abc import Iterable, Mapping
from typing import Any

from prometheus_client import Metric
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily

Values = Mapping[Any, float]
"""A figure for each combination of labels: tuples of texts, all of one length."""


def gauge(name: str, about: str, value: float) -> Metric:
    """Return a figure without labels."""
    return GaugeMetricFamily(name, about, value=value)


def gauges(name: str, about: str, labels: Iterable[str], values: Values) -> Metric:
    """Return a figure for each combination of labels; `values` has these in the order of `labels`."""
    family = GaugeMetricFamily(name, about, labels=list(labels))
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def counters(name: str, about: str, labels: Iterable[str], values: Values) -> Metric:
    """Return a counter for each combination of labels; Prometheus takes a fall for a new beginning at zero."""
    family = CounterMetricFamily(name, about, labels=list(labels))
    for key, value in sorted(values.items()):
        family.add_metric(key, value)
    return family


def quantiles(values: list[float]) -> dict[str, float]:
    """Return the median, the 95th and the 99th percentile of what was measured, by nearest rank; empty for nothing."""
    ranked = sorted(values)
    if not ranked:
        return {}
    return {share: ranked[min(int(float(share) * len(ranked)), len(ranked) - 1)] for share in ("0.5", "0.95", "0.99")}
