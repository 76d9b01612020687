"""The museum's live server: its models can be broken, looked at and mended."""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import httpx

from lab_utils import server as triton
from lab_utils import web
from lab_utils.errors import LabError
from lab_utils.incidents.causes import CAUSES, MENDS, mended
from lab_utils.incidents.crowd import CACHED, Crowd
from lab_utils.incidents.layout import ENSEMBLE, HEALTHY, OPTIONS, Setting, write_model, write_museum
from lab_utils.incidents.observation import SECONDS, Observation, observe
from lab_utils.server import keys
from lab_utils.server.base import Server
from lab_utils.tracing import TraceReceiver, trace_options

_GONE_SECONDS = 20.0

Start = Callable[[Path, Sequence[str]], Server]


class Museum:
    """A museum's server with its visitors. Things can be broken, looked at and mended.

    Args:
        folder: A folder of its own; the model repository is written into it.
        start: Starts a server on a repository with options. None: one that ends with this process.
    """

    def __init__(self, folder: Path, start: Start | None = None) -> None:
        self.repository = folder / "model_repository"
        shutil.rmtree(self.repository, ignore_errors=True)
        self.repository.mkdir(parents=True)
        write_museum(self.repository)
        self.settings = dict(HEALTHY)
        self.receiver = TraceReceiver().start()
        try:
            options = [*OPTIONS, *trace_options(self.receiver, rate=0)]
            self.server = (start or _start)(self.repository, options)
            for model in (*HEALTHY, ENSEMBLE):
                self.server.wait_ready(model)
            self.crowd = Crowd(self.server)
            self.crowd.fill_caches()
        except BaseException:
            self.receiver.stop()
            raise
        self._log_from = len(self.server.logs())

    def observe(self, seconds: float = SECONDS) -> Observation:
        """Let the visitors ask for some seconds, and look at everything."""
        return observe(self.server, self.crowd, self.receiver, seconds=seconds, log_from=self._log_from)

    def strike(self, cause: str, model: str, innocent: str | None = None) -> None:
        """Let a thing go wrong.

        Args:
            cause: A name of `CAUSES`.
            model: The model that it strikes, one of the cause's `models`.
            innocent: Another model, which is loaded anew at the same time, as it is.
        """
        self._log_from = len(self.server.logs())
        if innocent is not None:
            self._load(innocent, self.settings[innocent])
        if CAUSES[cause].changes:
            self._load(model, CAUSES[cause].strike(model))
        else:
            self._post(f"/v2/repository/models/{model}/unload")
            self._wait_gone(model)

    def mend(self, mend: str, model: str) -> None:
        """Do something about a model; whether it helps is another question.

        Raises:
            LabError: There is no such mend or model.
        """
        for word, known, kind in ((mend, MENDS, "mend"), (model, HEALTHY, "model that can be mended")):
            if word not in known:
                raise LabError(f"`{word}` is no {kind}.", fix=f"Use one of: {', '.join(known)}.")
        self._load(model, mended(self.settings[model], mend))
        if model in CACHED:
            self.crowd.fill_caches()

    def restore(self) -> None:
        """Make all well again, whatever was broken."""
        for model, setting in HEALTHY.items():
            if self.settings[model] != setting or not self._ready(model):
                self._load(model, setting)
        self.crowd.fill_caches()

    def stop(self) -> None:
        """End the server and the receiver of its spans."""
        self.server.stop(0)
        self.receiver.stop()

    def _load(self, model: str, setting: Setting) -> None:
        write_model(self.repository, model, setting)
        self.settings[model] = setting
        self._post(f"/v2/repository/models/{model}/load")

    def _post(self, path: str) -> None:
        at = self.server.endpoints
        headers = keys.headers_for(at.http)
        url = f"{at.http_url}{path}"
        answer = httpx.post(url, headers=headers, trust_env=False, timeout=60, verify=web.tls())
        if answer.status_code != 200:
            raise LabError(
                f"The museum's server refuses {path}.",
                why=answer.text,
                fix="Run the cell again; please report it when it returns.",
            )

    def _ready(self, model: str) -> bool:
        path = f"{self.server.endpoints.http_url}/v2/models/{model}/ready"
        return httpx.get(path, trust_env=False, timeout=10, verify=web.tls()).status_code == 200

    def _wait_gone(self, model: str) -> None:
        end = time.monotonic() + _GONE_SECONDS
        while self._ready(model) and time.monotonic() < end:
            time.sleep(0.05)


def _start(repository: Path, options: Sequence[str]) -> Server:
    return triton.start(repository, name="lab04-museum", options=options, lifetime="kernel")
