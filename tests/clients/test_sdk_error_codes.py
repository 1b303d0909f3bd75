"""The error codes of `messages.create` held against the installed SDK: a new one has to
be sorted by hand, into those of a row and those of the account.
"""

import inspect
import re

from anthropic._error_classes import ERROR_CLASSES
from anthropic.resources.messages import AsyncBatches, AsyncMessages

from claudebatch.clients.error_table import _ACCOUNT_CODES, _BATCH_CODES, _SPEND_CODES

# A row with another content would be taken, or the same row with other settings.
OF_A_ROW = {
    "available_tools_limit_exceeded",
    "claude_code_version_too_old",
    "compaction_block_ambiguous",
    "compaction_block_misplaced",
    "compaction_content_mismatch",
    "compaction_incomplete_turn",
    "compaction_nothing_to_summarize",
    "compaction_signature_invalid",
    "compaction_too_many_tool_references",
    "compaction_tool_changes_mismatch",
    "image_dimensions_too_large",
    "request_body_encoding_invalid",
    "request_body_encoding_unsupported",
    "thread_already_continued",
    "thread_continue_in_flight",
    "thread_fingerprint_mismatch",
    "thread_unsupported_request",
    "tool_name_conflict",
    "tool_reference_unresolved",
    # Of the whole run, but five of a kind stop it with its own sentence.
    "user_profile_required",
}


def test_every_code_of_a_400_or_a_429_is_a_rows_or_the_accounts():
    codes = {cls.__name__: key for key, cls in ERROR_CLASSES.items() if key[1] is not None}
    # What it raises stands beside each overload, and in no `__doc__`.
    source = inspect.getsource(AsyncMessages)
    raised = re.findall(r"^ +(\w+Error):$", source, re.MULTILINE)
    assert len(raised) > 20
    found = [codes[name] for name in raised if name in codes]
    assert {code for status, code in found if status == 400} == OF_A_ROW | _ACCOUNT_CODES
    known = _SPEND_CODES | {"ramp_limit_exceeded"}
    assert {code for status, code in ERROR_CLASSES if status == 429 and code} == known


def test_every_code_of_the_batch_endpoints_is_the_accounts():
    codes = {cls.__name__: key for key, cls in ERROR_CLASSES.items() if key[1] is not None}
    raised = re.findall(r"^ +(\w+Error):$", inspect.getsource(AsyncBatches), re.MULTILINE)
    found = {codes[name] for name in raised if name in codes}
    of_400 = {code for status, code in found if status == 400}
    assert of_400 >= _BATCH_CODES
    # What is asked of one row comes as a line of the results.
    assert of_400 - _ACCOUNT_CODES - _BATCH_CODES <= OF_A_ROW
