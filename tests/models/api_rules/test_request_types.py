"""The types that are shipped are those of the installed SDK, and a request is held
against them as pydantic holds it against the SDK's own.
"""

import pytest

from claudebatch.models.api_rules import BETA_OF, broken_types, request_types
from tests.models.api_rules.examples import DATA, examples, mutants
from tests.models.api_rules.read_sdk import PATH, read_sdk, typed_dicts
from tests.support.sdk_types import NotSdkParams, check_body, check_typed

MESSAGES = [{"role": "user", "content": "Hi"}]
# The types that a request may hold at any place: a part of a request that is one line
# here is thousands of requests.
PARAMS = [name for name in DATA["params"] if name not in ("model", "max_tokens")]


def allowed(params):
    """Whether the SDK's own types take *params*."""
    try:
        check_body({"model": "m", "max_tokens": 1, "messages": MESSAGES, **params})
    except NotSdkParams:
        return False
    return True


def test_the_types_are_those_of_the_installed_sdk():
    """`python -m tests.models.api_rules.read_sdk` writes them anew."""
    assert PATH.read_bytes() == read_sdk()


def test_no_kind_stands_for_two_types_and_none_is_unreadable():
    types = request_types()
    for fields in DATA["types"].values():
        for kind, _ in fields.values():
            types.check_of(kind)
            assert kind[0] != "union" or _distinct(kind[1:]), kind


def _distinct(kinds):
    refs = [kind[1] for kind in kinds if kind[0] == "ref"]
    key = "role" if refs and "type" not in DATA["types"][refs[0]] else "type"
    words = [word for name in refs if len(refs) > 1 for word in _words(DATA["types"][name][key][0])]
    lists = [kind for kind in kinds if kind[0] == "list"]
    return len(words) == len(set(words)) and len(lists) < 2


def _words(kind):
    if kind == "null":
        return ["null"]
    return kind[1:] if kind[0] == "lit" else [word for one in kind[1:] for word in _words(one)]


@pytest.mark.parametrize("name", PARAMS)
def test_what_the_types_allow_is_not_refused(name):
    made = 0
    for value in examples(DATA["params"][name][0]):
        params = {name: value}
        assert allowed(params), params
        assert broken_types(params) == [], params
        made += 1
    assert made


@pytest.mark.parametrize("name", PARAMS)
def test_what_breaks_the_types_is_refused(name):
    refused = taken = 0
    for value in examples(DATA["params"][name][0]):
        for wrong in mutants(value):
            params = {name: wrong}
            problems = broken_types(params)
            if not problems:
                taken += 1
                assert allowed(params), params
            else:
                refused += 1
                assert all(name in problem.reason for problem in problems)
    assert refused > taken / 50


SDK_TYPES = typed_dicts()


def fits(name, value):
    """Whether the SDK's own type *name* takes *value*."""
    try:
        check_typed(SDK_TYPES[name], value)
    except NotSdkParams:
        return False
    return True


@pytest.mark.parametrize("name", sorted(DATA["types"]))
def test_each_type_takes_and_refuses_what_the_sdks_does(name):
    check = request_types().check_of(["ref", name])
    for value in examples(["ref", name]):
        assert fits(name, value), value
        assert check(value) is None, value
        for wrong in mutants(value):
            if check(wrong) is None:
                assert fits(name, wrong), wrong
            elif fits(name, wrong) and "*" not in DATA["types"][name]:
                # Within a type that has a setting of its own for files, pydantic lets
                # unknown members pass.
                assert "unknown_member" in str(wrong), wrong
                assert "media_type" in str(wrong), wrong


@pytest.mark.parametrize("name", sorted(DATA["beta_params"]))
def test_what_the_beta_types_allow_is_not_refused_beside_a_beta(name):
    for value in examples(DATA["beta_params"][name][0]):
        assert broken_types({name: value}, betas=["context-management-2025-06-27"]) == [], value


def test_every_beta_that_a_fix_names_is_one_of_the_sdk():
    assert set(BETA_OF.values()) <= request_types().betas
    named = [word for word in BETA_OF if f'"{word}"' not in PATH.read_text()]
    assert named == []


def test_a_beta_that_is_newer_than_this_version_may_bring_any_member():
    assert broken_types({"thinking": {"type": "new"}}, betas=["new-2027-01-01"]) == []
    assert broken_types({"thinking": {"type": "new"}}, betas=["compact-2026-09-04"])


@pytest.mark.parametrize(
    ("params", "reason", "fix"),
    [
        (
            {"output_config": {"task_budget": {"type": "tokens", "total": 9}}},
            '"output_config" has the unknown member "task_budget"',
            '"betas": ["task-budgets-2026-03-13"]',
        ),
        (
            {"tools": [{"type": "mcp_toolset", "mcp_server_name": "m"}]},
            '"tools[0].type"',
            '"betas": ["mcp-client-2025-11-20"]',
        ),
        (
            {"tools": [{"type": "web_serch_20260318", "name": "web_search"}]},
            '"tools[0].type" must be one of',
            'did you mean "web_search_20260318"?',
        ),
        (
            {
                "messages": [
                    {
                        "role": "user",
                        "content": [
                            {
                                "type": "image",
                                "source": {"type": "base64", "data": "", "media_type": "image/jpg"},
                            }
                        ],
                    }
                ]
            },
            '"messages[0].content[0].source.media_type" must be one of image/gif, image/jpeg',
            'did you mean "image/jpeg"?',
        ),
        (
            {"thinking": {"type": "adaptive", "budget_tokens": 5}},
            '"budget_tokens"',
            "type, display",
        ),
        ({"diagnostics": {}, "metadata": 5}, '"metadata" must be an object, got 5', "--no-check"),
    ],
)
def test_a_fault_says_where_it_is_and_what_to_do(params, reason, fix):
    (problem,) = broken_types(params)
    assert reason in problem.reason
    assert fix in problem.fix
