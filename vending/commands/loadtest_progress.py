"""What a load test shows while it runs: one moving line on a terminal, else a few plain ones."""

from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from vending.loadtest import exposition, latency
from vending.loadtest.run import CONFIRMS, DONE, Look, Second

PLAIN_STEPS = 10
"""A progress that nobody watches is told in tenths: a log keeps every line."""


class Told:
    """Keeps the last second and the last look, and says them in a line."""

    def __init__(self) -> None:
        self.second: Second | None = None
        self.look: Look | None = None

    def take(self, news: Second | Look) -> None:
        """Remember what came."""
        if isinstance(news, Second):
            self.second = news
        else:
            self.look = news

    def line(self) -> str:
        """Return what is going on: offered, answered, how long it took, what waits."""
        parts = []
        if self.second is not None:
            one = self.second
            offered = sum(one.offered.values())
            good = sum(counts.get(yes, 0) for counts in one.answered.values() for yes in DONE)
            other = sum(sum(counts.values()) for counts in one.answered.values()) - good
            counts = latency.merged(
                found for kind, found in one.latency.items() if kind in CONFIRMS
            )
            p99 = latency.percentile(counts, 0.99)
            parts.append(f"{offered:>5,}/s offered  {good:>5,}/s done")
            parts.append(f"p99 {'-' if p99 is None else f'{p99 * 1000:.0f} ms':>7}")
            if other:
                parts.append(f"{other:,} otherwise")
        if self.look is not None:
            parts.append(self._waiting(self.look))
        return "  ".join(parts)

    def _waiting(self, look: Look) -> str:
        if look.samples is None:
            return "no /metrics"
        waiting = exposition.total(look.samples, "stima_waiting_payments")
        oldest = exposition.total(look.samples, "stima_oldest_waiting_seconds")
        return (
            f"{'?' if waiting is None else f'{waiting:,.0f}'} waiting, "
            f"oldest {'?' if oldest is None else f'{max(0.0, oldest):.0f} s'}"
        )


class Progress:
    """Tells of a run while it goes on."""

    def __init__(self, console: Console, *, title: str, seconds: float) -> None:
        self._console = console
        self._title = title
        self._seconds = seconds
        self._told = Told()
        self._step = 0
        self._bars: Bars | None = None

    @contextmanager
    def shown(self) -> Iterator["Progress"]:
        """Show the progress while the block runs."""
        if not self._console.is_terminal:
            yield self
            return
        columns = (
            TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(),
            TextColumn("{task.fields[line]}"),
        )  # fmt: skip
        with Bars(*columns, console=self._console, refresh_per_second=2) as bars:
            self._bars = bars
            bars.add_task(self._title, total=self._seconds, line="")
            yield self

    def take(self, news: Second | Look) -> None:
        """Show what came."""
        self._told.take(news)
        done = news.second + 1 if isinstance(news, Second) else None
        if self._bars is not None:
            for task in self._bars.task_ids:
                self._bars.update(task, line=self._told.line())
                if done is not None:
                    self._bars.update(task, completed=min(done, self._seconds))
        elif done is not None and done * PLAIN_STEPS >= self._step * self._seconds:
            self._step = int(done * PLAIN_STEPS / self._seconds) + 1
            self._console.print(f"{done:>4} s  {self._told.line()}", markup=False, soft_wrap=True)
