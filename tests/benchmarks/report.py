"""Results → tables: medians with their spread, ratios within a round, and where wsproxy must be.

Strategy: an absolute figure holds on one machine on one day; a ratio of two runs of one round travels. So ratios are
made per round first and their median is shown, never the ratio of two medians.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from statistics import median

from rich.console import Console
from rich.table import Table
from rich.text import Text

from .peers import PEERS
from .run import Result
from .workloads import WORKLOADS


@dataclass(frozen=True)
class Metric:
    name: str
    title: str
    digits: int = 1


RTT_P50 = Metric("rtt_p50_us", "RTT p50 µs")
RTT_P99 = Metric("rtt_p99_us", "RTT p99 µs")
ADDED = Metric("added_us", "added µs")
CPU = Metric("cpu_us_frame", "CPU µs/frame", 2)
FRAMES = Metric("frames_s", "frames/s", 0)
MEGABYTES = Metric("mb_s", "MB/s", 0)
MEMORY = Metric("kib_stream", "KiB/conn", 2)

# The first of a workload's metrics is its headline; the ratio columns are of the headline and of CPU.
SHOWN = {
    "latency": (RTT_P50, RTT_P99, ADDED, CPU),
    "paced50": (CPU, RTT_P50, RTT_P99),
    "stream50": (FRAMES, CPU, RTT_P99),
    "flood": (FRAMES, CPU),
    "bulk": (MEGABYTES, CPU),
    "conns": (MEMORY, RTT_P99),
}
BASES = ("haproxy", "mitmdump", "none")


@dataclass(frozen=True)
class Target:
    """wsproxy's ratio to `base`: `must` and `goal` are upper bounds, lower bounds if `at_least`."""

    workload: str
    metric: Metric
    base: str
    must: float
    goal: float
    at_least: bool = False

    def verdict(self, ratio: float) -> str:
        sign = -1 if self.at_least else 1
        return "goal" if sign * ratio <= sign * self.goal else "must" if sign * ratio <= sign * self.must else "MISSED"


TARGETS = (
    Target("latency", RTT_P50, "haproxy", 1.25, 1.10),
    Target("latency", CPU, "haproxy", 1.35, 1.15),
    Target("paced50", CPU, "haproxy", 1.8, 1.3),
    Target("stream50", FRAMES, "haproxy", 0.9, 1.0, at_least=True),
    Target("bulk", MEGABYTES, "haproxy", 0.5, 0.75, at_least=True),
    Target("conns", MEMORY, "haproxy", 2.0, 1.2),
    Target("stream50", FRAMES, "mitmdump", 40, 40, at_least=True),
    Target("latency", CPU, "mitmdump", 1 / 15, 1 / 15),
    Target("latency", ADDED, "mitmdump", 1 / 12, 1 / 12),
)


class Results:
    """All results of a call, with the lookups that the tables need."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.all = list(results)
        self._by = {(result.workload, result.peer, result.round): result.metrics for result in self.all}
        self.rounds = sorted({result.round for result in self.all})
        for (workload, peer, number), metrics in self._by.items():
            floor = self._by.get((workload, "none", number), {}).get("rtt_p50_us")
            if floor and metrics and peer != "none":
                metrics["added_us"] = metrics["rtt_p50_us"] - floor

    def values(self, workload: str, peer: str, metric: Metric) -> list[float]:
        """The metric in each round that has it."""
        found = (self._by.get((workload, peer, number), {}).get(metric.name) for number in self.rounds)
        return [value for value in found if value is not None]

    def ratios(self, workload: str, peer: str, base: str, metric: Metric) -> list[float]:
        """The metric over the base's metric, in each round that has both."""
        return [
            self._by[workload, peer, number][metric.name] / other
            for number in self.rounds
            if metric.name in self._by.get((workload, peer, number), {})
            and (other := self._by.get((workload, base, number), {}).get(metric.name))
        ]

    def peers(self, workload: str) -> list[str]:
        run = {result.peer for result in self.all if result.workload == workload}
        return [name for name in PEERS if name in run]


