"""The cost of tokens: exact, offline, per model, and never a guess.

Prices come from the bundled data of `genai-prices`, from a small table of our own for
what it lacks, and from the user's overrides, which win. Its own calculation costs 0.3
ms and takes usage in another convention, so its rates are read once per model and whole
numbers of pico-dollars are multiplied; tests hold our sums against its sums and against
a table of the published prices.

cost = m * (input*P_in + write_5m*P_5m + write_1h*P_1h + read*P_read + output*P_out) +
searches*P_search, m = 1.1 where the answer says `inference_geo: us`, times 0.5 where it
came out of a batch. Some models charge a whole request at a higher rate once its total
input passes a threshold.
"""

from claudebatch.models.prices.book import PriceBook
from claudebatch.models.prices.overrides import parse_overrides
from claudebatch.models.prices.rates import ModelRates, Rates, UnknownPrice

__all__ = ["ModelRates", "PriceBook", "Rates", "UnknownPrice", "parse_overrides"]
