"""Jupyter's settings in the course's image. Jupyter runs this file when it starts, whoever starts it.

It is read by `jupyter lab` and by a hub's `jupyterhub-singleuser`, also where no entry point of the image ran
(JupyterHub's own default spawner starts that program for a user of the same container).
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from lab_utils.errors import LabError
from lab_utils.notebooks.copies import make_copies

settings = get_config()  # type: ignore[name-defined]  # noqa: F821
under_hub = bool(os.environ.get("JUPYTERHUB_API_TOKEN"))


def token() -> str | None:
    """The token of the file that a variable names; None: Jupyter's own choice, a random one.

    Raises:
        SystemExit: The file cannot be read, or is empty: that would leave the door open.
    """
    name = os.environ.get("TRITON_LAB_JUPYTER_TOKEN_FILE")
    if not name:
        return None
    try:
        found = Path(name).read_text().strip()
    except OSError as error:
        raise SystemExit(
            f"The token of JupyterLab cannot be read: {error.strerror}: {name}\n"
            f"  Why:  TRITON_LAB_JUPYTER_TOKEN_FILE names a file that user {os.getuid()} cannot read.\n"
            "  Next: mount the file, and let it belong to the user of the container."
        ) from None
    if not found:
        raise SystemExit(
            f"The token of JupyterLab is empty: {name}\n"
            "  Why:  whoever reaches a JupyterLab without a token can run programs in it.\n"
            '  Next: write one, for example: python3 -c "import secrets; print(secrets.token_urlsafe())"'
        )
    return found


# For the kernels and terminals, which inherit this environment.
os.environ.setdefault("TRITON_LAB_WORK", str(Path.home() / "work"))
work = Path(os.environ["TRITON_LAB_WORK"])
# Copies the image's models to this user's cache, when a spawner has left the entry point out.
subprocess.run(["lab-entry", "true"], check=False)
try:
    work.mkdir(parents=True, exist_ok=True)
    for copy in make_copies():
        print(copy.message, flush=True)
except (LabError, OSError) as error:
    print(f"The notebooks could not be copied to {work}: {error}", flush=True)

if not os.environ.get("JUPYTERHUB_ROOT_DIR"):
    settings.ServerApp.root_dir = str(work)
settings.ServerApp.terminado_settings = {"shell_command": ["/bin/bash"]}
if not under_hub:
    # Every address of the container; who reaches it from outside, the published port decides.
    settings.ServerApp.ip = "0.0.0.0"
    settings.ServerApp.open_browser = False
    settings.ServerApp.base_url = os.environ.get("TRITON_LAB_JUPYTER_BASE_URL", "/")
    if os.environ.get("JUPYTER_TOKEN") == "":
        del os.environ["JUPYTER_TOKEN"]  # it would switch the token off
    if (given := token()) is not None:
        settings.IdentityProvider.token = given
