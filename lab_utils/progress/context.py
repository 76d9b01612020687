"""What a checkpoint may ask: the lab's own server, fresh inputs, and instruments to look with."""

from __future__ import annotations

import contextlib
import re
import shutil
import tempfile
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import httpx
import numpy as np
from numpy.typing import NDArray

from lab_utils import server as triton
from lab_utils.paths import work_dir
from lab_utils.progress import probes
from lab_utils.progress.limits import TimeLimit, run_limited, student_line
from lab_utils.progress.recorder import Recorder
from lab_utils.progress.registry import Verdict, failed
from lab_utils.server.base import Server, ServerError
from lab_utils.server.manage import choose_runtime

_FOREIGN_CLIENT = re.compile("annot switch to a different thread|operation on destroyed loop")
"""gevent's words where a client of `tritonclient.http` is used in two threads. In a cell all goes well."""
_FOREIGN_CLIENT_STEP = (
    "The function uses an HTTP client that was made outside of it. A check calls your function in a thread "
    "of its own, and such a client works in one thread only. Make the client inside the function: "
    "`with httpclient.InferenceServerClient(url) as client:`."
)


class Refusal(Exception):
    """A check has its answer, and it is FAIL. Carries the verdict; the runner returns it."""

    def __init__(self, verdict: Verdict) -> None:
        super().__init__(verdict.found)
        self.verdict = verdict


def refuse(*, expected: str, found: str, next_step: str, **evidence: Any) -> NoReturn:
    """End the check with FAIL.

    Raises:
        Refusal: Always.
    """
    raise Refusal(failed(expected=expected, found=found, next_step=next_step, **evidence))


