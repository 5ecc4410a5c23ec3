"""Commands about replies that run in the background."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .._errors import ConfigError, shorten
from .saying import say

if TYPE_CHECKING:
    from .arguments import Arguments
    from .jobs import Job
    from .magic import ChatGLMMagics


class JobCommands:
    """Commands about jobs.

    Attributes:
        magics: Where the jobs are.
    """

    magics: ChatGLMMagics

    def do_jobs(self, _: Arguments) -> None:
        """List the jobs."""
        say(
            *[_line(job) for job in self.magics.jobs]
            or ["Nothing was asked in the background yet: %chatglm --bg PROMPT."]
        )

    def do_stop(self, _: Arguments, number: str = "") -> None:
        """Stop a job, or all that run."""
        jobs = self.magics.jobs
        if not number:
            running = jobs.running
        elif (job := jobs.get(int(number))) is not None:
            running = [] if job.done else [job]
        else:
            msg = f"There is no job {number}; %chatglm jobs lists them."
            raise ConfigError(msg)
        for job in running:
            job.stop()
        say(*[_line(job) for job in running] or ["Nothing runs in the background."])


def _line(job: Job) -> str:
    facts = f"{job.number:3}  {job.state:7}  {job.reply.elapsed:4.0f} s  {len(job.text):6} characters"
    return f"{facts}  {job.label}  {shorten(job.prompt, 50)}"
