"""The command line that makes an explanation again."""

from __future__ import annotations

import shlex
from dataclasses import fields, replace

from heat.options import MethodOptions, ModelOptions, OutputOptions, PromptOptions

# Options whose name is not that of their field.
_NAMED = {"settings": "--set", "as_json": "--json"}


def command_line(
    prompt: PromptOptions,
    model: ModelOptions = ModelOptions(),
    method: MethodOptions = MethodOptions(),
    output: OutputOptions = OutputOptions(),
    *,
    read: str | None = None,
) -> str:
    """The `heat explain` command with these options; those at their default are left out.

    Args:
        prompt: What is explained.
        model: Which model is explained.
        method: How it is explained.
        output: Where it goes.
        read: What was explained, a text or the JSON of a chat: it stands in the line where it came from standard input,
            which says nothing a second time.

    Returns:
        A line for a shell.
    """
    piped = ""
    if read is not None and (prompt.chat == "-" or (read == "-" and prompt.prompt == "-")):
        piped = f"printf %s {shlex.quote(read)} | "
    elif read is not None and "-" in (prompt.prompt, prompt.prompt_file):
        prompt = replace(prompt, prompt=read, prompt_file=None)
    words = ["heat", "explain"]
    text = prompt.prompt
    # What begins with a dash would be read as an option.
    behind = ["--", text] if text is not None and text.startswith("-") and text != "-" else []
    if text is not None and not behind:
        words.append(text)
    for bundle in (replace(prompt, prompt=None), model, method, output):
        for field in fields(bundle):
            value = getattr(bundle, field.name)
            if value == field.default or value is None or value == []:
                continue
            name = _NAMED.get(field.name, f"--{field.name.replace('_', '-')}")
            for one in value if isinstance(value, list) else [value]:
                words += [name] if one is True else [name, str(one)]
    return piped + shlex.join([*words, *behind])
