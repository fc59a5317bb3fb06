"""A Ray cluster on this machine: a head that computes nothing, and two workers of one core each.

    .venv-ray/bin/python -m loop_platform_tests.training.ray_cluster DASHBOARD_PORT

Says `ready` when it is, and ends with its standard input.
"""

import sys

from ray.cluster_utils import Cluster


def main() -> int:
    head = {
        "num_cpus": 0,
        "include_dashboard": True,
        "dashboard_port": int(sys.argv[1]),
        "object_store_memory": 80 * 2**20,
    }
    cluster = Cluster(initialize_head=True, head_node_args=head)
    for _ in range(2):
        cluster.add_node(num_cpus=1, resources={"trainer": 1}, object_store_memory=80 * 2**20)
    cluster.wait_for_nodes()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    try:
        sys.stdin.read()
    finally:
        cluster.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
