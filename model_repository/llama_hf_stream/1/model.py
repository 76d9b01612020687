"""A Llama of Hugging Face transformers that sends each token when it is there."""

import json

import triton_python_backend_utils as pb_utils


class TritonPythonModel:
    """Decoupled: any number of responses to a request. One request at a time."""

    def initialize(self, args):
        """Load the model."""
        from lab_utils.llama import huggingface

        self.hf = huggingface
        self.llama = huggingface.load_huggingface(json.loads(args["model_config"]).get("parameters", {}))

    def execute(self, requests):
        """Answer one request after the other; a decoupled model returns nothing here."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self.stream(request, sender)
            except Exception as error:
                # Whatever it is: a request that is told no end makes its client wait for ever. And the error
                # is the end: a client that counts both would count this request twice.
                sender.send(self.hf.failure(error), flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)
            else:
                # Tells Triton, and the client, that nothing more follows.
                sender.send(flags=pb_utils.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def stream(self, request, sender):
        """Send the tokens of one answer, then its end."""
        llama = self.llama
        question = self.hf.read_question(request)
        tokens = llama.encode([question.prompt])
        llama.check(question, tokens.input_ids.shape[1])
        streamer = Streamer(llama.tokenizer, lambda text, ids: sender.send(self.hf.answer(text, ids, "")))
        llama.model.generate(
            input_ids=tokens.input_ids,
            attention_mask=tokens.attention_mask,
            do_sample=False,
            max_new_tokens=question.max_tokens,
            eos_token_id=None if question.ignore_eos else list(llama.eos),
            pad_token_id=llama.tokenizer.pad_token_id,
            streamer=streamer,
            # A client that went away needs no more tokens. `generate` asks this after each one.
            stopping_criteria=[lambda ids, scores, **more: as_rows(ids, request.is_cancelled())],
        )
        ids, reason = llama.cut(streamer.ids, question)
        rest = llama.text(tokens.input_ids[0].tolist(), ids)[len(streamer.text) :]
        sender.send(self.hf.answer(rest, [], reason))


class Streamer:
    """What `generate` hands its tokens to: first the prompt, then one token after the other."""

    def __init__(self, tokenizer, send):
        from tokenizers.decoders import DecodeStream

        self.ids, self.text, self.send = [], "", send
        self.tokenizer = tokenizer.backend_tokenizer
        # Decoding each token alone would lose the spaces between words, and split letters of many bytes.
        self.decoder = DecodeStream(skip_special_tokens=True)
        self.prompt = True

    def put(self, value):
        """Send the token, with the text that is complete by now."""
        if self.prompt:
            self.prompt = False
            # Only its text is not wanted: the answer goes on from it, with a space or without.
            for token in value.reshape(-1).tolist():
                self.decoder.step(self.tokenizer, token)
            return
        token = int(value.reshape(-1)[0])
        self.ids.append(token)
        text = self.decoder.step(self.tokenizer, token) or ""
        self.text += text
        self.send(text, [token])

    def end(self):
        """Nothing to do: the caller sends the end."""


def as_rows(ids, done):
    """One answer, yes or no, for each row of a batch: what `generate` expects of a stopping criterion."""
    return ids.new_full((ids.shape[0],), done).bool()
