"""Address headers as people, and programs, really write them."""

import time

import pytest

from schemas.mailboxes import mailboxes


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("a@x.test", [("a@x.test", None)]),
        ("Ada <a@x.test>, b@x.test", [("a@x.test", "Ada"), ("b@x.test", None)]),
        ('"Doe, John" <j@x.test>', [("j@x.test", "Doe, John")]),
        ('"Ada \\"The\\" L" <a@x.test>', [("a@x.test", 'Ada "The" L')]),
        ("Doe, John <j@x.test>", [("j@x.test", "John")]),
        ("=?utf-8?q?Doe=2C_J=C3=B6hn?= <j@x.test>", [("j@x.test", "Doe, Jöhn")]),
        ("=?utf-8?B?w4RkYQ==?= =?utf-8?B?IEzDtg==?= <a@x.test>", [("a@x.test", "Äda Lö")]),
        ("=?nowhere?q?Ada?= <a@x.test>", [("a@x.test", None)]),
        ("=?utf-8?b?a?= <a@x.test>", [("a@x.test", None)]),
        ("=?utf-8?q?=FF?= <a@x.test>", [("a@x.test", None)]),
        (
            "Team: a@x.test, B <b@x.test>;, c@x.test",
            [("a@x.test", None), ("b@x.test", "B"), ("c@x.test", None)],
        ),
        ("undisclosed-recipients:;", []),
        ("a@x.test (Ada)", [("a@x.test", "Ada")]),
        ('"a@x.test" <b@x.test>', [("b@x.test", None)]),
        ("'Ada' <a@x.test>", [("a@x.test", "Ada")]),
        ('"Ada\u00a0L" <a@x.test>', [("a@x.test", "Ada L")]),
        ("a@evil.test) <b@x.test>", [("b@x.test", None)]),
        ("<@route.test:a@x.test>", [("a@x.test", None)]),
        ("a@x.test; b@x.test", [("a@x.test", None), ("b@x.test", None)]),
        (300 * "A" + " <a@x.test>", [("a@x.test", None)]),
        ("Ada, , nobody", []),
        ("", []),
    ],
)
def test_who_is_named(header: str, expected: list[tuple[str, str | None]]) -> None:
    """Names are decoded, an address repeated as a name is no name, and what is no address names nobody."""
    assert [tuple(each) for each in mailboxes(header)] == expected


@pytest.mark.parametrize(
    "piece", ["(", '"', "<", ",", "a:", "[@", '\\"', '"\\"', "(a", "<a", "a@x.test,", "=?"]
)
def test_a_mib_of_anything_is_read_in_time(piece: str) -> None:
    """No header, however hostile, holds up the stream or ends it."""
    started = time.process_time()
    for header in (piece * (2**20 // len(piece)), '"' + piece * (2**19 // len(piece))):
        for _ in mailboxes(header):
            pass
    assert time.process_time() - started < 5
