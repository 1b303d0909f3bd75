"""What a run would cost, row by row, before it is sent: low, expected, worst."""

from __future__ import annotations

from dataclasses import dataclass

from claudebatch.domain import Call, Pico, Usage
from claudebatch.prices import PriceBook, UnknownPrice

# Where answers are short and the input estimate, which leans to the high side, was too high.
_LOW_INPUT = 0.8
_LOW_OUTPUT = 0.5


@dataclass(frozen=True, slots=True)
class CallCost:
    """What one call may cost; the worst case is the one the budget guard holds."""

    low: Pico
    expected: Pico
    worst: Pico
    known: bool = True


def cost_of(call: Call, prices: PriceBook) -> CallCost:
    """Low, expected and worst cost of one attempt at *call*; all 0 and not known where the model has no price."""
    size = call.size
    try:
        return CallCost(
            low=prices.cost(
                call.model,
                Usage(
                    input_tokens=round(size.input_tokens * _LOW_INPUT),
                    output_tokens=round(size.output_tokens * _LOW_OUTPUT),
                ),
            ),
            expected=prices.cost(call.model, Usage(input_tokens=size.input_tokens, output_tokens=size.output_tokens)),
            worst=prices.worst(call),
        )
    except UnknownPrice:
        return CallCost(0, 0, 0, known=False)
