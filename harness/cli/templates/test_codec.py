"""The conformance tests of the codec interface, and what new-codec promises beyond them."""

from pathlib import Path

import pytest

import harness

VERDICTS = {
    verdict.test: verdict
    for verdict in harness.check_codec("new-codec", plugins=[Path(__file__).with_name("new_codec.py")])
}


@pytest.mark.parametrize("test", VERDICTS)
def test_it_fails_no_conformance_test(test: str) -> None:
    assert VERDICTS[test].outcome != "fail", VERDICTS[test].evidence
