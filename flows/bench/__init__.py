"""`nexus bench`: the budgets, measured as ratios within one run."""

from collections.abc import Callable

from flows.settings import Settings

__all__ = ["run"]


def run(
    settings: Settings, names: tuple[str, ...], scale: float, is_json: bool, say: Callable[[str], None]
) -> int:
    """Run the scenarios that are named (none: all), write their figures, and return the exit code."""
    from flows.bench.running import run_scenarios

    return run_scenarios(settings, names, scale, is_json, say)
