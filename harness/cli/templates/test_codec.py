"""The conformance tests of the codec interface, and what new-codec promises beyond them."""

from pathlib import Path

import pytest

import harness

VERDICTS = {
    verdict.law: verdict
    for verdict in harness.check_codec("new-codec", plugins=[Path(__file__).with_name("new_codec.py")])
}


@pytest.mark.parametrize("law", VERDICTS)
def test_it_passes_every_conformance_test(law: str) -> None:
    assert VERDICTS[law].outcome != "broken", VERDICTS[law].evidence
