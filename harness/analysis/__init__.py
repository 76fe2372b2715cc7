"""Turn records into numbers: intervals, BD-rate, tables, comparisons."""
