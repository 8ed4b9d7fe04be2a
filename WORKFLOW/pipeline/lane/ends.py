"""Classify a worker's error, in one place: an obstacle that passes, a file to make again, or a final failure.

- *waiting*: `Transient` (another run writes, the data folder is missing), a full disk, or a file server that does not
  answer. The job is tried again. Each wait is twice as long as the last, at most `swarm.blame.patience_s` in all, and
  nothing is thrown away.
- *again*: `Recomputable`, a working file of ours that is damaged or was changed. The next worker makes the file again.
- *failed*: any other `Refused`. The failure is final, and the symbol and mode end with it.
- No result: out of memory, other errors of the system, or files of an earlier phase that do not fit. Such a death
  counts, and `swarm.blame.max_deaths` deaths in a row without progress end the job.
"""

import errno

from config.errors import Recomputable, Refused, Transient
from hooks.gate import verdicts_of
from state.host.secrets import redacted
from state.records.workers import Launch, Result

# Errors of the system that pass by themselves, or when somebody makes room.
_PASSING = frozenset(
    (
        *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOLCK, errno.ENFILE, errno.EMFILE, errno.ENOSPC, errno.EDQUOT),
        *(errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.ENOTCONN, errno.EREMOTEIO),
    )
)


def result_of(error: Exception, launch: Launch) -> Result | None:
    """Return the result of a worker that ends with `error`, or None if its death counts and leaves no result."""
    job_id, epoch = launch.job.job_id, launch.epoch
    if isinstance(error, Transient):
        return Result(job_id, epoch, "waiting", _message(error), patience_s=error.patience_s)
    if isinstance(error, OSError) and error.errno in _PASSING:
        where = f"{error.filename}: " if error.filename else ""
        return Result(job_id, epoch, "waiting", redacted(f"{where}{error.strerror}"))
    if isinstance(error, Recomputable):
        return Result(job_id, epoch, "again", redacted(error.reason))
    if isinstance(error, Refused):
        return Result(job_id, epoch, "failed", _message(error), gates=verdicts_of(error))
    return None


def _message(refusal: Refused) -> str:
    return redacted(f"{refusal.reason} → {refusal.way_out}")