def show(results: Results, console: Console) -> None:
    """Print one table per workload, the targets, and every problem."""
    for name in WORKLOADS:
        if results.peers(name):
            console.print(_title(results, name), style="bold", soft_wrap=True, markup=False)
            console.print(_workload_table(results, name))
    targets = _target_table(results)
    if targets.row_count:
        console.print(targets)
    for problem, runs in _problems(results.all).items():
        few = ", ".join(runs[:3]) + (f" and {len(runs) - 3} more runs" if len(runs) > 3 else "")
        console.print(Text(f"NOT WHOLE: {few}: {problem}", style="red"), soft_wrap=True)


def _problems(results: Iterable[Result]) -> dict[str, list[str]]:
    """Each problem with the runs that had it."""
    found: dict[str, list[str]] = {}
    for result in results:
        for problem in result.problems:
            found.setdefault(problem, []).append(f"{result.workload} {result.peer} round {result.round}")
    return found


def _title(results: Results, name: str) -> str:
    pinned = any(result.pinned for result in results.all if result.workload == name)
    of = f"median [least–most] of {len(results.rounds)}" if len(results.rounds) > 1 else "one round"
    return f"{name}: {WORKLOADS[name].meaning}; {'one CPU' if pinned else 'all CPUs'}; {of}"


def _workload_table(results: Results, name: str) -> Table:
    bases = [base for base in BASES if base in results.peers(name)]
    table = Table()
    table.add_column("peer", no_wrap=True)
    for metric in SHOWN[name]:
        table.add_column(metric.title, justify="right", no_wrap=True)
    for metric, base in _ratio_columns(name, bases):
        table.add_column(f"{metric.title.split(' ')[0]} ×{base}", justify="right", no_wrap=True)
    for peer in results.peers(name):
        cells = [_spread(results.values(name, peer, metric), metric.digits) for metric in SHOWN[name]]
        cells += [_ratio(results.ratios(name, peer, base, metric)) for metric, base in _ratio_columns(name, bases)]
        behind = 0.0 in results.values(name, peer, Metric("kept_up", ""))
        table.add_row(f"{peer} (cannot keep up)" if behind else peer, *cells)
    return table


def _ratio_columns(name: str, bases: list[str]) -> list[tuple[Metric, str]]:
    headline = SHOWN[name][0]
    return [
        (metric, base)
        for metric in dict.fromkeys((headline, CPU))
        for base in bases
        if metric in SHOWN[name] and not (base == "none" and metric in (CPU, MEMORY))
    ]


def _spread(values: list[float], digits: int) -> str:
    """The median and, of several, the least and the most."""
    if not values:
        return "–"
    middle, least, most = (_number(value, digits) for value in (median(values), min(values), max(values)))
    return middle if len(values) == 1 else f"{middle} [{least}–{most}]"


def _ratio(values: list[float]) -> str:
    if not values:
        return "–"
    middle = median(values)
    return f"{middle:.{1 if middle >= 10 else 2 if middle >= 0.1 else 3}f}"


def _number(value: float, digits: int) -> str:
    return f"{value:,.{0 if abs(value) >= 1000 else digits}f}"


def _target_table(results: Results) -> Table:
    table = Table(title="where wsproxy must be (ratios within a round)", title_justify="left", title_style="bold")
    for column in ("workload", "metric", "to", "must", "goal", "is", ""):
        table.add_column(column, no_wrap=True)
    for target in TARGETS:
        if ratios := results.ratios(target.workload, "wsproxy", target.base, target.metric):
            sign = "≥" if target.at_least else "≤"
            bounds = (f"{sign} {target.must:.3g}", f"{sign} {target.goal:.3g}")
            verdict = target.verdict(median(ratios))
            row = (target.workload, target.metric.title, target.base, *bounds, _spread(ratios, 3), verdict)
            table.add_row(*row)
    return table


def line(result: Result) -> str:
    """A result in one line, for the time while it runs."""
    shown = ", ".join(
        f"{metric.title} {result.metrics[metric.name]:,.{metric.digits}f}"
        for metric in SHOWN[result.workload]
        if metric.name in result.metrics
    )
    state = "whole" if not result.problems else "NOT WHOLE: " + "; ".join(result.problems)
    return f"round {result.round}  {result.workload:<9} {result.peer:<14} {shown or '–'}  {state}"
