"""What a host costs and how fast it is, beside what people use otherwise, in one table.

    python benchmarks/hosts.py [ROW ...] [--quick] [--json FILE]

Every row is measured together with its peer, by turns, against an sshd of its own on loopback: OpenSSH with one shared
connection, scp, rsync, `ssh far tail -F`; locally the published optio-host, which is installed into an environment of
its own. See README.md beside this file.
"""

import host_commands
import host_copies
import host_cost
import host_following
from command_line import main

ROWS = {
    "commands": host_commands.one_at_a_time,
    "slow-login": host_commands.slow_login,
    "commands-8": host_commands.eight_at_a_time,
    "put": host_copies.put,
    "get": host_copies.get,
    "tree": host_copies.tree,
    "follow": host_following.over_ssh,
    "follow-local": host_cost.local,
    "follow-many": host_cost.many_over_ssh,
}


if __name__ == "__main__":
    main("Speed and cost of hosts beside OpenSSH, scp, rsync and tail.", ROWS)
