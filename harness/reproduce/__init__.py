"""Published figures and points measured again, and the check of a set-up."""
