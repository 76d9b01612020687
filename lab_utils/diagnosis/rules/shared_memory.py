"""Shared memory: of the Python backend, and of clients (system and CUDA)."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "shm.stub-region",
        r"Unable to initialize shared memory key '(?P<key>[^']*)' to requested size \((?P<size>\d+) "
        r"bytes\)|Failed to increase the shared memory pool size for key '(?P<key2>[^']*)'|use "
        r"'--shm-size' flag|shm-size|Failed to create new mapped region for the grown shared memory",
        "/dev/shm is too small: every instance of a Python model needs a region there {key}.",
        "Start the container with --shm-size=1g (the labs: TRITON_LAB_SHM_SIZE=1g; Kubernetes: an emptyDir "
        "with medium Memory at /dev/shm), use fewer instances or smaller tensors, or lower "
        "--backend-config=python,shm-default-byte-size.",
        "Internal: Unable to initialize shared memory key 'triton_python_backend_shm_region_2' to "
        "requested size (67108864 bytes). If you are running Triton inside docker, use '--shm-size' flag "
        "to control the shared memory region size. Error: No space left on device",
    ),
    rule(
        "shm.no-region",
        r"Unable to find (?:system |cuda |CUDA )?shared memory region: '(?P<name>[^']*)'",
        "No shared-memory region `{name}` is registered with the server.",
        "Register it first (register_system_shared_memory), on this server: a restart forgets all of them.",
        "Unable to find shared memory region: 'input_data'",
    ),
    rule(
        "shm.open",
        r"Unable to open shared memory region: '(?P<name>[^']*)'|shm_open failed, errno: (?P<errno>\d+)",
        "The server cannot open the shared-memory region {name}: it does not exist where the server "
        "runs, or belongs to another user.",
        "Create it before registering, with a key that starts with `/`; a server in a container needs "
        "--ipc=host.",
        "Unable to open shared memory region: '/input_data'",
    ),
    rule(
        "shm.twice",
        r"(?:shared memory region '(?P<name>[^']*)' already in manager|already "
        r"(?:registered|exists)[^\n]{0,40}shared memory)",
        "A shared-memory region of the name `{name}` is registered already.",
        "Unregister it first, or use another name.",
        "shared memory region 'input_data' already in manager",
    ),
    rule(
        "shm.range",
        r"Invalid offset(?: \+ byte size)? for shared memory region: '(?P<name>[^']*)'|shared memory "
        r"region: invalid args|File size of shared memory region must be|Invalid shared memory region: "
        r"'(?P<name2>[^']*)'",
        "Offset and size reach beyond the shared-memory region `{name}`.",
        "Register it with its whole size, and give each tensor an offset and a byte size inside it.",
        "Invalid offset + byte size for shared memory region: 'input_data'",
    ),
    rule(
        "shm.kind",
        r"is registered as (?P<kind>CUDA|system) shared memory, not (?P<other>CUDA|system) shared memory",
        "The region was registered as {kind} shared memory and is used as {other} shared memory.",
        "Use the functions of the kind that it was registered with.",
        "shared memory region 'input_data' is registered as CUDA shared memory, not system shared memory",
    ),
    rule(
        "shm.in-use",
        r"Cannot unregister shared memory region '(?P<name>[^']*)'",
        "The region `{name}` is in use by a request.",
        "Wait for the answer, then unregister it.",
        "Cannot unregister shared memory region 'input_data', it is currently in use.",
    ),
    rule(
        "shm.cuda-handle",
        r"failed to (?:open|close) CUDA IPC handle|raw_handle' must be a valid base64|Failed to "
        r"(?:open|close) the cudaIpcHandle",
        "The CUDA shared-memory handle cannot be opened: the server sees another GPU, or runs apart from "
        "the client.",
        "CUDA shared memory works between processes of one machine and one GPU; docker needs --ipc=host "
        "and the same GPU.",
        "failed to open CUDA IPC handle: invalid argument",
    ),
    rule(
        "shm.both",
        r"unexpected 'content' provided when using shared memory for input tensor "
        r"'(?P<name>[^']*)'|'shared_memory_\w+' (?:can not|must) be specified|Input must set only one of "
        r"the following fields: 'data'|invalid value type for 'shared_memory_\w+'",
        "The request gives a tensor both data and a shared-memory region, or an incomplete one {name}.",
        "With set_shared_memory do not also set data; give region, byte size and (if not 0) offset.",
        "unexpected 'content' provided when using shared memory for input tensor 'x' for model 'net'",
    ),
)
