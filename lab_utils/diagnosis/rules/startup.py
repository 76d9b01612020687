"""The server itself does not start."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "startup.option-value",
        r"^Bad option: \"--(?P<option>[^\"]+)\"|[Ii]nvalid argument for --(?P<option2>\S+)|Invalid option "
        r"value[^\n]*?--(?P<option3>[\w-]+)",
        "The value given to `--{option}` is not one that tritonserver accepts.",
        "`tritonserver --help` lists the values that `--{option}` takes.",
        "invalid argument for --model-control-mode",
    ),
    rule(
        "startup.unknown-option",
        r"(?:unrecognized option '?(?:--)?(?P<option>[\w-]+)|Unexpected argument: "
        r"(?P<option2>\S+)|[Uu]nknown option:? ?'?(?:--)?(?P<option3>[\w-]+)|invalid option -- "
        r"'(?P<option4>\w)')",
        "tritonserver of this release has no option `{option}`.",
        "Look it up with `tritonserver --help`: it may be misspelt, newer, or removed.",
        "tritonserver: unrecognized option '--model-repo'",
    ),
    rule(
        "startup.load-model-mode",
        r"Use of '--load-model' requires setting '--model-control-mode=explicit'|explicit model load / "
        r"unload is not allowed(?: if polling is enabled)?|cannot enable both polling and "
        r"explicit|Wildcard model name '\*' must be the ONLY",
        "Loading by name belongs to the control mode `explicit`, and the server runs in another one (or "
        "* was mixed with names): --load-model and the load API work only there.",
        "Start the server with --model-control-mode=explicit.",
        "Error: Use of '--load-model' requires setting '--model-control-mode=explicit' as well.",
    ),
    rule(
        "startup.local-cache",
        r"Failed to initialize LocalCache: (?P<message>[^\"\n]+)",
        "The response cache could not be made from `--cache-config=local,size=...` ({message}): the size is "
        "no whole number of bytes, or it is too small or too large.",
        "Give a whole number of bytes, for example --cache-config=local,size=16777216 (16 MiB).",
        "Internal: Failed to initialize LocalCache: stoull",
    ),
    rule(
        "startup.register-mode",
        r"repository (?:un)?registration is not allowed if model control mode is not "
        r"EXPLICIT|'repository_name' specification is not supported",
        "Repositories can be added to a running server only in the control mode `explicit`.",
        "Start the server with --model-control-mode=explicit.",
        "repository registration is not allowed if model control mode is not EXPLICIT",
    ),
    rule(
        "startup.no-repository",
        r"--model-repository must be specified|empty argument for --(?P<option>\S+)",
        "tritonserver was started without a model repository {option}.",
        "Add --model-repository=/path/to/models.",
        "error: creating server: Invalid argument - --model-repository must be specified",
    ),
    rule(
        "startup.library-empty",
        r"error while loading shared libraries: (?P<library>\S+): (?:file too short|invalid ELF header)",
        "{library} is an empty or damaged file: the container did not get the driver's libraries of the "
        "host, only their placeholders.",
        "Start it with --gpus=all and the NVIDIA Container Toolkit; on a machine without GPU use an "
        "image without the placeholder (docker commit of a GPU container leaves them behind).",
        "tritonserver: error while loading shared libraries: /usr/lib/libnvidia-ml.so.1: file too short",
    ),
    rule(
        "startup.preload",
        r"\S*/(?:bash|sh|env|cat|find): error while loading shared libraries: (?P<library>\S+):",
        "Even the shell does not start: a library in LD_PRELOAD needs {library}, which is not in this "
        "image. The plugin was built for another CUDA or TensorRT.",
        "Build the plugin in this container's release, and check the path in LD_PRELOAD.",
        "/bin/bash: error while loading shared libraries: libcudart.so.10.1: cannot open shared object file",
    ),
    rule(
        "startup.library",
        r"(?<!backend_stub:[ ])error while loading shared libraries: (?P<library>\S+):",
        "The shared library {library} is not on this machine.",
        "Install the package that holds it, for example `apt install libpython3.11`, or use the container.",
        "tritonserver: error while loading shared libraries: libdcgm.so.3: cannot open shared object "
        "file: No such file",
    ),
    rule(
        "startup.glibc",
        r"(?P<version>GLIBC_[\d.]+)' not found \(required by \S*tritonserver",
        "This system's C library is too old: the server needs {version}.",
        "Use a newer system (Debian 12, Ubuntu 22.04 or later) or the docker runtime.",
        "tritonserver: /lib/x86_64-linux-gnu/libc.so.6: version `GLIBC_2.34' not found (required by "
        "tritonserver)",
    ),
    rule(
        "startup.file",
        r"failed to stat file (?P<path>\S+)|directory does not exist.*?(?P<path2>/\S+)|backend "
        r"directory[^\n]*does not exist",
        "A file or folder that the server was told to read is not there: {path}.",
        "Check the path in the options, and that this user may read it.",
        "error: creating server: Internal - directory does not exist: /opt/backends",
    ),
    rule(
        "startup.log-file",
        r"Failed to open log file: (?P<path>[^\n\"]+)|failed creating trace file: (?P<path2>[^\n\"]+)",
        "The server cannot write its log or trace file {path}.",
        "Name a file in a folder that exists and that the server's user may write to.",
        "error: creating server: Internal - x: Failed to open log file: Permission denied",
    ),
    rule(
        "startup.trace",
        r"(?:failed to configure tracing|invalid argument for --trace|trace_rate|Expect only one trace "
        r"level|Must specify trace)(?P<why>[^\n]*)",
        "The trace options are not usable {why}.",
        "Give --trace-config file=... and level=TIMESTAMPS together; numbers are whole.",
        "error: failed to configure tracing: Invalid argument - trace_rate must be positive",
    ),
    rule(
        "startup.exec-format",
        r"exec format error|cannot execute binary file|Illegal instruction",
        "The program was built for another processor than this machine has.",
        "Use the image or build for this architecture (amd64 or arm64); `docker run --platform` names it.",
        "exec /opt/nvidia/nvidia_entrypoint.sh: exec format error",
    ),
    rule(
        "startup.not-found",
        r"tritonserver: (?:command )?not found|\"?tritonserver\"?: executable file not found|trtserver: "
        r"(?:command )?not found|no such file or directory: unknown",
        "The program `tritonserver` is not there: this image is the client's SDK or another one, or PATH "
        "is wrong.",
        "Use the image nvcr.io/nvidia/tritonserver:YY.MM-py3 (not -sdk), or "
        "/opt/tritonserver/bin/tritonserver.",
        "bash: tritonserver: command not found",
    ),
    rule(
        "startup.metrics",
        r"[Mm]etrics? (?:family|quantiles)[^\n]*(?:invalid|Invalid)|No ':' delimiter found\. Expected "
        r"format is <quantile>:<error>",
        "An option about metrics has a wrong form.",
        'Quantiles are pairs: --metrics-config summary_quantiles="0.5:0.05,0.9:0.01".',
        "Invalid option: [0.5]. No ':' delimiter found. Expected format is <quantile>:<error>",
    ),
    rule(
        "startup.nothing-loaded",
        r"failed to load all models|No server context available",
        "The server ended because a model could not be loaded and --exit-on-error is on.",
        "Read the row of the table of models that is not READY, or start with --exit-on-error=false and "
        "load one by one.",
        "error: creating server: Internal - failed to load all models",
        symptom=True,
    ),
    rule(
        "startup.crash",
        r"Signal \((?P<signal>11|6)\) received|Segmentation fault|Caught signal (?P<signal2>\d+)|core "
        r"dumped|terminate called after throwing an instance of '(?P<what>[^']*)'|double free or "
        r"corruption|free\(\): invalid",
        "tritonserver or one of its processes crashed {signal} {what}: a fault in native code, often "
        "libraries of two versions in one process.",
        "Find the model by loading one at a time in explicit mode; look for a second CUDA, torch or "
        "NumPy in LD_LIBRARY_PATH and PYTHONPATH.",
        "Signal (11) received.",
        symptom=True,
    ),
    rule(
        "startup.killed",
        r"^\s*Killed\s*$|exit(?:ed with)? code 137|signal 9|SIGKILL",
        "The process was killed from outside: by a person, or by the system when memory ran out.",
        "Look at `dmesg` and the container's memory limit.",
        "Killed",
    ),
)
