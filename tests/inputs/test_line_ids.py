import json
import random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core.errors import BadRow
from claudebatch.inputs import Defaults, parse_line

PLAIN = Defaults(max_tokens=1000)


def prompt_of(text: str, defaults: Defaults = PLAIN):
    return parse_line(text.encode(), defaults, file="f", line=1)


@pytest.mark.parametrize(
    ("given_id", "kept"),
    [
        ('"a b\\u00e9/\\n\\u0000"', "a bé/\n\x00"),
        ("1", "1"),
        ("1.50", "1.50"),
        ("-0", "-0"),
        ("1E5", "1E5"),
        ("123456789012345678901234567890", "123456789012345678901234567890"),
        ('"' + "x" * 512 + '"', "x" * 512),
    ],
)
@pytest.mark.parametrize("name", ["id", "custom_id"])
def test_an_id_is_kept_exactly(name, given_id, kept):
    prompt = prompt_of(f'{{"prompt": "Hi", "{name}": {given_id} }}')
    assert (prompt.id, prompt.has_own_id) == (kept, True)


@pytest.mark.parametrize("bad", ['""', "true", "[]", "{}", '"' + "x" * 513 + '"', "1" + "0" * 600])
def test_what_cannot_be_an_id_is_refused(bad):
    with pytest.raises(BadRow, match='"id"'):
        prompt_of(f'{{"prompt": "Hi", "id": {bad}}}')


def test_two_different_ids_are_refused():
    with pytest.raises(BadRow, match='"id" and "custom_id" are both given'):
        prompt_of('{"prompt": "Hi", "id": "a", "custom_id": "b"}')
    assert prompt_of('{"prompt": "Hi", "id": "a", "custom_id": "a"}').id == "a"


def test_without_an_id_the_digest_gives_one_that_own_ids_and_defaults_do_not_change():
    plain = prompt_of('{"prompt": "Hi"}')
    assert (plain.id, plain.has_own_id) == (plain.digest.hex()[:16], False)
    assert prompt_of('{"id": 5, "prompt": "Hi"}').digest == plain.digest
    assert (
        prompt_of('{"prompt": "Hi"}', Defaults(max_tokens=5, system="Other")).digest == plain.digest
    )


def test_whatever_a_line_says_changes_its_digest():
    more = [
        '"max_tokens": 5',
        '"model": "m"',
        '"tags": "a"',
        '"metadata": {"a": 1}',
        '"metadata": {"user_id": "1"}',
    ]
    more += [
        '"system": ""',
        '"system": "s"',
        '"stop_sequences": ["a"]',
        '"thinking": {"type": "adaptive"}',
    ]
    digests = {prompt_of('{"prompt": "Hi", ' + field + "}").digest for field in more}
    assert len(digests | {prompt_of('"Hi"').digest, prompt_of('"hi"').digest}) == len(more) + 2


def shuffled(value, rng: random.Random):
    if isinstance(value, dict):
        items = [(key, shuffled(item, rng)) for key, item in value.items()]
        rng.shuffle(items)
        return dict(items)
    return [shuffled(item, rng) for item in value] if isinstance(value, list) else value


def spaced(value, rng: random.Random) -> str:
    return json.dumps(
        value, indent=rng.choice([None, 1]), ensure_ascii=rng.choice([True, False])
    ).replace("\n", "\r")


SCALARS = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.text()
    | st.floats(allow_nan=False, allow_infinity=False)
)
ANY_JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=15,
)


@settings(deadline=None)
@given(
    schema=st.dictionaries(st.text(), ANY_JSON, max_size=4),
    text=st.text(min_size=1).filter(lambda text: not text.isspace()),
    seed=st.integers(0, 1000),
)
def test_key_order_and_white_space_change_neither_digest_nor_meaning(schema, text, seed):
    rng = random.Random(seed)
    line = {
        "prompt": text,
        "tools": [{"name": "t", "input_schema": {"type": "object", "x": schema}}],
        "metadata": {"a": "b", "c": 1},
    }
    one, other = prompt_of(json.dumps(line)), prompt_of(spaced(shuffled(line, rng), rng))
    assert (one.digest, one.id, one.params) == (other.digest, other.id, other.params)
