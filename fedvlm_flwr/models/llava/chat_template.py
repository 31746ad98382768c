"""A LLaVA's prompt as a chat template, for transformers' own processor."""

import json
from typing import Any

from jinja2 import TemplateError
from transformers import PreTrainedTokenizerBase

from fedvlm_flwr.models.chat import SAME_DAY, Turn, template_of
from fedvlm_flwr.models.llava.model import Llava
from fedvlm_flwr.models.prompts import QUESTION

PROBE = "what is this?"

# Content as a list of parts, or as a string, becomes one text. Names in capitals are filled in.
JOINED = """\
{%- set ns = namespace(pictures=0, messages=[]) -%}
{%- for message in messages if message['content'] is not string -%}
{%- for part in message['content'] if part['type'] == 'image' -%}
{%- set ns.pictures = ns.pictures + 1 -%}
{%- endfor -%}{%- endfor -%}
{%- for message in messages -%}
{%- set own = namespace(lines=[]) -%}
{%- if message['content'] is string -%}
{%- set own.lines = [message['content'] | trim] -%}
{%- else -%}
{%- for part in message['content'] -%}
{%- if part['type'] != 'image' -%}
{%- set own.lines = own.lines + [part['text'] | trim] -%}
{%- elif ns.pictures > 1 or PICTURE_IN_TEXT -%}
{%- set own.lines = own.lines + [PICTURE] -%}
{%- endif -%}
{%- endfor -%}
{%- endif -%}
{%- set ns.messages = ns.messages + [
    {'role': message['role'], 'content': own.lines | join('\\n')}] -%}
{%- endfor -%}
"""
WRITTEN = """\
{%- for message in ns.messages -%}
{%- if message['role'] == 'assistant' -%}{{ ' ' + message['content'] }}
{%- elif not loop.first and FOLLOW_UP is none -%}
{{ raise_exception('this prompt is one for a single question') }}
{%- elif not loop.first -%}{{ FOLLOW_UP.0 + message['content'] + FOLLOW_UP.1 }}
{%- elif ns.pictures == 1 -%}{{ FIRST.0 + message['content'] + FIRST.1 }}
{%- else -%}{{ BARE.0 + message['content'] + BARE.1 }}
{%- endif -%}
{%- endfor -%}
"""


def chat_template(vlm: Llava) -> str:
    """The prompt in Jinja, for messages whose content is a text or a list of parts."""
    wording, picture = vlm.wording, literal(vlm.image_token)
    joined = JOINED.replace("PICTURE_IN_TEXT", str(isinstance(wording, Turn)).lower())
    joined = joined.replace("PICTURE", picture)
    if isinstance(wording, Turn):
        own = SAME_DAY + str(template_of(vlm.tokenizer))
        content = [{"type": "image"}, {"type": "text", "text": PROBE}]
        is_whole = rendered(vlm.tokenizer, own, content) == wording.prompt(PROBE)
        return own if is_whole else f"{joined}{{%- set messages = ns.messages -%}}{own}"
    pieces = {
        "FIRST": wording.text,
        "BARE": vlm.places_wording.prompt(QUESTION),
        "FOLLOW_UP": wording.follow_up,
    }
    lines = [
        f"{{%- set {name} = {literal(text.split(QUESTION)) if text else 'none'} -%}}\n"
        for name, text in pieces.items()
    ]
    return "".join([joined, *lines, WRITTEN])


def literal(value: str | list[str]) -> str:
    """A text, or several, as Jinja writes them."""
    return json.dumps(value, ensure_ascii=False)


def rendered(tokenizer: PreTrainedTokenizerBase, template: str, content: Any) -> str | None:
    """A question by a template; None where the template fails at it."""
    try:
        return str(
            tokenizer.apply_chat_template(
                [{"role": "user", "content": content}],
                chat_template=template,
                tokenize=False,
                add_generation_prompt=True,
            )
        )
    except (TemplateError, TypeError):
        return None
