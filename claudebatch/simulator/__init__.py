"""A Messages API on loopback, hand-written on asyncio streams: valid answers, real
limits, and every fault on demand.

Imported by nothing but the commands. See faults.py for what can go wrong and
directives.py for the words in a prompt that choose an ending.
"""

from __future__ import annotations

from claudebatch.simulator.batch_settings import BATCH_LATENCY, SimulatedBatches, parse_batch_time
from claudebatch.simulator.faults import NAMES as FAULT_NAMES
from claudebatch.simulator.faults import parse_faults
from claudebatch.simulator.latency import Latency, parse_latency
from claudebatch.simulator.server import Simulator
from claudebatch.simulator.settings import SIMULATE_LATENCY, SimulatedAllowance, SimulatorSettings

__all__ = [
    "BATCH_LATENCY",
    "FAULT_NAMES",
    "SIMULATE_LATENCY",
    "Latency",
    "SimulatedAllowance",
    "SimulatedBatches",
    "Simulator",
    "SimulatorSettings",
    "parse_batch_time",
    "parse_faults",
    "parse_latency",
]
