"""A Triton log as a list of entries, whatever it passed through: docker, Kubernetes, a status table."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

_ANSI = re.compile(r"\x1b\[[0-9;]*[A-Za-z]")
_GLOG = re.compile(
    r"(?P<level>[IWEF])\d{4} \d\d:\d\d:\d\d\.\d+ +\d+ (?P<source>[\w./-]+:\d+)\] ?(?P<text>.*)$"
)
# --log-format=ISO8601
_ISO = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ? (?P<level>[IWEF]) \d+ (?P<source>[\w./-]+:\d+)\] ?(?P<text>.*)$"
)
# What a collector or a quotation puts before a line: compose's `name | `, a time, `stderr F`, `> `.
_PREFIX = re.compile(
    r"^(?:(?:> ?)+|[\w.-]+ +\| ?(?=\S)|\d{4}-\d\d-\d\d[T ][\d:.,]+Z? (?:std(?:out|err) [FP] )?(?=\S))"
)
_ROW = re.compile(r"^\s*\\?\|(?P<cells>.*)\\?\|\s*$")
_RULER = re.compile(r"^\s*\+[-+=]{5,}\+?\s*$")
# Lines without a header of Triton's that begin something new instead of continuing the line before.
_NEW = re.compile(
    r"^\s*(?:\[libprotobuf|\[TensorRT-LLM\]|\[TRT|error: |Error: |ERROR: |WARNING: |Traceback \("
    r"|terminate called|what\(\):|Signal \(|tritonserver: |docker: |Bad option|invalid argument for"
    r"|Invalid option"
    r"|UNAVAILABLE"
    r"|\w+Error: |\d{4}-\d\d-\d\d |\S*: error while loading|\S+: \S*version `|\[StatusCode|Segmentation fault"
    r"|Killed|Aborted|INFO |WARN)"
)
_BARE = re.compile(
    r"libprotobuf ERROR|error while loading|not found \(required|terminate called|what\(\):|Signal \("
    r"|Traceback|^\s*[eE]rror: |ERROR|^\s*\w*(?:Error|Exception): |^Bad option|^invalid argument for"
    r"|^Invalid option value"
    r"|^tritonserver: |^docker: |UNAVAILABLE|Segmentation fault|^Killed|\[E\]|Aborted|core dumped|StatusCode"
)
_STATES = ("READY", "UNAVAILABLE", "LOADING", "UNLOADING", "UNKNOWN")
_HARMLESS = re.compile(
    r"nvml|dcgm|pinned[_ ](?:system )?memory|gpu metrics|cuda memory (?:pool|manager)|cudadriverhelper"
    r"|cuda driver version is insufficient|no cuda-capable device|cnmem_status_not_initialized"
    r"|unable to (?:get|load) (?:power|energy|device|cuda|nv)|nvidia driver was not detected"
)
"""Messages that are normal where there is no GPU."""


@dataclass
class Entry:
    """One message of a log.

    Attributes:
        level: `I`, `W`, `E`, `F`, or "" for a line without Triton's header.
        text: The message, unquoted, with real line breaks.
        raw: Its lines as they stand in the log.
        number: Line number of the first of them, from 1.
        row: Model and version when it is a row of the table of models.
    """

    level: str
    text: str
    raw: list[str] = field(default_factory=list)
    number: int = 0
    row: tuple[str, str] | None = None

    @property
    def decisive(self) -> bool:
        """It reports an error and is not what is normal on a machine without a GPU."""
        return self.is_error and not self.harmless

    @property
    def is_error(self) -> bool:
        """It reports an error."""
        if self.row is not None:
            return self.text.startswith("UNAVAILABLE")
        if self.level:
            return self.level in "EF" or (self.level == "I" and "Python stub:" in self.text)
        return bool(_BARE.search(self.text))

    @property
    def telling(self) -> bool:
        """It may be the reason of a failure that follows: an error, or a folder that is passed over."""
        return self.decisive or "ignore version directory" in self.text

    @property
    def harmless(self) -> bool:
        """It speaks of a GPU that is not there, as every log of a CPU machine does."""
        text = self.text.lower()
        return bool(_HARMLESS.search(text)) and "failed to load" not in text and not self.row


def unquote(text: str) -> str:
    r"""A message without the quotes of newer releases (24.05 on), with `\n` as a line break."""
    text = text.strip()
    if len(text) > 1 and text[0] == '"' and text[-1] == '"':
        text = text[1:-1].replace('\\"', '"')
    return text.replace("\\n", "\n").replace("\\t", "\t").rstrip("\n")


def read_log(log: str) -> list[Entry]:
    """The entries of a log, in order. A status table gives one entry per model and version."""
    entries: list[Entry] = []
    table: list[tuple[int, str, list[str]]] = []
    for number, raw, line in _lines(log):
        row = _ROW.match(line)
        if row:
            table.append((number, raw, re.split(r"\\?\|", row["cells"])))
            continue
        if _RULER.match(line) and table:
            entries += _table(table)
            table = []
            continue
        if table:
            entries += _table(table)
            table = []
        head = _GLOG.search(line) or _ISO.search(line)
        if head:
            entries.append(Entry(head["level"], unquote(head["text"]), [raw], number))
        elif _continues(line, entries):
            entries[-1].text += "\n" + unquote(line)
            entries[-1].raw.append(raw)
        elif line.strip() and not _RULER.match(line):
            entries.append(Entry("", unquote(line), [raw], number))
    return entries + _table(table)


def _lines(log: str) -> Iterator[tuple[int, str, str]]:
    """Number, the line as it is, and the line without what a collector put before it."""
    for number, raw in enumerate(log.splitlines(), 1):
        line = _ANSI.sub("", raw)
        if line.lstrip().startswith("{"):
            line = _unwrap(line)
        if not (_GLOG.match(line) or _ROW.match(line)):
            line = _PREFIX.sub("", line, count=1)
        yield number, raw, line


def _unwrap(line: str) -> str:
    """The text inside a JSON log line (docker's json-file, a cloud's collector), else the line."""
    try:
        value = json.loads(line)
    except ValueError:
        return line
    if isinstance(value, dict):
        for key in ("log", "message", "msg", "textPayload", "error"):
            if isinstance(value.get(key), str):
                return str(value[key]).rstrip("\n")
    return line


def _continues(line: str, entries: list[Entry]) -> bool:
    """Whether a line without a header belongs to the message before it (a traceback, a wrapped line)."""
    if not entries:
        return False
    last = entries[-1]
    if _NEW.match(line):
        # The reason of a TorchScript traceback stands in its last line, without a header.
        return "TorchScript" in last.text and re.match(r"\s*\w*Error: ", line) is not None
    return (
        last.row is None and (last.is_error or last.level == "W") and (bool(line.strip()) or not last.level)
    )


def _table(rows: list[tuple[int, str, list[str]]]) -> list[Entry]:
    """The models of a status table; nothing for any other table.

    Triton cuts a long cell at its width, in the middle of a word, and goes on in the next row.
    """
    found: list[Entry] = []
    for number, raw, cells in rows:
        if len(cells) < 3:
            continue
        name, version = cells[0].strip(), cells[1].strip()
        state = "|".join(cells[2:])
        text = state[1:] if state.startswith(" ") else state
        if name and text.split(":")[0].strip() in _STATES:
            found.append(Entry("", text.rstrip("\n"), [raw], number, (name, version)))
        elif not name and not version and found:
            last = found[-1]
            full = last.text.endswith(" ") and not last.text.endswith("  ")
            last.text = (last.text[:-1] if full else last.text.rstrip() + "\n") + text
            last.raw.append(raw)
    for entry in found:
        entry.text = entry.text.strip()
    return found
