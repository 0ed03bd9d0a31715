"""Journals in MongoDB, shared by every machine that reaches it."""
