"""Text for the simulator: which words it knows, and captions as numbers."""

from worldsim.model.text.words import CAPTION_WORDS, Vocabulary, caption_vocabulary, extended, fit

__all__ = ["CAPTION_WORDS", "Vocabulary", "caption_vocabulary", "extended", "fit"]
