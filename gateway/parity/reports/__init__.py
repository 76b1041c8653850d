"""A report for readers: terminal, JUnit, HTML. Pure: a `Report` in, text out."""
