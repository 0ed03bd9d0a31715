"""What tests of hosts and of task code need: a clock moved by hand, checks that nothing was left behind."""
