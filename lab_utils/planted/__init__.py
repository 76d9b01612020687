"""Planted bottlenecks: pipelines that are slow for a reason that their names do not tell."""

from lab_utils.planted.kiosks import CAUSES, KIOSKS, Kiosk, plant

__all__ = ["CAUSES", "KIOSKS", "Kiosk", "plant"]
