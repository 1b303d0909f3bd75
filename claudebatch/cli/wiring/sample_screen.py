"""What a run that takes a sample adds: the weight and time of all rows, before it, and
the answers on the screen, after it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping

from claudebatch.cli.wiring.api_target import api_model
from claudebatch.core.domain import Call, Pico
from claudebatch.engine.open_run import OpenRun
from claudebatch.engine.sample import SampleReview
from claudebatch.estimate.duration import Durations
from claudebatch.estimate.forecast import Forecast
from claudebatch.setup.run_options import RunOptions
from claudebatch.setup.run_setup import RunSetup
from claudebatch.ui.tables.sample_answers import answers_table
from claudebatch.ui.terminal import Terminal

# More would scroll the prices off the screen.
_MOST_SHOWN = 20


class DrawnRows:
    """The rows that a sample is drawn from, as they pass by."""

    def __init__(
        self,
        options: RunOptions,
        run_setup: RunSetup,
        *,
        known: Forecast,
        weigh: Callable[[Call], Pico],
    ) -> None:
        self._weigh = weigh
        # Mutable: changed by `add` only.
        self._durations = Durations(
            run_setup.settings.limits,
            run_setup.catalog,
            api_model(options, run_setup.settings),
            before=known,
        )
        self._rows = 0
        self._weight: Pico = 0

    def add(self, call: Call) -> None:
        """Take in one row."""
        self._rows += 1
        self._weight += self._weigh(call)
        self._durations.add(call)

    def note(self) -> Mapping[str, float]:
        """What the run's folder is to know of them."""
        longest = self._durations.longest()
        seconds = longest.seconds if longest is not None else 0.0
        return {"rows": self._rows, "weight": self._weight, "seconds": seconds}


def show_sample(
    options: RunOptions, run: OpenRun, run_setup: RunSetup, env: Mapping[str, str]
) -> None:
    """Print the answers of a sample beside their prompts, on standard error."""
    rows = list(SampleReview(options, run, run_setup).answers(_MOST_SHOWN))
    if rows:
        terminal = Terminal(sys.stderr, env)
        more = (run.limit or 0) - len(rows)
        terminal.say_all(answers_table(rows, width=terminal.columns, more=more))
