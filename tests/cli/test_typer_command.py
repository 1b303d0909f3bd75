"""A command takes its options as one object, and typer sees each of them."""

from __future__ import annotations

import inspect
from dataclasses import dataclass
from typing import Annotated

import pytest
import typer
from typer.testing import CliRunner

from claudebatch.cli.typer_command import typer_command


@dataclass(frozen=True, kw_only=True)
class Flags:
    """Three options and an argument."""

    name: Annotated[str, typer.Argument(help="Who.")]
    times: Annotated[int, typer.Option("--times", "-n", help="How often.")] = 1
    loud: Annotated[bool, typer.Option("--loud", help="In capitals.")] = False


def app_of(seen: list[Flags], **how: object) -> typer.Typer:
    app = typer.Typer()

    @typer_command(Flags, **how)
    def greet(flags: Flags) -> None:
        """Greet somebody."""
        seen.append(flags)

    app.command()(greet)
    return app


@pytest.mark.parametrize(
    ("arguments", "flags"),
    [
        (["ada"], Flags(name="ada")),
        (["ada", "-n", "3", "--loud"], Flags(name="ada", times=3, loud=True)),
    ],
)
def test_what_is_given_arrives_as_one_object(arguments, flags):
    seen: list[Flags] = []
    assert CliRunner().invoke(app_of(seen), arguments).exit_code == 0
    assert seen == [flags]


def test_the_help_names_every_field_in_order():
    text = CliRunner().invoke(app_of([]), ["--help"]).output
    places = [text.index(word) for word in ("Greet somebody.", "Who.", "How often.", "In capitals")]
    assert places == sorted(places)


def test_a_field_that_is_left_out_is_no_option_and_stays_at_its_default():
    seen: list[Flags] = []
    app = app_of(seen, without={"loud"})
    assert CliRunner().invoke(app, ["ada", "--loud"]).exit_code == 2
    assert CliRunner().invoke(app, ["ada"]).exit_code == 0
    assert seen == [Flags(name="ada")]


def test_an_annotation_may_differ_in_one_command():
    often = Annotated[int, typer.Option("--often", help="Quite often.")]
    seen: list[Flags] = []
    app = app_of(seen, instead={"times": often})
    assert CliRunner().invoke(app, ["ada", "--often", "2"]).exit_code == 0
    assert seen == [Flags(name="ada", times=2)]


def test_the_signature_says_what_may_be_left_out():
    @typer_command(Flags)
    def greet(flags: Flags) -> None: ...

    parameters = inspect.signature(greet).parameters
    assert list(parameters) == ["name", "times", "loud"]
    assert parameters["name"].default is inspect.Parameter.empty
    assert parameters["times"].default == 1
