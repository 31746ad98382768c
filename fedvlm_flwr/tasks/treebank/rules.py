"""The kinds of tokens of English text, as regular expressions.

They are those of Stanford CoreNLP 3.4.1's PTBTokenizer, written anew, for what captions, answers
and reports hold; telephone numbers in brackets and swearwords are not among them. A token is the
group `t`; what must follow it counts for its length and is not taken.
"""

import re

APOSTROPHE = "['\u2019\u00b4]"
ANY_APOSTROPHE = "['\u2019\u00b4`\u2018\u201b]"
LETTER = r"(?:[^\W\d_\u00b2\u00b3\u00b9\u00bc-\u00be\u2070-\u218b]|[\u0300-\u036f])"
WORD = rf"{LETTER}(?:{LETTER}|\d)*(?:[.!?]{LETTER}(?:{LETTER}|\d)*)*"
ALNUM = rf"(?:{LETTER}|\d)"
NUM = r"[.:,]?\d+(?:[.:,]\d+)*"
NUMBER = rf"[-+]?{NUM}"
HYPHEN = r"[-_\u058a\u2010\u2011]"
ELISION = rf"(?:[dDoOlL]{ANY_APOSTROPHE}{ALNUM})?"
SPACE = r"[ \t\u00a0\u2000-\u200a\u3000]"
TAIL = rf"(?:{APOSTROPHE}(?:[msdMSD]|re|ve|ll|RE|VE|LL))"
NOT = rf"(?:[nN]{ANY_APOSTROPHE}[tT])"
INITIALS = r"[A-Za-z](?:\.[A-Za-z])+"
ACRONYM = rf"(?:{INITIALS}|[A-Za-z]|(?:Canada|Sino|Korean|EU|Japan|non)-U\.S)"

_BEFORE_LOWER = """
Jan Feb Mar Apr Jun Jul Aug Sep Sept Oct Nov Dec Mon Tue Tues Wed Thu Thurs Fri
Ala Ariz Az Ark Calif Colo Conn Ct Dak Del Fla Ga Ill Ind Kan Kans Ky La Mass Md Mich Minn Miss Mo
Mont Neb Nev Okla Ore Pa Penn Tenn Tex Va Vt Wash Wis Wisc Wyo
Inc Co Cos Corp Pty Pte Ppty Ltd Plc Rt Bancorp Dept Bhd Assn Univ Intl Sys
tel est ext sq ft Jr Bros Ed\\.D Ph\\.D Esq Bldg etc al seq
"""
_BEFORE_UPPER = """
Mr Mrs Ms Miss Dr Drs Prof Profs Sen Sens Rep Reps Atty Attys Lt Col Gen Messrs Gov Govs Adm Rev
Maj Sgt Cpl Pvt Capt St Ste Ave Pres Lieut Hon Brig Comdr Cmdr Pfc Spc Supt Supts Det Mt Ft Adj Adv
Asst Assoc Ens Insp Mlle Mme Msgr Sfc Sr Invt Elec Natl Mfg Mtg Blvd Rd Ave Alex Wm Jos Cie Ph
a\\.k\\.a cf vs Treas
"""
_BEFORE_NUMBER = "ca fig figs prop no nos art pp op"


def _of(words: str) -> str:
    """An alternative of words, in any case."""
    return f"(?i:{'|'.join(words.split())})"


ABBREVIATION = rf"(?:{_of(_BEFORE_LOWER)}|{_of(_BEFORE_UPPER)}|{ACRONYM})"
_SENTENCE = (
    "About According Additionally After An A As At But Did During Earlier He Her Here How However "
    r"If In It Last Many More Mr\. Ms\. Now Once One Other Our She Since So Some Such That The "
    "Their Then There These They This We When While What Who Why Yet You"
)

