"""Sections of a report's page: one module each, found by its name.

A module has `ORDER`, its place on the page, `GROWS`, whether it is shown while a run goes on, and
`section(experiment)`, which gives None where there is nothing to show (`PageSection` in
`fedvlm_flwr/contracts.py`).
"""
