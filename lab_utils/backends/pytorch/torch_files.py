"""What a file called model.pt is, told from its bytes: PyTorch is not loaded and nothing unpickled."""

from __future__ import annotations

import zipfile
from pathlib import Path

from lab_backend import faulty_file, refuse


def check_torchscript(model: str, path: Path) -> None:
    """Name what a file is when it is not TorchScript, before PyTorch is loaded and without unpickling."""
    why = faulty_file(path)
    save = "save it with torch.jit.script(model).save(path) or torch.jit.trace(model, example).save(path)"
    if why is None and not zipfile.is_zipfile(path):
        head = path.read_bytes()[:2]
        if head[:1] == b"\x80":
            why = f"it is a Python pickle (torch.save in its old form), which is never opened here; {save}"
        elif head[:1] == b"\x08":
            why = 'it looks like an ONNX file: name it model.onnx and use platform: "onnxruntime_onnx"'
        else:
            why = f"it is not a TorchScript archive; {save}"
    elif why is None:
        with zipfile.ZipFile(path) as archive:
            members = [name.split("/", 1)[-1] for name in archive.namelist()]
        if not any(name.startswith("code/") for name in members):
            if any("exported_program" in name or name.startswith("models/") for name in members):
                why = f"it is a torch.export program, not TorchScript; {save}"
            elif "data.pkl" in members:
                why = f"it was made by torch.save (a state_dict or a pickled module), not TorchScript; {save}"
            else:
                why = f"it is a zip archive without TorchScript code; {save}"
    if why:
        refuse(f"failed to load model '{model}' from '{path}': {why}")
