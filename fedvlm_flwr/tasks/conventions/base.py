"""What conventions share: the answer normalization of the VQA evaluation (Antol et al. 2015)."""

import re

ARTICLES = frozenset({"a", "an", "the"})
_UNITS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
NUMBERS = {word: str(number) for number, word in enumerate(_UNITS)} | {"none": "0"}

# Its words with apostrophes; one that lacks one of its apostrophes gets it back.
_WHOLE = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""
CONTRACTIONS = {
    f"{word[:i]}{word[i + 1 :]}": word
    for word in _WHOLE.split()
    for i, letter in enumerate(word)
    if letter == "'"
} | {"somebody'd": "somebodyd"}  # the wrong way round, as there

SIGNS = ';/[]"{}()=+\\_-><@`,?!'
_THOUSANDS = re.compile(r"\d,\d")
_PERIOD = re.compile(r"\.(?!\d)")
PERIODS = 32  # so many are taken out: there, a flag stands where the count belongs


def vqa_normalize(text: str) -> str:
    """An answer as the VQA evaluation compares it.

    A sign beside a space is taken out, any other becomes a space; where a comma stands between
    two digits, all signs are taken out. Periods go but those before a digit. Then case and articles
    go, number words up to ten become digits, and contractions get their apostrophe back.
    """
    line = text.replace("\n", " ").replace("\t", " ").strip()
    thousands = _THOUSANDS.search(line) is not None
    result = line
    for sign in SIGNS:
        beside = f"{sign} " in line or f" {sign}" in line
        result = result.replace(sign, "" if beside or thousands else " ")
    words = _PERIOD.sub("", result, count=PERIODS).lower().split()
    digits = [NUMBERS.get(word, word) for word in words]
    return " ".join(CONTRACTIONS.get(word, word) for word in digits if word not in ARTICLES)
