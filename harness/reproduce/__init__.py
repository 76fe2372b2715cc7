"""Measure published figures and points again, and check an installation."""
