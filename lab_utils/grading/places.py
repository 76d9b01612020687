"""The folders of one run: where the course lies, what the notebook may write, and where it works."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Places:
    """Folders as the run sees them.

    Attributes:
        course: The student package, read-only.
        cache: Trained models and assembled backends.
        home: The kernel's home folder; work and state lie in it.
        temporary: For temporary files.
    """

    course: Path
    cache: Path
    home: Path
    temporary: Path

    @property
    def work(self) -> Path:
        """The student's folder: the kernel starts here, the lab's own repository lies below."""
        return self.home / "work"

    @property
    def state(self) -> Path:
        """Records and logs of the run's servers."""
        return self.home / "state"

    def as_dict(self) -> dict[str, str]:
        """The folders as JSON values."""
        return {name: str(path) for name, path in vars(self).items()}

    @classmethod
    def from_dict(cls, raw: dict[str, str]) -> Places:
        """The folders of `as_dict`."""
        return cls(**{name: Path(path) for name, path in raw.items()})

    @classmethod
    def below(cls, course: Path, cache: Path, folder: Path) -> Places:
        """Real folders below one: of a run that is not confined."""
        return cls(course, cache, folder / "home", folder / "tmp")
