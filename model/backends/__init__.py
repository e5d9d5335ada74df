"""Ways to run the same network: as it is, compiled, in bfloat16, in int8, or exported.

| name | what runs | needs |
|---|---|---|
| eager | `FrameNet`, weights packed for the CPU | |
| compile | the same through `torch.compile` | a C++ compiler |
| bf16 | the same with weights, activations and cache in bfloat16 | |
| int8 | linear layers in eight bits, decoder in float32 | |
| onnx | the same graph in ONNX Runtime | `worldsim[export]` |
| openvino, openvino-bf16 | the same graph in OpenVINO | `worldsim[export,openvino]` |
"""

from worldsim.model.backends.agreement import Agreement, agreement
from worldsim.model.backends.base import NAMES, Backend, make_backend

__all__ = ["NAMES", "Agreement", "Backend", "agreement", "make_backend"]
