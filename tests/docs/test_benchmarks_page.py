"""The page of benchmarks shows the run that is kept beside it, and its plot is well-formed."""

from __future__ import annotations

from xml.etree import ElementTree

from bench import page, saved
from bench.chart import chart
from bench.contenders import CELERIAC_REDIS, CELERY
from bench.figures import Figures, Standing
from bench.finding import Finding, Section
from bench.goals import GOALS, beside_goals, beside_peers
from bench.report import Report


def figures(drained_per_s: float, published_per_s: float) -> Figures:
    return Figures(
        drained_per_s=drained_per_s,
        published_per_s=published_per_s,
        round_trip_ms=0.5,
        round_trip_p99_ms=2,
        rested_round_trip_ms=1,
        rested_round_trip_p99_ms=3,
        worker_mb=30,
    )


REPORT = Report(
    command="python -m bench --full",
    machine="2 CPUs",
    others_cores=0.0,
    standings=[
        Standing(contender=CELERIAC_REDIS, rounds=[figures(30_000, 24_000), figures(26_000, 22_000)]),
        Standing(contender=CELERY, rounds=[figures(1_000, 2_000)]),
        Standing(contender=CELERY, rounds=[], trouble="no <server>"),
    ],
    versions={"celery": {"celery": "5.7.0"}},
    sections=[
        Section(
            title="celeriac, Redis",
            findings=[Finding(what="drained", value=26_000, unit="tasks/s", at_least=25_000)],
            troubles=["slopes: not done after 60 s"],
        )
    ],
)


def test_the_page_and_its_plot_are_what_the_command_writes():
    report = saved.read(page.SAVED.read_bytes())
    text = page.PAGE.read_text(encoding="utf-8")

    assert text == page.page(text, report), "run: python -m bench.page"
    assert page.PLOT.read_text(encoding="utf-8") == chart(report.standings), "run: python -m bench.page"


def test_a_saved_run_is_read_as_it_was():
    assert saved.read(saved.written(REPORT)) == REPORT


def test_the_figures_name_the_command_the_ratio_the_goal_and_what_is_missing():
    text = page.figures(REPORT)

    assert "$ python -m bench --full" in text
    assert "28,000 (28.0×)" in text
    assert "| ≥ 25,000 | reached |" in text
    assert "NOT MEASURED: slopes: not done after 60 s" in text
    assert "IS NOT IN THE TABLE: no <server>" in text


def test_the_plot_has_a_bar_per_figure_of_everybody_who_was_measured():
    root = ElementTree.fromstring(chart(REPORT.standings))

    bars = root.findall("{http://www.w3.org/2000/svg}rect")
    assert [bar.get("class") for bar in bars] == ["ours", "peer"] * 3
    assert float(bars[0].get("width", 0)) > float(bars[1].get("width", 0)) > 0


def test_ratios_are_those_of_one_run():
    reached = REPORT.standings[0].median
    assert reached is not None

    found = {one.what: one for one in beside_peers(REPORT.standings[0], REPORT.standings, GOALS["celeriac-redis"])}

    assert found["drained, beside Celery, Redis"].value == 28
    assert found["delay(), beside Celery, Redis"].reached
    goals = {one.what: one.reached for one in beside_goals(reached, GOALS["celeriac-redis"])}
    assert goals["drained, 2 children"] is True
    assert goals["round trip after 50 ms of silence, p99"] is None
