"""How a worker's error is classified, in one place: what passes by itself, what is made again, what is final.

- *waiting*: `Transient` (another run writes, the data folder is not there), a full disk, a file server that does not
  answer. Tried again, each wait twice the last, `swarm.blame.patience_s` in all; nothing is thrown away.
- *again*: `Recomputable`, a working file of ours that is damaged or was changed. The next worker makes it anew.
- *failed*: any other `Refused`. It is final, and the symbol and mode end with it.
- no result: memory, other errors of the system, what an earlier phase left does not fit. A death that counts: so many
  in a row without progress (`swarm.blame.max_deaths`) end the job.
"""

import errno

from config.errors import Recomputable, Refused, Transient
from hooks.gate import verdicts_of
from state.host.secrets import redacted
from state.records.workers import Launch, Result

# Of the system: they end by themselves, or when somebody makes room.
_PASSING = frozenset(
    (
        *(errno.EAGAIN, errno.EBUSY, errno.EINTR, errno.ENOLCK, errno.ENFILE, errno.EMFILE, errno.ENOSPC, errno.EDQUOT),
        *(errno.ESTALE, errno.ETIMEDOUT, errno.EHOSTDOWN, errno.EHOSTUNREACH, errno.ENETDOWN, errno.ENETUNREACH),
        *(errno.ENOTCONN, errno.EREMOTEIO),
    )
)


def result_of(error: Exception, launch: Launch) -> Result | None:
    """What a worker leaves that ends with `error`; None where its death has to speak for itself."""
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
