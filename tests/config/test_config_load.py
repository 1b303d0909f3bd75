"""The configuration: read or refused, each refusal with file, line, reason and fix."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from claudebatch.config.load import load
from claudebatch.config.sections import Config
from claudebatch.core.errors import ConfigError, ExitCode


@pytest.fixture
def file(tmp_path):
    """Writes a configuration."""

    def write(text):
        path = tmp_path / "c.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def read(path, **flags):
    return load(path, flags, env={}, folder=Path("/nonexistent"))


def refusal(path, **flags):
    with pytest.raises(ConfigError) as caught:
        read(path, **flags)
    assert caught.value.exit_code is ExitCode.USAGE
    assert caught.value.fix
    return caught.value


def test_no_file_and_no_flags_are_the_defaults():
    found = read(None)
    assert (found.config, found.path, found.origins) == (Config(), None, {})


@pytest.mark.parametrize("text", ["", "# nothing\n", "\ufeff# nothing\n", "{}\n", "---\n"])
def test_an_empty_file_is_the_defaults(file, text):
    assert read(file(text)).config == Config()


def test_a_value_comes_from_the_file_and_a_flag_wins_over_it(file):
    path = file("model: claude-haiku-5-5\n\nmax_tokens: 100\nbudget: 2.50\n")
    found = read(path, max_tokens=7, concurrency=None, system="Be brief.")
    config = found.config
    assert (config.model, config.max_tokens, config.system) == ("claude-haiku-5-5", 7, "Be brief.")
    assert (config.budget, config.concurrency) == (Decimal("2.50"), "auto")
    assert found.origins == {
        "model": f"{path}:1",
        "max_tokens": "--max-tokens",
        "budget": f"{path}:4",
        "system": "--system",
    }


def test_dollars_are_exact_however_they_are_written(file):
    for text in ("0.1", "'0.1'", "1e-1"):
        assert read(file(f"budget: {text}\n")).config.budget == Decimal("0.1")


def test_the_nearest_file_wins(tmp_path):
    home, folder = tmp_path / "home", tmp_path / "work"
    user = home / "claudebatch" / "config.yaml"
    user.parent.mkdir(parents=True)
    folder.mkdir()
    env = {}

    def model():
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CONFIG_HOME", str(home))
            return load(None, {}, env=env, folder=folder).config.model

    assert model() == Config().model
    user.write_text("model: of-the-user\n")
    assert model() == "of-the-user"
    (folder / "claudebatch.yaml").write_text("model: of-the-project\n")
    assert model() == "of-the-project"
    (tmp_path / "named.yaml").write_text("model: of-the-environment\n")
    env["CLAUDEBATCH_CONFIG"] = str(tmp_path / "named.yaml")
    assert model() == "of-the-environment"
    (tmp_path / "flag.yaml").write_text("model: of-the-flag\n")
    assert load(tmp_path / "flag.yaml", {}, env=env, folder=folder).config.model == "of-the-flag"


@pytest.mark.parametrize(
    ("text", "line", "reason", "fix"),
    [
        ("modle: x\n", 1, 'unknown setting "modle"', 'did you mean "model"?'),
        ("\n\ncache:\n  sise: 3\n", 4, 'unknown setting "cache.sise"', 'did you mean "size"?'),
        ("zzzz: 1\n", 1, 'unknown setting "zzzz"', "config.example.yaml has all settings"),
        ("api_key: sk-ant-1\n", 1, 'unknown setting "api_key"', "ANTHROPIC_API_KEY"),
        ("base_url: http://x\n", 1, 'unknown setting "base_url"', ""),
        ("1: 2\n", 1, 'unknown setting "1"', "config.example.yaml has all settings"),
        ("model: a\nbudget: 1\nmodel: b\n", 3, '"model" is set twice', "keep one"),
        ("cache:\n  size: 1\n  size: 2\n", 3, '"cache.size" is set twice', "keep one"),
        ("model: 5\n", 1, "model: expected text, got 5", ""),
        ("model: ''\n", 1, "model: expected text of at least 1 character", ""),
        ("max_tokens: many\n", 1, "max_tokens: expected a whole number, got text", ""),
        (
            "max_tokens: 0\n",
            1,
            "max_tokens must be a whole number from 1 to 1000000, got 0",
            "try max_tokens: 8192",
        ),
        ("max_tokens: 1.5\n", 1, "max_tokens: expected a whole number, got 1.5", ""),
        ("max_tokens: true\n", 1, "max_tokens: expected a whole number, got true", ""),
        (
            "concurrency: -3\n",
            1,
            "concurrency must be auto or a whole number from 1 to 10000",
            "try concurrency: auto",
        ),
        ("concurrency: many\n", 1, "concurrency: ", ""),
        ("limits:\n  headroom: 100%\n", 2, "limits.headroom must leave something to use", ""),
        (
            "fallback_on: [refusal]\ncache:\n  keep_refusals: true\n",
            3,
            "cache.keep_refusals contradicts fallback_on",
            "remove one",
        ),
        ("concurrency: 1000000\n", 1, "from 1 to 10000, got 1000000", ""),
        (
            "budget: -5\n",
            1,
            "budget must be an amount of dollars above 0 and at most 4,000,000, got -5",
            "--budget 2.50",
        ),
        ("budget: .nan\n", 1, "got NaN", ""),
        ("budget: .inf\n", 1, "got Infinity", ""),
        (
            "limits: {pools: {opus-5.5: {requests_per_minute: .inf}}}\n",
            1,
            "of at most 1,000,000,000,000, got inf",
            "",
        ),
        ("budget: 1e999999999\n", 1, "budget must be an amount", ""),
        ("confirm_above: 1e999999999\n", 1, "confirm_above must be an amount", ""),
        (f"max_tokens: {'9' * 4000}\n", 1, "from 1 to 1000000, got 999", ""),
        ("budget: cheap\n", 1, "budget: 'cheap' is not an amount of dollars", "such as 5"),
        (
            "confirm_above: -1\n",
            1,
            "confirm_above must be an amount of dollars from 0, got -1",
            "try confirm_above: 5",
        ),
        ("confirm_above: .nan\n", 1, "got NaN", ""),
        (
            "monitor:\n  floor_usd_per_minute: .nan\n",
            2,
            "monitor.floor_usd_per_minute must be",
            "0.10",
        ),
        ("monitor: {factor: 0}\n", 1, "monitor.factor: expected a number above 0", ""),
        ("on_bad_row: maybe\n", 1, "on_bad_row: must be stop or skip, got 'maybe'", ""),
        (
            "model: x\nfallback_on: [refusal, rain]\n",
            2,
            "fallback_on[1]: must be refusal or model_context_window_exceeded, got 'rain'",
            "",
        ),
        (
            "retry: {budget: 120%}\n",
            1,
            "retry.budget: not a share from 0% to 100%, such as 20%: '120%'",
            "write a share",
        ),
        ("retry: {budget: -1}\n", 1, "retry.budget: not a share", ""),
        (
            "limits: {tier: gold}\n",
            1,
            "must be auto or start or build or scale or none, got 'gold'",
            "",
        ),
        (
            "limits:\n  pools:\n    haiku-5.5:\n      requests_per_minute: -5\n",
            4,
            "expected a number above 0",
            "",
        ),
        (
            "limits: {pools: {haiku-5.5: {requests_per_minute: 0}}}\n",
            1,
            "expected a number above 0",
            "",
        ),
        (
            "limits: {pools: {haiku-5.5: {input_tokens_per_minute: .nan}}}\n",
            1,
            "expected a number above 0",
            "",
        ),
        ("limits: {pools: {haiku-5.5: {rpm: 5}}}\n", 1, "unknown field rpm", ""),
        (
            "retry: {max_attempts: 0}\n",
            1,
            "max_attempts: expected a whole number of at least 1",
            "",
        ),
        ("retry: {base_s: -1}\n", 1, "retry.base_s: expected a number of at least 0", ""),
        (
            "breaker: {failure_rate: 7}\n",
            1,
            "failure_rate: expected a number of at most 1",
            "",
        ),
        ("breaker: {probes: 0}\n", 1, "breaker.probes: expected a whole number of at least 1", ""),
        (
            "model: x\nmax_outage: soon\n",
            2,
            "max_outage: not a duration such as 90s",
            "write a duration",
        ),
        ("attempt_deadline: -5\n", 1, "attempt_deadline: not a duration", ""),
        ("idle_timeout: soon\n", 1, "idle_timeout: not a duration such as 90s", "write a duration"),
        ("grace: -1\n", 1, "grace: not a duration", ""),
        (
            "model: x\nidle_timeout: 0\n",
            2,
            "idle_timeout must be above 0, got 0",
            "try idle_timeout: 90s",
        ),
        ("cache:\n  ttl: never\n", 2, "cache.ttl: not a duration", ""),
        ("cache:\n  size: big\n", 2, "cache.size: not a size such as 2GB: 'big'", ""),
        ("cache: null\n", 1, "cache: expected a mapping, got nothing", ""),
        ("routes: {}\n", 1, "routes: expected a list, got a mapping", ""),
        ("routes:\n  - name: a\n  - 5\n", 3, "routes[1]: expected a mapping, got 5", ""),
        ("fallbacks: {a: b}\n", 1, "fallbacks.a: expected a list, got text", ""),
        ("a: b: c\n", 1, "mapping values are not allowed here", "fix this line"),
        ("model: x\n\tbudget: 1\n", 2, "", ""),
        ("model: a\n---\nmodel: b\n", 2, "another document", ""),
        ("model: *nope\n", 1, "undefined alias", ""),
        ("? [a, b]\n: 1\n", 1, "unhashable key", ""),
    ],
)
def test_what_cannot_be_meant_is_refused_where_it_stands(file, text, line, reason, fix):
    path = file(text)
    error = refusal(path)
    assert error.message.startswith(f"{path}:{line}: ")
    assert reason in error.message
    assert fix in error.fix


@pytest.mark.parametrize("text", ["- a\n", "hello\n", "5\n"])
def test_the_top_level_must_be_a_mapping(file, text):
    assert "the top level must be a mapping" in refusal(file(text)).message


@pytest.mark.parametrize(
    "text",
    [
        "model: !!python/object/apply:os.system ['touch {trap}']\n",
        "model: !!python/name:os.system\n",
        "model: !!python/module:os\n",
        "model: !!python/object/new:os.system ['touch {trap}']\n",
        "model: !mine x\n",
        "!!python/object/apply:os.system ['touch {trap}']\n",
    ],
)
def test_a_tag_that_would_run_code_is_refused_and_runs_nothing(file, tmp_path, text):
    trap = tmp_path / "trap"
    error = refusal(file(text.replace("{trap}", str(trap))))
    assert "could not determine a constructor" in error.message
    assert not trap.exists()


BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    "text",
    ["a: &x [*x]\n", "a: &x {b: *x}\n", "[" * 5000, "{a: " * 3000, BOMB],
    ids=["list in itself", "mapping in itself", "deep list", "deep mapping", "bomb"],
)
def test_a_file_that_never_ends_is_refused_in_a_moment(file, text):
    assert (
        "nested too deep" in (found := refusal(file(text)).message)
        or "more than 100,000 settings" in found
    )


@pytest.mark.parametrize(
    "value",
    [
        "2026-99-99",
        "2026-01-01T99:00:00Z",
        "0x_",
        "9" * 5000,
        "!!int x",
        "!!float x",
        "!!bool x",
        "!!timestamp x",
    ],
)
def test_a_value_that_yaml_itself_stumbles_over_is_an_error_and_no_crash(file, value):
    error = refusal(file(f"model: {value}\n"))
    assert "a value that YAML cannot read" in error.message
    assert "put it in quotes" in error.fix


def test_merge_keys_and_aliases_work_as_in_any_yaml(file):
    config = read(
        file("cache: &c {ttl: 1h}\nretry:\n  base_s: 2\nmodels: {x: &m {pool: p}, y: *m}\n")
    ).config
    assert (config.cache.ttl, config.retry.base_s) == ("1h", 2.0)
    assert config.models["x"] == config.models["y"] == {"pool": "p"}
    assert read(file("cache:\n  <<: {ttl: 1h}\n  size: 1MB\n")).config.cache.ttl == "1h"


def test_a_file_that_cannot_be_read_says_why(tmp_path):
    missing = refusal(tmp_path / "none.yaml")
    assert "cannot read the configuration: No such file" in missing.message
    assert "cannot read the configuration: Is a directory" in refusal(tmp_path).message
    binary = tmp_path / "b.yaml"
    binary.write_bytes(b"\xff\xfe\x00model")
    assert "it is not UTF-8 text" in refusal(binary).message


def test_a_flag_that_cannot_be_meant_is_named_as_the_flag(file):
    path = file("concurrency: 5\n")
    assert refusal(path, concurrency=10**8).message.startswith("--concurrency: concurrency must be")
    assert refusal(None, max_outage="soon").message.startswith(
        "--max-outage: max_outage: not a duration"
    )
    assert refusal(None, budget=Decimal("-1")).message.startswith("--budget: budget must be")


@given(st.text(max_size=200))
def test_no_text_breaks_the_reader(tmp_path_factory, text):
    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(text, encoding="utf-8", errors="replace", newline="")
    try:
        read(path)
    except ConfigError as error:
        assert str(path) in error.message


TREES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from([*Config.__struct_fields__, "x"]), inner)
    ),
    max_leaves=8,
)


@given(st.dictionaries(st.sampled_from(Config.__struct_fields__), TREES, max_size=4))
def test_no_value_of_a_known_setting_breaks_the_reader(tmp_path_factory, tree):
    import yaml

    path = tmp_path_factory.getbasetemp() / "fuzz.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    try:
        read(path)
    except ConfigError as error:
        assert str(path) in error.message
