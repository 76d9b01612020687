"""The judge: listens on a unix socket and runs the real checks against a kernel's answers."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any

from lab_utils.errors import LabError
from lab_utils.grading.judge.codec import CodecError
from lab_utils.grading.judge.context import JudgeContext
from lab_utils.grading.judge.packing import Given
from lab_utils.grading.judge.peer import Ended, Peer, gone
from lab_utils.grading.judge.scripts import Workshop
from lab_utils.grading.judge.wire import Channel, Lost
from lab_utils.progress.labs import lab_spec
from lab_utils.progress.limits import run_limited
from lab_utils.progress.registry import Checkpoint, Verdict
from lab_utils.progress.runner import run_checkpoint
from lab_utils.surroundings import JUDGE_VARIABLE

MOST_ATTEMPTS = 30
"""So often is one exercise judged in a run: more is no work but a search for the right letters."""

_REQUEST_SECONDS = 10.0
_RESOLVE_SECONDS = 20.0
_MOST_WAITING = 8
_MOST_NAMES = 5000
_MOST_WORDS = 6000

Report = Callable[[str, Verdict], None]


class Judge:
    """Judges the exercises of one lab for one kernel. Use it with `with`.

    The checks run in this process: with its environment (work, state and cache folders), its packages, and
    nothing of the kernel's but what the student's functions answer.

    Args:
        lab: The lab's number.
        path: Where the socket is made. A unix socket's path has at most 107 characters.
        report: Is told every verdict, before the kernel hears of it: id and verdict. It may be told of one
            exercise several times; the last time counts.
        hidden: Hidden checks. Each runs right after the exercise that its id begins with (`"1.5.1"` after
            `"1.5"`); the kernel never hears of it.
    """

    def __init__(
        self, lab: str | int, path: Path, report: Report, *, hidden: Iterable[Checkpoint] = ()
    ) -> None:
        self._checkpoints = {one.id: one for one in lab_spec(lab).checkpoints()}
        self._hidden = [one for one in hidden if exercise_of(one.id) in self._checkpoints]
        self._path, self._report = path, report
        self._turn = threading.Lock()
        self._waiting = threading.BoundedSemaphore(_MOST_WAITING)
        self._attempts: Counter[str] = Counter()
        self._listener: socket.socket | None = None

    def __enter__(self) -> Judge:
        self._listener = socket.socket(socket.AF_UNIX)
        try:
            self._listener.bind(str(self._path))
        except OSError as error:
            self._listener.close()
            raise LabError(
                f"the judge cannot listen at {self._path}",
                why=str(error),
                fix="Use a shorter path, in a folder of this run alone.",
            ) from error
        self._path.chmod(0o600)
        self._listener.listen(_MOST_WAITING)
        threading.Thread(target=self._accept, args=(self._listener,), name="judge", daemon=True).start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._listener is not None:
            with contextlib.suppress(OSError):
                self._listener.shutdown(socket.SHUT_RDWR)
            self._listener.close()
        self._path.unlink(missing_ok=True)

    @property
    def environment(self) -> dict[str, str]:
        """What a kernel's environment must say, so that `lab.check` asks this judge."""
        return {JUDGE_VARIABLE: str(self._path)}

    def judge(self, id: str, connection: socket.socket, names: Iterable[str] = ()) -> Verdict:
        """Judge an exercise, and its hidden checks, with the kernel at the other end of a connection.

        Args:
            id: The exercise.
            connection: The kernel is in `ask_judge` there, and has asked for this.
            names: The names that its notebook defines.

        Returns:
            The verdict on the exercise itself. Every verdict was reported.
        """
        return self._judge(id, Channel(connection), list(names))

    def _accept(self, listener: socket.socket) -> None:
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            if not self._waiting.acquire(blocking=False):
                connection.close()  # a kernel has one check at a time: this is a flood
                continue
            threading.Thread(target=self._serve, args=(connection,), name="judge-serves", daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with connection, contextlib.suppress(Lost, CodecError, OSError):
            try:
                channel = Channel(connection)
                hurry = threading.Timer(_REQUEST_SECONDS, channel.close)
                hurry.daemon = True
                hurry.start()
                request = Peer(channel, Given()).receive()
                hurry.cancel()
                match request:
                    case ["check", str(id), list(names)]:
                        wanted = [name for name in names[:_MOST_NAMES] if isinstance(name, str)]
                        with self._turn:
                            self._judge(id, channel, wanted)
            finally:
                self._waiting.release()

    def _judge(self, id: str, channel: Channel, names: list[str]) -> Verdict:
        one = self._checkpoints.get(id)
        if one is None:
            raise CodecError(f"this lab has no exercise {id[:20]!r}")
        self._attempts[id] += 1
        if self._attempts[id] > MOST_ATTEMPTS:
            raise CodecError(f"{id} was judged {MOST_ATTEMPTS} times")
        workshop = Workshop()
        peer = Peer(channel, Given(), workshop)
        peer.listen()
        try:
            verdict = self._run(one, peer, workshop, names)
            self._report(id, verdict)
            for more in self._hidden:
                if exercise_of(more.id) == id:
                    self._report(more.id, self._run(more, peer, workshop, names))
            with contextlib.suppress(Lost):
                peer.send("verdict", 0, verdict.as_dict())
        finally:
            workshop.close()
            peer.end("the check is over")
        return verdict

    def _run(self, one: Checkpoint, peer: Peer, workshop: Workshop, names: list[str]) -> Verdict:
        """One check, with the answers as they are in the kernel."""
        namespace: dict[str, Any] = dict.fromkeys(names)
        wanted = [name for name in one.answers if name in namespace]
        try:
            answers = run_limited(peer.do, "resolve", wanted, timeout=_RESOLVE_SECONDS)
        except Ended as error:
            return error.verdict
        except BaseException as error:
            return gone(f"asked for its answers, it says {type(error).__name__}: {error}")
        if not isinstance(answers, dict):
            return gone("it does not say what its answers are")
        namespace |= {name: answers.get(name) for name in wanted}
        try:
            verdict = run_checkpoint(one, JudgeContext.made(one.lab, workshop), namespace)
        except BaseException as error:  # raised by the kernel in a place where no check looks for it
            verdict = gone(f"it answered with {type(error).__name__}: {error}")
        # Whatever the check made of a kernel that went away: it was not there until the end.
        return gone(peer.ended) if peer.ended else _plain(verdict)


def exercise_of(id: str) -> str:
    """The exercise that a check belongs to: `"1.5"` for the hidden check `"1.5.1"`."""
    return ".".join(id.split(".")[:2])


def _plain(verdict: Verdict) -> Verdict:
    """The verdict with evidence that is JSON, and with words of a bearable length."""
    return replace(
        verdict,
        expected=_short(verdict.expected),
        found=_short(verdict.found),
        next_step=_short(verdict.next_step),
        evidence=_evidence(verdict.evidence),
    )


def _evidence(evidence: Any) -> dict[str, Any]:
    try:
        text = json.dumps(dict(evidence), default=repr)
    except (TypeError, ValueError, RecursionError):
        text = ""
    if not 0 < len(text) <= 20 * _MOST_WORDS:
        return {"evidence": "too much to keep"}
    found: dict[str, Any] = json.loads(text)
    return found


def _short(text: str) -> str:
    return text if len(text) <= _MOST_WORDS else f"{text[: _MOST_WORDS - 1]}…"
