# ---
# jupyter:
#   kernelspec:
#     display_name: Python 3
#     language: python
#     name: python3
# ---

# %% [markdown]
# # A tiny lab
#
# It exists to try the proofs on.

# %%
import httpx
import numpy as np
import tiny_checks  # noqa: F401
import tritonclient.http

from lab_utils import Lab

# %%
lab = Lab("90")

# %%
server = lab.start()

# %% [markdown]
# ### Exercise 90.1 · Ask for the state of a model
# *3 minutes · difficulty 1 of 3 · 1 points*
#
# Ask the server whether one model is ready.
#
# You must:
# - return True or False


# %%
def is_ready(url: str, model: str) -> bool:
    """Whether a model is ready to answer."""
    ### BEGIN SOLUTION
    #: 1. ask for the model's ready state
    #: 2. compare the status code
    answer = httpx.get(f"{url}/v2/models/{model}/ready", trust_env=False)
    return answer.status_code == 200
    ### END SOLUTION


# %%
lab.check("90.1")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>The path ends in ready.</details>
#
# <details><summary>Hint 2: nearly the answer</summary>Compare with 200.</details>

# %% [markdown]
# ### Exercise 90.2 · Classify digits
# *5 minutes · difficulty 2 of 3 · 2 points*
#
# Send a batch of digits.
#
# You must:
# - return one label per image


# %%
def classify(address: str, images: np.ndarray) -> np.ndarray:
    """One label per image."""
    ### BEGIN SOLUTION
    #: 1. make the input tensor
    #: 2. send it
    #: 3. take the largest logit
    with tritonclient.http.InferenceServerClient(address) as client:
        tensor = tritonclient.http.InferInput("input", list(images.shape), "FP32")
        tensor.set_data_from_numpy(images)
        logits = client.infer("mnist_mlp", [tensor]).as_numpy("output")
    return logits.argmax(axis=1)
    ### END SOLUTION


# %%
lab.check("90.2")

# %% [markdown]
# <details><summary>Hint 1: where to look</summary>tritonclient.http.</details>
#
# <details><summary>Hint 2: nearly the answer</summary>argmax(axis=1).</details>

# %%
lab.stop()
