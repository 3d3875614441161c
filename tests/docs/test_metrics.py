"""The page of metrics names what a scrape prints, with its type and labels."""

from ocisource import metrics
from tests.docs import pages


def test_every_metric_is_described_and_no_other() -> None:
    """Names, types and labels are the code's."""
    described = {
        pages.code(name)[0]: (type_, set(pages.code(labels)) - {"--metrics-per-object"})
        for name, type_, labels, _ in pages.rows(pages.text("metrics.md"))
    }
    exported = {}
    for metric in vars(metrics.Metrics(has_object_series=True)).values():
        if hasattr(metric, "_labelnames"):
            suffix = "_total" if metric._type == "counter" else ""
            exported[metric._name + suffix] = (metric._type, set(metric._labelnames))
    assert described == exported


def test_the_series_per_object_are_off_by_default() -> None:
    """As the page says."""
    assert metrics.Metrics().reconcile_duration._labelnames == ("kind",)
