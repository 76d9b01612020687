"""Memory of the machine and of the GPU."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "memory.load-limit",
        r"memory limit set for (?P<where>[^\n]*?) has exceeded, model loading is rejected",
        "The GPU's memory is used above the limit that --model-load-gpu-limit sets, so the load is "
        "refused {where}.",
        "Unload a model, or raise the limit.",
        "Internal: GPU 0: memory limit set for GPU 0 has exceeded, model loading is rejected.",
    ),
    rule(
        "memory.kv-cache",
        r"maxTokensInPagedKvCache[^\n]*must be large enough|No available memory for the cache "
        r"blocks|(?:max seq len|maximum (?:number of tokens|sequence length))[^\n]*(?:larger|greater) "
        r"than the maximum number of tokens that can be stored in KV cache|KV cache[^\n]*(?:not "
        r"enough|exceeds|too small|is needed, which is larger)|Free memory on device[^\n]*is less than "
        r"desired GPU memory utilization",
        "After the weights are loaded too little GPU memory is left for the KV cache of the language model.",
        "Lower max_model_len, use a smaller or quantised model or more GPUs (tensor parallel), and see "
        "with nvidia-smi who else holds memory; gpu_memory_utilization (vLLM) or "
        "kv_cache_free_gpu_mem_fraction (TensorRT-LLM) sets the share.",
        "ValueError: No available memory for the cache blocks. Try increasing `gpu_memory_utilization` "
        "when initializing the engine.",
    ),
    rule(
        "memory.cuda-pool",
        r"Failed to allocate CUDA memory with byte size (?P<size>\d+)|CNMEM_STATUS_OUT_OF_MEMORY",
        "Triton's own pool of GPU memory for tensors (64 MB by default) is too small for {size} bytes; "
        "it goes on with memory of the host, which some models cannot take.",
        "Start the server with a larger pool: --cuda-memory-pool-byte-size=0:536870912 (GPU 0, 512 MB).",
        "Failed to allocate CUDA memory with byte size 78643200 on GPU 0: CNMEM_STATUS_OUT_OF_MEMORY, "
        "falling back to pinned system memory",
    ),
    rule(
        "memory.gpu",
        r"CUDA out of memory|(?:CUDA|cuda|CUDNN|CUBLAS|cuBLAS)[^\n]{0,120}(?:out of "
        r"memory|OUT_OF_MEMORY|ALLOC_FAILED|error 2\b)|cudaErrorMemoryAllocation|OutOfMemoryError: "
        r"CUDA|OutOfMemory[^\n]{0,80}(?:GPU|requested)|Requested amount of GPU memory|failed to "
        r"allocate[^\n]{0,40}CUDA memory|out of memory \(/|Failed to allocate memory for requested buffer "
        r"of size (?P<size>\d+)|RESOURCE_EXHAUSTED: OOM|Dst tensor is not initialized",
        "The GPU has not enough free memory for the model, its instances or this request.",
        "Use fewer instances (`count`), smaller batches or a smaller model; end other programs on the "
        "GPU (nvidia-smi lists them); Triton also keeps freed memory of frameworks.",
        "Internal: onnx runtime error 6: CUDA failure 2: out of memory ; GPU=0",
    ),
    rule(
        "memory.host",
        r"std::bad_alloc|[Oo]ut of memory|Cannot allocate memory|MemoryError|DefaultCPUAllocator: "
        r"(?:can't|not enough)|bad allocation|OOMKilled|oom-kill",
        "The machine or the container ran out of memory.",
        "Load fewer models or instances, send smaller requests, or raise the container's memory limit.",
        "terminate called after throwing an instance of 'std::bad_alloc'",
    ),
    rule(
        "memory.pinned",
        r"failed to allocate pinned system memory(?!: no pinned memory pool)|[Pp]inned memory "
        r"pool[^\n]*(?:exceed|too small)",
        "The pool of pinned memory is full; Triton goes on with ordinary memory, and copies to the GPU "
        "take longer.",
        "Raise --pinned-memory-pool-byte-size.",
        "failed to allocate pinned system memory: pinned memory pool is exhausted",
        symptom=True,
    ),
    rule(
        "memory.disk",
        r"No space left on device|Disk quota exceeded|ENOSPC",
        "A disk is full (the model folder, /tmp where environments are unpacked, or a cache).",
        "`df -h` shows which; free it, or point TMPDIR and the caches to another disk.",
        "OSError: [Errno 28] No space left on device: '/tmp/python_env_x'",
    ),
    rule(
        "memory.files",
        r"Too many open files|Resource temporarily unavailable|can't start new thread|pthread_create "
        r"failed",
        "The server reached a limit of open files, threads or processes.",
        "Raise it (`ulimit -n`, `ulimit -u`, docker --ulimit or --pids-limit), or use fewer instances "
        "and threads.",
        "accept4: Too many open files",
    ),
)
