"""What of a dataset may be wrong."""

from dataclasses import dataclass, field

from fedvlm_flwr.images.reading import MOST_PIXELS
from fedvlm_flwr.settings import setting

REFUSE, CUT = "refuse", "cut"  # answers that a model has no room for


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The keys of every dataset that is read from files and checked."""

    allow_errors: int = field(metadata=setting(least=0, most=10**9))
    """Bad records that may be left out; one more refuses the dataset."""
    shared_pictures: str = field(metadata=setting(choices=("refuse", "allow")))
    """Images that both the training and the test set of a task ask about: `refuse`, which makes
    those training records bad ones, or `allow`."""
    allow_unknown_words: bool
    """Whether a model is trained that has no token for more than a fifth of the answers' words."""
    long_answers: str = field(metadata=setting(choices=(REFUSE, CUT)))
    """Answers to be learnt that do not fit `model.max_text_tokens`: `refuse` ends the run, `cut`
    leaves their end out, and how many they are is said. Scores are of whole ones."""
    max_pixels: int = field(metadata=setting(least=1, most=MOST_PIXELS))
    """Pixels of an image, width times height; a record whose image has more is a bad one."""
