"""What hostile cells hold."""

from __future__ import annotations

SPY = '''
import ctypes, glob, json, os, pathlib, signal, socket, subprocess, sys
found = {}

def attempt(name, function, *arguments):
    """What a try gives: a value, or the name of its error."""
    try:
        found[name] = function(*arguments)
    except BaseException as error:
        found[name] = f"refused: {type(error).__name__}"

def read(path):
    return pathlib.Path(path).read_bytes()[:200].hex()

def read_memory(pid):
    with open(f"/proc/{pid}/mem", "rb") as file:
        lines = open(f"/proc/{pid}/maps").read().splitlines()
        file.seek(int(lines[0].split("-")[0], 16))
        return file.read(10).hex()

def trace(pid):
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.ptrace(16, pid, 0, 0) != 0:  # PTRACE_ATTACH
        raise OSError(ctypes.get_errno(), "ptrace")
    return "traced"

def grep(word):
    hits = []
    for top in ("/tmp", "/student", "/course", "/cache", "/etc", "/dev/shm", "/home", "/run", "/var"):
        for folder, _, files in os.walk(top):
            for name in files:
                path = pathlib.Path(folder, name)
                try:
                    content = path.read_bytes() if path.stat().st_size < 1 << 20 else b""
                except OSError:
                    continue
                if word.encode() in content:
                    hits.append(str(path))
    return hits

def told_to_a_process(word):
    hits = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        for name in ("environ", "cmdline"):
            try:
                if word.encode() in open(f"/proc/{pid}/{name}", "rb").read():
                    hits.append(f"{pid} {name}")
            except OSError:
                pass
    return hits

word = "the-word-that-" + "nobody-may-read"
attempt("memory", read_memory, 1)
attempt("trace", trace, 1)
attempt("environ", read, "/proc/1/environ")
attempt("descriptors", os.readlink, "/proc/1/fd/0")
attempt("pipe", lambda: os.open("/proc/1/fd/3", os.O_WRONLY))
attempt("hidden on disk", grep, word)
attempt("hidden in words", told_to_a_process, word)
attempt("root", os.listdir, "/")
attempt("course", lambda: sorted(p for p in os.listdir("/course")))
attempt("other folders", lambda: [path for path in OTHERS if os.path.exists(path)])
attempt("shadow", read, "/etc/shadow")
attempt("key", lambda: os.listdir(os.path.expanduser("~root/.ssh")))
attempt("user", os.getuid)
attempt("become root", os.setuid, 0)
attempt("kill judge", os.kill, 1, signal.SIGKILL)
attempt("stop judge", os.kill, 1, signal.SIGSTOP)
attempt("interrupt judge", os.kill, 1, signal.SIGINT)
attempt("course written", lambda: open("/course/lab_utils/lab.py", "a").close())
attempt("cache changed", lambda: os.rename(glob.glob("/cache/models/*")[0], "/cache/models/x"))
attempt("python written", lambda: open(sys.prefix + "/pyvenv.cfg", "a").close())
attempt("python moved", lambda: os.rename(sys.prefix, sys.prefix + "x"))
attempt("root written", lambda: open("/x", "w").close())
attempt("internet", lambda: socket.create_connection(("1.1.1.1", 53), 3) and "reached")
attempt("teacher", lambda: socket.create_connection(("127.0.0.1", PORT), 3) and "reached")
attempt("interfaces", lambda: sorted(name for _, name in socket.if_nameindex()))
attempt("mount", lambda: ctypes.CDLL(None).mount(b"none", b"/student", b"tmpfs", 0, 0) == 0)
own = socket.create_server(("127.0.0.1", 0))
attempt("loopback", lambda: socket.create_connection(own.getsockname()) and 1)
print(json.dumps(found))
'''

LIARS = {
    "a patched library": """
import lab_utils.lab, lab_utils.progress.runner, lab_utils.progress.registry as registry
from lab_utils.progress.registry import passed
yes = lambda *args, **kwargs: passed("so it is")
lab_utils.lab.run_checkpoint = lab_utils.progress.runner.run_checkpoint = yes
lab_utils.lab.Lab._judge = lab_utils.lab.Lab.check = lambda self, id: yes()
registry.Verdict.passed = property(lambda self: True)
for one in lab._checkpoints: object.__setattr__(one, "function", yes)
""",
    "a patched client": """
import lab_utils.grading.judge.client as client
from lab_utils.progress.registry import passed
client.ask_judge = lambda *args, **kwargs: passed("so it is")
""",
    "a forged progress file": """
import json, os
from lab_utils.progress.registry import passed
for id in ("1.1", "1.5"):
    lab.store.record(id, passed("so it is"))
""",
    "another judge": """
import os, socket, threading
os.environ["TRITON_LAB_JUDGE"] = "/tmp/mine"
os.environ.pop("TRITON_LAB_RUN", None)
""",
    "a report of its own": """
import os, json, stat
verdict = {"status": "PASS", "found": "so it is"}
line = json.dumps({"event": "verdict", "id": "1.5", "verdict": verdict}) + "\\n"
for number in range(1, 40):
    try:
        if stat.S_ISFIFO(os.fstat(number).st_mode):
            os.write(number, line.encode())
    except OSError:
        pass
""",
}

FAKE_SERVER = """
import dataclasses, http.server, json, threading
from lab_utils import server as triton
from lab_utils.server import records

class Healthy(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")
    do_POST = do_GET
    def log_message(self, *args): pass

false = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Healthy)
threading.Thread(target=false.serve_forever, daemon=True).start()
record = triton.record("lab01")
ends = dataclasses.replace(record.endpoints, http=f"127.0.0.1:{false.server_port}")
records.path_of("lab01").write_text(json.dumps(dataclasses.replace(record, endpoints=ends).as_dict()))
"""

KILL = "import os, signal\nos.kill(-1, signal.SIGKILL)\nos.kill(os.getpid(), signal.SIGKILL)"
EXIT = "import sys\nsys.exit(0)"
EXIT_AT_ONCE = "import os\nos._exit(0)"
FORK = "import os\nwhile True:\n    try:\n        os.fork()\n    except OSError:\n        pass"
FILL = """
import time
with open('/tmp/big', 'wb') as file:
    try:
        while True:
            file.write(bytes(1 << 20))
    except OSError:
        pass
    time.sleep(30)
"""


def hog(processes: int) -> str:
    """Half a GiB for each of so many processes, so that no single one is refused."""
    return (
        "import subprocess, sys, time\n"
        "code = 'import time; x = bytearray(1 << 29); x[::4096] = b\"x\" * len(x[::4096]); time.sleep(60)'\n"
        f"crowd = [subprocess.Popen([sys.executable, '-c', code]) for _ in range({processes})]\n"
        "time.sleep(60)"
    )
