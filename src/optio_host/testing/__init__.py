"""What tests of hosts and of task code need: a fake host, an SSH server, the promises of a host, a clock, checks."""
