"""A Llama of Hugging Face transformers, under Triton's dynamic batching."""

import json

from lab_utils.errors import LabError


class TritonPythonModel:
    """Answers all requests of an execution with one call of `generate`.

    Nothing is kept in `self` from one execution to the next: a list of prompts or answers there would
    sooner or later give one client the text of another.
    """

    def initialize(self, args):
        """Load the model."""
        from lab_utils.llama import huggingface

        self.hf = huggingface
        self.llama = huggingface.load_huggingface(json.loads(args["model_config"]).get("parameters", {}))

    def execute(self, requests):
        """One response for each request, in the order of the requests."""
        responses = [None] * len(requests)
        good = []  # (place in the batch of Triton, question)
        for place, request in enumerate(requests):
            try:
                question = self.hf.read_question(request)
                self.llama.check(question, self.llama.encode([question.prompt]).input_ids.shape[1])
                good.append((place, question))
            except LabError as error:
                responses[place] = self.hf.failure(error)
        if good:
            for place, response in self.respond(good):
                responses[place] = response
        return responses

    def respond(self, good):
        """Compute all answers together; returns (place, response) of each."""
        llama, questions = self.llama, [question for _, question in good]
        # Left padding puts the last word of every prompt in the last column, where the next token
        # belongs; the attention mask hides the padding, and positions count from the first real token.
        tokens = llama.encode([question.prompt for question in questions])
        # A padded prompt plus another's longer answer may pass the model's length: those run alone.
        longest = max(question.max_tokens for question in questions)
        if len(good) > 1 and tokens.input_ids.shape[1] + longest > llama.max_length:
            return [self.respond([one])[0] for one in good]
        free = any(question.ignore_eos for question in questions)
        try:
            sequences = llama.model.generate(
                input_ids=tokens.input_ids,
                attention_mask=tokens.attention_mask,
                do_sample=False,
                max_new_tokens=longest,
                # A row that has ended gets padding until the longest is done: computed, and thrown away.
                eos_token_id=None if free else list(llama.eos),
                pad_token_id=llama.tokenizer.pad_token_id,
            )
        except RuntimeError as error:
            return [(place, self.hf.failure(error)) for place, _ in good]
        found, width = [], tokens.input_ids.shape[1]
        for (place, question), row in zip(good, sequences.tolist(), strict=True):
            ids, reason = llama.cut(row[width:], question)
            text = llama.text(row[:width], ids)
            found.append((place, self.hf.answer(text, ids, reason, batched=True)))
        return found
