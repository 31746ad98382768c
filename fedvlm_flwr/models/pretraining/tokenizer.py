"""A word tokenizer for models of a few hundred words."""

from collections.abc import Iterable

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, processors
from transformers import PreTrainedTokenizerFast

PAD, START, END, UNKNOWN, IMAGE = "<pad>", "<s>", "</s>", "<unk>", "<image>"
PIECE = r"\d\.\d\d|\w+|\n|[^\w\s]"  # a two-decimal fraction is one token


def word_tokenizer(texts: Iterable[str]) -> PreTrainedTokenizerFast:
    """A tokenizer over the words of `texts`, all fractions 0.00 to 1.00 and common punctuation.

    The vocabulary depends on the set of words only, not on their order. Decoding writes one space
    between words and none inside "[0.31, 0.20]".
    """
    splitter = pre_tokenizers.Split(Regex(PIECE), behavior="removed", invert=True)
    words = {piece for text in texts for piece, _ in splitter.pre_tokenize_str(text)}
    words |= {f"{i / 100:.2f}" for i in range(101)} | set("[],.?:\n")
    special = [PAD, START, END, UNKNOWN, IMAGE]
    vocabulary = [*special, *sorted(words)]
    tokenizer = Tokenizer(
        models.WordLevel({word: i for i, word in enumerate(vocabulary)}, unk_token=UNKNOWN)
    )
    tokenizer.pre_tokenizer = splitter
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{START} $A", special_tokens=[(START, special.index(START))]
    )
    tokenizer.decoder = decoders.Sequence(
        [
            decoders.WordPiece(cleanup=True),  # a space between words, none before ". , ?"
            decoders.Fuse(),
            decoders.Replace("[ ", "["),
            decoders.Replace(" ]", "]"),
            decoders.Replace(" :", ":"),
        ]
    )
    return PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer,
        pad_token=PAD,
        bos_token=START,
        eos_token=END,
        unk_token=UNKNOWN,
        additional_special_tokens=[IMAGE],
        clean_up_tokenization_spaces=False,
    )
