"""Training in a pod, by dagster-k8s and Kubernetes' own client, against a peer that runs pods as
processes: `make test-cluster`. No cluster was there to try it on.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster_k8s.client import DagsterK8sError
from dagster_k8s.models import k8s_model_from_dict, k8s_snake_case_dict
from kubernetes.client import V1PodSpec

from loop_platform.defs.training.launchers import Program
from loop_platform.defs.training.launchers.kubernetes import Launcher
from loop_platform.settings import Settings
from loop_platform_tests.engine.programs import ROOT
from loop_platform_tests.training.pods_api import Cluster, serving
from loop_platform_tests.training.test_launchers import launched


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[tuple[Cluster, Path]]:
    """A cluster, and the file that says where it is."""
    found = Cluster()
    with serving(found) as address:
        config = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "test",
            "clusters": [{"name": "peer", "cluster": {"server": address}}],
            "users": [{"name": "me", "user": {}}],
            "contexts": [{"name": "test", "context": {"cluster": "peer", "user": "me"}}],
        }
        file = tmp_path / "kubeconfig"
        file.write_text(yaml.safe_dump(config))
        yield found, file


@pytest.fixture
def given(cluster: tuple[Cluster, Path], tmp_path: Path) -> Settings:
    launch = {
        "image": "loop:gpu",
        "data_claim": "loop-data",
        "namespace": "loop",
        "python": sys.executable,
        "root": str(ROOT),
        "kubeconfig": str(cluster[1]),
        "gpus": 2,
        "resources": {"memory": "64Gi"},
        "pod": {"nodeSelector": {"gpu": "h100"}},
        "poll_s": 0.2,
        "patience_s": 5.0,
    }
    training = {"launcher": "kubernetes", "launch": launch}
    return Settings(data_dir=tmp_path / "loop", training=training)  # type: ignore[arg-type]


def test_record_and_log_come_back_and_the_pod_is_gone(
    given: Settings,
    cluster: tuple[Cluster, Path],
    tmp_path: Path,
    capfd: pytest.CaptureFixture[str],
) -> None:
    result = launched(given, folder=str(tmp_path), seconds=0.5)
    [made] = result.asset_materializations_for_node("made")
    assert made.metadata["record"].value == {"steps": 3}
    assert "half way" in capfd.readouterr().err
    [pod] = cluster[0].asked
    assert cluster[0].deleted == [pod["metadata"]["name"]]
    [container] = pod["spec"]["containers"]
    assert (container["image"], pod["spec"]["nodeSelector"]) == ("loop:gpu", {"gpu": "h100"})
    assert container["resources"]["limits"] == {"memory": "64Gi", "nvidia.com/gpu": "2"}
    assert container["volumeMounts"][0] == {"name": "data", "mountPath": str(given.data_dir)}
    assert pod["spec"]["volumes"][0]["persistentVolumeClaim"] == {"claimName": "loop-data"}


def test_a_pod_that_fails_fails_the_run(
    given: Settings, cluster: tuple[Cluster, Path], tmp_path: Path
) -> None:
    with pytest.raises(DagsterK8sError, match="there is no such base model"):
        launched(given, folder=str(tmp_path), fails=True)
    assert len(cluster[0].deleted) == 1


def test_a_cancelled_run_ends_its_pod(
    given: Settings, cluster: tuple[Cluster, Path], tmp_path: Path
) -> None:
    def cancel() -> None:
        while not (tmp_path / "began").exists():
            time.sleep(0.05)
        os.kill(os.getpid(), signal.SIGINT)

    canceller = threading.Thread(target=cancel)
    canceller.start()
    with pytest.raises((DagsterExecutionInterruptedError, KeyboardInterrupt)):
        launched(given, folder=str(tmp_path), seconds=300)
    canceller.join()
    assert (tmp_path / "stopped").read_text() == "SIGTERM"


def test_the_specification_is_one_of_a_pod(given: Settings) -> None:
    """Every field is known to Kubernetes' own model, or this raises."""
    found = Launcher.model_validate(given.training.launch)
    program = Program("loop_platform.engine.train", {}, processes=2)
    spec: dict[str, Any] = found.pod_spec(given, program)
    pod = k8s_model_from_dict(V1PodSpec, k8s_snake_case_dict(V1PodSpec, spec))
    command = pod.containers[0].command
    assert command[:4] == [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    assert pod.restart_policy == "Never"