@dataclass
class LabContext:
    """One lab's surroundings during a check.

    Attributes:
        lab: Two digits, for example `"01"`.
        work: The lab's folder, `work/lab01`.
        repository: The lab's own model repository, `work/lab01/model_repository`.
        server: The lab's own server. The runner proves it before each check; None for a checkpoint
            with `needs_server=False`.
        rng: Fresh randomness: what a check asks cannot be known beforehand.
    """

    lab: str
    work: Path
    repository: Path
    server: Server | None = None
    rng: np.random.Generator = field(default_factory=np.random.default_rng)
    _cleanup: contextlib.ExitStack = field(default_factory=contextlib.ExitStack, repr=False)

    @classmethod
    def of(cls, lab: str) -> LabContext:
        """The context of a lab in the student's own work folder."""
        work = work_dir() / f"lab{lab}"
        return cls(lab, work, work / "model_repository")

    @property
    def server_name(self) -> str:
        """The name that the lab's own server is started and found by."""
        return f"lab{self.lab}"

    def close(self) -> None:
        """Stop throwaway servers and remove throwaway folders. The runner calls it after a check."""
        self._cleanup.close()

    def call(self, function: Any, *args: Any, timeout: float = 30.0, **kwargs: Any) -> Any:
        """Call a student's function, in a thread, with a time limit. A coroutine is run to its end.

        Args:
            function: The student's function.
            args: Its positional arguments.
            timeout: Limit in seconds.
            kwargs: Its keyword arguments.

        Returns:
            What the function returned.

        Raises:
            Refusal: It is no function, is not solved yet, raised an error, or took too long. The
                verdict names the error and the student's own line.
        """
        name = getattr(function, "__name__", None) or repr(function)[:60]
        if not callable(function):
            refuse(
                expected="a function",
                found=f"`{name}` is a {type(function).__name__}",
                next_step="Run the cell that defines the function again. Another cell may use its name.",
            )
        try:
            return run_limited(function, *args, timeout=timeout, **kwargs)
        except Refusal:
            raise
        except TimeLimit as late:
            refuse(
                expected=f"`{name}` returns within {late.seconds:g} s",
                found=f"`{name}` did not return in {late.seconds:g} s",
                next_step="Look for a loop that never ends, or a request that waits for a wrong address.",
            )
        except NotImplementedError as error:
            refuse(
                expected=f"`{name}` is written",
                found=f"not solved yet: {error}",
                next_step="Replace the `raise NotImplementedError(...)` line with your code, "
                "run the cell, then check again.",
                error="NotImplementedError",
            )
        except BaseException as error:
            # An error from another process (a graded run) has no traceback here, and brings the line along.
            line = getattr(error, "student_line", None) or student_line(error.__traceback__)
            where = f" (at {line})" if line else ""
            # A refusal by a Python backend brings the backend's own traceback along.
            message = re.sub(r"\n+At:\n(?:  .*\n?)+", "", str(error)).strip() or "no message"
            refuse(
                expected=f"`{name}` returns an answer",
                found=f"`{name}` raised {type(error).__name__}: {message}{where}",
                next_step=_FOREIGN_CLIENT_STEP
                if _FOREIGN_CLIENT.search(message)
                else f"Call `{name}` in a cell of your own to see the whole traceback, then fix that line.",
                error=type(error).__name__,
            )

    def call_all(
        self, function: Any, cases: Sequence[tuple[Any, ...]], *, timeout: float = 30.0
    ) -> list[Any]:
        """Call a student's function once for each case, under one time limit for all of them.

        Args:
            function: The student's function.
            cases: Its positional arguments, case by case.
            timeout: Limit in seconds for all calls together.

        Returns:
            What it returned, case by case.

        Raises:
            Refusal: As `call`.
        """

        def all_cases() -> list[Any]:
            return [function(*case) for case in cases]

        if not callable(function):
            return [self.call(function)]
        all_cases.__name__ = getattr(function, "__name__", "the function")
        found: list[Any] = self.call(all_cases, timeout=timeout)
        return found

    def need_server(self) -> Server:
        """The lab's own server, as proven by the runner.

        Raises:
            RuntimeError: The checkpoint is registered with `needs_server=False` (a fault of the course).
        """
        if self.server is None:
            raise RuntimeError("this checkpoint is registered with needs_server=False")
        return self.server

    def get(self, path: str, server: Server | None = None) -> httpx.Response:
        """GET a path such as `/v2/models/mnist_mlp/config` from a server, by default the lab's own."""
        return probes.http_get((server or self.need_server()).endpoints.http, path)

    def digits(self, n: int) -> tuple[NDArray[np.float32], NDArray[np.int64]]:
        """Real handwritten digits, drawn at random and slightly changed, so no answer can be replayed.

        Args:
            n: How many. More than there are repeats some, each time changed in another way.

        Returns:
            Images, float32 `[n, 1, 28, 28]` between 0 and 1, and labels, int64 `[n]`.
        """
        from lab_utils.models.digits import load_digits

        images, labels = load_digits()
        chosen = self.rng.choice(len(images), size=n, replace=n > len(images))
        return probes.perturbed(images[chosen], self.rng), labels[chosen].astype(np.int64)

    def reference(self, images: NDArray[np.float32], model: str = "mnist_mlp") -> NDArray[np.float32]:
        """Logits of the repository's own `model.onnx`, by ONNX Runtime in this process.

        Args:
            images: float32 `[n, 1, 28, 28]`.
            model: The model's folder in the repository.

        Returns:
            float32 `[n, 10]`.
        """
        return probes.onnx_reference(probes.latest_version(self.repository, model) / "model.onnx", images)

    def counting(self, model: str, server: Server | None = None) -> probes.Delta:
        """Count what a model does inside a `with` block, by Triton's own statistics."""
        return probes.Delta((server or self.need_server()).endpoints.http, model)

    def recorder(self, target: str, *, delay: float = 0.0, gather: int = 0, keep: int = 1 << 16) -> Recorder:
        """A proxy in front of `target` (`host:port`) that writes down what arrives. Use it with `with`.

        Args:
            target: For example `ctx.server.endpoints.http`.
            delay: Seconds to hold back each response, so that concurrency can be seen.
            gather: Hold the first responses back until so many requests are under way.
            keep: Bytes of each body to keep.
        """
        return Recorder(target, delay=delay, gather=gather, keep=keep)

    def fresh_server(
        self,
        repository: Path | None = None,
        *,
        options: Sequence[str] = (),
        wait_for: Sequence[str] = (),
        expect_failure: bool = False,
    ) -> Server:
        """Start a throwaway server that is stopped when the check ends.

        Args:
            repository: What it serves; by default the lab's own repository.
            options: Options of tritonserver.
            wait_for: Models to wait for.
            expect_failure: True hands a failed start on as `ServerError`, for checks about failures.

        Raises:
            Refusal: It does not start (unless `expect_failure`).
            ServerError: It does not start, and `expect_failure` is set.
        """
        try:
            server = triton.start(
                repository or self.repository,
                # Nobody else's server may be used as a throwaway one.
                runtime="embedded" if choose_runtime() == "remote" else None,
                name=f"{self.server_name}-check-{uuid.uuid4().hex[:8]}",
                options=tuple(options),
                lifetime="kernel",
                wait_for=tuple(wait_for),
            )
        except ServerError as error:
            if expect_failure:
                raise
            refuse(
                expected=f"a server starts with {' '.join(options) or 'no further options'}",
                found=str(error),
                next_step=error.fix or "Read the lines of the server's log above.",
            )
        # Nobody waits for its answers any more: killing it saves the three seconds of a drain.
        self._cleanup.callback(server.stop, 0.0)
        return server

    def scratch(self) -> Path:
        """A new empty folder that is removed when the check ends."""
        folder = Path(tempfile.mkdtemp(prefix=f"lab{self.lab}-check-"))
        self._cleanup.callback(shutil.rmtree, folder, ignore_errors=True)
        return folder

    def later(self, action: Callable[..., object], *args: Any) -> None:
        """Call `action(*args)` when the check ends, whatever happens."""
        self._cleanup.callback(action, *args)
