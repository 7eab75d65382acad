"""Jobs of one namespace."""

from __future__ import annotations

from typing import Any

from mlflowkit.hooks.kubernetes_named import Named


class Jobs(Named):
    """Requests about the jobs of one namespace."""

    kind, api_class = "job", "BatchV1Api"

    def delete(
        self,
        name: str,
        *,
        propagation: str = "Foreground",
        grace_seconds: int | None = None,
    ) -> bool:
        """Ask for a job's end; False if there is no such job.

        Args:
            propagation: What becomes of its pods: `Foreground`, `Background` or `Orphan`.
        """
        options: dict[str, Any] = {"propagation_policy": propagation}
        if grace_seconds is not None:
            options["grace_period_seconds"] = grace_seconds
        return self._delete(name, **options)
