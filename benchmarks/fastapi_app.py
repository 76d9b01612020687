"""What people use instead of Triton: FastAPI + ONNX Runtime, one uvicorn worker. Kept as quick as it goes.

The model runs inside the event loop (a thread pool costs more for a model this small), the JSON body is
read without pydantic models, and no field is validated. An ordinary application is slower.

    TRITON_LAB_BENCH_MODEL=model.onnx uvicorn benchmarks.fastapi_app:app
"""

from __future__ import annotations

import os

import numpy as np
import onnxruntime as ort
from fastapi import FastAPI, Request, Response

session = ort.InferenceSession(os.environ["TRITON_LAB_BENCH_MODEL"], providers=["CPUExecutionProvider"])
app = FastAPI()


@app.post("/raw")
async def raw(request: Request) -> Response:
    """Float32 bytes `[n, 1, 28, 28]` in, float32 bytes `[n, 10]` out."""
    images = np.frombuffer(await request.body(), dtype=np.float32).reshape(-1, 1, 28, 28)
    logits = session.run(None, {"input": images})[0]
    return Response(logits.tobytes(), media_type="application/octet-stream")


@app.post("/json")
async def from_json(request: Request) -> dict[str, object]:
    """`{"images": [n][1][28][28]}` in, `{"logits": [n][10]}` out."""
    images = np.asarray((await request.json())["images"], dtype=np.float32)
    return {"logits": session.run(None, {"input": images})[0].tolist()}
