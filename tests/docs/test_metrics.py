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


def test_a_scrape_prints_no_series_beside_those_that_are_described() -> None:
    """The library would add the time at which each counter and histogram was made."""
    observed = metrics.Metrics()
    observed.reconcile_duration.labels("OCIRepository").observe(1.0)
    observed.reconcile_total.labels(metrics.CONTROLLER, "success").inc()
    printed = {
        line.removeprefix("# TYPE ").split("{")[0].split(" ")[0]
        for line in observed.exposition().decode().splitlines()
        if not line.startswith("# HELP")
    }
    assert "controller_runtime_reconcile_total" in printed
    assert "gotk_reconcile_duration_seconds_sum" in printed
    assert [name for name in printed if name.endswith("_created")] == []
