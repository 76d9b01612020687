"""`digits_vote`: adds up the scores of a sequence's frames. Its state lives from START to END."""

import json
import time

import numpy as np
import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Keeps one row of votes per sequence, found by its id (CORRID)."""

    def initialize(self, args):
        """Begin with no sequence."""
        batching = json.loads(args["model_config"])["sequence_batching"]
        self.states = {}  # sequence id -> (votes FP32 [10], frames, time of the last frame)
        # Triton gives up an idle sequence without telling the model. Ten times later nobody comes back.
        self.forget_s = 10 * int(batching["max_sequence_idle_microseconds"]) / 1e6

    def execute(self, requests):
        """Answer one frame each of several sequences."""
        return [self.answer(request) for request in requests]

    def answer(self, request):
        """Add one frame to its sequence; the answer is the vote so far."""
        if not control(request, "READY"):
            # An empty row of a `direct` batch: it belongs to no sequence and nobody reads the answer.
            return response(np.zeros(10, np.float32), 0)
        sequence = control(request, "CORRID")
        scores = pb_utils.get_input_tensor_by_name(request, "scores").as_numpy()[0]  # a frame is one row
        if control(request, "START"):
            self.forget_idle()
            self.states[sequence] = (np.zeros(10, np.float32), 0, 0.0)
        if sequence not in self.states:
            return failure(f"sequence {sequence} is not known: its first frame failed, or never came")
        if not np.isfinite(scores).all():
            del self.states[sequence]
            return failure(f"sequence {sequence} ends here: scores must be numbers, not NaN or infinite")
        votes, frames, _ = self.states[sequence]
        votes, frames = votes + scores, frames + 1
        self.states[sequence] = (votes, frames, time.monotonic())
        if control(request, "END"):
            del self.states[sequence]
        return response(votes, frames)

    def finalize(self):
        """At unload: sequences that never sent END lose their votes, so say how many."""
        pb_utils.Logger.log_info(f"digits_vote ends with {len(self.states)} open sequences")

    def forget_idle(self):
        """Drop the sequences that were given up, so that the memory in use stays bounded."""
        limit = time.monotonic() - self.forget_s
        self.states = {key: state for key, state in self.states.items() if state[2] > limit}


def control(request, name):
    """The value of a control input: 0 or 1, or the id of the sequence."""
    return int(pb_utils.get_input_tensor_by_name(request, name).as_numpy().reshape(-1)[0])


def response(votes, frames):
    """One row of each output."""
    return pb_utils.InferenceResponse(
        [
            pb_utils.Tensor("vote", votes[np.newaxis]),
            pb_utils.Tensor("frames", np.array([[frames]], np.int32)),
        ]
    )


def failure(message):
    """An error for this request alone."""
    return pb_utils.InferenceResponse(error=pb_utils.TritonError(message))
