"""The codec: frames to latents and back, causal in time and streaming."""

from worldsim.model.codec.config import CodecConfig
from worldsim.model.codec.network import VideoCodec
from worldsim.model.codec.stream import DecoderState, EncoderState

__all__ = ["CodecConfig", "DecoderState", "EncoderState", "VideoCodec"]
