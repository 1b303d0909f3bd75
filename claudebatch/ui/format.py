"""Numbers as people read them: short, never scientific; money from exact integers,
never through a float.
"""

from __future__ import annotations

from claudebatch.core.domain import PICO_PER_USD, Pico, PromptSavings, usd_text

# A pico-dollar is the last of twelve decimal places of a dollar.
_PLACES_OF_A_DOLLAR = 12


def money(amount: Pico) -> str:
    """*amount* rounded for reading: cents from a dollar up, four places below, two
    digits of the smallest sums.
    """
    places = _places(abs(amount))
    unit = 10 ** (_PLACES_OF_A_DOLLAR - places)
    # Half a unit is added before the division: whole numbers round half up.
    rounded = (abs(amount) + unit // 2) // unit * unit
    # Rounding may reach a dollar: 0.99996 reads $1.00, not $1.0000.
    return _dollars(rounded, 2 if rounded >= PICO_PER_USD else places, negative=amount < 0)


def savings(of: PromptSavings) -> str:
    """What the prompt cache has saved, as a sentence goes on."""
    how = f"saved {money(of.saved)}" if of.saved >= 0 else f"cost {money(-of.saved)} more"
    return f"{how} (its writes cost {money(of.writes)})"


def money_exact(amount: Pico) -> str:
    """*amount* to its last digit: a cap must be shown as the user wrote it."""
    digits = f"{abs(amount) % PICO_PER_USD:012d}".rstrip("0")
    return _dollars(abs(amount), max(len(digits), 2), negative=amount < 0)


def usd_string(amount: Pico) -> str:
    """*amount* as an exact decimal string without a sign of currency, for JSON."""
    return usd_text(amount)


def _places(amount: Pico) -> int:
    if amount == 0 or amount >= PICO_PER_USD:
        return 2
    if amount >= PICO_PER_USD // 10_000:
        return 4
    # The smallest sums are a few digits: two of them are shown, wherever they are.
    leading_zeros = _PLACES_OF_A_DOLLAR - len(str(amount))
    return min(leading_zeros + 2, _PLACES_OF_A_DOLLAR)


def _dollars(amount: Pico, places: int, *, negative: bool) -> str:
    whole, rest = divmod(amount, PICO_PER_USD)
    return f"{'-' if negative else ''}${whole:,}.{f'{rest:012d}'[:places]}"


def count(number: int) -> str:
    """1234567 → `1,234,567`."""
    return f"{number:,}"


def tokens(number: int) -> str:
    """1234 → `1.2k`, 1234567 → `1.23M`; below ten thousand exact."""
    if number < 10_000:
        return f"{number:,}"
    # The steps are those at which the rounded figure would need a fourth digit.
    for limit, unit, suffix in (
        (999_500, 1e3, "k"),
        (999_500_000, 1e6, "M"),
        (999_500_000_000, 1e9, "G"),
    ):
        if number < limit:
            return _three_digits(number / unit) + suffix
    return f"{number / 1e12:,.1f}T"


def _three_digits(value: float) -> str:
    for limit, places in ((9.995, 2), (99.95, 1)):
        if value < limit:
            text = f"{value:.{places}f}"
            return text.rstrip("0").rstrip(".")
    return f"{value:.0f}"


def per_minute(rate: float) -> str:
    """A rate beside its limit: short like `tokens`, with one decimal where whole
    numbers would say too little.
    """
    # Below ten, a whole number would hide half of a change.
    if 0 < rate < 9.95:
        return f"{rate:.1f}".removesuffix(".0")
    return tokens(round(rate))


def limit_text(what: str, limit: float | None) -> str:
    """`1,000 requests a minute` of `requests per minute` and its *limit*, if that is
    known.
    """
    words = what.replace(" per minute", " a minute")
    return words if limit is None else f"{limit_amount(limit)} {words}"


def limit_amount(limit: float) -> str:
    """A limit as the API's pages write it: small ones in full."""
    return count(round(limit)) if limit < 100_000 else tokens(round(limit))


def seconds(value: float) -> str:
    """12.3 → `12 s`, 192 → `3 min 12 s`, 7500 → `2 h 5 min`."""
    # 9.95 and more would be shown as 10.0 s.
    if value < 9.95:
        return f"{max(value, 0.0):.1f} s".replace(".0 s", " s")
    whole = round(value)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return _pair(whole // 60, "min", whole % 60, "s")
    # Rounded before it is split: 59 min 60 s must not appear.
    minutes = round(value / 60)
    if minutes < 48 * 60:
        return _pair(minutes // 60, "h", minutes % 60, "min")
    hours = round(value / 3600)
    return _pair(hours // 24, "d", hours % 24, "h")


def _pair(big: int, big_unit: str, small: int, small_unit: str) -> str:
    return f"{big:,} {big_unit} {small} {small_unit}" if small else f"{big:,} {big_unit}"


def milliseconds(value: int) -> str:
    """850 → `850 ms`, 4500 → `4.5 s`."""
    return f"{value} ms" if value < 1000 else seconds(value / 1000)


def byte_size(number: int) -> str:
    """1536 → `1.5 KiB`."""
    size = float(number)
    for unit in ("bytes", "KiB", "MiB", "GiB"):
        # From here on the rounded figure would be 1024.
        if size < 1023.5 or unit == "GiB":
            break
        size /= 1024
    return f"{number:,} {unit}" if unit == "bytes" else f"{_three_digits(size)} {unit}"


def percent(part: int, whole: int) -> str:
    """The share of *part* in *whole*; never `100 %` before it is all, for 999,999 of a
    million is not done.
    """
    return f"{part * 100 // whole} %" if whole > 0 else "0 %"


def clip(text: str, width: int) -> str:
    """*text* cut to *width* characters, with an ellipsis where something is missing."""
    return text if len(text) <= width else text[: max(width - 1, 0)] + "…"
