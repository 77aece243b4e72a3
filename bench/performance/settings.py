"""What one run of the benchmarks was asked for, and what it had to leave out."""

from dataclasses import dataclass, field
from pathlib import Path

#: Every path has this many alphas, evenly spaced on the log scale from alpha_max to LAST alpha_max.
N_ALPHAS = 100
LAST = 0.1


@dataclass(frozen=True)
class Settings:
    """Options of the command line that the benchmarks share.

    Attributes
    ----------
    quick : bool
        Small simulated problems only.
    repeats : int
        Runs of which the fastest counts.
    scale : float
        Factor on the SNPs of every simulated problem.
    cache : Path
        Folder of the simulated filesets.
    threads : int
        What "all threads" means.
    skipped : list
        (name, reason) of whatever could not be measured here.
    """

    quick: bool
    repeats: int
    scale: float
    cache: Path
    threads: int
    skipped: list[tuple[str, str]] = field(default_factory=list)

    def n_variants(self, p: int) -> int:
        return max(100, round(p * self.scale))

    def skip(self, name: str, reason: str) -> None:
        """Say once, and record, that something is not measured."""
        if (name, reason) not in self.skipped:
            self.skipped.append((name, reason))
            print(f"SKIPPED {name}: {reason}", flush=True)
