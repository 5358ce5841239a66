"""A recording joined with the source tree that its kernel was built from."""
