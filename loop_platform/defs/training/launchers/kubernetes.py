"""Training in a pod of a Kubernetes cluster, by Dagster's own client for pods (dagster-k8s), which
`make kubernetes` installs.

The image is that of deploy/Dockerfile, or any with the engine environment and this package. The
data folder lies on a volume, which the pod mounts under the same path. A program's messages come
back through a file in it: a pod's log can be cut off in hours of training.
"""

import importlib.util
from pathlib import Path
from typing import Any, Self

import dagster as dg
import pydantic

from loop_platform.defs.training.afar import Lease, renewed, shared_folder
from loop_platform.defs.training.launchers import Program
from loop_platform.settings import Settings

_HALF_A_MINUTE = 30


class Launcher(pydantic.BaseModel):
    """A cluster, and what a pod asks of it."""

    model_config = pydantic.ConfigDict(extra="forbid", frozen=True)

    image: str
    data_claim: str
    """The PersistentVolumeClaim that the data folder lies on."""
    data_path: str = "/"
    """Where on it."""
    namespace: str | None = None
    """Of the pod; the one that this runs in, or `default`."""
    python: str = "/opt/loop/.venv-engine/bin/python"
    root: str = "/opt/loop"
    """Where this package lies in the image."""
    gpus: int = pydantic.Field(0, ge=0)
    resources: dict[str, str] = {}
    """Requested and limited: `{ cpu = "4", memory = "32Gi" }`."""
    pod: dict[str, Any] = {}
    """More of the pod's specification, as Kubernetes has it: `nodeSelector`, `tolerations`,
    `serviceAccountName`."""
    environment: dict[str, str] = {}
    kubeconfig: Path | None = None
    context: str | None = None
    poll_s: float = pydantic.Field(10.0, gt=0)
    patience_s: float = pydantic.Field(120.0, gt=0)
    """A pod of which nobody hears for so long ends itself."""

    @pydantic.model_validator(mode="after")
    def _installed(self) -> Self:
        if importlib.util.find_spec("dagster_k8s") is None:
            raise ValueError("dagster-k8s is not installed: `make kubernetes` does that")
        return self

    def launch(
        self, context: dg.AssetExecutionContext, settings: Settings, program: Program
    ) -> dg.MaterializeResult[Any]:
        """The pod is deleted at the end, and when the run is cancelled: its program gets a signal.

        Raises:
            dagster_k8s.client.DagsterK8sError: the pod failed, or did not come up.
        """
        from dagster_k8s import PipesK8sClient

        with shared_folder(settings, context.run.run_id) as folder:
            lease = Lease(folder / "lease", self.patience_s)
            client = PipesK8sClient(
                message_reader=dg.PipesFileMessageReader(str(folder / "messages")),
                kubeconfig_file=None if self.kubeconfig is None else str(self.kubeconfig),
                kube_context=self.context,
                poll_interval=self.poll_s,
            )
            with renewed(lease):
                done = client.run(
                    context=context,
                    extras={**program.extras, **lease.extras},
                    namespace=self.namespace,
                    base_pod_spec=self.pod_spec(settings, program),
                    env={"PYTHONPATH": self.root, "PYTHONUNBUFFERED": "1", **self.environment},
                    pod_wait_timeout=settings.training.timeout_s,
                )
        made: dg.MaterializeResult[Any] = done.get_materialize_result(
            implicit_materialization=False
        )
        return made

    def pod_spec(self, settings: Settings, program: Program) -> dict[str, Any]:
        """Of one container that sees the data folder where it is here."""
        asked = dict(self.resources)
        if self.gpus:
            asked["nvidia.com/gpu"] = str(self.gpus)
        claim = {"name": "data", "persistentVolumeClaim": {"claimName": self.data_claim}}
        data = {"name": "data", "mountPath": str(settings.data_dir)}
        if place := self.data_path.strip("/"):
            data["subPath"] = place
        container = {
            "name": "training",
            "image": self.image,
            "command": program.command(self.python),
            "workingDir": self.root,
            "resources": {"requests": asked, "limits": asked},
            # GPUs of one machine speak through shared memory; a container's own has 64 MiB.
            "volumeMounts": [data, {"name": "shm", "mountPath": "/dev/shm"}],
        }
        return {
            "restartPolicy": "Never",
            "terminationGracePeriodSeconds": _HALF_A_MINUTE,
            **self.pod,
            "containers": [container],
            "volumes": [claim, {"name": "shm", "emptyDir": {"medium": "Memory"}}],
        }
