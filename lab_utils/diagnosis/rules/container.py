"""Docker and Kubernetes around the server."""

from lab_utils.diagnosis.rule import rule

RULES = (
    rule(
        "container.no-gpu-driver",
        r"could not select device driver|unknown runtime specified nvidia|[Uu]nknown or invalid runtime "
        r"name: nvidia|nvidia-container-cli: (?P<why>[^\n]*)|libnvidia-ml\.so\.1: (?:file exists|cannot "
        r"open)",
        "Docker cannot give GPUs to containers here {why}: the NVIDIA Container Toolkit is not installed "
        "or not set up.",
        "Install it and run `nvidia-ctk runtime configure`, then restart docker; without a GPU leave "
        "--gpus out.",
        'docker: Error response from daemon: could not select device driver "" with capabilities: [[gpu]].',
    ),
    rule(
        "container.no-daemon",
        r"Cannot connect to the Docker daemon|permission denied while trying to connect to the "
        r"[Dd]ocker|Is the docker daemon running",
        "The docker service is not running, or this user may not use it.",
        "Start it (`systemctl start docker`), or join the group docker and log in again.",
        "Cannot connect to the Docker daemon at unix:///var/run/docker.sock. Is the docker daemon running?",
    ),
    rule(
        "container.registry",
        r"Get \\?\"https?://(?P<registry>[^/\"]+)/v2/[^\n]*(?:dial tcp|lookup |proxyconnect|[Tt]imeout|EOF)",
        "The registry {registry} cannot be reached: the container engine has no network or no name service, "
        "or a proxy or a firewall stands between.",
        "Look at the network, and give the engine your proxy; or bring the image with `docker save` and "
        "`docker load`.",
        'Error response from daemon: Get "https://nvcr.io/v2/": dial tcp: lookup nvcr.io: no such host',
    ),
    rule(
        "container.pull",
        r"(?:manifest (?:unknown|for \S+ not found)|pull access denied|unauthorized: authentication "
        r"required|no matching manifest for (?P<arch>\S+)|failed to resolve "
        r"reference|ImagePullBackOff|ErrImagePull|repository does not exist)",
        "The image cannot be fetched: no such tag, no right to it, or none for this processor {arch}.",
        "Check the tag (YY.MM-py3) and log in to the registry if it asks for that.",
        "docker: Error response from daemon: manifest for nvcr.io/nvidia/tritonserver:24.13-py3 not "
        "found: manifest unknown",
    ),
    rule(
        "container.mount",
        r"(?:invalid (?:mount|volume) (?:config|specification)|bind source path does not exist|includes "
        r"invalid characters for a local volume name|error mounting)[^\n]*",
        "A folder cannot be mounted into the container.",
        "Give -v an absolute path that exists: -v $PWD/model_repository:/models.",
        'docker: Error response from daemon: invalid mount config for type "bind": bind source path does '
        "not exist: /x.",
    ),
    rule(
        "container.name",
        r"The container name \"?/?(?P<name>[\w.-]+)\"? is already in use",
        "A container called {name} exists already.",
        "Remove it: `docker rm -f {name}`, or choose another name.",
        'Conflict. The container name "/triton" is already in use by container "4f".',
    ),
    rule(
        "container.kubernetes",
        r"CrashLoopBackOff|Insufficient nvidia\.com/gpu|FailedScheduling|Readiness probe failed|Liveness "
        r"probe failed|Startup probe failed",
        "Kubernetes does not run the pod as wished: no free GPU, or the probe fails before the models "
        "are loaded.",
        "`kubectl describe pod` says which; give a startupProbe on /v2/health/ready enough time for the "
        "models.",
        "Warning  FailedScheduling  0/3 nodes are available: 3 Insufficient nvidia.com/gpu.",
    ),
)
