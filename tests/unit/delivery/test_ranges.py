"""Byte ranges of a download."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from memorial_tasks.delivery.ranges import wanted_range


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, (0, 99, False)),
        ("bytes=0-99", (0, 99, True)),
        ("bytes=10-19", (10, 19, True)),
        ("bytes=90-", (90, 99, True)),
        ("bytes=-10", (90, 99, True)),
        ("bytes=50-5000", (50, 99, True)),
        ("bytes=-5000", (0, 99, True)),
    ],
)
def test_one_range_is_cut_to_the_file(header: str | None, expected: tuple[int, int, bool]) -> None:
    found = wanted_range(header, 100)
    assert found is not None
    assert (found.first, found.last, found.partial) == expected
    assert found.header == f"bytes {expected[0]}-{expected[1]}/100"


@pytest.mark.parametrize(
    "header",
    ["bytes=100-", "bytes=20-10", "bytes=-0", "bytes=-", "bytes=0-1,5-9", "bytes=" + "0-,-1," * 500, "items=0-1",
     "bytes=0-" + "9" * 40, "bytes=-1-5", "bytes=a-b", "bytes"],
)  # fmt: skip
def test_what_is_no_single_satisfiable_range_is_refused(header: str) -> None:
    assert wanted_range(header, 100) is None


@given(st.text(max_size=40), st.integers(0, 10**6))
def test_nothing_typed_leaves_the_file(text: str, size: int) -> None:
    for header in (text, f"bytes={text}"):
        found = wanted_range(header, size)
        assert found is None or 0 <= found.first <= found.last < size
