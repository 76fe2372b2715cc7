"""Harness in a container, driven from the host through docker-py: build, run, check."""
