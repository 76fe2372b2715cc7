"""benchmarks.toml and its schema, the registry of codecs, digests of code."""
