"""What a `FakeAgent` is on its host: a program of the standard library alone, which is copied there."""
