"""JSON without leniency, against the slow parser as oracle."""

import json
import time
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from schemas.errors import BadMessage
from schemas.strict_json import canonical, parse


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (b"", "not-json"),
        (b" ", "not-json"),
        (b"{", "not-json"),
        (b"{} {}", "not-json"),
        (b"<html></html>", "not-json"),
        (b"{'a': 1}", "not-json"),
        (b'{"a": 1,}', "not-json"),
        (b'{"a": 01}', "not-json"),
        (b'{"a": "\n"}', "not-json"),
        (b'{"a": "\x00"}', "not-json"),
        (b'{"a": /* */ 1}', "not-json"),
        (b"\x00", "not-json"),
        (b"\xef\xbb\xbf{}", "byte-order-mark"),
        ("{}".encode("utf-16"), "not-utf8"),
        (b'{"a": "\xff"}', "not-utf8"),
        (b'{"a": "\xed\xa0\x80"}', "not-utf8"),
        (b'{"a": "\xc0\x80"}', "not-utf8"),
        (b'{"a": "\\ud800"}', "lone-surrogate"),
        (b'{"a": "\\udc00"}', "lone-surrogate"),
        (b'{"a": "\\ud800\\ud800"}', "lone-surrogate"),
        (b'{"a": NaN}', "number"),
        (b'{"a": Infinity}', "number"),
        (b"[-Infinity]", "number"),
        (b'{"a": 1e999}', "number"),
        (b'{"a": -1e999}', "number"),
        (b'{"a": ' + 400 * b"9" + b".0}", "number"),
        (b'{"a": ' + 5000 * b"9" + b"}", "number"),
        (100_000 * b"[" + 100_000 * b"]", "too-deep"),
        (100_000 * b'{"a":', "too-deep"),
        (b'{"a": 1, "a": 2}', "duplicate-key"),
        (b'{"a": 1, "a": 1}', "duplicate-key"),
        (b'{"a": 1, "\\u0061": 2}', "duplicate-key"),
        (b'{"a":1,"a" :2}', "duplicate-key"),
        (b'{"a"\r\n\t:1,"a" :2}', "duplicate-key"),
        (b'[{"b": {"a": 1, "c": 2, "a": 3}}]', "duplicate-key"),
        # One lost key, and one quote and colon that only the output shows: equal counts prove nothing here.
        (b'{"a":"x\\u0022:","a":"x\\u0022:"}', "duplicate-key"),
        (b'{"a":1,"a":"x\\u0022:"}', "duplicate-key"),
        (b'{"a":1,"a":"x\\"\\u003a"}', "duplicate-key"),
        (b'{"a":1,"a":"x\\"\\u003A"}', "duplicate-key"),
        (b'{"a":1,"a":"\\u003a"}', "duplicate-key"),
    ],
)
def test_what_is_refused(text: bytes, reason: str) -> None:
    """Each kind of bad text has its own reason, and the detail does not repeat the text."""
    with pytest.raises(BadMessage) as refused:
        parse(text)
    assert refused.value.reason == reason
    assert "\n" not in refused.value.detail


@pytest.mark.parametrize(
    "value",
    [
        {},
        [],
        None,
        True,
        0,
        -1.5,
        "",
        "é\u2028\U0001f600",
        {"a": {"a": {"a": 1}}},
        {"": 1},
        [{"a": 1}, {"a": 1}],
        "Infinity",
        {"Infinity": "NaN"},
        'x": "',
        {'x": ': ':"x'},
        2**80,
        150 * [[]],
    ],
)
def test_what_is_taken(value: Any) -> None:
    """All that is JSON is taken as it stands, however its strings look."""
    assert parse(json.dumps(value).encode()) == value
    assert parse(json.dumps(value, indent=1, separators=(" , ", " : "), ensure_ascii=False).encode()) == value


def test_a_tree_of_two_hundred_levels_is_taken() -> None:
    """The limit on depth is far beyond what people nest."""
    assert parse(199 * b"[" + 199 * b"]") is not None


_TOKENS = st.sampled_from(
    [
        "{",
        "}",
        "[",
        "]",
        ":",
        ",",
        " ",
        "\n",
        '"a"',
        '"b"',
        '"a":',
        '"a" :',
        '"\\u0061":',
        "1",
        "1e999",
        '"\\":"',
        '"\\u0022:"',
        '"x\\"\\u003a"',
        '": "',
        '{"a":1',
        ',"a":"',
        '"}',
    ]
)


def _oracle(text: str) -> Any:
    """What the slow parser gives when it is told to be strict; None where it refuses."""

    def distinct(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        if len(dict(pairs)) != len(pairs):
            raise ValueError
        return dict(pairs)

    def finite(digits: str) -> float:
        if abs(float(digits)) == float("inf"):
            raise ValueError
        return float(digits)

    try:
        return [json.loads(text, object_pairs_hook=distinct, parse_float=finite)]
    except ValueError:
        return None


_MEMBERS = st.lists(
    st.tuples(
        st.sampled_from(['"a"', '"b"', '"\\u0061"', '"a\\""', '":"', '"\\u003a"']),
        st.sampled_from([":", " :", ": ", "\n: "]),
        st.sampled_from(
            [
                "1",
                "1e999",
                '"\\":"',
                '"\\u0022:"',
                '"x\\" :"',
                '"x\\"\\u003a"',
                '": "',
                '{"a":1}',
                '"a"',
                '"Infinity"',
            ]
        ),
    ),
    max_size=4,
).map(lambda members: "{" + ",".join("".join(member) for member in members) + "}")


@given(st.lists(_TOKENS, max_size=10).map("".join) | _MEMBERS)
@example('{"a":1,"a":"\\u0022:"}')
def test_the_fast_way_agrees_with_the_slow_one(text: str) -> None:
    """Counting keys finds every duplicate and no other: an oracle that looks at each key says the same."""
    try:
        ours = [parse(text.encode())]
    except BadMessage:
        ours = None
    assert ours == _oracle(text)


@pytest.mark.parametrize(
    "text",
    [
        b'{"a":1,' + b",".join(b'"%d" :1' % number for number in range(80_000)) + b"}",
        b"[" + b",".join(240 * [4000 * b"9"]) + b"]",
        b'["' + 170_000 * b"\\u0022" + b'"]',
        b'["' + 500_000 * b"\\\\" + b'"]',
        b"[" + 300_000 * b"1.5," + b"1]",
        1_000_000 * b'"',
        1_000_000 * b" ",
    ],
)
def test_a_mib_of_anything_takes_no_time(text: bytes) -> None:
    """The time is linear in the length: the worst megabyte stays far below a second."""
    started = time.process_time()
    with suppress(BadMessage):
        parse(text)
    assert time.process_time() - started < 1


def test_the_canonical_form_is_one() -> None:
    """The order in which keys came does not matter, and letters are not escaped."""
    assert (
        canonical({"b": [1, None], "a": "é"})
        == canonical({"a": "é", "b": [1, None]})
        == '{"a":"é","b":[1,null]}'.encode()
    )
