"""Codec processes: killable children, their limits, and conformance tests."""
