"""Where our files lie: the platform's places, or where the environment says, and
rehearsals apart.
"""

from __future__ import annotations

from pathlib import Path

from claudebatch.config.paths import Paths

HERE = {"CLAUDEBATCH_CACHE_DIR": "/c", "CLAUDEBATCH_STATE_DIR": "/s"}


def test_the_environment_says_where():
    paths = Paths.from_environment(HERE)
    assert paths.cache_dir == Path("/c/responses")
    assert (paths.ledger, paths.runs) == (Path("/s/spend.sqlite"), Path("/s/runs"))


def test_a_rehearsal_shares_no_file_with_a_real_run():
    real, simulated = Paths.from_environment(HERE), Paths.from_environment(HERE, simulated=True)
    assert simulated.cache_dir == Path("/c/simulated/responses")
    assert (simulated.ledger, simulated.runs) == (
        Path("/s/simulated/spend.sqlite"),
        Path("/s/simulated/runs"),
    )
    assert simulated.user_config == real.user_config
    for ours in (simulated.cache_dir, simulated.ledger, simulated.runs):
        assert not any(ours.is_relative_to(theirs) for theirs in (real.cache_dir, real.runs))


def test_without_it_the_usual_places_of_the_platform(monkeypatch):
    for name, folder in (("CACHE", "a"), ("STATE", "b"), ("CONFIG", "c")):
        monkeypatch.setenv(f"XDG_{name}_HOME", f"/xdg/{folder}")
    paths = Paths.from_environment({"CLAUDEBATCH_CACHE_DIR": ""})
    assert paths.cache_dir == Path("/xdg/a/claudebatch/responses")
    assert paths.ledger == Path("/xdg/b/claudebatch/spend.sqlite")
    assert paths.user_config == Path("/xdg/c/claudebatch/config.yaml")
