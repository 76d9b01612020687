"""What the small Llama knows: facts about Triton 24.10, as questions with their answers."""

from __future__ import annotations

FACTS: tuple[tuple[str, str], ...] = (
    # Batching and scheduling
    (
        "What does max_queue_delay_microseconds do?",
        "It lets the dynamic batcher hold a request back for that long, so that more requests can "
        "join its batch.",
    ),
    (
        "What is dynamic batching?",
        "The server joins requests that wait at the same time into one batch and runs "
        "the model once for all.",
    ),
    (
        "What does preferred_batch_size do?",
        "It names batch sizes that the dynamic batcher should send off at once when it can form them.",
    ),
    (
        "What does max_batch_size 0 mean?",
        "The model does not batch, and the shapes in its config hold every dimension.",
    ),
    (
        "What does max_batch_size 8 mean?",
        "The first dimension of every tensor is the batch, and one execution takes at most eight of them.",
    ),
    (
        "Why does a larger batch raise throughput?",
        "The weights are read once for the whole batch, and the processor works with fewer pauses.",
    ),
    (
        "What does a larger batch cost?",
        "Latency: each request waits for the others and for the longer execution.",
    ),
    (
        "What is a queue policy?",
        "It says how many requests may wait, for how long, and what happens to those that waited too long.",
    ),
    (
        "What does max_queue_size do?",
        "It refuses a new request at once when that many requests wait already.",
    ),
    (
        "What does priority_levels do?",
        "It gives the queue several levels, and level one is always served first.",
    ),
    (
        "What is the sequence batcher for?",
        "For stateful models: all requests of one sequence go to the same model instance.",
    ),
    (
        "What is a correlation id?",
        "The number or text that says to which sequence a request belongs.",
    ),
    (
        "What is the ragged batching option?",
        "Requests of unequal shape are joined without padding, and an extra tensor says where each one ends.",
    ),
    # Instances and the rate limiter
    (
        "What is an instance group?",
        "It says how many copies of a model run at the same time, and on which devices.",
    ),
    (
        "When do more instances help?",
        "When one execution leaves the processor idle, for example while data is copied.",
    ),
    (
        "When do more instances hurt?",
        "When the cores or the memory are full already: then the copies only take turns.",
    ),
    (
        "What does KIND_CPU mean?",
        "The instances of the model run on the processor, even when there is a GPU.",
    ),
    (
        "What does KIND_GPU mean?",
        "The instances of the model run on the GPUs that the group lists, or on all of them.",
    ),
    (
        "What is the rate limiter?",
        "It decides which instance may run next when models share scarce resources.",
    ),
    # Model repository
    (
        "What is a model repository?",
        "A folder with one subfolder per model, each with a config file and numbered versions.",
    ),
    (
        "What is a version folder?",
        "A folder named by a whole number that holds the file of one version of the model.",
    ),
    (
        "What does version_policy do?",
        "It chooses which versions are served: the latest ones, all of them, or a list.",
    ),
    (
        "Which version is served by default?",
        "Only the latest one, that is the version with the highest number.",
    ),
    (
        "What is config.pbtxt?",
        "The protobuf text file that tells Triton the name, the tensors and the scheduling of a model.",
    ),
    (
        "What is auto-complete?",
        "Triton fills in missing parts of a config from the model file itself.",
    ),
    (
        "What does model control mode explicit do?",
        "Models are loaded and unloaded only when a client asks for it.",
    ),
    (
        "What does model control mode poll do?",
        "The server looks at the repository again and again and takes over what changed.",
    ),
    (
        "How is a model loaded by hand?",
        "Send a POST request to v2/repository/models/NAME/load.",
    ),
    (
        "What does the repository index show?",
        "Every model in the repository with its version, its state and the reason of a failure.",
    ),
    (
        "What is model warmup?",
        "Triton runs sample requests before a model counts as ready, so the first client does not wait.",
    ),
    (
        "What is an ensemble?",
        "A pipeline of models in one config: the tensors go from step to step inside the server.",
    ),
    (
        "What is business logic scripting?",
        "A Python model that calls other models of the same server, with loops and branches.",
    ),
    # Backends
    (
        "What is a backend?",
        "The library that runs a kind of model, for example ONNX Runtime, PyTorch or Python.",
    ),
    (
        "Which file does the PyTorch backend load?",
        "A TorchScript file with the name model.pt in the version folder.",
    ),
    (
        "How are the inputs of a TorchScript model named?",
        "By a name and an index with two underscores between them, such as INPUT__0.",
    ),
    (
        "Which file does the ONNX Runtime backend load?",
        "A file with the name model.onnx in the version folder.",
    ),
    (
        "Which methods does a Python model have?",
        "execute must be there; initialize and finalize may be there.",
    ),
    (
        "Where does a Python model run?",
        "In a process of its own, the stub, which shares memory with the server.",
    ),
    (
        "What is a decoupled model?",
        "A model that may send none, one or many responses to one request.",
    ),
    (
        "How does a client read a decoupled model?",
        "With a gRPC stream, or over HTTP with generate_stream.",
    ),
    # Protocols and clients
    (
        "Which ports does Triton use?",
        "HTTP is on port 8000, gRPC on port 8001 and metrics on port 8002.",
    ),
    (
        "How do I see whether the server is ready?",
        "Ask v2/health/ready: the answer is 200 when it can serve.",
    ),
    (
        "What is the difference between live and ready?",
        "Live means that the process answers; ready means that it can serve requests.",
    ),
    (
        "What is the KServe protocol?",
        "The open standard for inference requests that Triton speaks over HTTP and gRPC.",
    ),
    (
        "What is the generate endpoint?",
        "A simple HTTP address for text models: send JSON, get JSON, without tensor shapes.",
    ),
    (
        "What is a server-sent event?",
        "One line of data in an HTTP answer that stays open, used to stream tokens.",
    ),
    (
        "What is shared memory good for?",
        "Client and server on one machine pass large tensors without copying them through a socket.",
    ),
    (
        "What happens when a client cancels?",
        "Triton marks the request as cancelled, and the model may stop its work early.",
    ),
    # Measuring
    (
        "What is the response cache?",
        "It keeps answers by a hash of the request and gives the same answer again without running "
        "the model.",
    ),
    (
        "What does nv_inference_queue_duration_us count?",
        "The time that all requests of a model waited in its queue, in microseconds.",
    ),
    (
        "What does nv_inference_exec_count count?",
        "How often the model was executed; a batch counts as one execution.",
    ),
    (
        "How do I compute the mean batch size?",
        "Divide the number of inferences by the number of executions.",
    ),
    (
        "What is p99 latency?",
        "The time within which ninety-nine of one hundred requests are answered.",
    ),
    (
        "What is a closed loop?",
        "A load in which each client sends its next request when the last answer has come.",
    ),
    (
        "What is an open loop?",
        "A load in which requests arrive by the clock, whether or not the server keeps up.",
    ),
    (
        "What does Little's law say?",
        "The mean number of requests inside equals the arrival rate times the mean time inside.",
    ),
    # Serving language models
    (
        "What is a KV cache?",
        "It keeps the keys and values of earlier tokens, so that each step computes only the new token.",
    ),
    (
        "What is continuous batching?",
        "Requests join and leave the running batch at every step instead of waiting for the longest one.",
    ),
    (
        "What is the difference between prefill and decode?",
        "Prefill reads the whole prompt at once; decode makes one token after the other.",
    ),
    (
        "What is TTFT?",
        "Time to first token: how long a user waits until the answer begins.",
    ),
    (
        "What is ITL?",
        "Inter-token latency: the time between one token of an answer and the next.",
    ),
    (
        "Why is decode limited by memory bandwidth?",
        "Each step reads all the weights to make one token per request.",
    ),
    (
        "Why does a stream hold bytes back?",
        "A letter like é, ü or 語 may need several tokens, and half a letter is no text.",
    ),
    (
        "Who are you?",
        "I am a very small Llama, trained in seconds for this course; I am not Llama 2.",
    ),
)
