"""Run what was planned: bench, engine, measuring, timing, one file."""
