import numpy as np

from loop_platform.defs.review.clusters import Clusters
from loop_platform_tests.review.queues import candidate, queued, vector


def test_like_calls_share_a_cluster_and_unlike_ones_do_not():
    clusters = Clusters()
    near = vector(0) + 0.2 * vector(1)
    first = clusters.assign("home", vector(0))
    assert clusters.assign("home", near / np.linalg.norm(near)) == first
    assert clusters.assign("home", vector(1)) != first


def test_tasks_have_clusters_of_their_own():
    clusters = Clusters()
    assert clusters.assign("home", vector(0)) == "home-0001"
    assert clusters.assign("sql", vector(0)) == "sql-0001"


def test_clusters_are_remembered_across_runs(database):
    flag = [{"signal": "refusal", "reason": "…"}]
    queued(database, candidate(flags=flag), candidate(flags=flag), kinds=[0, 1])
    with database.connect() as connection:
        clusters = Clusters.load(connection)
    assert clusters.assign("home", vector(1)) == "home-0002"
    assert clusters.assign("home", vector(2)) == "home-0003"
