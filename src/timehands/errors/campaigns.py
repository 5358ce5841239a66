"""A campaign of simulations cannot be run, or not to its end."""

from __future__ import annotations

from pathlib import Path

from timehands.errors.base import TimehandsError


class CampaignError(TimehandsError):
    """A campaign of simulations cannot be run, or not to its end. What was done is kept."""


class CampaignRefused(CampaignError):
    """A folder cannot take this campaign's results: ``path`` is the folder. It is as it was."""

    def __init__(self, message: str, *, path: Path, advice: str = "") -> None:
        super().__init__(f"{path}: {message}", advice=advice)
        self.path = path


class SeedFailed(CampaignError):
    """The run of one seed failed; ``seed`` is which, ``traceback`` where."""

    def __init__(self, seed: int, message: str, *, traceback: str = "") -> None:
        super().__init__(
            f"the run of seed {seed} failed: {message}",
            advice=f"The seeds before it are kept. Run it alone with --seed {seed} to see more.",
        )
        self.seed = seed
        self.traceback = traceback


class WorkersLost(CampaignError):
    """The processes that do the work died again and again; ``seeds`` were in their hands."""

    def __init__(self, seeds: range, *, how: str) -> None:
        span = f"{seeds[0]} to {seeds[-1]}" if len(seeds) > 1 else f"{seeds[0]}"
        super().__init__(
            f"workers died again and again with the seeds {span} in hand ({how})",
            advice="What was done is kept. Look for a lack of memory (dmesg), and run these seeds "
            "alone with --jobs 1.",
        )
        self.seeds = seeds


class ClusterUnavailable(CampaignError):
    """The Dask scheduler does not answer, or has no workers that can do the work."""
