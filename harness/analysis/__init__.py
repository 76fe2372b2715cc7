"""From records to numbers: intervals, BD-rate, tables, comparisons. No words, no drawing."""
