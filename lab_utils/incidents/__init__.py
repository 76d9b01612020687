"""Incidents: a real server on which one of eight things goes wrong, seen from outside, and mended live."""

from __future__ import annotations

from lab_utils.incidents.causes import CAUSES, MENDS, Cause, catalogue
from lab_utils.incidents.crowd import Client
from lab_utils.incidents.incident import Incident, start_incident, still_wrong, suffering
from lab_utils.incidents.museum import Museum
from lab_utils.incidents.observation import Observation

__all__ = [
    "CAUSES",
    "MENDS",
    "Cause",
    "Client",
    "Incident",
    "Museum",
    "Observation",
    "catalogue",
    "start_incident",
    "still_wrong",
    "suffering",
]
