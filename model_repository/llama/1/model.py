"""`llama`: a Llama behind a generation engine, streaming."""


class TritonPythonModel:
    """Hands requests to the engine. The engine is in `lab_utils/llama/engine`: plain Python, no Triton."""

    def initialize(self, args):
        """Load the Llama that the config names."""
        # Not at the top: Triton imports this file a second time to complete the config, and torch is slow.
        from lab_utils.llama.engine.serving import LlamaService

        self.service = LlamaService(args)

    def execute(self, requests):
        """Enqueue and return at once. Answers are sent by other threads, when there is something to send."""
        for request in requests:
            self.service.take(request)

    def finalize(self):
        """Unloaded: Triton has waited for all answers."""
        self.service.close()
