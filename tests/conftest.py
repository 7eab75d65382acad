"""How long to look for broken laws: seconds for a change, minutes at night."""

from __future__ import annotations

import os

from hypothesis import HealthCheck, Phase, settings

_QUIET = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile(
    "dev",
    max_examples=150,
    stateful_step_count=40,
    deadline=None,
    suppress_health_check=_QUIET,
)
settings.register_profile("ci", settings.get_profile("dev"), max_examples=300)
settings.register_profile(
    "night", settings.get_profile("dev"), max_examples=20_000, stateful_step_count=80
)
settings.register_profile(  # for planted bugs: is it caught at all? No shrinking.
    "mutant",
    settings.get_profile("dev"),
    max_examples=600,
    phases=[Phase.generate],
    report_multiple_bugs=False,
    database=None,
    derandomize=True,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci"))
