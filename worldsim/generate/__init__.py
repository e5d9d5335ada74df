"""`worldsim generate`: clips from words, pictures and other clips, each with the record of how it was made.

`generate` makes them, `write` puts them into files.
"""

from worldsim.generate.config import GenerateConfig, Mode
from worldsim.generate.files import write
from worldsim.generate.making import GeneratedClip, generate, make_model

__all__ = ["GenerateConfig", "GeneratedClip", "Mode", "generate", "make_model", "write"]
