"""Models of the python backend: their code, their environment, and the process that runs them."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "python.numpy2",
        r"(?:A module that was compiled using NumPy 1\.x cannot be run in NumPy "
        r"(?P<version>2\S*)|numpy\.core\.multiarray failed to import|_ARRAY_API not found|numpy\.dtype "
        r"size changed)",
        "The environment's NumPy and a compiled module do not fit together {version}.",
        "Install `numpy<2` in the environment of the model, or a build of the module made for NumPy 2.",
        "ImportError: numpy.core.multiarray failed to import",
        place="model.py",
    ),
    rule(
        "python.numpy-build",
        r"Importing the numpy C-extensions failed|Error importing numpy|numpy\.core\._multiarray_umath",
        "The NumPy that the model finds was not built for the Python that runs it: with "
        "EXECUTION_ENV_PATH the environment has another Python version than the stub, or two "
        "environments are mixed.",
        "Make the environment with the Python version of the server's stub (`python3 --version` in the "
        "container), or build a stub for the other version and put it into the model's folder; pack it "
        "with PYTHONNOUSERSITE=True.",
        "ImportError: Error importing numpy: you should not try to import numpy from its source directory",
        place="parameters.EXECUTION_ENV_PATH|model.py",
    ),
    rule(
        "python.module",
        r"ModuleNotFoundError: No module named '?(?P<module>[\w.]+)",
        "The model's Python code imports `{module}`, and that module is not in the environment of the "
        "Python that runs it.",
        "Install it where the server runs (in the container: in the image), or give the model an "
        "environment of its own with EXECUTION_ENV_PATH.",
        "Internal: ModuleNotFoundError: No module named 'transformers'\n\nAt:\n  /models/net/1/model.py(1): "
        "<module>",
        place="model.py",
    ),
    rule(
        "python.glibc",
        r"(?P<library>[^\s:]+): version `(?P<version>(?:GLIBC|GLIBCXX|CXXABI)_[\d.]+)' not found(?: "
        r"\(required by (?P<by>[^)\s]+))?",
        "A program or module was built for a newer system ({by}): it needs {version}, and {library} is "
        "older.",
        "Build the environment or the stub on the same system as the server's (conda: add libstdcxx-ng), "
        "or use a newer image.",
        "/opt/backends/python/triton_python_backend_stub: /tmp/python_env_x/lib/libstdc++.so.6: version "
        "`GLIBCXX_3.4.30' not found (required by "
        "/opt/tritonserver/backends/python/triton_python_backend_stub)",
    ),
    rule(
        "python.import-library",
        r"ImportError: (?P<library>\S+\.so[\w.]*): (?P<why>cannot open shared object file|undefined "
        r"symbol|version [^\n]*)",
        "A Python module needs the shared library {library}, which cannot be loaded: {why}.",
        "Install the system package that holds it in the image (libGL.so.1: `apt install libgl1`), or a "
        "build of the module made for this system.",
        "ImportError: libGL.so.1: cannot open shared object file: No such file or directory",
        place="model.py",
    ),
    rule(
        "python.cannot-import-name",
        r"ImportError: cannot import name '(?P<name>[^']+)' from (?:partially initialized module "
        r")?'(?P<module>[^']+)'",
        "The installed `{module}` has no `{name}`: another version of it is installed than the code was "
        "written for.",
        "Pin the version that the code needs, in the environment of the server.",
        "ImportError: cannot import name 'cached_download' from 'huggingface_hub' (/usr/lib/python3/x.py)",
        place="model.py",
    ),
    rule(
        "python.import-other",
        r"ImportError: (?P<message>[^\n\"]+)",
        "The model's Python code could not import a module: {message}",
        "Install or repair it in the environment of the server, and load the model again.",
        "ImportError: Using `low_cpu_mem_usage=True` requires Accelerate",
        place="model.py",
    ),
    rule(
        "python.protobuf-version",
        r"Descriptors cannot (?:not )?be created directly",
        "The installed protobuf is newer than the generated code that a module brings.",
        "Install protobuf 3.20 (`protobuf<=3.20.3`) in the environment of the model, or a newer release "
        "of that module.",
        "TypeError: Descriptors cannot be created directly.",
        place="model.py",
    ),
    rule(
        "python.syntax",
        r"(?P<kind>SyntaxError|IndentationError|TabError): (?P<message>[^\n\"]*?)(?: \((?P<file>[\w.]+), "
        r"line (?P<line>\d+)\))",
        "{file} is not valid Python at line {line}: {message}.",
        "Correct that line; `python -m py_compile model.py` finds it without a server.",
        "Internal: SyntaxError: expected ':' (model.py, line 12)",
        place="model.py",
    ),
    rule(
        "python.no-class",
        r"AttributeError: module '?\S*model'? has no attribute 'TritonPythonModel'",
        "model.py has no class `TritonPythonModel`: that is the name the python backend looks for.",
        "Name the class exactly TritonPythonModel, at the top level of the file.",
        "Internal: AttributeError: module '1.model' has no attribute 'TritonPythonModel'",
        place="model.py",
    ),
    rule(
        "python.no-execute",
        r"does not implement `?execute`? method",
        "The class TritonPythonModel has no method `execute`.",
        "Write `def execute(self, requests)`, which returns one response per request.",
        "Python model net_0 does not implement `execute` method.",
        place="model.py",
    ),
    rule(
        "python.auto-complete",
        r"'auto_complete_config' (?:function|method)[^\n]*|must return a valid "
        r"pb\.ModelConfig|Auto-complete failed for (?P<model>\S+)|Failed to parse auto-complete JSON",
        "The model's `auto_complete_config` did not give a usable config {model}.",
        "It must be a static method that returns the object it was given; --disable-auto-complete-config "
        "leaves it out.",
        "auto_complete_config function in model '/models/net/1/model.py' must return a valid "
        "pb.ModelConfig object.",
        place="model.py",
    ),
    rule(
        "python.env-activate",
        r"Path (?P<path>\S+) does not exist\. The Python environment should contain an 'activate' script",
        "The packed environment has no bin/activate ({path}): it was not made with conda-pack.",
        "Pack it with `conda-pack`, not with tar.",
        "Path /tmp/python_env_a/0/bin/activate does not exist. The Python environment should contain an "
        "'activate' script.",
        place="parameters.EXECUTION_ENV_PATH|parameters",
    ),
    rule(
        "python.env-path",
        r"(?:Failed to get the canonical path for|archive_read_open_filename\(\) failed|archive_\w+\(\) "
        r"failed with error|Failed to (?:create environment directory|extract)|Failed to create temporary "
        r"directory for Python) ?(?P<path>[^\s\"]*)",
        "The environment that EXECUTION_ENV_PATH names is not there or is no archive that can be "
        "unpacked: {path}.",
        "Correct the path ($$TRITON_MODEL_DIRECTORY is the model's folder), and pack it with conda-pack "
        "as .tar.gz.",
        "failed to load 'net' version 1: Internal: Failed to get the canonical path for "
        "/models/net/env.tar.gz.",
        place="parameters.EXECUTION_ENV_PATH|parameters",
    ),
    rule(
        "python.env-library-path",
        r"LD_LIBRARY_PATH must contain a colon when passing an execution environment|LD_LIBRARY_PATH "
        r"variable cannot be empty",
        "With an execution environment the python backend needs an LD_LIBRARY_PATH that is set and has a "
        "colon.",
        "Start the server with LD_LIBRARY_PATH=/opt/tritonserver/lib: (with a colon at the end).",
        "Failed to initialize Python stub: When using an execution environment, LD_LIBRARY_PATH variable "
        "cannot be empty.",
    ),
    rule(
        "python.stub-library",
        r"triton_python_backend_stub: error while loading shared libraries: (?P<library>[^\s:]+)",
        "The process that runs Python models needs {library}, and it cannot find it.",
        "Install that version of Python's library (libpython3.x), or use a stub built for the Python you "
        "have.",
        "/models/net/triton_python_backend_stub: error while loading shared libraries: "
        "libpython3.10.so.1.0: cannot open shared object file: No such file or directory",
    ),
    rule(
        "python.stub-permission",
        r"Failed to give execute permission to triton_python_backend_stub|triton_python_backend_stub: "
        r"Permission denied|Failed to run python backend stub\. Errno = (?P<errno>\d+)",
        "The server may not run the process for Python models (triton_python_backend_stub) {errno}.",
        "Make the file executable, on a disk that is not mounted with noexec.",
        "Failed to run python backend stub. Errno = 13 Python backend stub path: /opt/x. Error No.: 13",
    ),
    rule(
        "python.fork",
        r"Failed to fork the stub process",
        "The system did not let the server start another process: the limit of processes or of memory is "
        "reached.",
        "Raise the limits (`ulimit -u`, the container's pids limit), or serve fewer instances.",
        "Failed to fork the stub process for auto-complete.",
    ),
    rule(
        "python.race",
        r"boost::interprocess::lock_exception",
        "The Python backend of this release met a race while it started its processes.",
        "Start the server again.",
        "terminate called after throwing an instance of 'boost::interprocess::lock_exception'",
    ),
    rule(
        "python.model-path",
        r"Model name must end with '\.py'|Model path does not look right: (?P<path>\S+)|Expected 9 "
        r"arguments, found",
        "The python backend was given a model file that is none of Python's: {path}.",
        "default_model_filename must end with .py; a stub of your own must come from the same release.",
        "Model name must end with '.py'. Model name is \"model.pt\".",
        place="default_model_filename",
    ),
    rule(
        "python.config-key",
        r"KeyError: '(?P<key>[^']+)'",
        "The model's Python code asks a dictionary for the key '{key}', which is not there.",
        "Look at the line: a parameter, an input or an output that the config does not have, or a name "
        "misspelt.",
        "Internal: KeyError: 'threshold'\n\nAt:\n  /models/net/1/model.py(12): initialize",
        place="model.py",
    ),
    rule(
        "python.file",
        r"(?:FileNotFoundError|NotADirectoryError|IsADirectoryError): (?:\[Errno \d+\] "
        r")?(?P<why>[^:\n]+)(?:: ['\"]?(?P<path>[^'\"\n]+))?",
        "The model's Python code opens a file that is not there: {path}.",
        "Put the file beside model.py and build its path from args['model_repository'] and "
        "args['model_version']: the working folder is the server's, not the model's.",
        "FileNotFoundError: [Errno 2] No such file or directory: 'labels.txt'\n\nAt:\n  "
        "/models/net/1/model.py(5): initialize",
        place="model.py",
    ),
    rule(
        "python.read-only",
        r"OSError: \[Errno 30\] Read-only file system(?:: ['\"]?(?P<path>[^'\"\n]+))?",
        "The model's Python code writes to a place that is mounted read-only: {path}. In a container the "
        "model repository is.",
        "Write to a temporary folder (Python's tempfile), or to a folder that is mounted for writing "
        "(the labs: TRITON_LAB_MOUNTS=/here:/there:rw).",
        "OSError: [Errno 30] Read-only file system: '/models/net/1/cache.bin'",
        place="model.py",
    ),
    rule(
        "python.permission",
        r"PermissionError: (?:\[Errno \d+\] )?(?P<why>[^:\n]+)(?:: ['\"]?(?P<path>[^'\"\n]+))?",
        "The model's Python code may not use a file: {path} ({why}).",
        "Give the server's user the right (a file of the model repository: `chmod -R a+rX` on it); caches of "
        "downloads go where HOME, HF_HOME or TRANSFORMERS_CACHE say.",
        "PermissionError: [Errno 13] Permission denied: '/.cache'",
        place="model.py",
    ),
    rule(
        "python.hub",
        r"(?:huggingface_hub|Can't load (?:tokenizer|the configuration|config|model|feature extractor) "
        r"(?:for|of) '(?P<name>[^']+)'|is not a local folder and is not a valid model identifier|couldn't "
        r"connect to 'https://huggingface\.co'|Repository Not Found for url|You are trying to access a "
        r"gated repo|does not appear to have a file named (?P<name2>\S+)|Incorrect path_or_model_id: "
        r"'(?P<name3>[^']+)')",
        "The code wants to fetch or open a model of the Hugging Face hub and cannot {name}: wrong name, "
        "no network, or no right to it.",
        "Give a local folder that holds the files, or network and a token (HF_TOKEN) to the server's "
        "process.",
        "OSError: Can't load tokenizer for 'meta-llama/Llama-2-7b'. If you were trying to load it from "
        "the hub",
        place="model.py",
    ),
    rule(
        "python.model-exception",
        r"TritonModelException: (?P<message>[^\n\"]+)",
        "The model's Python code refused to load or to answer: {message}",
        "Correct what its message names.",
        "Internal: TritonModelException: unsupported quantization 'q9'",
        place="model.py",
    ),
    rule(
        "python.exception",
        r"(?:Internal: |Python stub(?: for auto-complete)?: |instance: |^\s*|[Ff]ailed[^\n]*?: "
        r")(?P<kind>(?!\S*(?:EngineDead|InferenceServerException))(?:[a-z_]\w*\.)*[A-Z]\w*(?:Error|Excepti"
        r"on|Interrupt|Warning)): (?P<message>[^\n\"]*)",
        "The model's Python code raised {kind}: {message}",
        "Correct the code at the line named, then load the model again.",
        "failed to load 'net' version 1: Internal: ValueError: my own reason\n\nAt:\n  "
        "/models/net/1/model.py(4): initialize",
        place="model.py",
    ),
    rule(
        "python.stub-died-early",
        r"(?:Failed to initialize stub, stub process exited unexpectedly|[Ss]tub process exited|Launch "
        r"stub process failed|Timed out occurred while waiting for the stub process)\.?(?P<why>[^\n]*)",
        "The process that runs the Python model ended, or took too long, before the model was ready {why}.",
        "Look for its own words above this line; run model.py's imports alone with the same Python. A "
        "stub or an environment of your own must be of the server's release and Python version. A slow "
        "start wants --backend-config=python,stub-timeout-seconds=120.",
        "Internal: Timed out occurred while waiting for the stub process. Failed to initialize model "
        "instance net_0",
        symptom=True,
    ),
    rule(
        "python.stub-dead",
        r"Stub process '?(?P<stub>[^'\s]*)'? ?is (?:not healthy|unhealthy)",
        "The Python process (stub) that runs the model died {stub}: its code called exit, crashed in a "
        "compiled module, or was killed when memory ran out. Triton does not start it again.",
        "Look for the reason in the code or in `dmesg` (memory), then unload and load the model, or "
        "restart the server.",
        "failed to load 'net' version 1: Internal: Stub process 'net_0_0' is not healthy.",
        symptom=True,
    ),
    rule(
        "python.stub-init",
        r"Failed to (?:pre)?initialize Python stub(?: for auto-complete)?: (?P<message>[^\n\"]+)",
        "The model's Python code failed while it was loaded: {message}",
        "Correct the model or its config, then load it again.",
        "Failed to initialize Python stub: the model says no",
        place="model.py",
    ),
)
