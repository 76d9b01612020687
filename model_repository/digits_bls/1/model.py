"""`digits_bls`: calls `digits_preprocess`, then `mnist_mlp`, from Python inside the server."""

import asyncio

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """The inner models must be loaded: unlike an ensemble, Triton does not load them for us."""

    async def execute(self, requests):
        """Run every request's pipeline at the same time.

        While one request waits for an inner model, the others go on, and the inner models may batch them.
        The rows of one request travel together: an inner call per request, not per row.
        """
        return await asyncio.gather(*(self.answer(request) for request in requests))

    async def answer(self, request):
        """One request's response: its scores, or the error of the inner model in its own words."""
        try:
            image = pb_utils.get_input_tensor_by_name(request, "image")
            prepared = await call("digits_preprocess", image, "image", "input_tensor")
            scores = await call("mnist_mlp", prepared, "input", "output")
            return pb_utils.InferenceResponse([pb_utils.Tensor("scores", scores.as_numpy())])
        except pb_utils.TritonModelException as error:
            # Only this request fails; the others of the batch get their scores.
            return pb_utils.InferenceResponse(error=pb_utils.TritonError(str(error)))


async def call(model, tensor, input_name, output_name):
    """One inner inference: `tensor`, under the name that `model` wants, gives one output tensor."""
    request = pb_utils.InferenceRequest(
        model_name=model,
        inputs=[pb_utils.Tensor(input_name, tensor.as_numpy())],
        requested_output_names=[output_name],
        # as_numpy() needs the answer in main memory, also when the inner model runs on a GPU.
        preferred_memory=pb_utils.PreferredMemory(pb_utils.TRITONSERVER_MEMORY_CPU, 0),
    )
    response = await request.async_exec()
    if response.has_error():
        raise pb_utils.TritonModelException(f"{model}: {response.error().message()}")
    return pb_utils.get_output_tensor_by_name(response, output_name)
