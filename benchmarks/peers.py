"""Other ways to send the same rows, on the same server with the same limit: 429s and
share of the ideal, in one run.

    python benchmarks/peers.py [--lm-deluge PYTHON] [--litellm PYTHON] [--burst 1|60]

PYTHON is the interpreter of a virtual environment with that package; it is no
dependency of this project:

    python -m venv lm-deluge-env && lm-deluge-env/bin/pip install lm-deluge
    python -m venv litellm-env && litellm-env/bin/pip install litellm

Without PYTHON a peer is left out. The SDK's own retries, and the SDK behind
`AsyncLimiter(6000, 60)`, run in this environment. Everyone is told 6,000 requests a
minute where there is a way to say so, and may have 200 requests in flight; what cannot
be told it has what it comes with.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import sys
import tempfile
from collections.abc import Awaitable, Callable
from importlib.metadata import version
from pathlib import Path

IN_FLIGHT = 200
RPM = 6000
MODEL = "claude-haiku-5-5"
MAX_TOKENS = 1000
Ask = Callable[[str], Awaitable[object]]


async def ask_all(prompts: list[str], ask: Ask) -> None:
    """Every prompt once, `IN_FLIGHT` at a time; a row whose client gave up is lost."""
    rows, lost = iter(prompts), 0

    async def work() -> None:
        nonlocal lost
        for prompt in rows:
            try:
                await ask(prompt)
            except Exception:  # noqa: BLE001 - whatever made it give up
                lost += 1

    await asyncio.gather(*(work() for _ in range(IN_FLIGHT)))


async def sdk_retries(prompts: list[str]) -> None:
    """The SDK and its own retries, eight of them."""
    import anthropic

    async with anthropic.AsyncAnthropic(
        http_client=anthropic.DefaultAioHttpClient(), max_retries=8
    ) as client:
        await ask_all(prompts, lambda prompt: _create(client, prompt))


async def sdk_limiter(prompts: list[str]) -> None:
    """The SDK with the retries that it comes with, behind the usual recipe for a rate
    limit.
    """
    import anthropic
    from aiolimiter import AsyncLimiter

    limiter = AsyncLimiter(RPM, 60)
    async with anthropic.AsyncAnthropic(http_client=anthropic.DefaultAioHttpClient()) as client:

        async def ask(prompt: str) -> object:
            async with limiter:
                return await _create(client, prompt)

        await ask_all(prompts, ask)


async def lm_deluge(prompts: list[str]) -> None:
    """lm-deluge, told the limit."""
    from lm_deluge import LLMClient
    from lm_deluge.models import registry

    registry[LLMClient(MODEL).model_names[0]].api_base = os.environ["ANTHROPIC_BASE_URL"] + "/v1"
    client = LLMClient(
        MODEL,
        max_requests_per_minute=RPM,
        max_tokens_per_minute=10**9,
        max_concurrent_requests=IN_FLIGHT,
        max_new_tokens=MAX_TOKENS,
        max_attempts=8,
    )
    await client.process_prompts_async(prompts, show_progress=False)


async def litellm_router(prompts: list[str]) -> None:
    """litellm's Router, told the limit, with eight retries."""
    os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # else it downloads its price list
    from litellm import Router

    model = {
        "model": f"anthropic/{MODEL}",
        "api_base": os.environ["ANTHROPIC_BASE_URL"],
        "rpm": RPM,
    }
    router = Router([{"model_name": "peer", "litellm_params": model}], num_retries=8)

    async def ask(prompt: str) -> object:
        messages = [{"role": "user", "content": prompt}]
        return await router.acompletion(model="peer", messages=messages, max_tokens=MAX_TOKENS)

    await ask_all(prompts, ask)


async def _create(client: object, prompt: str) -> object:
    messages = [{"role": "user", "content": prompt}]
    return await client.messages.create(model=MODEL, max_tokens=MAX_TOKENS, messages=messages)  # type: ignore[attr-defined]


PEERS = {
    "SDK retries alone": ("anthropic", sdk_retries),
    "SDK + AsyncLimiter(6000, 60)": ("aiolimiter", sdk_limiter),
    "lm-deluge": ("lm_deluge", lm_deluge),
    "litellm Router": ("litellm", litellm_router),
}


def main() -> None:
    """Run everyone in turn and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--lm-deluge", type=Path)
    parser.add_argument("--litellm", type=Path)
    parser.add_argument("--burst", type=int, choices=(1, 60))
    parser.add_argument("--peer", help=argparse.SUPPRESS)
    parser.add_argument("--rows", type=Path, help=argparse.SUPPRESS)
    wanted = parser.parse_args()
    if wanted.peer:
        package, run = PEERS[wanted.peer]
        print(version(package), file=sys.stderr)
        asyncio.run(
            run([json.loads(line)["prompt"] for line in wanted.rows.read_text().splitlines()])
        )
        return
    pythons = {"lm-deluge": wanted.lm_deluge, "litellm Router": wanted.litellm}
    for burst_s in [wanted.burst] if wanted.burst else [1, 60]:
        _compare(burst_s, {peer: pythons.get(peer, Path(sys.executable)) for peer in PEERS})


def _compare(burst_s: int, pythons: dict[str, Path | None]) -> None:
    from limits import CASES, drive, line, write_rows
    from pace import measure

    case = next(case for case in CASES if (case.limit, case.burst_s) == ("RPM", burst_s))
    with tempfile.TemporaryDirectory() as name:
        rows = Path(name) / "peers.jsonl"
        write_rows(rows, case)
        for peer, python in pythons.items():
            if python is not None:
                command = [str(python), __file__, "--peer", peer, "--rows", str(rows)]
                print(f"{peer}: {line(case, drive(case, command, {}))}", flush=True)
        print(f"claudebatch: {measure(case, Path(name))}", flush=True)


if __name__ == "__main__":
    main()
