import errno
import sys
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from claudebatch.core import jsonl
from claudebatch.core.errors import ClaudebatchError, ExitCode
from claudebatch.core.jsonl import InvalidJson, decode, encode, raw_members, read_at, read_lines


def written(folder: Path, data: bytes, name: str = "in.jsonl") -> Path:
    path = folder / name
    path.write_bytes(data)
    return path


def test_only_a_line_feed_ends_a_line(tmp_path):
    data = '"a\u2028b\x85c"\n"lone\rreturn"\n"last"'.encode()
    assert [line.data for line in read_lines(written(tmp_path, data))] == data.split(b"\n")


def test_blank_lines_are_skipped_but_counted(tmp_path):
    lines = list(read_lines(written(tmp_path, b"\n1\n \t\r\n\n2\n\n")))
    assert [(line.number, line.data) for line in lines] == [(2, b"1"), (5, b"2")]


def test_one_bom_and_carriage_returns_are_stripped(tmp_path):
    bom = b"\xef\xbb\xbf"
    lines = list(read_lines(written(tmp_path, bom + b"1\r\n" + bom + b"2\r\n")))
    assert [line.data for line in lines] == [b"1", bom + b"2"]


@pytest.mark.parametrize("data", [b"", b"\n", b"\xef\xbb\xbf", b"\xef\xbb\xbf\r\n \n"])
def test_a_file_without_a_line_has_none(tmp_path, data):
    assert list(read_lines(written(tmp_path, data))) == []


@settings(deadline=None)
@given(
    lines=st.lists(st.binary(max_size=30).map(lambda b: b"x" + b.replace(b"\n", b"") + b"x")),
    bom=st.booleans(),
)
def test_every_line_can_be_read_again_by_its_place(tmp_path_factory, lines, bom):
    path = written(tmp_path_factory.mktemp("d"), b"\xef\xbb\xbf" * bom + b"\r\n".join(lines))
    with path.open("rb") as file:
        found = list(read_lines(path))
        assert [line.data for line in found] == lines
        assert [read_at(file, line.offset, line.length) for line in found] == lines
        assert [read_at(file.fileno(), line.offset, line.length) for line in found] == lines


def test_a_file_that_shrinks_is_told(tmp_path):
    with (
        written(tmp_path, b"123").open("rb") as file,
        pytest.raises(ClaudebatchError, match="it changed while it was being read"),
    ):
        read_at(file, 1, 10)


@pytest.mark.parametrize("end", [b"", b"\n", b"\r\n"])
def test_an_oversized_line_is_cut_and_the_next_one_read(tmp_path, monkeypatch, end):
    monkeypatch.setattr(jsonl, "MAX_LINE_BYTES", 10)
    monkeypatch.setattr(jsonl, "_CHUNK", 4)
    path = written(
        tmp_path, b"a" * 10 + b"\r\n" + b"b" * 11 + b"\n" + b"c" * 99 + b"\n" + b"d" * 12 + end
    )
    with path.open("rb") as file:
        lines = list(read_lines(path))
        assert [read_at(file, line.offset, line.length) for line in lines] == [
            line.data for line in lines
        ]
    assert [line.data for line in lines] == [b"a" * 10, b"b" * 11, b"c" * 11, b"d" * 11]
    assert [line.number for line in lines] == [1, 2, 3, 4]


def test_encoding_is_compact_sorted_and_the_same_for_equal_values():
    assert encode({"b": [1, {"z": "é", "a": None}], "a": 2**70}) == (
        b'{"a":1180591620717411303424,"b":[1,{"a":null,"z":"' + "é".encode() + b'"}]}'
    )


HOSTILE = {
    b"NaN": "NaN",
    b'{"a": -Infinity}': "NaN",
    b"1e999": "too large",
    b"9" * 5000: "too large",
    b'"\\ud800"': "surrogate",
    b'"\\uD83D\\ude00 \\udc00"': "surrogate",
    b'"\xed\xa0\x80"': "UTF-8 at byte 2",
    b'{"a": "\xff"}': "UTF-8 at byte 8",
    b"[" * 100_000: "nested",
    b"[" * 250 + b"]" * 250: "nested",
    b'{"a": 1': "in the middle",
    b"{'a': 1}": "at byte 2",
    b'{"a": 1} x': "trailing characters at byte 10",
    b"": "in the middle",
    b"\x00": "at byte 1",
}


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: repr(data[:20]))
def test_what_could_not_be_sent_exactly_is_refused_in_plain_words(data):
    with pytest.raises(InvalidJson, match=HOSTILE[data]):
        decode(data)


@pytest.mark.parametrize(
    "text", ['"\\u0000"', '"\u2028"', "18446744073709551616", "9" * 4000, '"\\ud83d\\ude00"']
)
def test_what_is_odd_but_exact_is_accepted(text):
    assert decode(encode(decode(text.encode()))) == decode(text.encode())
    if text[0] == "9":
        assert encode(decode(text.encode())) == text.encode()


def test_what_decodes_can_be_encoded_deep_in_the_stack():
    deep = decode(b'{"a":' * 200 + b'"[["' + b"}" * 200)

    def down(frames: int) -> bytes:
        return down(frames - 1) if frames else encode({"messages": [deep]})

    assert down(sys.getrecursionlimit() // 3).count(b"{") == 201


def test_brackets_in_text_are_no_nesting():
    assert decode(encode("[{" * 10_000)) == "[{" * 10_000


def test_raw_members_keep_the_text_of_numbers():
    assert raw_members(b'{"id": 1.50, "n": [1 ]}') == {"id": b"1.50", "n": b"[1 ]"}


@settings(deadline=None)
@given(st.binary(max_size=60))
def test_any_bytes_decode_or_are_refused(data):
    try:
        value = decode(data)
    except InvalidJson:
        return
    assert decode(encode(value)) == value


def test_a_file_that_may_not_be_read_is_named_with_what_helps(tmp_path, monkeypatch):
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(Path, "open", refuse)  # root may read everything
    with pytest.raises(ClaudebatchError, match="is not readable: permission denied") as caught:
        list(read_lines(tmp_path / "in.jsonl"))
    assert (caught.value.id, caught.value.exit_code) == ("E302", ExitCode.USAGE)
    assert "chmod u+r" in caught.value.fix


def test_what_the_system_says_of_a_file_is_told_with_its_own_fix(tmp_path):
    with pytest.raises(ClaudebatchError, match="this is a folder, not a file") as caught:
        list(read_lines(tmp_path))
    assert (caught.value.id, caught.value.exit_code) == ("E303", ExitCode.LOCAL_IO)
    assert caught.value.fix == "name a file"
