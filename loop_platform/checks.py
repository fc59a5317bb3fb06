"""Checks of an hour of an asset."""

import warnings

import dagster as dg

from loop_platform.partitions import hourly


def hourly_check(asset: str, name: str, description: str, *, blocking: bool) -> dg.AssetCheckSpec:
    """A check with a result of its own for each hour.

    Without the asset's partitions a check has one status for all hours: one good hour would let
    every bad one through. The argument is in preview, which is known.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return dg.AssetCheckSpec(
            name,
            asset=dg.AssetKey.from_user_string(asset),
            description=description,
            blocking=blocking,
            partitions_def=hourly,
        )
