"""Commands and options that people try because other tools have them, and what does the
same here.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from claudebatch.core.typos import meant

COMMANDS: Mapping[str, str] = {
    "cancel": "press Ctrl-C in its terminal, or send it a SIGTERM; the same command resumes it",
    "check": "`claudebatch runs check` checks what is on disk, `claudebatch doctor` the setup",
    "config": "settings are in claudebatch.yaml or a file named with -c",
    "cost": "`claudebatch estimate INPUT` says what a run would cost, `claudebatch spend` what "
    "runs did cost",
    "costs": "`claudebatch spend`",
    "count": "`claudebatch estimate INPUT --count 100`",
    "dry-run": "`claudebatch estimate INPUT`",
    "failures": "jq 'select(.status == \"failed\")' RESULTS.jsonl shows failed rows",
    "history": "`claudebatch runs list`",
    "list": "`claudebatch runs list`",
    "logs": "`claudebatch run INPUT --log FILE` writes a log",
    "ls": "`claudebatch runs list`",
    "price": "`claudebatch models` has the prices",
    "prices": "`claudebatch models` has the prices",
    "ps": "`claudebatch runs list`",
    "resume": "run the same command again: it continues where it stopped",
    "retry": "`claudebatch run INPUT --retry-failed` asks failed rows again",
    "show": "jq -r .text RESULTS.jsonl shows the answers, `claudebatch runs show RUN` a run",
    "start": "`claudebatch run INPUT`",
    "status": "`claudebatch runs list`",
    "stop": "press Ctrl-C in its terminal, or send it a SIGTERM; the same command resumes it",
    "test": "`claudebatch run INPUT --simulate` rehearses a run",
    "version": "`claudebatch --version`",
}
OPTIONS: Mapping[str, str] = {
    "--api-key": "export ANTHROPIC_API_KEY=…: keys are read from the environment only",
    "--batch-size": "-j N sets the number of requests in flight",
    "--cost-limit": "--budget 5",
    "--debug": "-vv shows every request; CLAUDEBATCH_DEBUG=1 the traceback of an internal error",
    "--force": "--fresh starts over, --yes answers questions",
    "--format": "results are JSON lines: jq -r .text RESULTS.jsonl prints the answers",
    "--key": "export ANTHROPIC_API_KEY=…: keys are read from the environment only",
    "--max-cost": "--budget 5",
    "--max-workers": "-j N sets the number of requests in flight",
    "--parallel": "-j N sets the number of requests in flight",
    "--prompt": 'write {"prompt": "…"} into a file or pipe it in, with - as the input',
    "--resume": "run the same command again: it continues where it stopped",
    "--retries": "retry.max_attempts in claudebatch.yaml",
    "--schema": 'a line may have "output_config": {"format": …}',
    "--system-prompt": "-s TEXT, or -s @FILE",
    "--temperature": "the API has no temperature any more: say in the prompt how to answer",
    "--threads": "-j N sets the number of requests in flight",
    "--timeout": "attempt_deadline in claudebatch.yaml",
    "--top-k": "the API has no top_k any more: say in the prompt how to answer",
    "--top-p": "the API has no top_p any more: say in the prompt how to answer",
    "--workers": "-j N sets the number of requests in flight",
}

_FILE = re.compile(r"[\w./-]+\.(?:jsonl|ndjson|json|txt|csv)")
_COMPLAINT = re.compile(r"No such (command|option):? (?:'([^']+)'|(\S+))")


def instead(complaint: str) -> str | None:
    """What to type in place of the command or the option that *complaint*, of the
    option parser, says does not exist; None where we do not know.
    """
    found = _COMPLAINT.match(complaint)
    if found is None:
        return None
    kind, word = found[1], found[2] or found[3]
    if kind == "option":
        known = OPTIONS.get(word.partition("=")[0])
        near = meant(word, re.findall(r"--[\w-]+", complaint[found.end() :]))
        return known or (f"did you mean {near}?" if near else None)
    if _FILE.fullmatch(word):
        return f"`claudebatch run {word}`"
    return COMMANDS.get(word)
