"""What a lab can say about its model repository: the tree, the lint, the explanation of a failed load."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab_utils.repository.lint import LintFinding
    from lab_utils.server.base import Server


class RepositoryTools(ABC):
    """The part of `Lab` that looks at model repositories.

    Attributes:
        repository: The lab's own model repository; what is looked at when no folder is given.
    """

    repository: Path

    @property
    @abstractmethod
    def server(self) -> Server:
        """The lab's running server (see `Lab.server`)."""

    def tree(self, folder: str | Path | None = None) -> None:
        """Print a model repository as a tree, with what Triton ignores in it.

        Args:
            folder: A repository or a model folder. Default: the lab's own repository.
        """
        from lab_utils.repository import draw_tree

        print(draw_tree(Path(folder or self.repository)))

    def lint(self, folder: str | Path | None = None) -> list[LintFinding]:
        """Print what Triton will refuse in a model repository, and what it will silently not do.

        What the lab's server was started with (a cache, auto-complete) counts, if it runs.

        Args:
            folder: A repository or a model folder. Default: the lab's own repository.

        Returns:
            The findings; empty when there is nothing to say.
        """
        from lab_utils.repository.lint import ServerFacts, lint_repository, render_findings
        from lab_utils.server.base import ServerError

        try:
            facts = ServerFacts.of(self.server)
        except ServerError:
            facts = None  # none runs: what a server of the labs can do is known
        findings = lint_repository(Path(folder or self.repository), facts=facts)
        print(render_findings(findings))
        return Quiet(findings)

    def explain(self, model: str, server: Server | None = None) -> None:
        """Print why a model could not be loaded: the decisive log line, its cause, the mend, the place.

        Args:
            model: The model's name.
            server: The server that refused it. Default: the lab's own.
        """
        from lab_utils.explaining import explain_model

        print(explain_model(server or self.server, model))


class Quiet(list["LintFinding"]):
    """Findings that were printed already: as the last value of a cell they show nothing again."""

    def _ipython_display_(self) -> None:
        """Nothing: they are on the screen."""
