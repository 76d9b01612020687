"""PyTorch modules that are here and there: the judge's own and the kernel's twin, with one state.

A student's function may change the module that it gets, and a check may train it further after an export. So
before a call the judge's state goes to the twin, and afterwards the twin's changes come back.
"""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from typing import Any

from lab_utils.grading.judge.codec import CodecError

State = dict[str, Any]


def _tensors(module: Any) -> dict[str, Any]:
    return {**dict(module.named_parameters()), **dict(module.named_buffers())}


def _modes(module: Any) -> dict[str, bool]:
    return {name: bool(part.training) for name, part in module.named_modules()}


def _set_state(module: Any, modes: Mapping[Any, Any], tensors: Mapping[Any, Any]) -> None:
    """Take over modes and numbers, as far as names, shapes and types fit."""
    import torch

    parts = dict(module.named_modules())
    for name, training in modes.items():
        if name in parts and isinstance(training, bool):
            parts[name].training = training
    own = _tensors(module)
    for name, value in tensors.items():
        mine = own.get(name)
        if mine is None or not isinstance(value, torch.Tensor):
            continue
        if value.shape != mine.shape or value.dtype != mine.dtype:
            raise CodecError(f"a module came back with another `{name}`")
        mine.data.copy_(value)


class Snapshot:
    """The state of a module at one moment, and what has changed since."""

    def __init__(self, module: Any) -> None:
        self._module = module
        self.take()

    def take(self) -> None:
        """Now."""
        self._modes = _modes(self._module)
        self._tensors = {name: tensor.detach().clone() for name, tensor in _tensors(self._module).items()}

    def changes(self) -> State | None:
        """Modes and changed tensors since the last look; None when nothing changed."""
        import torch

        modes, old = _modes(self._module), self._tensors
        changed = {
            name: tensor.detach().clone()
            for name, tensor in _tensors(self._module).items()
            if name not in old
            or old[name].shape != tensor.shape
            or not torch.equal(old[name].nan_to_num(), tensor.detach().nan_to_num())
        }
        if modes == self._modes and not changed:
            return None
        self.take()
        return {"modes": modes, "tensors": changed}


class Originals:
    """The judge's side."""

    def __init__(self) -> None:
        self._modules: list[Any] = []
        self._seen: list[Snapshot] = []

    def send(self, module: Any) -> tuple[int, bytes | None, State | None]:
        """Number, pickle (the first time), and changes since the last time of a module."""
        for number, known in enumerate(self._modules):
            if known is module:
                return number, None, self._seen[number].changes()
        self._modules.append(module)
        self._seen.append(Snapshot(module))
        return len(self._modules) - 1, pickle.dumps(module, protocol=5), None

    def news(self) -> dict[int, State]:
        """Changes of all modules since they were sent last."""
        found = {number: seen.changes() for number, seen in enumerate(self._seen)}
        return {number: state for number, state in found.items() if state is not None}

    def take_over(self, changes: Any) -> None:
        """What a kernel's twins have become.

        Raises:
            CodecError: Those are not states of these modules.
        """
        if not isinstance(changes, Mapping):
            raise CodecError("no states of modules")
        for number, state in changes.items():
            if (
                type(number) is not int
                or not 0 <= number < len(self._modules)
                or not isinstance(state, Mapping)
            ):
                raise CodecError("a state of no module")
            modes, tensors = state.get("modes"), state.get("tensors")
            if isinstance(modes, Mapping) and isinstance(tensors, Mapping):
                _set_state(self._modules[number], modes, tensors)
                self._seen[number].take()


class Twins:
    """The kernel's side."""

    def __init__(self) -> None:
        self._modules: dict[int, Any] = {}
        self._seen: dict[int, Snapshot] = {}

    def take(self, number: int, content: bytes | None, state: State | None) -> Any:
        """The twin of a number, made or brought up to date."""
        if content is not None:
            self._modules[number] = pickle.loads(content)
            self._seen[number] = Snapshot(self._modules[number])
        elif state is not None:
            self.refresh({number: state})
        return self._modules[number]

    def refresh(self, states: Mapping[int, State]) -> None:
        """Take over what has changed at the judge's."""
        for number, state in states.items():
            _set_state(self._modules[number], state["modes"], state["tensors"])
            self._seen[number].take()

    def changes(self) -> dict[int, State]:
        """What a student's function has changed."""
        found = {number: seen.changes() for number, seen in self._seen.items()}
        return {number: state for number, state in found.items() if state is not None}
