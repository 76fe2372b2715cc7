"""The laws of the interface, and what new-codec promises beyond them."""

from pathlib import Path

import pytest

from harness import laws
from harness.config import schema

SPEC = schema.load(plugins=[Path(__file__).with_name("new_codec.py")]).codec_spec("new-codec")


@pytest.mark.parametrize("verdict", list(laws.check(SPEC)), ids=lambda verdict: verdict.law)
def test_it_keeps_every_law_of_the_interface(verdict: laws.Verdict) -> None:
    assert verdict.outcome != "broken", verdict.evidence
