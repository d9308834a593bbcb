"""Tables, statistics and figures from what runs left in their workdirs, nothing else."""

from pathlib import Path

from fdigits.report.terminal import table

__all__ = ["table", "write"]


def write(runs: list[Path], out: Path, apart: bool = False) -> Path:
    """Writes `report.html`, `report.md` and `figures/` of the finished runs into `out`.

    Args:
      runs: workdirs of finished runs, of any task.
      out: folder of the report, made where absent.
      apart: classifiers' test items may differ; only runs that share them are then compared.

    Returns:
      The path of `report.html`.

    Raises:
      UserError: a run is missing, unfinished or corrupt, or test items differ and not `apart`.
    """
    from fdigits.report.build import build  # imports matplotlib, which `table` does without

    return build(runs, out, apart)
