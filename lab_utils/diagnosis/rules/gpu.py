"""GPU, CUDA and driver."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "gpu.driver-for-container",
        r"This container was built for NVIDIA Driver Release (?P<need>[\d.]+) or later, but\s+version "
        r"(?P<have>[\d.]+) was detected",
        "The NVIDIA driver of this machine ({have}) is too old for this container, which needs {need}.",
        "Update the driver, or use an older container that fits it (see the support matrix of the release).",
        "ERROR: This container was built for NVIDIA Driver Release 525.85 or later, but version "
        "470.199.02 was detected and compatibility mode is UNAVAILABLE.",
    ),
    rule(
        "gpu.kernel-image",
        r"no kernel image is available for execution|invalid device function|device kernel image is "
        r"invalid|PTX (?:JIT|was compiled with an unsupported toolchain)|unsupported gpu "
        r"architecture|cudaErrorNoKernelImageForDevice",
        "The code was not compiled for this GPU: the GPU is newer or older than the build, or the driver "
        "is too old for its PTX.",
        "Use a build or container that supports this GPU's compute capability, and update the driver.",
        "RuntimeError: CUDA error: no kernel image is available for execution on the device",
    ),
    rule(
        "gpu.compute-capability",
        r"(?P<gpu>\S+) has compute capability '(?P<have>[\d.]+)' which is less than the minimum supported "
        r"of '(?P<need>[\d.]+)'|[Cc]ompute [Cc]apability[^\n]*(?:not supported|at least|requires)",
        "The GPU's compute capability {have} is less than this server needs {need}.",
        "Use a newer GPU, an older container, or KIND_CPU; --min-supported-compute-capability only moves "
        "the limit.",
        "GPU 0 has compute capability '5.2' which is less than the minimum supported of '6.0'",
    ),
    rule(
        "gpu.driver-too-old",
        r"CUDA driver version is insufficient for CUDA runtime version|cudaErrorInsufficientDriver|driver "
        r"on your system is too old",
        "There is no NVIDIA driver where the server runs, or it is too old for the CUDA of this build. "
        "(Without a GPU this line is normal.)",
        "With a GPU: update the driver, and start the container with --gpus=all. Without one: "
        "instance_group [ {{ kind: KIND_CPU }} ].",
        "Internal: failed to set device 0: CUDA driver version is insufficient for CUDA runtime version",
    ),
    rule(
        "gpu.none",
        r"no CUDA-capable device is detected|CUDA_ERROR_NO_DEVICE|cudaErrorNoDevice|No CUDA GPUs are "
        r"available|Found no NVIDIA driver|Torch not compiled with CUDA enabled|NVIDIA Driver was not "
        r"detected|libcuda\.so\S* (?:failed|cannot)|libcuda\.so\.1: cannot open|Failed to initialize "
        r"NVML|no available gpus|Failed to infer device type",
        "The server process sees no GPU: there is none, or it was not given to the container.",
        "Start the container with --gpus=all and the NVIDIA Container Toolkit, check "
        "CUDA_VISIBLE_DEVICES, or serve on the CPU (KIND_CPU).",
        "RuntimeError: No CUDA GPUs are available",
    ),
    rule(
        "gpu.ordinal",
        r"invalid device ordinal|cudaErrorInvalidDevice|CUDA_VISIBLE_DEVICES[^\n]*(?:invalid|out of "
        r"range)|expects device ID >= 0",
        "A GPU number is used that the process does not see.",
        "Count from 0 among the GPUs the process was given: `nvidia-smi -L`, CUDA_VISIBLE_DEVICES, "
        "docker --gpus.",
        "RuntimeError: CUDA error: invalid device ordinal",
    ),
    rule(
        "gpu.busy",
        r"all CUDA-capable devices are busy or unavailable|cudaErrorDevicesUnavailable|exclusive process",
        "The GPU is held exclusively by another process.",
        "End that process (nvidia-smi), or set the compute mode back to default.",
        "CUDA error: all CUDA-capable devices are busy or unavailable",
    ),
    rule(
        "gpu.fork",
        r"Cannot re-initialize CUDA in forked subprocess",
        "The code uses CUDA in a process forked from one that had used it already.",
        "Use the start method `spawn`, and touch CUDA only in the child.",
        "RuntimeError: Cannot re-initialize CUDA in forked subprocess. To use CUDA with multiprocessing, "
        "you must use the 'spawn' start method",
    ),
    rule(
        "gpu.illegal-access",
        r"an illegal memory access was encountered|device-side assert triggered|misaligned "
        r"address|unspecified launch failure|CUDA_ERROR_ILLEGAL_ADDRESS|Xid",
        "A computation on the GPU used a wrong address; the GPU's state is unusable until the process "
        "restarts. The request's values (an index out of range) or a fault in a kernel are the usual "
        "reasons.",
        "Restart the server, run the model with CUDA_LAUNCH_BLOCKING=1 on the same data, and check "
        "indices and shapes.",
        "Internal: CUDA error: an illegal memory access was encountered",
    ),
    rule(
        "gpu.cudnn",
        r"CUDNN_STATUS_(?P<status>\w+)|libcudnn\S*[^\n]*(?:cannot open|not found|version)|cuDNN "
        r"(?:version|error)[^\n]*|CUBLAS_STATUS_(?P<status2>\w+)",
        "A call of cuDNN or cuBLAS failed {status}: often too little GPU memory, or a library of another "
        "version than the build needs.",
        "Free GPU memory first; then see that no second CUDA or cuDNN stands in LD_LIBRARY_PATH.",
        "RuntimeError: cuDNN error: CUDNN_STATUS_NOT_INITIALIZED",
    ),
    rule(
        "gpu.nccl",
        r"NCCL (?:error|failure|WARN)[^\n]*|ncclUnhandledCudaError|ncclSystemError",
        "The GPUs could not talk to each other (NCCL): too little /dev/shm, no peer access, or a GPU "
        "missing.",
        "Start the container with --shm-size=1g --ulimit memlock=-1; NCCL_DEBUG=INFO says more.",
        "RuntimeError: NCCL error: unhandled system error",
    ),
    rule(
        "gpu.old-platform",
        r"(?:operation not supported|cudaErrorNotSupported)[^\n]*(?:pool|IPC|ipc)|vGPU|(?:unable to create "
        r"stream|MemPool\([^\n]*|pinned system memory[^\n]*): operation not supported",
        "The GPU, as this machine offers it, lacks a function that Triton needs: a virtual GPU (vGPU, MIG on "
        "some hypervisors, WSL) without unified memory or memory pools.",
        "Use a GPU that is passed through whole, or switch the function on for the vGPU (unified memory in "
        "its plugin parameters).",
        "Internal: unable to create stream: operation not supported",
    ),
    rule(
        "gpu.runtime-error",
        r"CUDA (?:runtime |driver )?error[^\n]*?: (?P<what>[a-z][\w ,'-]+)|CUDA failure \d+: "
        r"(?P<what2>[^\n;]+)|unable to (?:create stream|set device)[^\n:]*: (?P<what3>[^\n;\"|]+)",
        "A CUDA call failed: {what}.",
        "Check driver, container and GPU with nvidia-smi inside the container; the support matrix lists "
        "which belong together.",
        "[TensorRT-LLM][ERROR] CUDA runtime error in cudaStreamSynchronize(stream): invalid resource handle",
    ),
)
