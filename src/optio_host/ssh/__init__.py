"""Another machine, over SSH, as a host."""
