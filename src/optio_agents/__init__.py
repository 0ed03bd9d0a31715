"""Run a coding agent on a host, follow what it reports, and bring its work home."""
