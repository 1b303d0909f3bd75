"""A signal at every moment of a process ends in a code of the table, without a word of
the machinery, and loses nothing.
"""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys

import pytest

from tests.e2e.moments import Moment
from tests.e2e.test_signals import RUN, no_traceback
from tests.e2e.world import PATIENCE_S, prompts

CODES = {signal.SIGINT: 130, signal.SIGTERM: 143, signal.SIGHUP: 129}
WORDS = {
    signal.SIGINT: "interrupted; nothing was lost",
    signal.SIGTERM: "terminated; nothing was lost",
    signal.SIGHUP: "the terminal was closed; nothing was lost",
}
STOPPED = {
    signal.SIGINT: "stopped by Ctrl-C",
    signal.SIGTERM: "stopped by kill (SIGTERM)",
    signal.SIGHUP: "stopped by its closed terminal (SIGHUP)",
}
ROWS = 5
# In the order in which a run comes by.
BEFORE_THE_RUN = (
    "main.py:run_command_line",
    "process_guard.py:check_words",
    "core.py:make_context",
    "launch.py:execute",
    "load.py:load",
    "open_run.py:open_run",
    "index_input.py:index_input",
    "launch.py:_shown",
    "schema.py:wait_for_ledger",
)
THE_LOOP_IS_MADE = (
    "runners.py:_lazy_init",
    "selector_events.py:__init__",
    "selector_events.py:_make_self_pipe",
    "runners.py:run",
    "run_loop.py:_heard",
    "launch.py:_go",
    "session.py:_take_up",
    "session.py:_open_budget",
)
WHILE_IT_WORKS = (
    "signals.py:caught_by",
    "engine.py:run",
    "engine.py:_one",
    "layer.py:__call__",
    "client.py:__call__",
    "finish_row.py:finish",
)
AT_THE_END = (
    "process_signals.py:settle",
    "session.py:_sum_up",
    "process_signals.py:leave_loop",
    "runners.py:_cancel_all_tasks",
    "base_events.py:shutdown_asyncgens",
    "base_events.py:shutdown_default_executor",
    "unix_events.py:close",
    "base_events.py:close",
    "process_signals.py:left_loop",
    "line_display.py:done",
    "last_words.py:written",
    "threading.py:_shutdown",
    "atexit",
    "last",
)
MOMENTS = (*BEFORE_THE_RUN, *THE_LOOP_IS_MADE, *WHILE_IT_WORKS, *AT_THE_END)


def number_for(moment: str) -> signal.Signals:
    """A signal for each moment, the same each time."""
    return [*CODES][MOMENTS.index(moment) % len(CODES)]


@pytest.fixture
def ended(processes, api):
    """Runs once with signals at a moment, and once more; how the first ended."""
    processes.write("in.jsonl", prompts(ROWS))

    def run(where: str, *signals: int):
        reached = processes.path("reached")
        moment = Moment(signals, where, reached=str(reached))
        done = processes.launch(*RUN, "-j", "2", moment=moment).wait()
        assert reached.exists() or where in ("atexit", "last"), "nothing has that name"
        no_traceback(done)
        assert "never awaited" not in done.err
        assert processes.claudebatch(*RUN).code == 0
        assert len(processes.results()) == ROWS
        lost = processes.query("SELECT count(*) FROM attempts WHERE state = 3")[0][0]
        assert api.requests <= ROWS + lost, "only what was in flight is asked for again"
        return done

    return run


@pytest.mark.parametrize("where", BEFORE_THE_RUN)
def test_before_the_run_nothing_was_lost(ended, where):
    number = number_for(where)
    done = ended(where, number)
    assert done.code == CODES[number]
    assert WORDS[number] in done.err


@pytest.mark.parametrize("where", [*THE_LOOP_IS_MADE, *WHILE_IT_WORKS])
def test_while_the_loop_is_made_and_works_the_signal_stops_the_run(ended, where):
    number = number_for(where)
    done = ended(where, number)
    assert done.code == CODES[number], done.err
    assert WORDS[number] in done.err or STOPPED[number] in done.err


@pytest.mark.parametrize("where", AT_THE_END)
def test_at_the_end_the_run_keeps_its_own_code(ended, where):
    done = ended(where, number_for(where))
    assert done.code == 0, done.err
    assert "5 ok" in done.err


@pytest.mark.parametrize("where", MOMENTS[::2])
def test_a_second_signal_right_after_the_first_has_a_code_too(ended, where):
    number = number_for(where)
    done = ended(where, number, number)
    assert done.code in ({0} if where in AT_THE_END else {0, CODES[number]}), done.err


@pytest.mark.parametrize(
    "where", ["last_words.py:written", "threading.py:_shutdown", "atexit", "last"]
)
def test_the_code_of_a_reached_cap_is_not_masked_in_the_last_moment(processes, serve, where):
    serve()
    processes.write("in.jsonl", prompts(ROWS, max_tokens=1000))
    moment = Moment((signal.SIGINT,), where)
    done = processes.launch(*RUN, "--budget", "0.000001", moment=moment).wait()
    assert done.code == 3, done.err
    no_traceback(done)


def test_any_function_may_be_where_the_signal_comes(processes, api):
    """A sample of all that the main thread calls, evenly over the run."""
    world = processes
    world.write("in.jsonl", prompts(ROWS))
    listed = world.path("functions")
    assert world.launch(*RUN, moment=Moment(listed=str(listed))).wait().code == 0
    functions = listed.read_text().splitlines()
    own = functions.index("main.py:run_command_line")
    assert len(functions) > 500
    for where in functions[own :: len(functions) // 12]:
        number = random.Random(where).choice([*CODES])
        again = (*RUN, "--fresh", "--yes")
        done = world.launch(*again, moment=Moment((number,), where)).wait()
        assert done.code in {0, CODES[number]}, (where, done.err)
        no_traceback(done)


@pytest.mark.parametrize("number", CODES, ids=lambda number: number.name)
@pytest.mark.parametrize("module", ["claudebatch.cli.main", "typer", "claudebatch.cli.models"])
def test_a_signal_while_modules_are_loaded_has_its_code(world, number, module):
    program = f"""
import importlib.abc, signal, sys

class Finder(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name == {module!r}:
            signal.raise_signal({int(number)})

sys.meta_path.insert(0, Finder())
sys.argv = ["claudebatch", "models"]
from claudebatch.__main__ import main
main()
"""
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=world.work,
        env={**world.environment, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE_S,
        check=False,
    )
    assert done.returncode == CODES[number], done.stderr
    assert done.stderr == f"{WORDS[number]}\n"
