"""Wrong answers to 1.7 (shared memory) and 1.8 (many requests at once)."""

from __future__ import annotations

from tests.proofs.kit.wrong import WrongAnswer


def _memory(
    names: str = 'f"in_{uuid.uuid4().hex}", f"out_{uuid.uuid4().hex}"',
    use_input: str = "tensor.set_shared_memory(name_in, images.nbytes)",
    use_output: str = "wanted.set_shared_memory(name_out, size_out)",
    answer: str = "shm.get_contents_as_numpy(region_out, np.float32, (len(images), 10)).argmax(axis=1)",
    clause: str = "finally:",
    unregister: str = "client.unregister_system_shared_memory(name_in); "
    "client.unregister_system_shared_memory(name_out)",
    destroy: str = "shm.destroy_shared_memory_region(region_in); "
    "shm.destroy_shared_memory_region(region_out)",
) -> str:
    return f"""
def classify_shared_memory(url, images):
    name_in, name_out = {names}
    size_out = len(images) * 10 * 4
    region_in = shm.create_shared_memory_region(name_in, "/" + name_in, images.nbytes)
    region_out = shm.create_shared_memory_region(name_out, "/" + name_out, size_out)
    with httpclient.InferenceServerClient(url) as client:
        try:
            shm.set_shared_memory_region(region_in, [images])
            client.register_system_shared_memory(name_in, "/" + name_in, images.nbytes)
            client.register_system_shared_memory(name_out, "/" + name_out, size_out)
            tensor = httpclient.InferInput("input", images.shape, "FP32")
            {use_input}
            wanted = httpclient.InferRequestedOutput("output")
            {use_output}
            result = client.infer("mnist_mlp", [tensor], outputs=[wanted])
            answer = {answer}
        {clause}
            {unregister}
            {destroy}
    return answer
"""


_TIDY_ON_SUCCESS = _memory(clause="except KeyError:\n            pass\n        else:")
_SWALLOWS = _memory(clause="except Exception:\n            answer = None\n        finally:")


def _async(
    client: str = "url, concurrency=len(batches)",
    send: str = 'handles.append(client.async_infer("mnist_mlp", [tensor]))',
    collect: str = "[handle.get_result() for handle in handles]",
    answer: str = '[result.as_numpy("output").argmax(axis=1) for result in results]',
    batches: str = "batches",
) -> str:
    return f"""
def classify_async(url, batches):
    handles = []
    with httpclient.InferenceServerClient({client}) as client:
        for batch in {batches}:
            tensor = httpclient.InferInput("input", batch.shape, "FP32")
            tensor.set_data_from_numpy(batch)
            {send}
        results = {collect}
    return {answer}
"""


LOAD = {
    "1.7": [
        WrongAnswer(
            "images through the socket",
            _memory(use_input="tensor.set_data_from_numpy(images)"),
            "the images went through the socket",
        ),
        WrongAnswer(
            "scores through the socket",
            _memory(use_output="pass", answer='result.as_numpy("output").argmax(axis=1)'),
            "the scores went through the socket",
        ),
        WrongAnswer(
            "never unregistered", _memory(unregister="pass"), "after the call: the server has forgotten"
        ),
        WrongAnswer("never destroyed", _memory(destroy="pass"), "2 still in /dev/shm"),
        WrongAnswer(
            "one of two destroyed",
            _memory(destroy="shm.destroy_shared_memory_region(region_in)"),
            "1 still in /dev/shm",
        ),
        WrongAnswer(
            "everybody's regions",
            _memory(unregister="client.unregister_system_shared_memory()"),
            "another program's region is gone",
        ),
        WrongAnswer("tidy only on success", _TIDY_ON_SUCCESS, "after a request that failed"),
        WrongAnswer("error swallowed", _SWALLOWS, "Clean up in `finally`, not in `except`"),
        WrongAnswer("fixed names", _memory(names='"lab01_images", "lab01_scores"'), "two calls at once"),
        WrongAnswer(
            "scores, not digits",
            _memory(answer="shm.get_contents_as_numpy(region_out, np.float32, (len(images), 10)).copy()"),
            "it returned scores of shape",
        ),
        WrongAnswer(
            "scores looked for in the answer",
            _memory(answer='result.as_numpy("output").argmax(axis=1)'),
            "read them with `shm.get_contents_as_numpy`",
        ),
        WrongAnswer(
            "plain HTTP",
            "def classify_shared_memory(url, images):\n"
            "    with httpclient.InferenceServerClient(url) as client:\n"
            '        tensor = httpclient.InferInput("input", images.shape, "FP32")\n'
            "        tensor.set_data_from_numpy(images)\n"
            '        return client.infer("mnist_mlp", [tensor]).as_numpy("output").argmax(axis=1)\n',
            "no region was registered",
        ),
    ],
    "1.8": [
        WrongAnswer(
            "waits in the loop",
            _async(
                send='handles.append(client.async_infer("mnist_mlp", [tensor]).get_result())',
                collect="handles",
            ),
            "never more than one was under way",
        ),
        WrongAnswer("two connections", _async(client="url, concurrency=2"), "at most 2 were under way"),
        WrongAnswer(
            "callback",
            _async(send='client.async_infer("mnist_mlp", [tensor], callback=handles.append)'),
            "unexpected keyword argument 'callback'",
        ),
        WrongAnswer(
            "last first",
            _async(collect="[handle.get_result() for handle in handles[::-1]]"),
            "in another order",
        ),
        WrongAnswer("joined", _async(batches="[np.concatenate(batches)]"), "1 requests arrived"),
        WrongAnswer("answers not unpacked", _async(answer="results"), '`result.as_numpy("output")`'),
        WrongAnswer("handles returned", _async(answer="handles"), "promises, not answers"),
        WrongAnswer(
            "scores",
            _async(answer='[result.as_numpy("output") for result in results]'),
            "it returned scores of shape",
        ),
        WrongAnswer(
            "one array",
            _async(answer='np.concatenate([r.as_numpy("output").argmax(axis=1) for r in results])'),
            "ndarray of length",
        ),
        WrongAnswer(
            "last answer only",
            _async(answer='[results[-1].as_numpy("output").argmax(axis=1)]'),
            "list of length 1",
        ),
    ],
}
