"""A Llama of Hugging Face transformers, one request at a time."""

import json

from lab_utils.errors import LabError


class TritonPythonModel:
    """The design that most people begin with, and the one that the others are measured against."""

    def initialize(self, args):
        """Load the model; PyTorch is imported here, so that a model that is not used costs nothing."""
        from lab_utils.llama import huggingface

        self.hf = huggingface
        self.llama = huggingface.load_huggingface(json.loads(args["model_config"]).get("parameters", {}))

    def execute(self, requests):
        """Answer each request by itself. One that fails does not harm the others."""
        return [self.respond(request) for request in requests]

    def respond(self, request):
        """One whole answer."""
        llama = self.llama
        try:
            question = self.hf.read_question(request)
            tokens = llama.encode([question.prompt])
            prompt = tokens.input_ids[0].tolist()
            llama.check(question, len(prompt))
            sequence = llama.model.generate(
                input_ids=tokens.input_ids,
                attention_mask=tokens.attention_mask,
                do_sample=False,
                max_new_tokens=question.max_tokens,
                eos_token_id=None if question.ignore_eos else list(llama.eos),
                pad_token_id=llama.tokenizer.pad_token_id,
            )
        except (LabError, RuntimeError) as error:
            return self.hf.failure(error)
        ids, reason = llama.cut(sequence[0, len(prompt) :].tolist(), question)
        return self.hf.answer(llama.text(prompt, ids), ids, reason)