SITE = (
    r"(?P<t>(?:www\.(?:[^ \t\n\f\r\"<>|.!?(){},]+\.)+[a-zA-Z]{2,4}"
    r"|(?:[^ \t\n\f\r\"`'<>|!(){}$,-_]+\.)+(?:com|net|org|edu))"  # from the comma to "_"
    r"(?:/[^ \t\n\f\r\"<>|()]+[^ \t\n\f\r\"<>|.!?(){},-])?)"
)
MAIL = (
    r"(?P<t>(?:&lt;|<)?[a-zA-Z0-9][^ \t\n\f\r\"<>|()\u00a0]{0,99}"
    r"@(?:[^ \t\n\f\r\"<>|().\u00a0]+\.)*[^ \t\n\f\r\"<>|().\u00a0]+(?:&gt;|>)?)"
)
EXTENSION = "bmp|c|csv|doc|docx|exe|gif|gz|h|htm|html|jar|jpeg|jpg|pdf|png|ppt|py|tar|txt|xml|zip|x"
_WORDS = (
    # An assimilated word is cut in two.
    r"(?P<t>[Cc]an)not",
    r"(?P<t>[Gg]on|[Ww]an)na",
    r"(?P<t>[Gg]ot)ta",
    r"(?P<t>[Ll]em|[Gg]im)me",
    rf"(?P<t>{WORD}){TAIL}",
    rf"(?P<t>[A-Za-z]*[A-MO-Za-mo-z]){NOT}",
    rf"(?P<t>{WORD})",
    rf"(?P<t>[lLdDjJ]{APOSTROPHE})",
    rf"(?P<t>(?:Dunkin|[Ss]omethin|ol){APOSTROPHE})",
    rf"(?P<t>[A-HJ-XZn]{ANY_APOSTROPHE}{LETTER}{{2,}})",
    rf"(?P<t>{LETTER}+[aeiouyAEIOUY]{ANY_APOSTROPHE}[aeiouA-Z]{LETTER}*)",
    r"(?P<t>cont'd\.?|nor'easter|c'mon|e'er|s'mores|ev'ry|li'l|nat'l|o'clock)",
    rf"(?P<t>[yY]{APOSTROPHE}){LETTER}",
    rf"(?P<t>{NOT})(?:[^A-Za-z]|\Z)",
    r"(?P<t>(?:ftp|https?)://[^ \t\n\f\r\"<>|(){}]+[^ \t\n\f\r\"<>|.!?(){},-])",
    SITE,
    MAIL,
    r"(?P<t>C\.D\.s|pro-|anti-|[sS](?:&|&amp;)[pP]-500|[sS](?:&|&amp;)[lL]s|Cap'n|c'est)",
    r"(?P<t>[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}(?:/[A-Za-z0-9]+(?:-[A-Za-z]+){0,2}){1,2})",
    r"(?P<t>[A-Z]*\$)",
    rf"(?P<t>{ABBREVIATION}\.)",
    rf"(?P<t>{ABBREVIATION}){SPACE}",
    rf"(?P<t>{_of(_BEFORE_NUMBER)}\.){SPACE}?\d",
    rf"(?P<t>[A-Za-z])\.{SPACE}+(?:{'|'.join(_SENTENCE.split())})(?:{SPACE}|[?!]|\Z)",
    rf"(?P<t>{WORD}\.)[,;:]",
    rf"(?P<t>{ELISION}{ALNUM}+(?:{HYPHEN}{ELISION}(?:{ALNUM}+|\d+(?:[.:,]\d+)+))*)",
    rf"(?P<t>{ALNUM}[A-Za-z0-9.,]*(?:-(?:{ALNUM}+|{INITIALS}\.))+)(?:[^A-Za-z0-9+]|\Z)",
    r"(?P<t>[A-Z]+(?:[+&][A-Z]+)+)",
    r"(?P<t>[cC]\+\+|[cCfF]#)",
    rf"(?P<t>{ALNUM}+(?:[-._/]{ALNUM}+)*\.(?:{EXTENSION}))(?:{SPACE}|[.?!,]|\Z)",
)
_NUMBERS = (
    r"(?P<t>\d{1,2}[-/]\d{1,2}[-/]\d{2,4})",
    rf"(?P<t>{NUMBER})",
    r"(?P<t>(?:\d{1,4}[- \u00a0])?\d{1,4}/\d{1,4})",
)
_SIGNS = (
    MAIL,
    rf"(?P<t>{APOSTROPHE}[tT])(?:is|was|IS|WAS)",
    rf"(?P<t>{TAIL})(?:[^A-Za-z]|\Z)",
    SITE,
    rf"(?P<t>{APOSTROPHE}n{APOSTROPHE}|{APOSTROPHE}em|{APOSTROPHE}[2-9]0s|{APOSTROPHE}till?"
    rf"|{APOSTROPHE}cause)",
    rf"(?P<t>{APOSTROPHE}\d\d){SPACE}",
    r"(?P<t></?[A-Za-z][A-Za-z0-9_:.-]* */?>|<[!?][A-Za-z-][^>\r\n]*>)",
    r"(?P<t>&(?:amp|mdash|ndash|lt|gt);)",
    r"(?P<t>#[A-Za-z][A-Za-z0-9_]*|@[A-Za-z_][A-Za-z0-9_]*)",
    r"(?P<t>-(?:[LR][RCS]B)-)",
    r"(?P<t>-+|\.{2,}|@+|#+|_+|\*+|[?!]+)",
    r"(?P<t>[<>]?[:;=][-o*']?[()DPdpO\\{@|\[\]])(?:[^A-Za-z0-9]|\Z)",
)
_ANY = r"(?P<t>(?s:.))"

# What may begin with such a character, of equal lengths the first.
LETTERS = [re.compile(rule) for rule in (*_WORDS, _ANY)]
DIGITS = [re.compile(rule) for rule in (*_WORDS, *_NUMBERS, _ANY)]
OTHERS = [re.compile(rule) for rule in (*_NUMBERS, *_SIGNS, _ANY)]
ENCLITIC = re.compile(f"{TAIL}|{NOT}")
PLAIN = re.compile(r"[A-Za-z]+(?= |\Z)")  # a word that is a token, unless it is assimilated
ASSIMILATED = frozenset(["cannot", "gonna", "wanna", "gotta", "lemme", "gimme"])
